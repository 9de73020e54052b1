//! Torrents by the names people give them: a file, or things that are recognised and not
//! supported yet. A name that is wrong gets the nearest right one as a hint.

use std::io::Read as _;
use std::path::Path;

use crate::cli::escape::escape;
use crate::cli::exit::Failure;
use crate::cli::print::{grouped, nearest};
use crate::metainfo::{TORRENT_LEN_MAX, Torrent};

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

/// The torrent that `name` means on the command line.
///
/// # Errors
/// For magnet links, URLs and info hashes, and as [`torrent`].
pub fn named(name: &str) -> Result<Torrent, Failure> {
    let lower = name.to_ascii_lowercase();
    let is_hash = matches!(name.len(), 40 | 64) && name.bytes().all(|b| b.is_ascii_hexdigit());
    let what = if lower.starts_with("magnet:") {
        "magnet links"
    } else if lower.starts_with("http://") || lower.starts_with("https://") {
        "URLs"
    } else if is_hash && !Path::new(name).exists() {
        "info hashes"
    } else {
        return torrent(Path::new(name));
    };
    Err(Failure::bad_input(format!("{what} are not supported yet: give a .torrent file")))
}

/// Reads a `.torrent` file.
///
/// # Errors
/// When there is none, with a hint; when it cannot be read, or is no valid torrent.
pub fn torrent(path: &Path) -> Result<Torrent, Failure> {
    let shown = escape(&path.display().to_string());
    let bytes = read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::FileTooLarge => Failure::bad_input(format!("{shown}: {error}")),
        std::io::ErrorKind::NotFound => {
            let hint = similar(path).map(|near| format!(" - did you mean {}?", escape(&near)));
            Failure::bad_input(format!("{shown}: no such file{}", hint.unwrap_or_default()))
        }
        std::io::ErrorKind::IsADirectory => {
            Failure::bad_input(format!("{shown} is a directory, not a .torrent file"))
        }
        _ => Failure::bad_input(format!("cannot read {shown}: {error}")),
    })?;
    Torrent::parse(&bytes)
        .map_err(|error| Failure::bad_input(format!("{shown}: {}", escape(&error.to_string()))))
}

/// Nothing of what is too large; of what does not tell its size one byte more than is allowed,
/// so that the parser can refuse it.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    let len = file.metadata()?.len();
    if len > TORRENT_LEN_MAX as u64 {
        let told = format!("{} bytes are more than the limit of {TORRENT_LEN_MAX}", grouped(len));
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, told));
    }
    // In one step: a large file would be copied again and again as the room for it grows.
    let mut bytes = Vec::with_capacity(len as usize + 1);
    file.take(TORRENT_LEN_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file of a similar name in the same directory.
fn similar(path: &Path) -> Option<String> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let wanted = path.file_name()?.to_string_lossy();
    let entries = std::fs::read_dir(dir.unwrap_or(Path::new("."))).ok()?;
    let names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".torrent"))
        .collect();
    let near = nearest(&wanted, names.iter().map(String::as_str))?;
    Some(dir.map_or(near.to_owned(), |dir| dir.join(near).display().to_string()))
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
        assert_eq!(refused.message, format!("{shown} is a directory, not a .torrent file"));
    }

    #[test]
    fn what_is_too_large_is_refused_unread_with_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge.torrent");
        std::fs::File::create(&path).unwrap().set_len(3 << 30).unwrap();
        let refused = torrent(&path).unwrap_err();
        assert_eq!(refused.exit, Exit::BadInput);
        let told = "3,221,225,472 bytes are more than the limit of 268435456";
        assert_eq!(refused.message, format!("{}: {told}", path.display()));
    }

    #[test]
    fn other_ways_to_name_torrents_are_known_and_refused() {
        for (name, what) in [
            ("magnet:?xt=urn:btih:00", "magnet links"),
            ("HTTPS://x/y.torrent", "URLs"),
            ("6f84758b0ddd8dc05840bf932a77935d8b5b8b93", "info hashes"),
        ] {
            let refused = named(name).unwrap_err();
            assert_eq!(refused.exit, Exit::BadInput);
            assert_eq!(
                refused.message,
                format!("{what} are not supported yet: give a .torrent file")
            );
        }
    }
}
