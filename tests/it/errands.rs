//! What a `driver daemon` does by itself, as its config file says: a folder, a feed and hooks, read
//! again on SIGHUP, and remembered over `kill -9`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::payload::Payload;
use crate::process::{Process, driver};

const LIMIT: Duration = Duration::from_secs(90);

/// What a server was asked: the request line, and the body.
type Asked = (String, String);

/// A server of a feed with one link, which takes what hooks tell.
fn serve(link: String) -> (SocketAddr, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (told, asked) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever breaks off is asked again.
            let _ = answer(stream, &link, &told);
        }
    });
    (address, asked)
}

fn answer(stream: TcpStream, link: &str, told: &Sender<Asked>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(LIMIT))?;
    let mut reader = BufReader::new(stream);
    let (mut first, mut len) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body)?;
    let feed = format!(
        "<rss version='2.0'><channel><item><title>Fed S01E02</title><link>{link}</link></item>\
         <item><title>fed 1x02 again</title><link>{}</link></item></channel></rss>",
        link.replace(&"a".repeat(40), &"c".repeat(40))
    );
    let text = if first.starts_with("GET /feed") { feed } else { String::new() };
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"1\"\r\n";
    let whole = format!("{head}Content-Length: {}\r\n\r\n{text}", text.len());
    let _ = told.send((first, String::from_utf8_lossy(&body).into_owned()));
    reader.get_mut().write_all(whole.as_bytes())
}

struct Daemon {
    home: PathBuf,
    process: Process,
}

impl Daemon {
    fn start(home: &Path) -> Self {
        let mut command = driver(home);
        command.args(["daemon", "--http", "127.0.0.1:0", "-p", "0", "--dir"]).arg(home.join("out"));
        let mut process = Process::start("daemon", command, home);
        let deadline = Instant::now() + LIMIT;
        while !process.output().contains("driver remote list") {
            let is_there = process.ended().is_none() && Instant::now() < deadline;
            assert!(is_there, "the daemon does not begin:\n{}", process.last_words());
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { home: home.to_owned(), process }
    }

    fn say(&self, line: &str) -> String {
        let mut command = driver(&self.home);
        let ran = command.arg("remote").args(line.split(' ')).output().expect("run driver");
        let talked = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{line}: {talked}");
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }

    /// Waits until `driver remote --json` of this answers so.
    #[track_caller]
    fn until(&self, line: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let said = self.say(&format!("{line} --json"));
            let answer = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{line}: {said}"));
            if is_so(&answer) {
                return answer;
            }
            let words = self.process.last_words();
            assert!(Instant::now() < deadline, "not {what}: {answer}\n{words}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn configure(home: &Path, text: &str) {
    std::fs::create_dir_all(home.join("config/driver")).expect("make a folder");
    std::fs::write(home.join("config/driver/config.toml"), text).expect("write the config");
}

/// Names of the torrents that are listed.
fn names(list: &Value) -> Vec<&str> {
    let torrents = list["torrents"].as_array().into_iter().flatten();
    torrents.filter_map(|it| it["name"].as_str()).collect()
}

/// A daemon of this config in a home of its own, what it is to do, and what its server is asked.
struct World {
    dir: tempfile::TempDir,
    asked: Receiver<Asked>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let home = dir.path();
        let hash = "a".repeat(40);
        let (address, asked) = serve(format!("magnet:?xt=urn:btih:{hash}&amp;dn=fed"));
        std::fs::create_dir_all(home.join("drop")).expect("make a folder");
        let line = "echo \"$PIGEON_EVENT $PIGEON_NAME $PIGEON_LABEL\" >> \"$1\"\n";
        std::fs::write(home.join("told.sh"), line).expect("write the script");
        let [drop, script, said] = ["drop", "told.sh", "said"].map(|name| home.join(name));
        let config = format!(
            "[[watch]]\ndir = '{}'\nlabel = 'dropped'\nstart = false\n\
             [[feed]]\nurl = 'http://{address}/feed'\nlabel = 'fed'\nonce = true\n\
             [[hook]]\non = ['added']\nlabel = 'dropped'\nrun = ['/bin/sh', '{}', '{}']\n\
             [[hook]]\non = ['added', 'removed']\nurl = 'http://{address}/hook'\n",
            drop.display(),
            script.display(),
            said.display()
        );
        configure(home, &config);
        Self { dir, asked }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What hooks have told so far.
    fn told(&self) -> Vec<Value> {
        let asked = self.asked.try_iter().filter(|(line, _)| line.starts_with("POST /hook"));
        asked.map(|(_, body)| serde_json::from_str(&body).expect("JSON")).collect()
    }

    /// Adds one of each kind by itself.
    fn begin(&self) -> Daemon {
        let daemon = Daemon::start(self.dir.path());
        let payload = Payload::new(1, "some", 1 << 16, &[("a.bin", 100_000)]);
        std::fs::write(self.path("drop/some.torrent"), payload.torrent(None)).expect("drop one");
        std::fs::write(self.path("drop/bad.torrent"), "<html>").expect("drop another");
        daemon.until("list", "both are there", |it| names(it).len() == 2);
        daemon
    }
}

#[test]
fn a_daemon_does_by_itself_what_its_config_says() {
    let world = World::new();
    let daemon = world.begin();
    let list = daemon.until("list", "both are there", |it| names(it).len() == 2);
    let mut all = names(&list);
    all.sort_unstable();
    assert_eq!(all, ["fed", "some"], "of an episode one is added");
    let feeds = daemon.until("feeds", "all told", |it| {
        let is_told = it["hooks"][0]["done"] == 1 && it["hooks"][1]["done"] == 2;
        is_told && it["watches"][0]["refused"] == 1
    });
    assert_eq!((&feeds["feeds"][0]["items"], &feeds["feeds"][0]["added"]), (&2.into(), &1.into()));
    let [asked, next] = ["asked_at", "next_at"].map(|name| feeds["feeds"][0][name].as_u64());
    assert!(asked.is_some() && asked < next, "{feeds}");
    let said = std::fs::read_to_string(world.path("said")).expect("it was told");
    assert_eq!(said, "added some dropped\n");
    assert!(world.path("drop/refused/bad.torrent.reason.txt").exists());
    let screen = daemon.say("feeds");
    assert!(screen.contains("Feeds\n") && screen.contains("1 added, 1 refused"), "{screen}");
    let told = world.told();
    assert!(told.len() == 2 && told.iter().all(|it| it["event"] == "added"), "{told:?}");

    // Killed, it knows all of that.
    daemon.say("remove some");
    daemon.until("list", "it is gone", |it| names(it) == ["fed"]);
    let mut process = daemon.process;
    process.kill();
    let daemon = Daemon::start(world.dir.path());
    let late = "b".repeat(40);
    std::fs::write(world.path("drop/late.magnet"), &late).expect("drop a link");
    let list = daemon.until("list", "the late one is there", |it| names(it).contains(&&*late));
    assert!(!names(&list).contains(&"some"), "what was removed does not come back: {list}");
    let feeds = daemon.until("feeds", "it stands", |it| it["feeds"][0]["next_at"].is_u64());
    assert_eq!(feeds["feeds"][0]["added"], 0, "{feeds}");
}

#[test]
fn a_hangup_has_it_read_again_and_a_wrong_config_changes_nothing() {
    let world = World::new();
    let daemon = world.begin();
    let hang_up = || {
        let id = i32::try_from(daemon.process.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("a process"), Signal::HUP).expect("a signal");
    };
    let wrong = format!("[[watch]]\ndir = '{}'\nkeep = 'maybe'\n", world.path("drop").display());
    configure(world.dir.path(), &wrong);
    hang_up();
    let deadline = Instant::now() + LIMIT;
    // Lines are wrapped.
    let says = |words: &str| daemon.process.output().replace('\n', " ").contains(words);
    while !says("watch 1 (line 3): keep:") {
        assert!(Instant::now() < deadline, "{}", daemon.process.last_words());
        std::thread::sleep(Duration::from_millis(50));
    }
    let feeds = daemon.until("feeds", "told", |_| true);
    assert_eq!(feeds["hooks"].as_array().map(Vec::len), Some(2), "{feeds}");
    configure(world.dir.path(), "");
    hang_up();
    daemon.until("feeds", "nothing is left", |it| {
        ["watches", "feeds", "hooks"].iter().all(|name| it[name] == serde_json::json!([]))
    });
    assert!(daemon.say("feeds").starts_with("nothing is done by itself"));
}
