//! Tools that were made for other clients, against `driver daemon`: as their users have them, from
//! the registries of Debian, Python and JavaScript. `.ci/run tools` installs them and asks for
//! these tests by `PIGEON_TOOLS`; once asked for, a missing tool is a failure.

mod flexget;
mod flood;
mod qbittorrent;
mod transmission;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::payload::Payload;
use crate::process::{Process, driver};

/// Longer than anything takes that works.
const LIMIT: Duration = Duration::from_secs(60);

/// Whether to run; says so aloud when not, past the test runner's capture.
fn asked_for() -> bool {
    let is_asked = std::env::var_os("PIGEON_TOOLS").is_some();
    if !is_asked {
        let line = b"SKIPPED tools for other clients: run `.ci/run tools`\n";
        std::io::stderr().write_all(line).expect("say that a test is skipped");
    }
    is_asked
}

/// Where `.ci/run` has put tools: an environment of Python in `venv`, packages of npm in `node`.
fn installed() -> PathBuf {
    std::env::var_os("PIGEON_TOOLS").map(PathBuf::from).unwrap_or_default()
}

/// A script beside the tests.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name)
}

/// A daemon that is asked by HTTP, and what there is for tools to add.
struct Daemon {
    _running: Process,
    home: tempfile::TempDir,
    /// Address and port.
    address: String,
    token: String,
}

impl Daemon {
    /// Its downloads hold one torrent whole, `film.torrent`, and `extra.torrent` is of two files
    /// that nobody has.
    fn start() -> Self {
        let home = tempfile::tempdir().expect("a folder for the test");
        let (path, out) = (home.path(), home.path().join("out"));
        std::fs::create_dir_all(&out).expect("make a folder");
        let film = Payload::new(7, "film", 1 << 16, &[("a.bin", 300_000), ("b.bin", 50_000)]);
        film.write_to(&out);
        std::fs::write(path.join("film.torrent"), film.torrent(None)).expect("write a torrent");
        let extra = Payload::new(8, "extra", 1 << 16, &[("a.bin", 70_000), ("b.bin", 50_000)]);
        let announce = Some("http://127.0.0.1:1024/announce");
        std::fs::write(path.join("extra.torrent"), extra.torrent(announce)).expect("write another");
        let mut command = driver(path);
        command.args(["daemon", "--http", "127.0.0.1:0", "-p", "0", "--allow-local-web-seeds"]);
        command.arg("--dir").arg(&out);
        let mut running = Process::start("daemon", command, path);
        let deadline = Instant::now() + LIMIT;
        let address = loop {
            let output = running.output();
            let line = output.split("Asked at http://").nth(1);
            let address = line.and_then(|rest| rest.split("/api").next());
            if let Some(address) = address.filter(|_| output.contains("driver remote list")) {
                break address.to_owned();
            }
            let is_there = running.ended().is_none() && Instant::now() < deadline;
            assert!(is_there, "the daemon does not begin:\n{}", running.last_words());
            std::thread::sleep(Duration::from_millis(20));
        };
        let output = running.output().replace('\n', " ");
        assert!(output.contains("any user, and that token as the password"), "{output}");
        let token = std::fs::read_to_string(path.join("state/driver/daemon/token"));
        let token = token.expect("a token").trim().to_owned();
        Self { _running: running, home, address, token }
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// A script that is told where the daemon is, its token, and its home.
    fn run(&self, mut command: Command) -> String {
        command.args([&self.address, &self.token]).arg(self.home.path()).stdin(Stdio::null());
        for name in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        let ran = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, talked) = (text(&ran.stdout), text(&ran.stderr));
        assert!(ran.status.success(), "{command:?}: {}\n{said}\n{talked}", ran.status);
        said
    }
}
