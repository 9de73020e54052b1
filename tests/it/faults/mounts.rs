//! Small file systems for tests: in memory, or in an image behind a loop device. They need root;
//! where that or mounting is refused, tests that ask here say aloud that they are skipped.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system; unmounted on drop, also by a panic. It has to be dropped before the
/// directory that it lies in is removed.
pub struct Mount {
    path: PathBuf,
    /// What it stands on, where that was mounted for it: unmounted after it.
    _place: Option<Box<Mount>>,
}

impl Mount {
    /// One in memory of `size` (`1m`); none, and a word about it, where mounting is refused.
    #[track_caller]
    pub fn memory(path: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(path).expect("make a mount point");
        if !is_allowed() {
            return None;
        }
        let options = format!("size={size}");
        run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", text(path)]);
        Some(Self::at(path))
    }

    /// What is mounted there now.
    fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), _place: None }
    }

    /// Changes its options (`size=8m`, `ro`).
    #[track_caller]
    pub fn change(&self, options: &str) {
        run("mount", &["-o", &format!("remount,{options}"), text(&self.path)]);
    }

    /// Takes it away from its path, whoever uses it.
    #[track_caller]
    pub fn detach(self) {
        run("umount", &["-l", text(&self.path)]);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A panic here, perhaps during another, would end the whole test binary.
        let _ = Command::new("umount").arg("-l").arg(&self.path).output();
    }
}

/// An ext4 file system in a file.
pub struct Image {
    file: PathBuf,
}

impl Image {
    /// One of 16 MiB; none, and a word about it, where mounting is refused.
    #[track_caller]
    pub fn new(file: &Path) -> Option<Self> {
        if !is_allowed() {
            return None;
        }
        File::create(file).and_then(|it| it.set_len(16 << 20)).expect("make an image");
        run("mkfs.ext4", &["-q", "-m", "0", "-O", "^has_journal", text(file)]);
        Some(Self { file: file.to_owned() })
    }

    #[track_caller]
    pub fn mount(&self, path: &Path) -> Mount {
        fs::create_dir_all(path).expect("make a mount point");
        // `ip netns exec` copies what is mounted. Only what goes from a shared place goes from a
        // copy, too; there it would be used as long as the program of another test.
        run("mount", &["--bind", text(path), text(path)]);
        run("mount", &["--make-shared", text(path)]);
        let place = Mount::at(path);
        run("mount", &["-o", "loop", text(&self.file), text(path)]);
        Mount { path: path.to_owned(), _place: Some(Box::new(place)) }
    }

    /// Does anybody still use it? A file that is open keeps its loop device.
    pub fn is_used(&self) -> bool {
        let listed = Command::new("losetup").arg("-j").arg(&self.file).output();
        !listed.expect("start losetup").stdout.is_empty()
    }
}

fn is_allowed() -> bool {
    let probe = tempfile::tempdir().expect("a folder for a try");
    let tried = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(probe.path()).output();
    let is_allowed = tried.is_ok_and(|output| output.status.success());
    if is_allowed {
        drop(Mount::at(probe.path()));
    } else {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("a test");
        let line = format!("SKIPPED {name}: mounting is refused here, run it as root\n");
        // Past the test runner's capture.
        std::io::stderr().write_all(line.as_bytes()).expect("say that a test is skipped");
    }
    is_allowed
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}
