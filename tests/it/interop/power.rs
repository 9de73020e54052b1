//! A real power loss, as far as a running machine can have one: `driver` writes to ext4 on a
//! loop device, and at random moments the file below that device is cloned in one step. The
//! clone has what had reached the device by then, and lacks what was in memory only. Each clone
//! is mounted in place of the original, and the download goes on from there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::asked_for;
use crate::payload::{Payload, scramble};
use crate::process::{Process, driver};
use crate::seeder::Seeder;

const CUTS: u64 = 12;
const MIB: u64 = 1 << 20;
/// What may be off the device at a cut: what is synced at once, as much that comes meanwhile,
/// and what is still in memory.
const WINDOW: u64 = 200 * MIB;
const LIMIT: Duration = Duration::from_secs(60);

/// A file system on a file, mounted until it is dropped.
struct Mounted {
    at: PathBuf,
}

impl Mounted {
    fn make(file: &Path, len: u64, kind: &[&str], at: &Path) -> Self {
        File::create(file).and_then(|file| file.set_len(len)).expect("make a file to mount");
        run(kind[0], &[&kind[1..], &[text(file)]].concat());
        Self::mount(file, at)
    }

    fn mount(file: &Path, at: &Path) -> Self {
        fs::create_dir_all(at).expect("make a mount point");
        run("mount", &["-o", "loop", text(file), text(at)]);
        Self { at: at.to_owned() }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The system lets go of a loop device, and of the file below it, a moment after its file
        // system is unmounted. A test that fails is told of by its own words.
        let unmount = || Command::new("umount").arg(&self.at).stderr(Stdio::null()).status();
        let is_busy = || !unmount().is_ok_and(|status| status.success());
        for _ in 0..100 {
            if !is_busy() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output();
    let done = done.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {arguments:?}: {said}");
}

#[test]
fn after_a_power_loss_what_was_synced_is_there_and_nothing_wrong_is_believed() {
    if !asked_for("a power loss on a loop device") {
        return;
    }
    let files = [("a/first.bin", 150_000_001), ("b.bin", 170_000_000), ("c/d/small", 5)];
    let payload = Arc::new(Payload::new(11, "powerless", 256 << 10, &files));
    let home = tempfile::tempdir().expect("a folder for the test");
    let torrent = home.path().join("powerless.torrent");
    fs::write(&torrent, payload.torrent(None)).expect("write the torrent");
    let (below, data) = (home.path().join("below"), home.path().join("data"));
    // A file system that clones a file in one step.
    let xfs = ["mkfs.xfs", "-q", "-m", "reflink=1"];
    let _below = Mounted::make(&home.path().join("below.img"), 4096 * MIB, &xfs, &below);
    let device = below.join("device.img");
    let clone_of = |cut| below.join(format!("cut-{cut}.img"));

    let cuts = moments(payload.len());
    let mounted = Mounted::make(&device, 600 * MIB, &["mkfs.ext4", "-q"], &data);
    // Some five seconds, so that a few syncs fall between the cuts.
    let seeder = Seeder::start(payload.clone(), Some(64 << 20));
    let mut first = Process::start("first", command(&data, &torrent, &seeder), home.path());
    for (cut, moment) in (0..).zip(&cuts) {
        let reached = seeder.wait_served(*moment, LIMIT) && first.ended().is_none();
        assert!(reached, "no {moment} bytes served:\n{}", first.last_words());
        let (from, to) = (File::open(&device), File::create(clone_of(cut)));
        let (from, to) = (from.expect("the device"), to.expect("a clone"));
        rustix::fs::ioctl_ficlone(&to, &from).expect("clone the device");
    }
    first.kill();
    drop(mounted);

    for (cut, moment) in (0..).zip(&cuts) {
        let mounted = Mounted::mount(&clone_of(cut), &data);
        let seeder = Seeder::start(payload.clone(), None);
        let mut again = Process::start("again", command(&data, &torrent, &seeder), home.path());
        let status = again.wait(LIMIT);
        assert!(status.success(), "cut {cut}, {status}:\n{}", again.last_words());
        payload.assert_same(&data.join("out"));
        let kept = payload.len().saturating_sub(seeder.served_bytes());
        println!("cut {cut} at {} MiB: kept {} MiB", moment / MIB, kept / MIB);
        assert!(kept + WINDOW >= *moment, "cut {cut}: only {kept} of {moment} bytes were kept");
        drop(mounted);
        // What was written to it is its own, and would fill what is below.
        fs::remove_file(clone_of(cut)).expect("remove a clone");
    }
}

/// Random moments between 1 and 99 % of the torrent, in order.
fn moments(len: u64) -> Vec<u64> {
    let seed: u64 =
        std::env::var("PIGEON_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(5);
    let moment = |n| len / 100 + scramble(seed.wrapping_add(n)) % (len / 100 * 98);
    let mut moments: Vec<u64> = (0..CUTS).map(moment).collect();
    moments.sort_unstable();
    moments
}

/// Everything that it keeps lies on the device.
fn command(data: &Path, torrent: &Path, seeder: &Seeder) -> Command {
    let mut command = driver(&data.join("home"));
    command.arg(torrent).arg("--dir").arg(data.join("out"));
    command.arg("--peer").arg(seeder.address().to_string());
    command.args(["--port", "0", "--no-repl", "--exit-on-finish", "--no-trackers"]);
    command
}
