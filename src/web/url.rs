//! The URL that a file of a torrent has at a web seed (BEP 19), built from the bytes of the
//! torrent as they are written, never from the cleaned names of the disk; and that of a piece at a
//! script (BEP 17). Not here: where the
//! torrent has these bytes (`metainfo`), and how a URL is taken apart (`base/url`).

use crate::base::ids::InfoHash;
use crate::base::url::{URL_LEN_MAX, Url, push_element};

/// The longest path and query that is asked for: a long entry with a long path behind it. Servers
/// answer longer ones with 414.
const TARGET_LEN_MAX: usize = 2 * URL_LEN_MAX;

/// The URL of a file at the web seed `entry`. `path` is the name of the torrent and, unless
/// `is_single`, the elements of the file's path, all of them as the torrent writes them
/// (`Torrent::written_path`).
///
/// A single file is at the entry itself, or below it when that ends in a slash. All others are
/// below it, whether it ends in a slash or not. An entry with a query has them in its path, if that
/// ends in a slash, else behind its query.
///
/// None when the file cannot be had there: an element is `.` or `..`, which servers and whatever
/// stands between them and us resolve even when encoded, or the URL would be longer than any
/// server takes.
pub fn file_url(entry: &Url, is_single: bool, path: &[&[u8]]) -> Option<Url> {
    if path.iter().any(|element| matches!(*element, b"." | b"..")) {
        return None;
    }
    let target = entry.target();
    if is_single && !target.ends_with('/') {
        return Some(entry.clone());
    }
    let (before, behind) = match entry.query() {
        Some(_) if entry.path().ends_with('/') && !is_single => target.split_at(entry.path().len()),
        _ => (target, ""),
    };
    let mut target = before.to_owned();
    if !target.ends_with('/') {
        target.push('/');
    }
    for (at, element) in path.iter().enumerate() {
        if at > 0 {
            target.push('/');
        }
        push_element(&mut target, element);
        if target.len() > TARGET_LEN_MAX {
            return None;
        }
    }
    target.push_str(behind);
    Some(entry.at(target))
}

/// The URL of a piece at a script (BEP 17): "a request in the form of a URL with query parameters",
/// `?info_hash=[hash]&piece=[piece]`, behind what its own query may say.
pub fn script_url(entry: &Url, info_hash: InfoHash, piece: u32) -> Url {
    let mut target = entry.target().to_owned();
    target.push(if entry.query().is_some() { '&' } else { '?' });
    target.push_str("info_hash=");
    push_element(&mut target, &info_hash.0);
    target.push_str(&format!("&piece={piece}"));
    entry.at(target)
}

/// The same of a part of the piece: `{start}-{end}`, the last byte being one of them.
pub fn script_part(piece: &Url, first: u64, last: u64) -> Url {
    piece.at(format!("{}&ranges={first}-{last}", piece.target()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // "<url>?info_hash=[hash]&piece=[piece]{&ranges=[start]-[end]{,[start]-[end]}...}" (BEP 17).
    #[test]
    fn a_script_is_asked_for_a_piece_or_a_part_of_it() {
        let hash = InfoHash(*b"abcdefghijklmnopq\x00%~");
        let script = |entry: &str| script_url(&Url::parse(entry).unwrap(), hash, 7);
        let target = "/seed.php?info_hash=abcdefghijklmnopq%00%25~&piece=7";
        assert_eq!(script("http://h/seed.php").target(), target);
        let part = script_part(&script("http://h/s?k=1"), 16384, 32767);
        let target = "/s?k=1&info_hash=abcdefghijklmnopq%00%25~&piece=7&ranges=16384-32767";
        assert_eq!(part.target(), target);
    }

    fn target(entry: &str, is_single: bool, path: &[&str]) -> Option<String> {
        let entry = Url::parse(entry).unwrap();
        let path: Vec<&[u8]> = path.iter().map(|element| element.as_bytes()).collect();
        Some(file_url(&entry, is_single, &path)?.target().to_owned())
    }

    fn single(entry: &str) -> String {
        target(entry, true, &["a b.iso"]).unwrap()
    }

    fn multi(entry: &str) -> String {
        target(entry, false, &["t", "d", "f"]).unwrap()
    }

    // "If the url ends in a slash, "/" the client must add the "name" from the torrent" (BEP 19).
    #[test]
    fn a_single_file_is_at_its_entry_or_below_it() {
        assert_eq!(single("http://h/x/other.iso"), "/x/other.iso");
        assert_eq!(single("http://h/x/"), "/x/a%20b.iso");
        assert_eq!(single("http://h"), "/a%20b.iso");
        assert_eq!(single("http://h/get.php?f=1"), "/get.php?f=1");
        assert_eq!(single("http://h/x/?token=1"), "/x/?token=1");
        assert_eq!(single("http://h/get.php?f=/"), "/get.php?f=/a%20b.iso");
    }

    #[test]
    fn other_files_are_below_their_entry_whether_it_ends_in_a_slash_or_not() {
        assert_eq!(multi("http://h/x/"), "/x/t/d/f");
        assert_eq!(multi("http://h/x"), "/x/t/d/f");
        assert_eq!(multi("http://h"), "/t/d/f");
        assert_eq!(multi("http://h/x/?token=a/b"), "/x/t/d/f?token=a/b");
        assert_eq!(multi("http://h?token=a"), "/t/d/f?token=a");
        assert_eq!(multi("http://h/get.php?f=/"), "/get.php?f=/t/d/f");
        assert_eq!(multi("http://h/get.php?f=x"), "/get.php?f=x/t/d/f");
        // A list of one file is such a torrent, too, and names it twice.
        assert_eq!(target("http://h/", false, &["f", "f"]).unwrap(), "/f/f");
    }

    #[test]
    fn bytes_of_the_torrent_are_encoded_and_those_of_the_entry_are_not() {
        let target = |element: &[u8]| {
            let entry = Url::parse("http://h/%2F+%c3/").unwrap();
            file_url(&entry, false, &[element]).map(|url| url.target().to_owned())
        };
        let encoded = |element: &[u8]| target(element).unwrap().replace("/%2F+%c3/", "");
        assert_eq!(encoded(b"a b#c?d+e%41.bin"), "a%20b%23c%3Fd%2Be%2541.bin");
        assert_eq!(encoded(b"x/y\\z"), "x%2Fy%5Cz");
        assert_eq!(encoded(b"\xc3\xa9\xe9\r\n\0"), "%C3%A9%E9%0D%0A%00");
        assert_eq!(encoded(b"AZaz09-._~"), "AZaz09-._~");
        assert_eq!(encoded(b"...!$&'()*,;=:@"), "...%21%24%26%27%28%29%2A%2C%3B%3D%3A%40");
    }

    #[test]
    fn what_servers_would_resolve_is_not_to_be_had() {
        for path in [["t", ".."], ["t", "."], ["..", "f"]] {
            assert_eq!(target("http://h/", false, &path), None);
            assert_eq!(target("http://h/x", true, &path[..1]).is_none(), path[0] == "..");
        }
        let long = "x".repeat(TARGET_LEN_MAX);
        assert_eq!(target("http://h/", false, &[&long, "f"]), None);
    }
}
