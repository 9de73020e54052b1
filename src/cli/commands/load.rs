//! Torrents in files: what is wrong with one is told in words for people, and a name that is
//! wrong gets the nearest right one as a hint.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::base::units::size;
use crate::bencode;
use crate::cli::escape::escape;
use crate::cli::exit::Failure;
use crate::cli::print::nearest;
use crate::metainfo::{Error, TORRENT_LEN_MAX, Torrent};
use crate::metalink::{self, METALINK_LEN_MAX, Metalink};

/// Entries of a directory that are looked at for torrents.
const LOOKED_INTO_MAX: usize = 1000;
/// As much is read of a file to see what it is.
const BEGIN_LEN: u64 = 1024;

/// Whether we can download it.
///
/// # Errors
/// For torrents of version 2 only.
pub fn check_downloadable(torrent: &Torrent) -> Result<(), Failure> {
    match torrent.layout {
        Some(_) => Ok(()),
        None => {
            let why = "torrents of version 2 only cannot be downloaded yet";
            Err(Failure::bad_input(why))
        }
    }
}

/// Reads a `.torrent` file.
///
/// # Errors
/// When there is none, with a hint; when it cannot be read, or is no valid torrent.
pub fn torrent(path: &Path) -> Result<Torrent, Failure> {
    file(path).map(|(torrent, _)| torrent)
}

/// As [`torrent`], with the file's bytes.
///
/// # Errors
/// As [`torrent`].
pub fn file(path: &Path) -> Result<(Torrent, Vec<u8>), Failure> {
    let shown = escape(&path.display().to_string());
    let bytes = read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::FileTooLarge => Failure::bad_input(format!("{shown}: {error}")),
        std::io::ErrorKind::NotFound => {
            Failure::bad_input(format!("{shown}: {}{}", lacking(&shown), hint(similar(path))))
        }
        std::io::ErrorKind::IsADirectory => {
            let words = directory_words(path);
            Failure::bad_input(format!("{shown} is a directory, not a .torrent file: {words}"))
        }
        _ => Failure::bad_input(format!("cannot read {shown}: {error}")),
    })?;
    Ok((parse(&path.display().to_string(), &bytes)?, bytes))
}

/// The metalink in a file; none when the file is no metalink, or none at all.
///
/// # Errors
/// When it begins as one and is of no use.
pub fn metalink(path: &Path) -> Result<Option<Metalink>, Failure> {
    let Ok(file) = std::fs::File::open(path) else { return Ok(None) };
    let mut bytes = Vec::new();
    let mut file = file.take(METALINK_LEN_MAX as u64 + 1);
    let begin = file.by_ref().take(BEGIN_LEN).read_to_end(&mut bytes);
    if begin.is_err() || !metalink::begins(&bytes) {
        return Ok(None);
    }
    let shown = path.display().to_string();
    file.read_to_end(&mut bytes)
        .map_err(|error| Failure::bad_input(format!("{}: {error}", escape(&shown))))?;
    read_metalink(&shown, &bytes).map(Some)
}

/// Reads the bytes of a metalink, whose name is told where something is wrong with them.
///
/// # Errors
/// When they are no metalink, or list nothing of use.
pub fn read_metalink(name: &str, bytes: &[u8]) -> Result<Metalink, Failure> {
    metalink::read(bytes).map_err(|error| {
        Failure::bad_input(format!("{}: {}", escape(name), escape(&error.to_string())))
    })
}

/// What a word is not, that is no file.
fn lacking(word: &str) -> String {
    let is_hex = word.bytes().all(|it| it.is_ascii_hexdigit());
    match word.len() {
        0 => "an empty name is no file".to_owned(),
        len @ 30.. if is_hex => {
            format!("no such file; as an info hash it has {len} digits, not 40 or 64")
        }
        _ if word.contains("://") => "neither a file nor an http(s) URL".to_owned(),
        _ => "no such file".to_owned(),
    }
}

/// Reads the bytes of a `.torrent` file, whose name is told where something is wrong with them.
///
/// # Errors
/// When they are no valid torrent.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Torrent, Failure> {
    Torrent::parse(bytes).map_err(|error| {
        let words = parse_words(&error, bytes);
        Failure::bad_input(format!("{}: {}", escape(name), escape(&words)))
    })
}

/// What is wrong with the bytes, and what to do about it.
fn parse_words(error: &Error, bytes: &[u8]) -> String {
    use bencode::Error::{Length, Truncated, Unexpected};
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes).trim_ascii_start();
    match error {
        _ if bytes.is_empty() => "not a torrent: it is empty; download it again".to_owned(),
        Error::Bencode(_) if text.starts_with(b"<") => {
            "not a torrent: it is a web page; download the .torrent file that it links to"
                .to_owned()
        }
        Error::Bencode(Truncated { .. } | Length { .. }) if bytes.starts_with(b"d") => {
            format!(
                "not a whole torrent: cut off after {}; download it again",
                size(bytes.len() as u64)
            )
        }
        Error::Bencode(Unexpected { offset: 0, .. }) => {
            "not a torrent: it does not begin as one".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Nothing of what is too large; of what does not tell its size one byte more than is allowed,
/// so that the parser can refuse it.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    let len = file.metadata()?.len();
    if len > TORRENT_LEN_MAX as u64 {
        let (len, most) = (size(len), size(TORRENT_LEN_MAX as u64));
        let told =
            format!("{len} are too many for a .torrent file (at most {most}): is it the data?");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, told));
    }
    // In one step: a large file would be copied again and again as the room for it grows.
    let mut bytes = Vec::with_capacity(len as usize + 1);
    file.take(TORRENT_LEN_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// ` - did you mean x?`, or nothing.
pub fn hint(near: Option<String>) -> String {
    near.map(|near| format!(" - did you mean {}?", escape(&near))).unwrap_or_default()
}

/// What helps whoever names a directory where a .torrent file is to stand: those that are in it,
/// or, where there are none, how to make one of it and upload it.
fn directory_words(dir: &Path) -> String {
    let quoted = |path: &Path| escape(&shell_words::quote(&path.to_string_lossy()));
    let names = std::fs::read_dir(dir).into_iter().flatten().take(LOOKED_INTO_MAX);
    let paths = names.filter_map(|entry| Some(entry.ok()?.path()));
    let is_torrent = |path: &PathBuf| path.extension().is_some_and(|it| it == "torrent");
    let inside: Vec<PathBuf> = paths.filter(is_torrent).take(2).collect();
    match inside.as_slice() {
        [only] => return format!("did you mean {}?", quoted(only)),
        [_, ..] => return format!("name those in it: {}/*.torrent", quoted(dir)),
        [] => {}
    }
    // As `create` calls it, and where it leads: `.` has a name, too.
    let real = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let named = if dir.file_name().is_some() { dir } else { &real };
    let mut torrent = named.file_name().unwrap_or_default().to_owned();
    torrent.push(".torrent");
    let parent = match named.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => named,
    };
    let [torrent, parent, dir] = [Path::new(&torrent), parent, dir].map(quoted);
    format!(
        "driver create -a URL {dir} makes one of it, and then driver seed {torrent} {parent} \
         uploads it; driver catalogue share {dir} does both, by a name"
    )
}

/// A .torrent file of a similar name in the same directory.
pub fn similar(path: &Path) -> Option<String> {
    const ENDING: &str = ".torrent";
    let wanted = path.file_name()?.to_string_lossy();
    let wanted = wanted.strip_suffix(ENDING).unwrap_or(&wanted);
    let names: Vec<String> = neighbours(path)?
        .iter()
        .filter_map(|name| name.strip_suffix(ENDING).map(str::to_owned))
        .collect();
    let near = nearest(wanted, names.iter().map(String::as_str))?;
    Some(beside(path, &format!("{near}{ENDING}")))
}

/// Anything of a similar name in the same directory.
pub fn similar_entry(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_string_lossy();
    let names = neighbours(path)?;
    Some(beside(path, nearest(&wanted, names.iter().map(String::as_str))?))
}

fn neighbours(path: &Path) -> Option<Vec<String>> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let entries = std::fs::read_dir(dir.unwrap_or(Path::new("."))).ok()?;
    Some(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}

fn beside(path: &Path, name: &str) -> String {
    path.with_file_name(name).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    #[test]
    fn missing_files_bring_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("debian-13.torrent"), "x").unwrap();
        let shown = dir.path().display();
        let refused = torrent(&dir.path().join("debain-13.torrent")).unwrap_err();
        assert_eq!(refused.exit, Exit::BadInput);
        assert_eq!(
            refused.message,
            format!(
                "{shown}/debain-13.torrent: no such file - did you mean {shown}/debian-13.torrent?"
            )
        );
        let refused = torrent(&dir.path().join("zzz")).unwrap_err();
        assert_eq!(refused.message, format!("{shown}/zzz: no such file"));
        let refused = torrent(dir.path()).unwrap_err();
        let words = format!(
            "{shown} is a directory, not a .torrent file: did you mean {shown}/debian-13.torrent?"
        );
        assert_eq!(refused.message, words);
        let refused = torrent(Path::new("ftp://x/y.torrent")).unwrap_err();
        assert_eq!(refused.message, "ftp://x/y.torrent: neither a file nor an http(s) URL");
        let words = "no such file; as an info hash it has 39 digits, not 40 or 64";
        assert_eq!(lacking(&"ab1".repeat(13)), words);
    }

    #[test]
    fn who_names_a_directory_is_told_what_helps() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("my album");
        std::fs::create_dir(&dir).unwrap();
        let (shown, parent) = (dir.display(), home.path().display());
        let expected = format!(
            "driver create -a URL '{shown}' makes one of it, and then driver seed 'my \
             album.torrent' {parent} uploads it; driver catalogue share '{shown}' does both, by a \
             name"
        );
        assert_eq!(directory_words(&dir), expected);
        assert!(directory_words(Path::new("commands")).contains("seed commands.torrent . uploads"));
        // The tests run here.
        assert!(directory_words(Path::new(".")).contains("driver seed cli.torrent /"));
        std::fs::write(dir.join("a.torrent"), "x").unwrap();
        assert_eq!(directory_words(&dir), format!("did you mean '{shown}/a.torrent'?"));
        std::fs::write(dir.join("b.torrent"), "x").unwrap();
        assert_eq!(directory_words(&dir), format!("name those in it: '{shown}'/*.torrent"));
    }

    #[test]
    fn hints_are_about_names_and_not_about_their_ending() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["many.torrent", "page.torrent", "debian-13.torrent", "my album"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        assert_eq!(similar(&dir.path().join("nope.torrent")), None);
        let near = similar(&dir.path().join("debian")).unwrap();
        assert!(near.ends_with("/debian-13.torrent"), "{near}");
        assert!(similar_entry(&dir.path().join("my")).unwrap().ends_with("/my album"));
        assert_eq!(similar_entry(&dir.path().join("none/my")), None);
    }

    #[test]
    fn what_is_wrong_with_a_torrent_is_told_to_people() {
        let said = |bytes: &[u8]| parse_words(&Torrent::parse(bytes).unwrap_err(), bytes);
        for (bytes, words) in [
            (b"" as &[u8], "it is empty"),
            (b"\xef\xbb\xbf \n<!DOCTYPE html>", "it is a web page"),
            (b"d4:infod4:name40:cut", "cut off after 20 B; download it again"),
            (b"d4:info", "cut off after 7 B"),
            (b"\x00\x00\x00 ftypisom", "it does not begin as one"),
            (b"d4:infoi7ee", "bad torrent"),
        ] {
            assert!(said(bytes).contains(words), "{}", said(bytes));
        }
    }

    #[test]
    fn what_is_too_large_is_refused_unread_with_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge.torrent");
        std::fs::File::create(&path).unwrap().set_len(3 << 30).unwrap();
        let refused = torrent(&path).unwrap_err();
        assert_eq!(refused.exit, Exit::BadInput);
        let told = "3.0 GiB are too many for a .torrent file (at most 256.0 MiB): is it the data?";
        assert_eq!(refused.message, format!("{}: {told}", path.display()));
    }
}
