//! Programs that a test starts: their output goes to a file, and they are ended by their own
//! process id when the test leaves, also by a panic.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running program.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` without standard input; both outputs go to `NAME.log` in `dir`.
    pub fn start(name: &str, command: Command, dir: &Path) -> Self {
        Self::start_with(name, command, dir, Stdio::null())
    }

    /// The same with a pipe as standard input, for `type_line`.
    pub fn start_reading(name: &str, command: Command, dir: &Path) -> Self {
        Self::start_with(name, command, dir, Stdio::piped())
    }

    fn start_with(name: &str, mut command: Command, dir: &Path, input: Stdio) -> Self {
        fs::create_dir_all(dir).expect("make a folder for logs");
        let log = dir.join(format!("{name}.log"));
        let file = File::create(&log).expect("make a log file");
        let twin = file.try_clone().expect("share a log file");
        command.stdin(input).stdout(file).stderr(twin);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { name: name.to_owned(), child, log }
    }

    /// Types a line, if it was started to read them.
    #[track_caller]
    pub fn type_line(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("a pipe to it");
        let sent = writeln!(input, "{line}");
        assert!(sent.is_ok(), "{} takes no lines any more:\n{}", self.name, self.last_words());
    }

    /// How it ended, or none while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("ask for a child's state")
    }

    /// Waits for its end; false when `limit` passed first.
    pub fn ended_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.ended().is_none() {
            if Instant::now() > deadline {
                return false;
            }
            // A child's end cannot be awaited together with a deadline in std.
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Waits for its end; past `limit` it is killed and the test fails with its last words.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        if !self.ended_within(limit) {
            panic!("{} took over {limit:?}:\n{}", self.name, self.last_words());
        }
        self.child.wait().expect("reap a child")
    }

    /// `kill -9`, then reaps it.
    pub fn kill(&mut self) -> ExitStatus {
        // It may have ended by itself meanwhile.
        let _ = self.child.kill();
        self.child.wait().expect("reap a child")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory it ever held, in bytes; none when it has ended, or has not begun: until
    /// then the system shows the memory of the test that starts it, under the test's name.
    pub fn peak_rss_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let is_begun = field("Name:")?.trim() == driver_path().file_name()?.to_str()?;
        let kib: u64 = field("VmHWM:")?.trim().trim_end_matches(" kB").parse().ok()?;
        is_begun.then_some(kib * 1024)
    }

    /// All that it printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The end of what it printed.
    pub fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let from = text.len().saturating_sub(4000);
        String::from_utf8_lossy(&text[from..]).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program under test with a home of its own, ready for arguments. `PIGEON_DRIVER` names
/// another build of it, for instance the release build.
pub fn driver(home: &Path) -> Command {
    with_home(Command::new(driver_path()), home)
}

/// The absolute path of the program under test.
pub fn driver_path() -> PathBuf {
    let given = std::env::var_os("PIGEON_DRIVER").map(PathBuf::from);
    given.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_driver")))
}

/// Points everything that a program keeps for its user at `home`, and takes proxies away: every
/// address in these tests is on this machine.
pub fn with_home(mut command: Command, home: &Path) -> Command {
    fs::create_dir_all(home).expect("make a home");
    command.env("HOME", home).env("XDG_STATE_HOME", home.join("state"));
    command.env("XDG_CONFIG_HOME", home.join("config"));
    // Tests are not to be seen in the network that they run in, nor to reach another one.
    command.env("DRIVER_NO_LSD", "1").env("DRIVER_NO_DHT", "1").env("DRIVER_NO_PORTMAP", "1");
    // The peers of these tests speak plainly, and some count who comes. What is encrypted is tried
    // where tests ask for that.
    command.env("DRIVER_ENCRYPTION", "off");
    // Nobody: an empty variable counts as none, and without one public routers are asked.
    command.env("DRIVER_DHT_BOOTSTRAP", "127.0.0.1:1");
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command
}
