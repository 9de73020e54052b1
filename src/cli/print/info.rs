//! What a torrent is, as a screen and as JSON. Everything in it was written by strangers.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::json;

use crate::base::units::size;
use crate::cli::escape::{escape, shorten};
use crate::metainfo::Torrent;
use crate::torrent::without_passkey;

use super::{counted, grouped, wrap};

/// The last second of year 9999: beyond it no date can be written.
const DATE_MAX: i64 = 253_402_300_799;

/// Columns of the names of rows.
const NAME_COLUMNS: usize = 12;

/// Columns of what strangers say beside, on a terminal: nobody is to scroll through a book.
const TEXT_COLUMNS_MAX: usize = 1000;

/// A row of a screen, its value broken at spaces where it is longer than `columns`. Hashes and
/// links, which have none, stay whole.
pub(super) fn info_row(name: &str, value: &str, columns: usize) -> String {
    // Lists have their lines already.
    match value.contains('\n') {
        true => format!("{name:<NAME_COLUMNS$}{value}\n"),
        false => wrap(&format!("{name:<NAME_COLUMNS$}{value}"), columns, NAME_COLUMNS) + "\n",
    }
}

/// A text of strangers for such a row: whole, unless it is a very long one on a terminal.
pub(super) fn text_of(value: &str, columns: usize) -> String {
    shorten(value, if columns == usize::MAX { columns } else { TEXT_COLUMNS_MAX })
}

/// The screen of `info`. Hashes and the magnet link are not cut, as people copy them.
pub fn info_screen(torrent: &Torrent, columns: usize) -> String {
    let mut screen = String::new();
    let mut row = |name: &str, value: &str| screen += &info_row(name, value, columns);
    let text = |value: &str| text_of(value, columns);
    let urls: Vec<&String> = torrent.trackers.iter().flatten().collect();
    let shown: Vec<String> = urls.iter().map(|url| without_passkey(url)).collect();
    let is_hidden = urls.iter().zip(&shown).any(|(url, shown)| *url != shown);
    row("Name", &text(&torrent.name));
    if let Some(hash) = torrent.info_hash_v1 {
        row("Info hash", &hash.to_string());
    }
    if let Some(hash) = torrent.info_hash_v2 {
        row("Hash v2", &hash.to_string());
    }
    row(
        "Size",
        &format!(
            "{} in {}",
            size_words(torrent.total_size()),
            counted(file_count(torrent), "file")
        ),
    );
    row("Pieces", &pieces(torrent));
    if torrent.missing_layers > 0 {
        let files = counted(torrent.missing_layers.into(), "file");
        row("Hash trees", &format!("not there for {files}: nothing of them is verified by v2"));
    }
    // Whole, since there is no other place to read on.
    torrent.flaws().iter().for_each(|flaw| row("Flaw", &escape(&flaw.to_string())));
    if let Some(created) = created(torrent) {
        row("Created", &text(&created));
    }
    if let Some(comment) = &torrent.comment {
        row("Comment", &text(comment));
    }
    row("Private", if torrent.private { "yes" } else { "no" });
    row("Trackers", &sources(&shown));
    row("Web seeds", &sources(&torrent.web_seeds));
    row("Magnet", &escape(&magnet(torrent, is_hidden)));
    if is_hidden {
        row("", "(passkeys are hidden here: driver magnet and --json show them)");
    }
    screen
}

/// What a torrent is, in one line at the start of a download.
pub fn facts_line(torrent: &Torrent, columns: usize) -> String {
    let facts = format!(
        "   {}   {} of {}   {}",
        size(torrent.total_size()),
        torrent.num_pieces,
        piece_size(torrent.piece_length.into()),
        counted(file_count(torrent), "file")
    );
    let name = shorten(&torrent.name, columns.saturating_sub(facts.len()).max(12));
    let noun = if torrent.num_pieces == 1 { " piece of " } else { " pieces of " };
    format!("{name}{}\n", facts.replacen(" of ", noun, 1))
}

/// Where it goes, or lies, and where peers reach us; port 0 means nowhere.
pub fn saving_line(dir: &Path, port: u16, is_serving: bool) -> String {
    let dir = escape(&dir.display().to_string());
    let slash = if dir.ends_with('/') { "" } else { "/" };
    let port = if port == 0 { String::new() } else { format!("   port {port}") };
    let does = if is_serving { "Serving from" } else { "Saving to" };
    format!("{does} {dir}{slash}{port}\n")
}

/// One JSON object with all that is known; bytes, seconds and RFC 3339 dates. It is made while it
/// is written, one file after the other: a torrent may have millions.
pub struct InfoJson<'a> {
    torrent: &'a Torrent,
    file: Option<&'a Path>,
}

impl<'a> InfoJson<'a> {
    /// What is known of a torrent.
    pub fn of(torrent: &'a Torrent) -> Self {
        Self { torrent, file: None }
    }

    /// The same of one that was written to a file.
    pub fn in_file(torrent: &'a Torrent, file: &'a Path) -> Self {
        Self { torrent, file: Some(file) }
    }
}

impl Serialize for InfoJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let torrent = self.torrent;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("comment", &torrent.comment)?;
        map.serialize_entry("created_by", &torrent.created_by)?;
        map.serialize_entry("creation_date", &torrent.creation_date)?;
        if let Some(file) = self.file {
            map.serialize_entry("file", &file.to_string_lossy())?;
        }
        map.serialize_entry("files", &FilesJson(torrent))?;
        let flaws: Vec<_> = torrent.flaws().iter().map(ToString::to_string).collect();
        map.serialize_entry("flaws", &flaws)?;
        let hash = torrent.info_hash_v1.map(|hash| hash.to_string());
        map.serialize_entry("info_hash_v1", &hash)?;
        let hash = torrent.info_hash_v2.map(|hash| hash.to_string());
        map.serialize_entry("info_hash_v2", &hash)?;
        map.serialize_entry("magnet", &torrent.magnet())?;
        map.serialize_entry("missing_layers", &torrent.missing_layers)?;
        map.serialize_entry("name", &torrent.name)?;
        map.serialize_entry("num_pieces", &torrent.num_pieces)?;
        map.serialize_entry("piece_length", &torrent.piece_length)?;
        map.serialize_entry("private", &torrent.private)?;
        map.serialize_entry("total_size", &torrent.total_size())?;
        map.serialize_entry("trackers", &torrent.trackers)?;
        map.serialize_entry("web_seeds", &torrent.web_seeds)?;
        map.end()
    }
}

struct FilesJson<'a>(&'a Torrent);

impl Serialize for FilesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let files = self.0.files.iter().filter(|file| !file.is_pad);
        serializer.collect_seq(
            files.map(|file| json!({ "path": file.path.to_string_lossy(), "length": file.length })),
        )
    }
}

/// A piece length as people say it: `256 KiB`, without a decimal where there is none.
fn piece_size(bytes: u64) -> String {
    size(bytes).replace(".0 ", " ")
}

fn file_count(torrent: &Torrent) -> u64 {
    torrent.files.iter().filter(|file| !file.is_pad).count() as u64
}

fn pieces(torrent: &Torrent) -> String {
    let mut words =
        format!("{} of {}", torrent.num_pieces, piece_size(torrent.piece_length.into()));
    let last = torrent.layout.and_then(|layout| Some(layout.len_of(layout.pieces().next_back()?)));
    if let Some(last) = last {
        words += &format!(" (last {})", piece_size(last.into()));
    }
    words
}

fn created(torrent: &Torrent) -> Option<String> {
    let date = torrent.creation_date.filter(|date| (1..=DATE_MAX).contains(date));
    let date = date.map(|date| {
        let time = UNIX_EPOCH + Duration::from_secs(date.unsigned_abs());
        humantime::format_rfc3339_seconds(time).to_string()[..10].to_owned()
    });
    match (date, &torrent.created_by) {
        (None, None) => None,
        (Some(date), None) => Some(date),
        (None, Some(by)) => Some(format!("by {by}")),
        (Some(date), Some(by)) => Some(format!("{date} by {by}")),
    }
}

/// How many there are, and each on a line of its own: `3  http://…`.
pub(super) fn sources(urls: &[String]) -> String {
    let each: Vec<String> = urls.iter().map(|url| escape(url)).collect();
    match each.is_empty() {
        true => "none".to_owned(),
        false => format!("{:<3}{}", urls.len(), each.join("\n               ")),
    }
}

/// The magnet link; without trackers where their passkeys are not to be seen.
fn magnet(torrent: &Torrent, is_hidden: bool) -> String {
    let link = torrent.magnet();
    let parts = link.split('&').filter(|part| !is_hidden || !part.starts_with("tr="));
    parts.collect::<Vec<_>>().join("&")
}

/// `293.0 KiB (300,000 bytes)`, or `12 bytes`.
fn size_words(bytes: u64) -> String {
    match bytes {
        0..1024 => counted(bytes, "byte"),
        _ => format!("{} ({} bytes)", size(bytes), grouped(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn torrent() -> Torrent {
        let pieces = [b'x'; 40];
        let mut bytes = b"d8:announce35:http://tracker.example.org/announce10:created by4:m\x1bkt\
            13:creation datei1757152800e4:infod6:lengthi300000e4:name5:a.iso12:piece lengthi262144e\
            6:pieces40:"
            .to_vec();
        bytes.extend(pieces);
        bytes.extend(b"ee");
        Torrent::parse(&bytes).unwrap()
    }

    #[test]
    fn the_screen_of_a_torrent() {
        let torrent = torrent();
        let hash = torrent.info_hash_v1.unwrap();
        let expected = format!(
            "\
Name        a.iso
Info hash   {hash}
Size        293.0 KiB (300,000 bytes) in 1 file
Pieces      2 of 256 KiB (last 37.0 KiB)
Created     2025-09-06 by m\\x1bkt
Private     no
Trackers    1  http://tracker.example.org/announce
Web seeds   none
Magnet      magnet:?xt=urn:btih:{hash}&dn=a.iso&tr=http%3A%2F%2Ftracker.example.org%2Fannounce
"
        );
        assert_eq!(info_screen(&torrent, 80), expected.replace("37.0 KiB", "37 KiB"));
    }

    #[test]
    fn what_is_wrong_with_a_torrent_is_told() {
        let mut bytes = b"d4:infod9:file treed1:td0:d6:lengthi70000e11:pieces root32:".to_vec();
        bytes.extend([b'r'; 32]);
        bytes.extend(
            b"eee6:lengthi70000e12:meta versioni2e4:name1:t12:piece lengthi32768e6:pieces60:",
        );
        bytes.extend([b'x'; 60]);
        bytes.extend(b"ee");
        let mut torrent = Torrent::parse(&bytes).unwrap();
        torrent.created_by = Some("torrentfile\x1b".to_owned());
        let screen = info_screen(&torrent, 80);
        let trees = "\nHash trees  not there for 1 file: nothing of them is verified by v2\n";
        assert!(screen.contains(trees), "{screen}");
        assert!(screen.contains("\nFlaw        torrentfile\\x1b hashes padding"), "{screen}");
        let object = serde_json::to_value(InfoJson::of(&torrent)).unwrap();
        assert_eq!(object["missing_layers"], 1);
        assert_eq!(object["flaws"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn all_trackers_are_told_and_no_passkeys() {
        let mut torrent = torrent();
        torrent.trackers.push(vec!["udp://b.example:1/k3y/announce".to_owned()]);
        let screen = info_screen(&torrent, 30);
        let trackers = "\nTrackers    2  http://tracker.example.org/announce\n               \
                        udp://b.example:1/...\n";
        assert!(screen.contains(trackers), "{screen}");
        assert!(!screen.contains("k3y") && !screen.contains("tr="), "{screen}");
        assert!(screen.contains("driver magnet"), "{screen}");
        assert!(torrent.magnet().contains("k3y"));
        assert_eq!((size_words(1), size_words(2)), ("1 byte".to_owned(), "2 bytes".to_owned()));
    }

    #[test]
    fn narrow_terminals_break_lines_at_spaces_and_cut_nothing() {
        let mut torrent = torrent();
        torrent.name = "Concert in the Park, the whole of the second evening.mkv".to_owned();
        torrent.comment = Some("recorded from the fifth row; ".repeat(3).trim_end().to_owned());
        torrent.created_by = Some("some program with a long name 1.2.3".to_owned());
        let screen = info_screen(&torrent, 40);
        let words: Vec<&str> = screen.split_whitespace().collect();
        let words = words.join(" ");
        let whole = [
            format!("Name {}", torrent.name),
            format!("Comment {}", torrent.comment.as_deref().unwrap_or_default()),
            "Created 2025-09-06 by some program with a long name 1.2.3".to_owned(),
            "Size 293.0 KiB (300,000 bytes) in 1 file".to_owned(),
        ];
        for text in whole {
            assert!(words.contains(&text), "{text} is cut in {screen}");
        }
        // What has no spaces is copied, and so is left to the terminal.
        let is_broken = |line: &str| line.chars().count() <= 40 || !line[12..].contains(' ');
        let long: Vec<&str> = screen.lines().filter(|line| !is_broken(line)).collect();
        assert_eq!(long, [""; 0], "{screen}");
        assert!(screen.lines().all(|line| !line.ends_with(' ')), "{screen:?}");
        torrent.comment = Some("spam ".repeat(1000));
        assert!(info_screen(&torrent, 40).contains('…'));
        assert!(!info_screen(&torrent, usize::MAX).contains('…'));
    }

    #[test]
    fn the_start_of_a_download() {
        let facts = "a.iso   293.0 KiB   2 pieces of 256 KiB   1 file\n";
        assert_eq!(facts_line(&torrent(), 80), facts);
        let saving = saving_line(Path::new("downloads"), 6881, false);
        assert_eq!(saving, "Saving to downloads/   port 6881\n");
        assert_eq!(saving_line(Path::new("d/"), 0, true), "Serving from d/\n");
    }

    #[test]
    fn json_has_every_promised_key() {
        let object = serde_json::to_value(InfoJson::of(&torrent())).unwrap();
        for key in [
            "name",
            "info_hash_v1",
            "info_hash_v2",
            "total_size",
            "piece_length",
            "num_pieces",
            "files",
            "trackers",
            "web_seeds",
            "private",
            "created_by",
            "creation_date",
            "comment",
            "magnet",
            "flaws",
            "missing_layers",
        ] {
            assert!(object.get(key).is_some(), "{key}");
        }
        assert_eq!(object["info_hash_v2"], Value::Null);
        assert_eq!(object["files"], json!([{ "path": "a.iso", "length": 300_000 }]));
        assert_eq!(object["trackers"], json!([["http://tracker.example.org/announce"]]));
    }
}
