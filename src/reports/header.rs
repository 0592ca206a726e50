//! Names for columns: every one present, every one different.

use std::collections::{HashMap, HashSet};

/// What a column without a name is called.
const NAMELESS: &str = "column";

/// Makes the names of one header unique, so that no column hides another.
///
/// SQL allows two columns of one name, and one without: the second `spend` becomes `spend_2`, the
/// first nameless one `column`. A name that is in the header as it is stays with its own column:
/// of `a, a, a_2` the second becomes `a_3`.
pub(super) fn unique_names(names: &[String]) -> Vec<String> {
    let wanted: Vec<_> = names.iter().map(|name| or_nameless(name)).collect();
    let mut taken: HashSet<_> = wanted.iter().map(|&name| name.to_owned()).collect();
    let mut counts = HashMap::new();
    wanted
        .into_iter()
        .map(|name| {
            let count = counts.entry(name).or_insert(0_u64);
            *count += 1;
            if *count == 1 {
                return name.to_owned();
            }
            while !taken.insert(format!("{name}_{count}")) {
                *count += 1;
            }
            format!("{name}_{count}")
        })
        .collect()
}

fn or_nameless(name: &str) -> &str {
    if name.is_empty() { NAMELESS } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unique(names: &[&str]) -> Vec<String> {
        unique_names(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_second_column_of_a_name_gets_a_number() {
        assert_eq!(
            unique(&["spend", "clicks", "spend", "spend"]),
            ["spend", "clicks", "spend_2", "spend_3"]
        );
    }

    #[test]
    fn a_nameless_column_is_called_column() {
        assert_eq!(unique(&["", "a", ""]), ["column", "a", "column_2"]);
    }

    #[test]
    fn a_number_never_takes_the_name_of_another_column() {
        assert_eq!(unique(&["a", "a", "a_2"]), ["a", "a_3", "a_2"]);
        assert_eq!(unique(&["a_2", "a", "a"]), ["a_2", "a", "a_3"]);
    }

    #[test]
    fn names_that_differ_in_case_are_different() {
        assert_eq!(unique(&["Spend", "spend"]), ["Spend", "spend"]);
    }
}
