//! Lists of SHA-256 sums as `sha256sum` writes and reads them: one file a line, its hash, its
//! name. Not here: how sums are made.

use std::collections::BTreeMap;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use crate::base::digest::Sha256Hash;
use crate::metainfo::{File, Torrent};

/// The longest list that is read, in bytes: of some hundred thousand files.
pub const LIST_LEN_MAX: u64 = 64 << 20;

/// The sums of a list, by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SumsList {
    sums: BTreeMap<Vec<u8>, Sha256Hash>,
    /// Lines that are no sums, empty ones and comments left out: signatures, say.
    pub odd_lines: usize,
}

impl SumsList {
    /// Reads a list, of either form that `sha256sum` writes.
    ///
    /// # Errors
    /// Why it is of no use: it names no sum, or two for one file.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let mut list = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let Some((name, sum)) = read_line(line) else {
                let is_odd = !line.trim_ascii().is_empty() && !line.starts_with(b"#");
                list.odd_lines += usize::from(is_odd);
                continue;
            };
            let name = name.strip_prefix(b"./").unwrap_or(&name).to_owned();
            if list.sums.get(&name).is_some_and(|known| *known != sum) {
                let name = String::from_utf8_lossy(&name).into_owned();
                return Err(format!("it has two sums of {name}"));
            }
            list.sums.insert(name, sum);
        }
        match list.sums.is_empty() {
            true => Err("it has no line with a SHA-256 sum and a name".to_owned()),
            false => Ok(list),
        }
    }

    /// The sum of a file of the torrent: by its name within the torrent's folder, or with that
    /// folder in front of it.
    pub fn of(&self, torrent: &Torrent, file: &File<'_>) -> Option<Sha256Hash> {
        let whole = file.path.to_str().unwrap_or_default().as_bytes();
        let within = name_in(torrent, file);
        self.sums.get(within.as_bytes()).or_else(|| self.sums.get(whole)).copied()
    }
}

/// What a file is called within the torrent's folder; a single file has none.
pub fn name_in(torrent: &Torrent, file: &File<'_>) -> String {
    let path = file.path.to_string_lossy();
    match path.split_once('/') {
        Some((_, within)) if !torrent.is_single_file() => within.to_owned(),
        _ => path.into_owned(),
    }
}

/// A line of a list, its end included.
pub fn line(name: &str, sum: &Sha256Hash) -> String {
    let escaped = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
    let mark = if escaped == name { "" } else { "\\" };
    format!("{mark}{}  {escaped}\n", HEXLOWER.encode(sum))
}

/// The sum as it is shown.
pub fn hex(sum: &Sha256Hash) -> String {
    HEXLOWER.encode(sum)
}

/// Name and sum of a line: `HASH  name`, `HASH *name`, `SHA256 (name) = HASH`. A backslash in
/// front says that there are some in the name, which stand for what a line cannot hold.
fn read_line(line: &[u8]) -> Option<(Vec<u8>, Sha256Hash)> {
    let (is_escaped, line) = match line.strip_prefix(b"\\") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (name, sum) = match line.strip_prefix(b"SHA256 (") {
        Some(rest) => {
            let at = rest.windows(4).rposition(|it| it == b") = ")?;
            (rest.get(..at)?, rest.get(at + 4..)?)
        }
        None => {
            let (sum, name) = line.split_at_checked(64)?;
            let name = name.strip_prefix(b" ")?;
            (name.strip_prefix(b" ").or_else(|| name.strip_prefix(b"*"))?, sum)
        }
    };
    let sum = HEXLOWER_PERMISSIVE.decode(sum.trim_ascii_end()).ok()?.try_into().ok()?;
    let name = if is_escaped { unescaped(name)? } else { name.to_owned() };
    (!name.is_empty()).then_some((name, sum))
}

fn unescaped(name: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            byte => *byte,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn names(text: &str) -> Vec<String> {
        let list = SumsList::parse(text.as_bytes()).expect("a list");
        list.sums.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    #[test]
    fn lines_of_both_forms_are_read() {
        assert_eq!(names(&format!("{SUM}  a b\n{SUM} *d/c\n")), ["a b", "d/c"]);
        assert_eq!(names(&format!("{}  ./x\r\n", SUM.to_uppercase())), ["x"]);
        assert_eq!(names(&format!("SHA256 (a) = (b) = {SUM}")), ["a) = (b"]);
        assert_eq!(names(&format!("\\{SUM}  a\\nb\\\\c\\r\n")), ["a\nb\\c\r"]);
        assert_eq!(names(&format!("{SUM}  a\\nb")), ["a\\nb"], "without the mark");
        assert_eq!(names(&format!("{SUM}   a")), [" a"], "a name that begins with a space");
    }

    #[test]
    fn what_is_no_sum_is_counted_and_a_list_of_nothing_is_refused() {
        let signed = format!("-----BEGIN PGP SIGNED MESSAGE-----\n\n# a comment\n{SUM}  a\n");
        assert_eq!(SumsList::parse(signed.as_bytes()).map(|list| list.odd_lines), Ok(1));
        for text in
            ["", "\n", "x", &format!("{SUM} a"), &format!("{SUM}  "), &format!("\\{SUM}  a\\x")]
        {
            assert!(SumsList::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        let twice = format!("{SUM}  a\n{SUM}  a\n");
        assert_eq!(names(&twice), ["a"]);
        let other = twice + &format!("{}  a\n", "0".repeat(64));
        assert_eq!(SumsList::parse(other.as_bytes()), Err("it has two sums of a".to_owned()));
    }

    #[test]
    fn what_is_written_is_read() {
        for name in ["a", "d/a b", "a\nb", "a\\b", "\\", "a\rb", " a", "*a"] {
            let text = line(name, &[7; 32]);
            assert_eq!(text.lines().count(), 1);
            assert_eq!(names(&text), [name]);
        }
        assert!(line("a\nb", &[7; 32]).starts_with("\\0707"));
    }
}
