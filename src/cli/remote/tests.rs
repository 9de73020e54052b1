//! `driver remote` with a daemon's API in this process, by a Unix socket.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::api::{Api, ApiConfig, Roots};
use crate::cli::args::{Cli, Command};
use crate::cli::exit::Exit;
use crate::http::token::Token;
use crate::net::egress::Egress;
use crate::rpc::{ClientError, Prefix, Rpc, Target};
use crate::session::{Session, SessionConfig, TorrentOptions};

use super::asking::{Remote, Voice, failure};
use super::place::Place;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A daemon without peers, trackers and data.
struct Daemon {
    home: TempDir,
    session: Session,
    end: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

/// What a command came to, and what it said on both streams.
#[derive(Debug)]
struct Ran {
    exit: Exit,
    said: String,
    talked: String,
}

/// Text that grows.
type Text = Rc<RefCell<String>>;

impl Daemon {
    async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    async fn start_in(home: TempDir) -> Self {
        let dir = home.path().join("data");
        let rest = TorrentOptions::default()
            .dir(&dir)
            .use_trackers(false)
            .use_web_seeds(false)
            .waits_for_disk(true);
        let config = SessionConfig::default()
            .listen(false)
            .local_discovery(false)
            .state_dir(home.path().join("state"))
            .ledger(true)
            .restored(rest.clone());
        let session = Session::start(config).await.unwrap();
        let api = Api::new(
            session.clone(),
            ApiConfig {
                allows_local: false,
                version: "1.2.3",
                dir,
                roots: Roots::new(vec![home.path().to_owned()]),
                egress: Egress::default(),
                rest,
                speaker: |_| "It rests.\n".to_owned(),
            },
        );
        let local = tokio::net::UnixListener::bind(home.path().join("socket")).unwrap();
        let (end, ended) = oneshot::channel();
        let token = Token::new("0123456789abcdef");
        let rpc = Rpc {
            listeners: vec![],
            local: Some(local),
            token,
            hosts: vec![],
            transmission: Prefix::default(),
            api,
        };
        let served = tokio::spawn(rpc.run(async move { drop(ended.await) }));
        Self { home, session, end, served }
    }

    /// Ends it, and leaves what it keeps.
    async fn stop(self) -> TempDir {
        let _ = self.end.send(());
        self.served.await.unwrap();
        self.session.stop().await;
        std::fs::remove_file(self.home.path().join("socket")).unwrap();
        self.home
    }

    /// A `.torrent` of so many files.
    fn torrent(&self, name: &str, files: usize) -> String {
        let file = |number| format!("d6:lengthi1e4:pathl1:{number}ee");
        let files: String = (1..=files).map(file).collect();
        let head = format!("d4:infod5:filesl{files}e4:name{}:{name}", name.len());
        let rest = "12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxee";
        let path = self.home.path().join(format!("{name}.torrent"));
        std::fs::write(&path, head + rest).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What `driver remote` of these words does.
    async fn run(&self, words: &[&str]) -> Ran {
        run(self.home.path().join("socket"), words, &Rc::default()).await
    }

    /// The same of a line, when it succeeds: what it says.
    async fn says(&self, line: &str) -> String {
        let ran = self.run(&line.split(' ').collect::<Vec<_>>()).await;
        assert_eq!((ran.exit, ran.talked.as_str()), (Exit::Done, ""), "{line}: {}", ran.said);
        ran.said
    }

    async fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.says(&format!("{line} --json")).await).unwrap()
    }
}

/// A remote that asks there, and what it says on both streams.
fn remote(socket: PathBuf, json: bool, said: &Text) -> (Remote, Text) {
    let talked = Text::default();
    let (to, beside) = (said.clone(), talked.clone());
    let voice = Voice {
        say: Box::new(move |text| {
            to.borrow_mut().push_str(text);
            Ok(())
        }),
        talk: Box::new(move |line| *beside.borrow_mut() += &format!("{line}\n")),
        columns: 80,
        is_utf8: false,
        json,
        quiet: false,
    };
    let place = Place { target: Target::Socket(socket), shown: "here".into(), is_here: true };
    (Remote::new(place, voice).unwrap(), talked)
}

async fn run(socket: PathBuf, words: &[&str], said: &Text) -> Ran {
    let cli = Cli::try_parse_from(["driver", "remote"].iter().chain(words)).unwrap();
    let Some(Command::Remote(arguments)) = cli.command else { panic!("{words:?}") };
    let (mut remote, talked) = remote(socket, arguments.json, said);
    let exit = match super::commands::carry_out(&mut remote, &arguments.command.unwrap()).await {
        Ok(exit) => exit,
        Err(failure) => {
            talked.borrow_mut().push_str(&failure.message);
            failure.exit
        }
    };
    let (said, talked) = (said.borrow().clone(), talked.borrow().clone());
    Ran { exit, said, talked }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_answers_line_by_line_and_survives_what_fails() {
    let daemon = Daemon::start().await;
    let torrent = daemon.torrent("a b", 1);
    let said = Text::default();
    let (mut remote, talked) = remote(daemon.home.path().join("socket"), false, &said);
    let mut exits = Vec::new();
    let add = format!("add '{torrent}' --paused");
    for line in [add.as_str(), "", "frobnicate", "rename 7 x", "ren 1 'new name'", "list", "quit"] {
        exits.push(super::prompt::answer(&mut remote, line).await);
    }
    let (ok, wrong) = (Some(Exit::Done), Some(Exit::Usage));
    assert_eq!(exits, [ok, ok, wrong, wrong, ok, ok, None], "{}", talked.borrow());
    assert!(said.borrow().contains("new name"), "{}", said.borrow());
    let talked = talked.borrow().clone();
    assert!(talked.contains("driver: there is no torrent 7"), "{talked}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torrents_come_in_are_set_and_go() {
    let daemon = Daemon::start().await;
    assert_eq!(daemon.says("list").await, "no torrents: driver remote add FILE takes one in\n");
    let (one, two) = (daemon.torrent("debian-12", 1), daemon.torrent("debian-13", 3));
    let line = format!("add {one} {two} --paused --label linux -D 500K --sequential");
    assert_eq!(daemon.says(&line).await, "1 debian-12: added\n2 debian-13: added\n");
    let line = format!("add {one}");
    assert_eq!(daemon.says(&line).await, "1 debian-12: it is there already\n");
    let shown = daemon.json("show 2").await;
    assert_eq!(shown["limits"]["down"], 500_000);
    assert_eq!((&shown["labels"][0], &shown["sequential"]), (&"linux".into(), &true.into()));

    assert_eq!(daemon.says("select debian-13 1,3").await, "2 debian-13: 2 of 3 wanted\n");
    let wanted = daemon.json("files 2").await;
    let wanted: Vec<_> = wanted.as_array().unwrap().iter().map(|it| &it["wanted"]).collect();
    assert_eq!(wanted, [true, false, true]);
    assert_eq!(daemon.says("label 1-2 iso,new").await, {
        "1 debian-12: iso, new\n2 debian-13: iso, new\n"
    });
    assert_eq!(daemon.says("label 1 --clear").await, "1 debian-12: no label\n");
    assert_eq!(daemon.says("pause --label iso").await, "2 debian-13: paused\n");
    let some = daemon.json("list --label iso --state paused").await;
    assert_eq!((some["torrents"].as_array().unwrap().len(), &some["full"]), (1, &true.into()));
    assert_eq!(some["torrents"][0]["id"], 2);

    assert_eq!(daemon.says("top all").await, "2 debian-13: first\n1 debian-12: first\n");
    let order = daemon.json("list").await;
    assert_eq!((&order["torrents"][0]["id"], &order["torrents"][1]["id"]), (&1.into(), &2.into()));
    assert_eq!(daemon.says("bottom 1").await, "1 debian-12: last\n");
    assert_eq!(daemon.json("list").await["torrents"][0]["id"], 2);

    assert_eq!(daemon.says("limit down 2MiB up 1K").await, "all together: limited\n");
    assert_eq!(daemon.says("limit").await, "down 2.0 MiB/s   up 1000 B/s\n");
    assert_eq!(daemon.says("limit all down off").await.lines().count(), 2);
    assert_eq!(daemon.json("show 1").await["limits"]["down"], Value::Null);

    assert_eq!(daemon.says("remove 1").await, "1 debian-12: removed\n");
    assert_eq!(daemon.json("list").await["torrents"].as_array().unwrap().len(), 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn screens_of_several_are_told_apart() {
    let daemon = Daemon::start().await;
    let (one, two) = (daemon.torrent("a", 1), daemon.torrent("b", 2));
    daemon.says(&format!("add {one} {two} --paused")).await;
    let files = daemon.says("files 1 2").await;
    assert!(files.starts_with("1 a\n   NO   DONE"), "{files}");
    assert!(files.contains("a/1\n\n2 b\n   NO"), "{files}");
    assert!(daemon.says("files 1").await.starts_with("   NO"), "one needs no name");
    let shown = daemon.says("show all").await;
    assert!(shown.starts_with("Name       a\n") && shown.contains("\n\nName       b\n"), "{shown}");
    assert!(daemon.says("status 2").await.starts_with("Torrent    2  b\nState      paused\n"));
    assert!(daemon.says("status").await.starts_with("0 of 2 done   0 peers"));
    assert!(daemon.says("why 1").await.starts_with("It rests.\n"));
    assert!(daemon.says("peers 1").await.starts_with("no peers connected"));
    assert_eq!(daemon.says("sources 1").await, "no sources\n");
    assert!(daemon.says("trackers 1").await.ends_with('\n'));
    let other = daemon.says("trackers 1 --add http://a.example/x --add udp://b.example:1").await;
    assert_eq!(other, "1 a: its trackers are others now\n");
    daemon.says("trackers 1 --add http://c.example/ --remove http://a.example/x").await;
    let facts = daemon.says("show 1 --json").await;
    assert!(facts.contains("\"id\":1"), "{facts}");
    let ran = daemon.run(&["trackers", "1", "--remove", "http://a.example/x"]).await;
    assert_eq!(ran.talked, "driver: 1 a: it has no tracker http://a.example/x\n");
    let ran = daemon.run(&["trackers", "1", "--add", "nonsense"]).await;
    assert!(ran.talked.contains("nonsense is no URL of a tracker"), "{}", ran.talked);
    assert!(daemon.says("session").await.starts_with("Version    1.2.3   running"));
    // As JSON each torrent has a line.
    let lines = daemon.says("show all --json").await;
    let ids = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone());
    assert_eq!(ids.collect::<Vec<_>>(), [1, 2]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_stops_no_other_and_the_worst_is_told() {
    let daemon = Daemon::start().await;
    let (one, two) = (daemon.torrent("a", 1), daemon.torrent("b", 2));
    let ran = daemon.run(&["add", &one, "no/such.torrent", &two, "--paused"]).await;
    assert_eq!((ran.exit, ran.said.as_str()), (Exit::BadInput, "1 a: added\n2 b: added\n"));
    assert!(ran.talked.contains("no/such.torrent"), "{}", ran.talked);
    let ran = daemon.run(&["select", "all", "2"]).await;
    assert_eq!((ran.exit, ran.said.as_str()), (Exit::BadInput, "2 b: 1 of 2 wanted\n"));
    let why = "driver: 1 a: there is no file 2: the torrent has 1 file\n";
    assert_eq!(ran.talked, why);
    assert_eq!(daemon.says("add-peer 2 192.0.2.1:6881").await, "2 b: tries it\n");
    let web = "add-web-seed 2 http://192.0.2.1/files/";
    assert_eq!(daemon.says(web).await, "2 b: asks it, too\n");
    // What the daemon refuses is told in its words.
    let ran = daemon.run(&["move", "1"]).await;
    assert_eq!((ran.exit, ran.said.as_str()), (Exit::Usage, ""), "{}", ran.talked);
    assert!(ran.talked.contains("say which torrent, and then where to: move 3 /srv"), "{ran:?}");
    let ran = daemon.run(&["move", "1", "/elsewhere"]).await;
    assert_eq!(ran.exit, Exit::BadInput);
    assert!(ran.talked.starts_with("driver: 1 a: /elsewhere is outside"), "{}", ran.talked);
    for (words, exit) in [
        (&["pause", "7"][..], Exit::Usage),
        (&["pause", "--label", "none"], Exit::Usage),
        (&["label", "1"], Exit::Usage),
        (&["limit", "1"], Exit::Usage),
        (&["select", "1-2"], Exit::Usage),
        (&["rename", "all", "x"], Exit::Usage),
        (&["add-peer", "all", "192.0.2.1:6881"], Exit::Usage),
        (&["add-web-seed", "2", "nowhere"], Exit::BadInput),
        (&["show", &"ab".repeat(20)], Exit::BadInput),
        (&["watch"], Exit::Usage),
    ] {
        let ran = daemon.run(words).await;
        assert_eq!((ran.exit, ran.said.as_str()), (exit, ""), "{words:?}: {}", ran.talked);
    }
    daemon.stop().await;
}

#[tokio::test]
async fn nobody_there_is_told_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let ran = run(home.path().join("socket"), &["list"], &Rc::default()).await;
    assert_eq!((ran.exit, ran.said.as_str()), (Exit::Network, ""));
    assert!(ran.talked.starts_with("no daemon answers at here ("), "{}", ran.talked);
    assert!(ran.talked.ends_with("): start it with driver daemon"), "{}", ran.talked);
    let target = Target::Url { url: "http://192.0.2.1:6880".into(), token: "x".into() };
    let place = Place { target, shown: "http://192.0.2.1:6880".into(), is_here: false };
    let told = failure(ClientError::Network("unreachable".into()), &place).message;
    assert!(told.contains("does it run there") && !told.contains("start it"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_is_told_and_what_happens() {
    let daemon = Daemon::start().await;
    let one = daemon.torrent("a", 1);
    daemon.says(&format!("add {one} --paused")).await;
    let log = daemon.says("log").await;
    assert!(log.contains("Z  1 a: added\n"), "{log}");
    let all = daemon.json("log").await;
    assert_eq!(all["events"][0]["event"], "added");

    let said = Rc::<RefCell<String>>::default();
    let has = async |text: &str| {
        let told = async {
            while !said.borrow().contains(text) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("{said:?}"));
    };
    let socket = daemon.home.path().join("socket");
    let followed = run(socket, &["log", "-f"], &said);
    let changes = async {
        has("1 a: added\n").await;
        daemon.says("remove 1").await;
        has("1 a: removed\n").await;
        // After another start it goes on by itself, and tells that it missed something.
        let home = daemon.stop().await;
        let daemon = Daemon::start_in(home).await;
        has("(the daemon was started again").await;
        let two = daemon.torrent("c", 1);
        daemon.says(&format!("add {two} --paused")).await;
        has(" c: added\n").await;
        daemon
    };
    let daemon = tokio::select! {
        ran = followed => panic!("it ended: {ran:?}"),
        daemon = changes => daemon,
    };
    daemon.stop().await;
}
