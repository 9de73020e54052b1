//! Which directories may be written to, whoever asks.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// Directories below which files may go.
#[derive(Clone, Debug)]
pub struct Roots(Vec<PathBuf>);

impl Roots {
    /// These, absolute, and all that is below them; without any, everything.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self(roots)
    }

    /// The directory that `asked` means, if files may go there: where links on the way to it lead
    /// now, so that nobody makes another place of it later. Waits for the disk.
    ///
    /// # Errors
    /// Why they may not, in words for people.
    pub fn admit(&self, asked: &Path) -> Result<PathBuf, String> {
        let is_plain = |part: Component<'_>| {
            matches!(part, Component::Prefix(_) | Component::RootDir | Component::Normal(_))
        };
        let has_nul = asked.as_os_str().as_bytes().contains(&0);
        if has_nul || !asked.is_absolute() || !asked.components().all(is_plain) {
            return Err(format!("{}: a directory is named from / on, without ..", asked.display()));
        }
        let real = resolved(asked);
        if self.0.is_empty() {
            // Where that is not known, whoever makes it says what is wrong.
            return Ok(real.unwrap_or_else(|| asked.to_owned()));
        }
        let is_below = |real: &PathBuf| {
            self.0.iter().filter_map(|root| resolved(root)).any(|root| real.starts_with(root))
        };
        if let Some(real) = real.filter(is_below) {
            return Ok(real);
        }
        let roots: Vec<String> = self.0.iter().map(|root| root.display().to_string()).collect();
        Err(format!(
            "{} is outside of what may be written to: {} (driver daemon --root DIR allows another one)",
            asked.display(),
            roots.join(", ")
        ))
    }
}

/// A path with all links of what exists of it followed; none where one of them leads nowhere, or
/// where we may not look: nobody knows what will be there.
fn resolved(path: &Path) -> Option<PathBuf> {
    let mut rest = Vec::new();
    let mut there = path;
    loop {
        if let Ok(real) = there.canonicalize() {
            return Some(rest.into_iter().rev().fold(real, |path, name| path.join(name)));
        }
        let is_absent = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        if !there.symlink_metadata().is_err_and(is_absent) {
            return None;
        }
        match (there.parent(), there.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name);
                there = parent;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_below_the_roots_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let [root, other] = ["root", "other"].map(|name| dir.path().join(name));
        std::fs::create_dir(&root).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::os::unix::fs::symlink(&other, root.join("out")).unwrap();
        std::os::unix::fs::symlink(&root, dir.path().join("in")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("later"), root.join("nowhere")).unwrap();
        std::fs::write(root.join("file"), "").unwrap();
        let roots = Roots::new(vec![root.clone()]);
        for (good, real) in [
            (root.clone(), root.clone()),
            (root.join("a/b"), root.join("a/b")),
            (dir.path().join("in/a"), root.join("a")),
        ] {
            // Whatever becomes of a link, files go where it led when that was looked at.
            assert_eq!(roots.admit(&good), Ok(real.clone()));
            assert_eq!(Roots::new(Vec::new()).admit(&good), Ok(real));
        }
        let outside = [&other, &root.join("../other"), &root.join("out"), &root.join("out/a")];
        // Where a link will lead that leads nowhere now, and what is below a file, nobody knows.
        let unknown = [&root.join("nowhere"), &root.join("nowhere/a"), &root.join("file/a")];
        for bad in outside.into_iter().chain(unknown).chain([&root.join("a\0b")]) {
            assert!(roots.admit(bad).is_err(), "{}", bad.display());
        }
        for bad in ["a", "", "./root", "/etc", "/"] {
            assert!(roots.admit(Path::new(bad)).is_err(), "{bad}");
        }
        // A name that begins alike is another one.
        assert!(roots.admit(&dir.path().join("rooted")).is_err());
        let all = Roots::new(Vec::new());
        assert!(all.admit(Path::new("/srv")).is_ok() && all.admit(Path::new("srv")).is_err());
    }
}
