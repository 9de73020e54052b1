//! `--memory`: what it refuses, what is made of it, and downloads by the real `driver` of pieces
//! that are larger than all of it, alone and where the system holds it to a limit.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::payload::Payload;
use crate::process::{Process, driver};
use crate::seeder::Seeder;

const MIB: u64 = 1 << 20;
const LIMIT: Duration = Duration::from_secs(120);
const PIECE: u32 = 16 << 20;
/// The last piece is short.
const LEN: u64 = 5 * PIECE as u64 + 12_345;
/// What the program takes besides its budget: itself, its threads' stacks, lists of pieces. The
/// build for tests is the largest.
const BESIDES: u64 = 32 * MIB;
/// A download with this budget, and whatever the program takes besides, stays far below what the
/// pieces would take that four peers send at the same time: 64 MiB.
const BUDGET: &str = "9MiB";
const BUDGET_BYTES: u64 = 9 * MIB;
/// The memory of a control group, a quarter of which is the budget.
const GROUP_BYTES: u64 = 64 * MIB;

/// A finished download that is still there to be looked at.
struct Run {
    home: tempfile::TempDir,
    driver: Process,
    payload: Arc<Payload>,
}

impl Run {
    /// Downloads from four peers at once; `wrap` decides how the program is started.
    fn complete(options: &[&str], wrap: impl FnOnce(Command) -> Command) -> Self {
        let home = tempfile::tempdir().expect("a folder for the test");
        let payload = Arc::new(Payload::new(51, "large", PIECE, &[("file", LEN)]));
        let torrent = home.path().join("large.torrent");
        fs::write(&torrent, payload.torrent(None)).expect("write the torrent");
        let seeders: Vec<_> = (0..4).map(|_| Seeder::start(payload.clone(), None)).collect();
        let mut command = driver(home.path());
        command.arg(&torrent).arg("--dir").arg(home.path().join("out"));
        for seeder in &seeders {
            command.arg("--peer").arg(seeder.address().to_string());
        }
        command.args(["--port", "0", "--no-repl", "--no-trackers", "--seed", "--json"]);
        command.args(options);
        let mut driver = Process::start("driver", wrap(command), home.path());
        let deadline = Instant::now() + LIMIT;
        while !driver.output().contains("\"completed\"") {
            let is_over = driver.ended().is_some() || Instant::now() > deadline;
            assert!(!is_over, "it does not complete:\n{}", driver.last_words());
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { home, driver, payload }
    }

    /// Every byte is right, memory stayed within the budget and what the program takes besides, and
    /// pieces were read back.
    fn assert_spilled(self, budget_bytes: u64) {
        let peak = self.driver.peak_rss_bytes().expect("it still runs");
        let read = self.read_bytes();
        println!("peak {} KiB, read back {} KiB", peak >> 10, read >> 10);
        self.payload.assert_same(&self.home.path().join("out"));
        assert!(peak <= budget_bytes + BESIDES, "it held {} KiB", peak >> 10);
        assert!(read >= LEN / 4, "only {} KiB were read: nothing was spilled", read >> 10);
    }

    /// Bytes that it read from files, proc_pid_io(5); what comes from sockets is not counted.
    fn read_bytes(&self) -> u64 {
        let io = fs::read_to_string(format!("/proc/{}/io", self.driver.id())).expect("it runs");
        let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
        line.and_then(|number| number.parse().ok()).expect("a number")
    }
}

#[test]
fn pieces_larger_than_the_budget_are_spilled() {
    Run::complete(&["--memory", BUDGET], |command| command).assert_spilled(BUDGET_BYTES);
}

#[test]
fn it_runs_within_a_limited_address_space() {
    // Stacks, the program and what the allocator reserves take address space, not memory.
    let run = Run::complete(&["--memory", BUDGET], |command| {
        let mut shell = same_place(&command, "sh");
        shell.args(["-c", "ulimit -v 262144; exec \"$@\"", "sh"]);
        append(shell, &command)
    });
    run.assert_spilled(BUDGET_BYTES);
}

#[test]
fn it_runs_within_a_control_group() {
    let Some(group) = Group::new(GROUP_BYTES) else {
        skipped("memory within a control group: it takes root and a writable /sys/fs/cgroup");
        return;
    };
    let enter = format!("echo $$ > '{}/cgroup.procs'; exec \"$@\"", group.path.display());
    let inside = |command: Command| {
        let mut shell = same_place(&command, "sh");
        shell.args(["-c", &enter, "sh"]);
        append(shell, &command)
    };
    let home = tempfile::tempdir().expect("a folder for the test");
    let mut config = driver(home.path());
    config.arg("config");
    let told = inside(config).output().expect("run driver config");
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(text.contains("memory 16.0 MiB of 64.0 MiB that the control group has"), "{text}");
    // The group counts the page cache too: what was written and read back makes room in time.
    Run::complete(&[], inside).assert_spilled(GROUP_BYTES / 4);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let said = |memory: &str| {
        let home = tempfile::tempdir().expect("a folder for the test");
        let mut command = driver(home.path());
        let output: Output = command.args(["config", "--memory", memory]).output().expect("run it");
        assert_eq!(output.status.code(), Some(2), "{memory}: {output:?}");
        String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned()
    };
    let start = |memory: &str| format!("error: invalid value '{memory}' for '--memory <SIZE>': ");
    for little in ["0", "1KiB", "7MiB"] {
        assert_eq!(said(little), start(little) + "too little to run with; at least 8MiB");
    }
    assert_eq!(said("much"), start("much") + "not a size; write 500K or 2MiB");
    let large = said("999999TiB");
    let begin = "driver: --memory 976.6 PiB is too much: ";
    assert!(large.starts_with(begin), "{large}");
}

#[test]
fn flags_beat_the_environment_and_that_the_file() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let file = home.path().join("config.toml");
    fs::write(&file, "memory = '32MiB'").expect("write a config file");
    let told = |arguments: &[&str], environment: Option<&str>| {
        let mut command = driver(home.path());
        command.arg("config").arg("--config").arg(&file).args(arguments);
        command.envs(environment.map(|value| ("DRIVER_MEMORY", value)));
        let output = command.output().expect("run driver config");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.starts_with("memory ") && line.contains(" of "));
        line.unwrap_or_else(|| panic!("{text}")).split(" of ").next().unwrap_or_default().to_owned()
    };
    assert_eq!(told(&[], None), "memory 32.0 MiB");
    assert_eq!(told(&[], Some("24MiB")), "memory 24.0 MiB");
    assert_eq!(told(&["--memory", "48MiB"], Some("24MiB")), "memory 48.0 MiB");
}

/// A program that runs where and with what `command` does.
fn same_place(command: &Command, program: &str) -> Command {
    let mut other = Command::new(program);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
}

fn append(mut shell: Command, command: &Command) -> Command {
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

/// Says so aloud, past the test runner's capture.
fn skipped(what: &str) {
    let line = format!("SKIPPED {what}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("say that a test is skipped");
}

/// A control group of its own with a limit to memory; removed when dropped.
struct Group {
    path: PathBuf,
}

impl Group {
    /// None where the system lets us make none. Either version of control groups will do.
    fn new(bytes: u64) -> Option<Self> {
        let kinds = [("memory", "memory.limit_in_bytes"), ("", "memory.max")];
        kinds.iter().find_map(|(mount, file)| {
            let name = format!("pigeon-test-{}", std::process::id());
            let group = Self { path: Path::new("/sys/fs/cgroup").join(mount).join(name) };
            fs::create_dir(&group.path).ok()?;
            fs::write(group.path.join(file), bytes.to_string()).ok()?;
            Some(group)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It goes when its last process is reaped, which may take a moment.
        for _ in 0..100 {
            match fs::remove_dir(&self.path) {
                Err(error) if error.raw_os_error() == Some(16) => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                _ => return,
            }
        }
    }
}
