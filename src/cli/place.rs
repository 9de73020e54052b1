//! Where a torrent's data lies, as people say it: one directory off, or behind a link of the
//! torrent's own name. Only looks; nothing below that name is ever followed.

use std::path::{Path, PathBuf};

use crate::disk::Home;
use crate::metainfo::Torrent;

use super::escape::escape;
use super::exit::{Exit, Failure};

/// Entries of a directory that are looked into for the data.
const LOOKED_INTO_MAX: usize = 1000;

/// The directory to read a torrent's data from: `dir`, or where its file or folder in there leads
/// to, when that is a link. Whoever names a link means what is behind it.
///
/// # Errors
/// When it leads nowhere, or to something of another name.
pub fn followed(torrent: &Torrent, dir: &Path) -> Result<PathBuf, Failure> {
    let path = dir.join(&torrent.name);
    if !path.is_symlink() {
        return Ok(dir.to_owned());
    }
    let shown = escape(&path.display().to_string());
    let real = path.canonicalize();
    let real = real.map_err(|error| Failure::bad_input(format!("{shown} is a link: {error}")))?;
    match real.parent() {
        Some(parent) if real.file_name() == path.file_name() => Ok(parent.to_owned()),
        _ => Err(Failure::bad_input(format!(
            "{shown} is a link to {}, which is not called as in the torrent: give that its name, \
             or make the torrent of it",
            escape(&real.display().to_string())
        ))),
    }
}

/// The same for who only looks, and to whom the name behind the link does not matter.
///
/// # Errors
/// When the link leads nowhere.
pub fn followed_home(torrent: &Torrent, dir: &Path) -> Result<Home, Failure> {
    let path = dir.join(&torrent.name);
    let behind = path.canonicalize().ok().filter(|_| path.is_symlink());
    let parts = behind.as_deref().and_then(|real| Some((real.parent()?, real.file_name()?)));
    let Some((parent, name)) = parts.filter(|(_, name)| **name != *torrent.name) else {
        return Ok(Home::at(followed(torrent, dir)?));
    };
    let mut home = Home::at(parent.to_owned());
    let files = (0..).zip(torrent.files.iter());
    let mut alone = files.filter(|(_, file)| file.path.components().count() == 1 && !file.is_pad);
    match alone.next() {
        Some((number, _)) => drop(home.names.insert(number, name.into())),
        None => home.folder = Some(name.to_string_lossy().into_owned()),
    }
    Ok(home)
}

/// Another directory that has the torrent's file or folder, when `dir` has not: the one above, or
/// one in it.
pub fn elsewhere(torrent: &Torrent, dir: &Path) -> Option<PathBuf> {
    let has_it = |dir: &Path| dir.join(&torrent.name).exists();
    if has_it(dir) {
        return None;
    }
    let above = match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new(".").to_owned(),
        Some(parent) => parent.to_owned(),
        None => dir.join(".."),
    };
    if has_it(Path::new(".")) {
        return Some(".".into());
    }
    let is_inside = dir.file_name().is_some_and(|name| *name == *torrent.name);
    if is_inside && has_it(&above) {
        return Some(above);
    }
    let entries = std::fs::read_dir(dir).ok()?.take(LOOKED_INTO_MAX);
    let mut below = entries.filter_map(|entry| Some(entry.ok()?.path()));
    below.find(|path| path.is_dir() && has_it(path)).map(|path| {
        // As it would be typed.
        path.strip_prefix(".").map(Path::to_owned).unwrap_or(path)
    })
}

/// `: it is in downloads; say driver verify x.torrent downloads`, or nothing.
pub fn elsewhere_words(torrent: &Torrent, dir: &Path) -> String {
    let Some(place) = elsewhere(torrent, dir) else { return String::new() };
    let (name, dir) = (escape(&torrent.name), escape(&dir.display().to_string()));
    if place == Path::new(".") {
        return format!("{name} is not in {dir}, but here: give . as the directory");
    }
    let place = escape(&place.display().to_string());
    format!("{name} is not in {dir}, but in {place}: give that directory")
}

/// Refuses what is named as a directory to save to and is something else, or lies below that.
///
/// # Errors
/// `Disk`, with what is wanted.
pub fn may_be_directory(dir: &Path) -> Result<(), Failure> {
    let there = dir.ancestors().find(|above| above.exists());
    let Some(file) = there.filter(|above| !above.is_dir()) else { return Ok(()) };
    let file = escape(&file.display().to_string());
    let words = format!("{file} is no directory: name one to save to, or a new one");
    Err(Failure::new(Exit::Disk, words))
}

/// That there is no such directory to read a torrent's data from, and which one is meant.
pub fn no_directory(torrent: &Torrent, dir: &Path) -> Failure {
    let words = elsewhere_words(torrent, dir);
    if !words.is_empty() {
        return Failure::bad_input(words);
    }
    let is = if dir.is_file() { "no directory" } else { "no such directory" };
    let (name, dir) = (escape(&torrent.name), escape(&dir.display().to_string()));
    let what = format!("{is}; behind the torrent comes the one that holds");
    Failure::bad_input(format!("{dir}: {what} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn torrent() -> Torrent {
        let info = [
            b"d6:lengthi5e4:name5:album12:piece lengthi16384e6:pieces20:".as_slice(),
            &[1; 20],
            b"e",
        ];
        Torrent::from_info(&info.concat()).unwrap()
    }

    #[test]
    fn a_file_is_no_directory_to_save_to() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("f");
        std::fs::write(&file, "").unwrap();
        for dir in [file.clone(), file.join("below")] {
            let refused = may_be_directory(&dir).unwrap_err();
            assert_eq!(refused.exit, Exit::Disk);
            assert!(refused.message.contains("f is no directory: name one"), "{refused}");
        }
        for dir in [home.path().to_owned(), home.path().join("new/one")] {
            assert_eq!(may_be_directory(&dir), Ok(()));
        }
        assert!(no_directory(&torrent(), &file).message.contains("f: no directory;"));
    }

    #[test]
    fn one_directory_off_is_noticed() {
        let home = tempfile::tempdir().unwrap();
        let downloads = home.path().join("downloads");
        std::fs::create_dir_all(downloads.join("album/cd1")).unwrap();
        assert_eq!(elsewhere(&torrent(), &downloads), None);
        assert_eq!(elsewhere(&torrent(), &downloads.join("album")), Some(downloads.clone()));
        assert_eq!(elsewhere(&torrent(), home.path()), Some(downloads.clone()));
        assert_eq!(elsewhere(&torrent(), &downloads.join("album/cd1")), None);
        let words = elsewhere_words(&torrent(), home.path());
        assert!(words.ends_with("/downloads: give that directory"), "{words}");
    }

    #[test]
    fn a_directory_that_is_not_there_is_told_with_what_it_should_hold() {
        let refused = no_directory(&torrent(), Path::new("no/where"));
        let words =
            "no/where: no such directory; behind the torrent comes the one that holds album";
        assert_eq!(refused, Failure::bad_input(words));
    }

    #[test]
    fn a_link_of_the_torrents_name_is_followed_to_one_of_that_name() {
        let home = tempfile::tempdir().unwrap();
        let (disk, dir) = (home.path().join("disk"), home.path().join("d"));
        std::fs::create_dir_all(&disk).unwrap();
        std::fs::create_dir_all(&dir).unwrap();
        assert_eq!(followed(&torrent(), &dir), Ok(dir.clone()));
        let link = |target: &str| {
            let _ = std::fs::remove_file(dir.join("album"));
            std::os::unix::fs::symlink(disk.join(target), dir.join("album")).unwrap();
        };
        link("album");
        assert!(followed(&torrent(), &dir).is_err_and(|why| why.message.contains("is a link: ")));
        std::fs::write(disk.join("album"), "12345").unwrap();
        std::fs::write(disk.join("other"), "12345").unwrap();
        assert_eq!(followed(&torrent(), &dir), Ok(disk.canonicalize().unwrap()));
        link("other");
        let refused = followed(&torrent(), &dir).unwrap_err();
        assert!(refused.message.contains("/other, which is not called as"), "{refused}");
        let home = followed_home(&torrent(), &dir).unwrap();
        assert_eq!(home.dir, disk.canonicalize().unwrap());
        assert_eq!(home.path_of(0, Path::new("album")), Path::new("other"));
    }
}
