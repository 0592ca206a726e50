//! Counts as people read them: 1 week, 2 weeks.

use std::fmt::Display;

/// So many, with the right one of two words: `counted(1, "week", "weeks")`.
pub fn counted(count: impl Display, one: &str, many: &str) -> String {
    let count = count.to_string();
    let word = if count == "1" { one } else { many };
    format!("{count} {word}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_everything_else_is_many() {
        let weeks = |count: u64| counted(count, "week", "weeks");
        assert_eq!([weeks(0), weeks(1), weeks(2)], ["0 weeks", "1 week", "2 weeks"]);
    }
}
