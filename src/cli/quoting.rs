//! Quotes and `~` in what people type where no shell reads it: at the prompt and in the menu.

use std::path::PathBuf;

/// The words of a line as a shell takes them, when it has quotes or backslashes that match; none
/// where it has none, or an apostrophe is only that.
pub fn quoted_words(line: &str) -> Option<Vec<String>> {
    let is_quoted = line.contains(['\'', '"', '\\']);
    is_quoted.then(|| shell_words::split(&without_comments(line)).ok()).flatten()
}

/// The quote that begins a word of the line and is never closed; an apostrophe within a word is
/// only that.
pub fn open_quote(line: &str) -> Option<char> {
    let (mut open, mut is_escaped, mut before) = (None, false, ' ');
    for letter in line.chars() {
        match (letter, open) {
            _ if is_escaped => {}
            ('\'' | '"', None) => open = Some((letter, before.is_whitespace())),
            (_, Some((quote, _))) if quote == letter => open = None,
            _ => {}
        }
        let is_literal = open.is_some_and(|(quote, _)| quote == '\'');
        is_escaped = letter == '\\' && !is_escaped && !is_literal;
        before = letter;
    }
    open.filter(|(_, begins_word)| *begins_word).map(|(quote, _)| quote)
}

/// The line with a backslash before every `#` that would begin a comment, which nobody types here.
fn without_comments(line: &str) -> String {
    let (mut plain, mut quote, mut is_escaped) = (String::with_capacity(line.len()), None, false);
    for letter in line.chars() {
        if letter == '#' && quote.is_none() && !is_escaped {
            plain.push('\\');
        }
        plain.push(letter);
        match (letter, quote) {
            _ if is_escaped => {}
            ('\'' | '"', None) => quote = Some(letter),
            (_, Some(open)) if open == letter => quote = None,
            _ => {}
        }
        is_escaped = letter == '\\' && !is_escaped && quote != Some('\'');
    }
    plain
}

/// A path as people type it or drop it on a terminal: in quotes, with backslashes, or from `~`.
pub fn path_of(typed: &str) -> PathBuf {
    match quoted_words(typed).as_deref() {
        Some([only]) => from_home(only),
        _ => from_home(typed),
    }
}

/// A path that may begin in the home directory.
pub fn from_home(path: &str) -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_as_people_give_them() {
        assert_eq!(path_of("'/a b/c'"), PathBuf::from("/a b/c"));
        assert_eq!(path_of("\"x\""), PathBuf::from("x"));
        assert_eq!(path_of("/a\\ b"), PathBuf::from("/a b"));
        assert_eq!(path_of("it's"), PathBuf::from("it's"));
        assert_eq!(path_of("a b"), PathBuf::from("a b"));
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        assert_eq!(path_of("~/x"), home.join("x"));
    }

    #[test]
    fn a_quote_that_begins_a_word_has_to_end() {
        for line in ["add 'my file", "add \"my file", "move '", "use \"it's", "a 'b' 'c"] {
            assert!(open_quote(line).is_some(), "{line}");
        }
        for line in ["add it's.torrent", "add 'my file'", "use \"it's\"", "a \\'b", "a '\\'"] {
            assert_eq!(open_quote(line), None, "{line}");
        }
    }

    #[test]
    fn only_quotes_make_words() {
        assert_eq!(quoted_words("add my file"), None);
        assert_eq!(quoted_words("use it's"), None);
        let words = quoted_words(r##"a '#b' "#c" #d \#e '\' #f"##);
        assert_eq!(words.unwrap(), ["a", "#b", "#c", "#d", "#e", "\\", "#f"]);
        assert_eq!(
            quoted_words("add 'my file' #1"),
            Some(vec!["add".into(), "my file".into(), "#1".into()])
        );
    }
}
