//! Reads the project's own sources, so that tests can hold them to its laws.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of the project.
pub struct Source {
    /// As seen from the root, with `/`.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// A string literal in Rust code.
pub struct Literal {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// What it stands for, escapes undone.
    pub value: String,
}

/// The folder of `Cargo.toml`.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below these folders whose name ends so, in order. A missing folder holds none.
pub fn files(folders: &[&str], endings: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut paths);
    }
    paths.sort();
    paths
        .iter()
        .map(|path| (shown(path), path))
        .filter(|(name, _)| endings.iter().any(|ending| name.ends_with(ending)))
        .map(|(path, file)| Source { path, text: fs::read_to_string(file).unwrap_or_default() })
        .collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, paths);
        } else {
            paths.push(path);
        }
    }
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

impl Source {
    /// The module that a person would name: `src/queue/claim.rs` is in `queue`, `src/clock.rs` in
    /// `clock`, all of `jobs/` in `jobs`.
    pub fn room(&self) -> &str {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
    }

    /// The code alone: comments, and what stands in quotes, are blank. Lines stay where they are.
    pub fn code(&self) -> String {
        self.read().0
    }

    /// The code without the tests at its foot.
    pub fn production_code(&self) -> String {
        let code = self.code();
        code[..tests_begin(&code)].to_owned()
    }

    /// How many lines there are, without those of the tests at the foot of Rust code.
    pub fn production_lines(&self) -> usize {
        let is_rust = Path::new(&self.path).extension().is_some_and(|ending| ending == "rs");
        let text = if is_rust { self.production_code() } else { self.text.clone() };
        text.trim_end().lines().count()
    }

    /// Every string literal above the tests.
    pub fn literals(&self) -> Vec<Literal> {
        let (code, literals) = self.read();
        let last = code[..tests_begin(&code)].lines().count();
        literals.into_iter().filter(|literal| literal.line <= last).collect()
    }

    fn read(&self) -> (String, Vec<Literal>) {
        let mut reader = Reader::new(&self.text);
        while reader.step() {}
        (reader.code, reader.literals)
    }
}

/// Where `#[cfg(test)] mod … {` begins; the end when there is none.
fn tests_begin(code: &str) -> usize {
    code.match_indices("#[cfg(test)]")
        .map(|(at, _)| at)
        .find(|at| {
            let item = &code[*at..];
            let head = &item[..item.find(['{', ';']).unwrap_or(item.len())];
            head.contains("mod ") && item[head.len()..].starts_with('{')
        })
        .unwrap_or(code.len())
}

/// As much of Rust's grammar as it takes to tell code from comments and quotes.
struct Reader {
    letters: Vec<char>,
    at: usize,
    code: String,
    literals: Vec<Literal>,
}

impl Reader {
    fn new(text: &str) -> Self {
        let letters = text.chars().collect();
        Self { letters, at: 0, code: String::new(), literals: Vec::new() }
    }

    fn step(&mut self) -> bool {
        let Some(letter) = self.peek(0) else { return false };
        match letter {
            '/' if self.peek(1) == Some('/') => self.blank_until("\n"),
            '/' if self.peek(1) == Some('*') => self.blank_until("*/"),
            '"' => self.quoted(),
            '\'' => self.character(),
            'r' if !self.inside_a_word() && self.raw_hashes().is_some() => self.raw(),
            _ => self.keep(),
        }
        true
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.letters.get(self.at + ahead).copied()
    }

    fn inside_a_word(&self) -> bool {
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        // `br"…"` and `cr"…"` are raw too.
        let before = self.at.checked_sub(1).map(|at| self.letters[at]);
        let earlier = self.at.checked_sub(2).map(|at| self.letters[at]);
        match before {
            Some('b' | 'c') => earlier.is_some_and(is_word),
            Some(letter) => is_word(letter),
            None => false,
        }
    }

    fn keep(&mut self) {
        self.code.push(self.letters[self.at]);
        self.at += 1;
    }

    fn blank(&mut self) {
        self.code.push(if self.letters[self.at] == '\n' { '\n' } else { ' ' });
        self.at += 1;
    }

    fn blank_until(&mut self, end: &str) {
        let end: Vec<char> = end.chars().collect();
        while self.at < self.letters.len() && !self.letters[self.at..].starts_with(&end) {
            self.blank();
        }
        for _ in 0..end.len().min(self.letters.len() - self.at) {
            self.blank();
        }
    }

    fn line(&self) -> usize {
        1 + self.code.matches('\n').count()
    }

    /// `'x'` and `'\n'` are quotes, `'a` is a lifetime.
    fn character(&mut self) {
        if self.peek(1) == Some('\\') {
            self.blank();
            self.blank();
            self.blank();
            self.blank_until("'");
        } else if self.peek(2) == Some('\'') {
            (0..3).for_each(|_| self.blank());
        } else {
            self.keep();
        }
    }

    fn quoted(&mut self) {
        let line = self.line();
        let mut value = String::new();
        self.keep();
        while let Some(letter) = self.peek(0) {
            match (letter, self.peek(1)) {
                ('"', _) => break,
                ('\\', Some('\n')) => {
                    self.blank();
                    while self.peek(0).is_some_and(char::is_whitespace) {
                        self.blank();
                    }
                }
                ('\\', Some(escaped)) => {
                    value.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        other => other,
                    });
                    self.blank();
                    self.blank();
                }
                _ => {
                    value.push(letter);
                    self.blank();
                }
            }
        }
        if self.peek(0).is_some() {
            self.keep();
        }
        self.literals.push(Literal { line, value });
    }

    /// How many `#` follow this `r`, if a quote follows them.
    fn raw_hashes(&self) -> Option<usize> {
        let hashes =
            self.letters[self.at + 1..].iter().take_while(|letter| **letter == '#').count();
        (self.peek(1 + hashes) == Some('"')).then_some(hashes)
    }

    fn raw(&mut self) {
        let line = self.line();
        let hashes = self.raw_hashes().unwrap_or_default();
        (0..hashes + 2).for_each(|_| self.blank());
        let end: Vec<char> = format!("\"{}", "#".repeat(hashes)).chars().collect();
        let begin = self.at;
        while self.at < self.letters.len() && !self.letters[self.at..].starts_with(&end) {
            self.blank();
        }
        let value = self.letters[begin..self.at].iter().collect();
        (0..end.len().min(self.letters.len() - self.at)).for_each(|_| self.blank());
        self.literals.push(Literal { line, value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { path: "src/queue/claim.rs".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn comments_and_quotes_are_no_code() {
        let text = "use a; // use b\n/* use c\n*/ let d = \"use e\"; let f = '\"'; use g::<'h>;";
        let code = source(text).code();
        assert_eq!(code.lines().count(), 3);
        assert!(code.contains("use a") && code.contains("use g::<'h>"), "{code}");
        for hidden in ["use b", "use c", "use e"] {
            assert!(!code.contains(hidden), "{code}");
        }
    }

    #[test]
    fn literals_of_every_form_are_read_with_their_line() {
        let text = "a(\"one \\\"two\\\"\\n\");\nb(r#\"three \"four\"\n\"#);\nc(br\"five\\n\", \"six \\\n   seven\");";
        let found: Vec<(usize, String)> =
            source(text).literals().into_iter().map(|found| (found.line, found.value)).collect();
        let expected =
            [(1, "one \"two\"\n"), (2, "three \"four\"\n"), (4, "five\\n"), (4, "six seven")];
        assert_eq!(found, expected.map(|(line, value)| (line, value.to_owned())));
    }

    #[test]
    fn tests_at_the_foot_do_not_count_and_a_mounted_harness_does_not_hide_what_follows() {
        let text = "#[cfg(test)]\nmod harness;\nfn a() { f(\"x\") }\n\n#[cfg(test)]\nmod tests {\n    fn b() { f(\"y\") }\n}\n";
        let source = source(text);
        assert_eq!(source.production_lines(), 3);
        assert!(source.production_code().contains("fn a") && source.code().contains("fn b"));
        let values: Vec<String> = source.literals().into_iter().map(|l| l.value).collect();
        assert_eq!(values, ["x"]);
        assert_eq!(source.room(), "queue");
    }
}
