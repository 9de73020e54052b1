//! The file that holds the token: made at the first start, readable by its owner alone.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::http::token::spell;

/// The longest file that may be one.
const LEN_MAX: u64 = 4096;

/// A token, and where it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Reads the token of this file, or makes one of 128 bits where there is no file. Waits for the
    /// disk.
    ///
    /// # Errors
    /// It cannot be read or made, others may read it, or it holds no token.
    pub fn at(path: &Path) -> io::Result<Self> {
        if path.exists() {
            return Self::read(path);
        }
        // It is whole before it has its name: whoever is killed meanwhile leaves no half of one.
        let new = path.with_extension(format!("{:08x}.new", rand::random::<u32>()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let text = spell(rand::random());
        let written = file.write_all(format!("{text}\n").as_bytes()).and_then(|()| file.sync_all());
        let named = written.and_then(|()| std::fs::hard_link(&new, path));
        // It has another name now, or is of no use.
        let _ = std::fs::remove_file(&new);
        match named {
            Ok(()) => Ok(Self(text)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::read(path),
            Err(error) => Err(error),
        }
    }

    /// Reads the token of this file.
    ///
    /// # Errors
    /// As [`at`](Self::at); there is none.
    pub fn read(path: &Path) -> io::Result<Self> {
        let wrong = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        let file = OpenOptions::new().read(true).open(path)?;
        let facts = file.metadata()?;
        if !facts.is_file() || facts.len() > LEN_MAX {
            return Err(wrong("it holds no token"));
        }
        if facts.permissions().mode() & 0o077 != 0 {
            return Err(wrong("others may read it: chmod 600 it, or remove it for a new token"));
        }
        let mut text = String::new();
        file.take(LEN_MAX).read_to_string(&mut text)?;
        let text = text.trim();
        // Shorter ones can be guessed.
        let is_token = text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_token { Ok(Self(text.to_owned())) } else { Err(wrong("it holds no token")) }
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        assert!(Secret::read(&path).is_err());
        let made = Secret::at(&path).unwrap();
        assert_eq!(made.text().len(), 32, "128 bits in hex");
        assert_eq!(Secret::at(&path).unwrap(), made);
        assert_eq!(Secret::read(&path).unwrap(), made);
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Secret::at(&path).unwrap_err().to_string().contains("chmod 600"));
        let other = dir.path().join("other");
        assert_ne!(Secret::at(&other).unwrap(), made);
        assert_eq!(format!("{made:?}"), "Secret(..)");
    }

    #[test]
    fn whoever_is_killed_while_it_makes_one_leaves_no_half_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let names = || {
            let entries = std::fs::read_dir(dir.path()).unwrap();
            entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        // What it leaves has another name, and is nobody's token.
        let half = dir.path().join("token.0badcafe.new");
        std::fs::write(&half, "0123456789abcdef0").unwrap();
        let made = Secret::at(&path).unwrap();
        assert_eq!((made.text().len(), names().len()), (32, 2), "{:?}", names());
        std::fs::remove_file(half).unwrap();
        // Of many that make one at once, one does, and all have it.
        std::fs::remove_file(&path).unwrap();
        let all: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| Secret::at(&path))).collect();
            makers.into_iter().map(|maker| maker.join().unwrap().unwrap()).collect()
        });
        assert!(all.iter().all(|it| *it == all[0]) && names() == ["token"], "{:?}", names());
    }

    #[test]
    fn what_is_no_token_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        for text in ["", "short", "two words of enough length", &"x".repeat(5_000)] {
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert!(Secret::at(&path).is_err(), "{text:.20}");
        }
    }
}
