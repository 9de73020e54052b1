//! Runs the program to its end, or line by line, and keeps what it prints. Not a test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::payload::Payload;
use crate::process::driver;
use crate::seeder::Seeder;

/// Longer than anything here takes, even on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// What a run left behind.
pub struct Run {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it printed on stdout.
    pub stdout: String,
    /// What it printed on stderr.
    pub stderr: String,
}

/// Runs `driver` in `home` to its end, with nothing to read.
#[track_caller]
pub fn run(home: &Path, arguments: &[&str]) -> Run {
    finish(driver(home).current_dir(home).args(arguments))
}

/// Runs a command to its end; one that does not end is a failure.
#[track_caller]
pub fn finish(command: &mut Command) -> Run {
    let mut running = Running::start(command);
    running.end_input();
    running.wait()
}

impl Run {
    /// It ended with `code`, and said one line on stderr that contains `words`.
    #[track_caller]
    pub fn assert_refused(&self, code: i32, words: &str) {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        assert!(self.stderr.starts_with("driver: "), "{}", self.stderr);
        assert!(self.stderr.contains(words), "{:?} is not in {}", words, self.stderr);
    }
}

/// A folder with a torrent and somebody who has its data.
pub struct Place {
    /// The folder; gone with this value.
    pub home: tempfile::TempDir,
    /// The data.
    pub payload: Arc<Payload>,
    /// Who serves it.
    pub seeder: Seeder,
}

impl Place {
    /// Data of 2 files, 3 MB in all, served at `rate` bytes a second.
    pub fn new(rate: Option<u64>) -> Self {
        let payload =
            Payload::new(3, "sample", 64 << 10, &[("first.bin", 2_000_001), ("b/second", 999_000)]);
        let home = tempfile::tempdir().expect("a folder for the test");
        std::fs::write(home.path().join("s.torrent"), payload.torrent(None)).expect("a torrent");
        let payload = Arc::new(payload);
        let seeder = Seeder::start(payload.clone(), rate);
        Self { home, payload, seeder }
    }

    /// Where downloads go.
    pub fn out(&self) -> PathBuf {
        self.home.path().join("out")
    }

    /// A download from the seeder, with more arguments.
    pub fn command(&self, more: &[&str]) -> Command {
        let mut command = self.command_at("out", "0");
        command.args(more);
        command
    }

    /// A download from the seeder into `dir`, listening on `port`.
    pub fn command_at(&self, dir: &str, port: &str) -> Command {
        let mut command = driver(self.home.path());
        command.current_dir(self.home.path()).args(["s.torrent", "--no-trackers", "--dir", dir]);
        command.args(["--port", port, "--peer", &self.seeder.address().to_string()]);
        command
    }
}

/// A running program whose lines are read as they come.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    /// What it printed until now and a test has waited for.
    seen: Vec<String>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts a command with pipes on all streams.
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start driver");
        let stdout = child.stdout.take().expect("a pipe");
        let mut errors = child.stderr.take().expect("a pipe");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(stdout)
                .lines()
                .map_while(Result::ok)
                .all(|line| sender.send(line).is_ok())
        });
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            errors.read_to_end(&mut text).expect("read stderr");
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { stdin: child.stdin.take(), child, lines, seen: Vec::new(), stderr: Some(stderr) }
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        writeln!(stdin, "{line}").expect("write to driver");
    }

    /// Ends its stdin.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for a line that begins with `start`, and returns it.
    #[track_caller]
    pub fn line(&mut self, start: &str) -> String {
        loop {
            let heard = self.lines.recv_timeout(LIMIT);
            let line = heard.unwrap_or_else(|_| panic!("no line {start:?} after {:#?}", self.seen));
            self.seen.push(line.clone());
            if line.starts_with(start) {
                return line;
            }
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: `INT`, `TERM`.
    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let status = kill.args(["-s", name, &self.child.id().to_string()]).status();
        assert!(status.expect("run kill").success());
    }

    /// Waits for its end; the rest of stdout, and stderr.
    #[track_caller]
    pub fn wait(&mut self) -> Run {
        let mut stdout = String::new();
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => stdout += &(line + "\n"),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end:\n{stdout}"),
            }
        }
        let status: ExitStatus = self.child.wait().expect("reap driver");
        let stderr = self.stderr.take().expect("waited once").join().expect("read stderr");
        Run { code: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
