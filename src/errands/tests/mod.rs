//! Hands in a real file system and over loopback, with a session that talks to nobody.

mod feeds;
mod folders;
mod hooks;
mod server;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::api::{
    Answer, Api, ApiConfig, Errands as Standing, FeedStanding, HookStanding, Request, Roots,
    Torrent, WatchStanding,
};
use crate::net::egress::Egress;
use crate::session::{Session, SessionConfig, TorrentOptions};

use super::*;

/// Longest wait for something that must come, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Files are waited for less long than in earnest.
const PACE: Pace = Pace {
    quiet: Duration::from_millis(300),
    patience: Duration::from_secs(6),
    rest: Duration::from_secs(1),
};

/// A session, and what it does by itself.
struct World {
    home: tempfile::TempDir,
    api: Api,
    errands: Errands,
}

impl World {
    async fn new(plan: impl FnOnce(&Path) -> Plan) -> Self {
        let home = tempfile::tempdir().unwrap();
        let plan = plan(home.path());
        Self::at(home, plan).await
    }

    async fn at(home: tempfile::TempDir, plan: Plan) -> Self {
        let api = api(home.path()).await;
        let config = config(&api, home.path().join("errands"));
        Self { errands: Errands::start(config, plan), api, home }
    }

    /// Ends, as a program does, and begins again.
    async fn again(self, plan: Plan) -> Self {
        self.errands.stop().await;
        self.api.session().stop().await;
        Self::at(self.home, plan).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    async fn torrents(&self) -> Vec<Torrent> {
        match self.api.answer(Request::List(None)).await {
            Ok(Answer::List(list)) => list.torrents,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until what is told of all says so.
    async fn until(&self, what: &str, is_so: impl Fn(&Standing) -> bool) {
        let begin = Instant::now();
        while !is_so(&self.errands.standing()) {
            assert!(begin.elapsed() < LIMIT, "not {what}: {:?}", self.errands.standing());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn config(api: &Api, home: PathBuf) -> ErrandsConfig {
    let (api, egress, hook_limit) = (api.clone(), Egress::default(), Duration::from_secs(10));
    ErrandsConfig { api, home, egress, pace: PACE, hook_limit }
}

async fn api(home: &Path) -> Api {
    let rest = TorrentOptions::default().use_trackers(false);
    let config = SessionConfig::default().state_dir(home.join("state")).listen(false).ledger(true);
    let session = Session::start(config.restored(rest.clone())).await.unwrap();
    let downloads = home.join("downloads");
    Api::new(
        session,
        ApiConfig {
            allows_local: false,
            version: "1",
            dir: downloads.clone(),
            roots: Roots::new(vec![downloads]),
            egress: Egress::default(),
            rest,
            speaker: |_| String::new(),
        },
    )
}

/// A torrent of one file that nobody has.
fn torrent(name: &str) -> Vec<u8> {
    let mut bytes = format!(
        "d4:infod6:lengthi40000e4:name{}:{name}12:piece lengthi32768e6:pieces40:",
        name.len()
    )
    .into_bytes();
    bytes.extend([b'x'; 40]);
    bytes.extend(b"ee");
    bytes
}
