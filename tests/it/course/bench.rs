//! A file cut into chunks in a directory of its own, and programs of either side around it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha1::{Digest, Sha1};

use super::{LIMIT, Told};
use crate::content::bytes;
use crate::process::{Process, driver};

/// Who plays a role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// `driver chunk`.
    Ours,
    /// The Python program.
    Theirs,
}

/// The name of the file that is shared.
pub const NAME: &str = "content.bin";

/// A directory as the course lays it out.
pub struct Bench {
    home: tempfile::TempDir,
    content: Vec<u8>,
    ports: [(&'static str, u16); 3],
    discovery_port: u16,
}

impl Bench {
    /// A file of `len` bytes, cut by `side` into chunks of `chunk_len`.
    pub fn cut(len: usize, chunk_len: usize, side: Side) -> Self {
        let home = tempfile::tempdir().unwrap();
        let content = bytes(1, 0, len);
        fs::write(home.path().join(NAME), &content).unwrap();
        // Held at the same time, so that they are three different ones.
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let held = [("tracker", free()), ("alice", free()), ("bob", free())];
        let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let discovery_port = udp.local_addr().unwrap().port();
        let ports = held.map(|(name, held)| (name, held.local_addr().unwrap().port()));
        let bench = Self { home, content, ports, discovery_port };
        bench.write_peers("config", &ports.map(|(name, port)| (name, [127, 0, 0, 1], port)));
        let size = chunk_len.to_string();
        let told = bench.tool(side, "cut", &[NAME, "--config", "config", "--chunk-size", &size]);
        assert_eq!(told.code, 0, "{}", told.output());
        bench
    }

    pub fn dir(&self) -> &Path {
        self.home.path()
    }

    pub fn discovery_port(&self) -> u16 {
        self.discovery_port
    }

    /// Where a section of `peers.ini` says that somebody listens.
    pub fn address(&self, name: &str) -> String {
        let found = self.ports.iter().find(|(other, _)| *other == name);
        format!("127.0.0.1:{}", found.unwrap().1)
    }

    /// Lets everybody have every chunk, and says so in `file.ini`.
    pub fn share_all(&self) {
        let (alice, bob) = (self.dir().join("chunks/alice"), self.dir().join("chunks/bob"));
        for (from, to) in [(&alice, &bob), (&bob, &alice)] {
            for entry in fs::read_dir(from).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
        let path = self.dir().join("config/file.ini");
        let text = fs::read_to_string(&path).unwrap();
        let (chunks, _) = text.split_once("[chunks_peers]").unwrap();
        let count =
            chunks.lines().skip_while(|line| *line != "[chunks]").filter(|line| line.contains('='));
        let holders: String =
            (0..count.count()).map(|number| format!("{number} = alice, bob\n")).collect();
        fs::write(path, format!("{chunks}[chunks_peers]\n{holders}")).unwrap();
    }

    /// Starts a provider and waits until it listens.
    pub fn provider(&self, side: Side, name: &str, more: &[&str]) -> Process {
        let role = match side {
            Side::Ours => "provide",
            Side::Theirs => "provider",
        };
        let ready = match side {
            Side::Ours => "serves",
            Side::Theirs => "ready",
        };
        let arguments = [&[role, name, "--config", "config"], more].concat();
        self.server(side, name, &arguments, ready)
    }

    /// Starts alice and bob.
    pub fn providers(&self, side: Side) -> [Process; 2] {
        ["alice", "bob"].map(|name| self.provider(side, name, &[]))
    }

    /// Starts a tracker and waits until it listens.
    pub fn tracker(&self, side: Side, more: &[&str]) -> Process {
        let (port, ready) = (
            self.discovery_port.to_string(),
            match side {
                Side::Ours => "tracker for",
                Side::Theirs => "ready",
            },
        );
        let mut arguments = [&["tracker", "--config", "config"], more].concat();
        if !more.contains(&"--discover-port") {
            arguments.extend(["--discover-port", &port]);
        }
        self.server(side, "tracker", &arguments, ready)
    }

    fn server(&self, side: Side, name: &str, arguments: &[&str], ready: &str) -> Process {
        let process = Process::start(name, self.command(side, arguments), self.dir());
        self.wait_for(process, name, ready)
    }

    /// A provider that serves what its directory holds and counts connections. It ends with the
    /// test.
    pub fn counted(&self, name: &'static str) -> Arc<AtomicUsize> {
        let listener = TcpListener::bind(self.address(name)).unwrap();
        let (count, dir) = (Arc::new(AtomicUsize::new(0)), self.dir().join("chunks").join(name));
        let counter = count.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::SeqCst);
                let dir = dir.clone();
                std::thread::spawn(move || serve(stream, &dir));
            }
        });
        count
    }

    /// Waits until a server has said that it listens.
    pub fn wait_for(&self, mut process: Process, name: &str, ready: &str) -> Process {
        let deadline = std::time::Instant::now() + LIMIT;
        while !process.output().contains(ready) {
            assert!(process.ended().is_none(), "{name} ended:\n{}", process.output());
            assert!(std::time::Instant::now() < deadline, "{name} is not ready");
            // Output in a file cannot be awaited.
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        process
    }

    /// Writes another `peers.ini`, in a directory that may be new.
    pub fn write_peers(&self, dir: &str, sections: &[(&str, [u8; 4], u16)]) {
        let section = |(name, ip, port): &(&str, [u8; 4], u16)| {
            let ip = Ipv4Addr::from(*ip);
            format!("[{name}]\nip_address = {ip}\nport_number = {port}\n")
        };
        let text: String = sections.iter().map(section).collect();
        fs::create_dir_all(self.dir().join(dir)).unwrap();
        fs::write(self.dir().join(dir).join("peers.ini"), text).unwrap();
    }

    /// Lets another directory have the same `file.ini`.
    pub fn copy_listing(&self, dir: &str) {
        let to = self.dir().join(dir).join("file.ini");
        fs::copy(self.dir().join("config/file.ini"), to).unwrap();
    }

    /// Our client downloads the file, in whatever `wrap` makes of its command.
    pub fn get_with(&self, way: &[&str], wrap: impl Fn(&Command) -> Command) -> Told {
        let command = self.command(Side::Ours, &[&["get", "--no-repl"], way].concat());
        let told = self.run("get", wrap(&command));
        Told { is_same: self.is_same("downloads"), ..told }
    }

    /// Lets a client of `side` download the file.
    pub fn get(&self, side: Side, way: &[&str]) -> Told {
        match side {
            Side::Ours => {
                let told = self.tool(side, "get", &[way, &["--no-repl"]].concat());
                Told { is_same: self.is_same("downloads"), ..told }
            }
            Side::Theirs => {
                fs::create_dir_all(self.dir().join("theirs")).unwrap();
                let out = format!("theirs/{NAME}");
                let told = self.tool(side, "client", &[way, &["--out", &out]].concat());
                Told { is_same: self.is_same("theirs"), ..told }
            }
        }
    }

    /// Puts the file together from the chunks.
    pub fn merge(&self, side: Side) {
        let out = format!("merged/{NAME}");
        fs::create_dir_all(self.dir().join("merged")).unwrap();
        let told = match side {
            Side::Ours => self.tool(side, "merge", &["--config", "config", "--dir", "merged"]),
            Side::Theirs => self.tool(side, "merge", &["--config", "config", "--out", &out]),
        };
        let len = self.content.len();
        assert!(told.code == 0 && self.is_same("merged"), "{len} bytes: {}", told.output());
    }

    /// Runs `driver` on a torrent.
    pub fn download(&self, arguments: &[&str]) -> Told {
        let mut command = driver(self.dir());
        command.current_dir(self.dir()).args(arguments);
        command.args(["--no-repl", "--exit-on-finish", "--no-trackers", "--port", "0"]);
        let told = self.run("driver", command);
        Told { is_same: self.is_same("downloads"), ..told }
    }

    /// The hashes of the file's chunks.
    pub fn hashes(&self, chunk_len: usize) -> Vec<[u8; 20]> {
        self.content.chunks(chunk_len).map(|chunk| Sha1::digest(chunk).into()).collect()
    }

    /// A torrent of the file.
    pub fn torrent(&self, piece_len: usize) -> PathBuf {
        let hashes: Vec<u8> = self.content.chunks(piece_len).flat_map(Sha1::digest).collect();
        let mut bytes = format!(
            "d4:infod6:lengthi{}e4:name{}:{NAME}12:piece lengthi{piece_len}e6:pieces{}:",
            self.content.len(),
            NAME.len(),
            hashes.len()
        )
        .into_bytes();
        bytes.extend(hashes);
        bytes.extend(b"ee");
        let path = self.dir().join(format!("{piece_len}.torrent"));
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Starts a download by file.ini whose commands come by a pipe, asks for `peers` until every
    /// one of `names` is among them, then gives it `lines`; returns all that it printed.
    pub fn talk(&self, names: &[&str], lines: &[&str]) -> String {
        let mut command = self.command(Side::Ours, &["get", "--config", "config"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let mut printed = BufReader::new(child.stdout.take().unwrap());
        let mut told = String::new();
        while !names.iter().all(|name| told.contains(name)) {
            writeln!(pipe, "peers").unwrap();
            let answered = told.len();
            // Either screen of `peers` ends with one of these.
            while !["no peers connected", "S snubbed"]
                .iter()
                .any(|end| told[answered..].contains(end))
            {
                assert_ne!(printed.read_line(&mut told).unwrap(), 0, "it ended:\n{told}");
            }
        }
        lines.iter().for_each(|line| writeln!(pipe, "{line}").unwrap());
        printed.read_to_string(&mut told).unwrap();
        child.wait().unwrap();
        told
    }

    /// Forgets what was downloaded.
    pub fn start_over(&self) {
        for name in ["downloads", "state"] {
            // It may not be there.
            let _ = fs::remove_dir_all(self.dir().join(name));
        }
    }

    /// Starts a program of either side; for ours the word `chunk` comes first.
    pub fn command(&self, side: Side, arguments: &[&str]) -> Command {
        let mut command = match side {
            Side::Ours => {
                let mut command = driver(self.dir());
                command.arg("chunk");
                command
            }
            Side::Theirs => {
                let mut command = Command::new("python3");
                let root = Path::new(env!("CARGO_MANIFEST_DIR"));
                command.arg(root.join("tests/interop/course_peer.py"));
                command
            }
        };
        command.current_dir(self.dir()).args(arguments);
        command
    }

    fn tool(&self, side: Side, role: &str, arguments: &[&str]) -> Told {
        let command = self.command(side, &[&[role], arguments].concat());
        self.run(role, command)
    }

    fn run(&self, name: &str, command: Command) -> Told {
        let mut process = Process::start(name, command, self.dir());
        let code = process.wait(LIMIT).code().unwrap_or(-1);
        Told { process, code, is_same: false }
    }

    fn is_same(&self, dir: &str) -> bool {
        fs::read(self.dir().join(dir).join(NAME)).is_ok_and(|found| found == self.content)
    }
}

/// Answers GET_CHUNK until the client hangs up.
fn serve(mut stream: TcpStream, dir: &Path) -> std::io::Result<()> {
    loop {
        let mut request = [0; 28];
        stream.read_exact(&mut request)?;
        let hash: String = request[8..].iter().map(|byte| format!("{byte:02x}")).collect();
        let content = fs::read(dir.join(format!("{hash}.bin")))?;
        let padded = content.len().next_multiple_of(4);
        let mut answer = vec![1, 5, 0, 0];
        answer.extend((8 + padded as u32 / 4).to_be_bytes());
        answer.extend(&request[8..]);
        answer.extend((content.len() as u32).to_be_bytes());
        answer.extend(content);
        answer.resize(32 + padded, 0xFF);
        stream.write_all(&answer)?;
    }
}
