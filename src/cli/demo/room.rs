//! The directory of a demo: what in it is the demo's, so that a later demo may take it away, and
//! what is somebody's, which stays.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use rustix::termios::{QueueSelector, tcflush};

use crate::cli::escape::escape;
use crate::cli::exit::{Failure, from_io};
use crate::cli::out;

/// What a demo keeps for itself. Its name begins with a dot, and nobody looks there for room.
pub const STATE_DIR: &str = ".state";
/// Says that the demo is kept until its user removes it.
const KEPT: &str = ".kept";

/// The directory of a demo.
#[derive(Debug)]
pub struct Room {
    dir: PathBuf,
    /// Folders that a demo makes, but those whose names begin with a dot.
    folders: &'static [&'static str],
    /// Is this a file that a demo makes? Its path is below the directory.
    is_file: fn(&Path) -> bool,
}

impl Room {
    /// Of a demo that makes these folders and files in `dir`.
    pub fn new(dir: &Path, folders: &'static [&'static str], is_file: fn(&Path) -> bool) -> Self {
        Self { dir: dir.to_owned(), folders, is_file }
    }

    /// Takes away what an earlier demo left, and makes the directory anew; refuses what is not
    /// ours, or was kept.
    ///
    /// # Errors
    /// When it, or something in it, is not ours or was kept, or something cannot be removed or
    /// made.
    pub fn make(&self) -> Result<(), Failure> {
        let shown = self.dir.display();
        if self.dir.exists() {
            let failed = |error| from_io(&format!("cannot empty ./{shown}"), &error);
            if !self.dir.join(STATE_DIR).exists() {
                let why = format!("./{shown} exists and is not of a demo: move it away");
                return Err(Failure::usage(why));
            }
            if let Some(other) = self.other().map_err(failed)? {
                let other = escape(&other.display().to_string());
                return Err(Failure::usage(format!(
                    "./{other} is not of the demo, and ./{shown} would be emptied: move it away"
                )));
            }
            if self.dir.join(KEPT).exists() {
                return Err(Failure::usage(format!(
                    "./{shown} was kept by an earlier demo: move it away, or remove it"
                )));
            }
            std::fs::remove_dir_all(&self.dir).map_err(failed)?;
        }
        let made = std::fs::create_dir_all(self.dir.join(STATE_DIR));
        made.map_err(|error| from_io(&format!("cannot make ./{shown}"), &error))
    }

    /// Removes the directory, unless it is to be kept; what others put there stays.
    pub fn leave(&self, keep: bool, is_interactive: bool) {
        // It could not even be made.
        if !self.dir.exists() {
            return;
        }
        if keep {
            return self.keep();
        }
        if is_interactive && !self.may_be_removed() {
            self.keep();
            return out::answer(&format!("./{} is kept\n", self.dir.display()));
        }
        match self.other() {
            Ok(Some(other)) => {
                let other = escape(&other.display().to_string());
                out::talk(&format!(
                    "driver: ./{} is kept: ./{other} is not of the demo",
                    self.dir.display()
                ));
            }
            Ok(None) if std::fs::remove_dir_all(&self.dir).is_ok() => {}
            _ => out::talk(&format!("driver: ./{} could not be removed", self.dir.display())),
        }
    }

    /// Keeps it, from the next demo, too.
    pub fn keep(&self) {
        if let Err(error) = std::fs::write(self.dir.join(KEPT), "") {
            out::talk(&format!(
                "driver: the next demo will remove ./{}: {error}",
                self.dir.display()
            ));
        }
    }

    fn may_be_removed(&self) -> bool {
        // What was typed before the question is no answer to it: on a terminal it is dropped.
        let _ = tcflush(std::io::stdin(), QueueSelector::IFlush);
        out::answer(&format!("Remove ./{}? [Y/n] ", self.dir.display()));
        let mut answer = String::new();
        // No answer counts as yes, as an empty one does.
        let _ = std::io::stdin().lock().read_line(&mut answer);
        is_yes(&answer)
    }

    /// The first thing in the directory that no demo made.
    fn other(&self) -> std::io::Result<Option<PathBuf>> {
        let mut folders = vec![self.dir.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                let path = entry.path();
                let below = path.strip_prefix(&self.dir).unwrap_or(&path);
                let hidden = [STATE_DIR, KEPT, super::SEEDERS_DIR].map(Path::new);
                if hidden.contains(&below) {
                    continue;
                }
                let is_dir = entry.file_type()?.is_dir();
                if is_dir && self.folders.iter().any(|folder| below == Path::new(folder)) {
                    folders.push(path);
                } else if is_dir || !(self.is_file)(below) {
                    return Ok(Some(path));
                }
            }
        }
        Ok(None)
    }
}

/// Is it yes, or nothing, which the question's capital letter makes a yes? Of anything else nobody
/// knows what it means, and nothing is removed for it.
fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    fn room(dir: &Path) -> Room {
        let is_file = |path: &Path| [Path::new("a.torrent"), Path::new("out/a")].contains(&path);
        Room::new(dir, &["out"], is_file)
    }

    /// What a demo makes.
    fn play(dir: &Path) {
        std::fs::create_dir_all(dir.join("out")).unwrap();
        for file in ["a.torrent", "out/a", ".state/x"] {
            std::fs::write(dir.join(file), "").unwrap();
        }
    }

    #[test]
    fn only_a_yes_or_nothing_removes_the_demo() {
        assert!(["", "\n", "y\n", " Y\n", "yes", "YES\n"].into_iter().all(is_yes));
        assert!(!["n", "no", "N\n", "quit", "yn", "status", "?", "0"].into_iter().any(is_yes));
    }

    #[test]
    fn only_directories_of_demos_are_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let ours = dir.path().join("d");
        std::fs::create_dir(&ours).unwrap();
        assert_eq!(room(&ours).make().unwrap_err().exit, Exit::Usage);
        std::fs::create_dir(ours.join(STATE_DIR)).unwrap();
        play(&ours);
        assert_eq!(room(&ours).make(), Ok(()));
        assert!(!ours.join("out").exists());
        play(&ours);
        room(&ours).leave(false, false);
        assert!(!ours.exists());
    }

    #[test]
    fn what_was_kept_is_not_removed_by_the_next_demo() {
        let dir = tempfile::tempdir().unwrap();
        let ours = dir.path().join("d");
        assert_eq!(room(&ours).make(), Ok(()));
        play(&ours);
        room(&ours).leave(true, false);
        let refused = room(&ours).make().unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        assert!(refused.message.contains("was kept by an earlier demo"), "{refused}");
        assert!(ours.join("out/a").exists());
    }

    #[test]
    fn what_others_put_into_a_demo_is_never_removed() {
        let dir = tempfile::tempdir().unwrap();
        let ours = dir.path().join("d");
        for theirs in ["d/notes.txt", "d/out/mine.bin", "d/more/x", "d/a/a"] {
            assert_eq!(room(&ours).make(), Ok(()));
            play(&ours);
            let theirs = dir.path().join(theirs);
            std::fs::create_dir_all(theirs.parent().unwrap()).unwrap();
            std::fs::write(&theirs, "mine").unwrap();
            let refused = room(&ours).make().unwrap_err();
            assert_eq!(refused.exit, Exit::Usage);
            assert!(refused.message.contains("is not of the demo"), "{refused}");
            room(&ours).leave(false, false);
            assert_eq!(std::fs::read(&theirs).unwrap(), b"mine");
            std::fs::remove_file(&theirs).unwrap();
            for folder in ["more", "a"] {
                let _ = std::fs::remove_dir(ours.join(folder));
            }
            assert_eq!(room(&ours).make(), Ok(()), "all of it is the demo's");
        }
    }
}
