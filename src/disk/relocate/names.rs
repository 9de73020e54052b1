//! What a renaming means: from what a user typed to the paths of the torrent's files. Pure:
//! whether something stands at those paths on disk is looked at elsewhere.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use crate::disk::config::StoreFile;
use crate::disk::error::Error;
use crate::disk::record::Home;
use crate::metainfo::{clean_name, fold_name};

/// Gives a file another name: a name in the directory where it is, or a path with slashes
/// within the torrent's folder, which may be written before it.
///
/// # Errors
/// `Unmovable`, in words for people.
pub(super) fn rename_file(
    home: &Home,
    files: &[StoreFile],
    number: u32,
    typed: &str,
) -> Result<Home, Error> {
    let file = files.get(number as usize).filter(|file| !file.is_pad);
    let file = file.ok_or_else(|| refuse("there is no such file"))?;
    let elements = elements(typed)?;
    let now = home.path_of(number, &file.path);
    let plain = home.in_folder(&file.path);
    let typed: PathBuf = elements.iter().collect();
    let path = match (has_folder(&file.path), elements.as_slice()) {
        (_, [name]) => now.with_file_name(name),
        (true, _) => {
            let folder: PathBuf = plain.components().take(1).collect();
            if typed.starts_with(&folder) { typed } else { folder.join(typed) }
        }
        (false, _) => typed,
    };
    let mut renamed = home.clone();
    match path == plain {
        true => renamed.names.remove(&number),
        false => renamed.names.insert(number, path),
    };
    Ok(renamed)
}

/// Gives the torrent's folder another name, or its single file.
///
/// # Errors
/// `Unmovable`, in words for people.
pub(super) fn rename_torrent(home: &Home, files: &[StoreFile], typed: &str) -> Result<Home, Error> {
    let real = (0u32..).zip(files).find(|(_, file)| !file.is_pad);
    let (number, first) = real.ok_or_else(|| refuse("the torrent has no file"))?;
    if !has_folder(&first.path) {
        return rename_file(home, files, number, typed);
    }
    let [name] = <[String; 1]>::try_from(elements(typed)?)
        .map_err(|_| refuse("the torrent's name is one name, without slashes"))?;
    let original: PathBuf = first.path.components().take(1).collect();
    let before: PathBuf = home.in_folder(&original);
    let folder = (Path::new(&name) != original).then_some(name.clone());
    let moved = |path: &PathBuf| match path.strip_prefix(&before) {
        Ok(rest) => Path::new(&name).join(rest),
        Err(_) => path.clone(),
    };
    let names = home.names.iter().map(|(number, path)| (*number, moved(path))).collect();
    Ok(Home { folder, names, ..home.clone() })
}

/// Refuses names that clash: two files on one path, or a file where a directory must be; also
/// those that differ in case only, where the file system folds names.
///
/// # Errors
/// `Unmovable`, in words for people.
pub(super) fn check_clashes<'a>(
    paths: impl Iterator<Item = &'a Path>,
    are_folded: bool,
) -> Result<(), Error> {
    let folded = |path: &Path| match path.to_string_lossy() {
        path if are_folded => fold_name(&path),
        path => path.into_owned(),
    };
    let paths: Vec<String> = paths.map(folded).collect();
    let mut taken = HashSet::new();
    let twice = paths.iter().find(|path| !taken.insert(path.as_str()));
    let above = || {
        paths.iter().find(|path| {
            let mut above = Path::new(path).ancestors().skip(1);
            above.any(|above| above.to_str().is_some_and(|above| taken.contains(above)))
        })
    };
    match twice.or_else(above) {
        Some(path) => {
            Err(refuse(&format!("{path} would be the name of two files: choose another")))
        }
        None => Ok(()),
    }
}

/// Does the torrent have a folder of its own?
fn has_folder(path: &Path) -> bool {
    path.components().count() > 1
}

/// The elements of a typed path, cleaned as a stranger's are.
fn elements(typed: &str) -> Result<Vec<String>, Error> {
    let path = Path::new(typed);
    let mut elements = Vec::new();
    for element in path.components() {
        match element {
            Component::Normal(name) => elements.push(clean_name(name.as_encoded_bytes())),
            Component::CurDir => {}
            _ => {
                let why = format!("{typed} leads out of the torrent's directory: name one in it");
                return Err(refuse(&why));
            }
        }
    }
    match elements.is_empty() {
        true if typed.trim().is_empty() => Err(refuse("the name is empty")),
        true => Err(refuse("that names a directory: rename takes a new name, move a directory")),
        false => Ok(elements),
    }
}

fn refuse(why: &str) -> Error {
    Error::Unmovable(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<StoreFile> {
        let file = |path: &&str| StoreFile { path: path.into(), len: 1, is_pad: false };
        paths.iter().map(file).collect()
    }

    fn path(home: &Home, files: &[StoreFile], number: u32) -> String {
        home.path_of(number, &files[number as usize].path).to_string_lossy().into_owned()
    }

    #[test]
    fn a_file_gets_a_name_where_it_is_or_a_path_in_the_folder() {
        let files = files(&["set/a", "set/b/c"]);
        for (typed, becomes) in [
            ("x y", "set/b/x y"),
            ("d/e", "set/d/e"),
            ("set/e", "set/e"),
            ("./e", "set/b/e"),
            ("a\u{202e}b\x1b", "set/b/ab_"),
        ] {
            let home = rename_file(&Home::default(), &files, 1, typed).unwrap();
            assert_eq!(path(&home, &files, 1), becomes);
            assert_eq!(path(&home, &files, 0), "set/a");
        }
        let there = rename_file(&Home::default(), &files, 1, "x").unwrap();
        let back = rename_file(&there, &files, 1, "c").unwrap();
        assert_eq!(back, Home::default());
        for typed in ["", "/etc/x", "../x", "a/../../x", "."] {
            assert!(rename_file(&Home::default(), &files, 1, typed).is_err(), "{typed:?}");
        }
        assert!(rename_file(&Home::default(), &files, 2, "x").is_err());
    }

    #[test]
    fn the_folder_takes_its_files_along() {
        let files = files(&["set/a", "set/b/c"]);
        let home = rename_file(&Home::default(), &files, 1, "x").unwrap();
        let home = rename_torrent(&home, &files, "new").unwrap();
        assert_eq!(
            (path(&home, &files, 0), path(&home, &files, 1)),
            ("new/a".into(), "new/b/x".into())
        );
        let home = rename_file(&home, &files, 0, "new/deep/a").unwrap();
        assert_eq!(path(&home, &files, 0), "new/deep/a");
        let home = rename_torrent(&home, &files, "set").unwrap();
        assert_eq!((path(&home, &files, 0), home.folder), ("set/deep/a".into(), None));
        assert!(rename_torrent(&Home::default(), &files, "a/b").is_err());
    }

    #[test]
    fn a_single_file_is_the_torrent() {
        let files = files(&["a.iso"]);
        let home = rename_torrent(&Home::default(), &files, "b.iso").unwrap();
        assert_eq!(path(&home, &files, 0), "b.iso");
        let home = rename_file(&home, &files, 0, "x/c.iso").unwrap();
        assert_eq!(path(&home, &files, 0), "x/c.iso");
    }

    #[test]
    fn clashes_are_refused() {
        let check_where = |paths: &[&str], are_folded| {
            check_clashes(paths.iter().map(|path| Path::new(*path)), are_folded)
        };
        for are_folded in [false, true] {
            let check = |paths: &[&str]| check_where(paths, are_folded);
            assert!(check(&["t/a", "t/b", "u/a"]).is_ok());
            assert!(check(&["t/a", "t/a"]).is_err());
            assert!(check(&["t/a", "t/a/b"]).is_err());
            assert_eq!(check(&["t/a", "t/A"]).is_err(), are_folded);
        }
    }
}
