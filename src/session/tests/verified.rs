//! Everything of a torrent is read and hashed again, whatever it is doing.

use super::slumber::{asleep, when};
use super::*;

use tokio::time::timeout;

use crate::torrent::handle::{News, NewsReceiver};
use crate::torrent::status::Status;

const LIMIT: Duration = Duration::from_secs(30);
/// Pieces of the payload.
const ALL: u32 = 64;

/// A torrent that is here, and elsewhere, too.
struct Two {
    home: tempfile::TempDir,
    seed: Session,
    leech: Session,
    handle: TorrentHandle,
    news: NewsReceiver,
    bytes: Vec<u8>,
}

impl Two {
    async fn begin(awake: usize) -> Self {
        let (torrent, bytes) = payload(false);
        let home = tempfile::tempdir().unwrap();
        let (there, here) = (home.path().join("there"), home.path().join("here"));
        std::fs::create_dir_all(there.join("data")).unwrap();
        std::fs::write(there.join("data/m"), &bytes).unwrap();
        let seed = session(&there, 5).await;
        let serving = seed.add(torrent.clone(), options(&there)).await.unwrap();
        until(&serving, State::Complete).await;
        let leech = Session::start(config(&here, 1).awake_max(awake)).await.unwrap();
        let peers = vec![SocketAddr::from(([127, 0, 0, 1], seed.port()))];
        let handle = leech.add(torrent, options(&here).peers(peers)).await.unwrap();
        until(&handle, State::Complete).await;
        let news = handle.news();
        Self { home, seed, leech, handle, news, bytes }
    }

    fn file(&self) -> std::path::PathBuf {
        self.home.path().join("here/data/m")
    }

    /// One byte of the file is another one, and nothing else tells that.
    fn damage(&self) {
        let path = self.file();
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20_000] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        std::fs::File::open(&path).unwrap().set_modified(time).unwrap();
    }

    /// How many pieces were found right.
    async fn checked(&mut self) -> u32 {
        let checked = async {
            loop {
                if let News::Checked(found) = self.news.recv().await.unwrap() {
                    return found.count;
                }
            }
        };
        timeout(LIMIT, checked).await.expect("it is looked at")
    }

    async fn is_mended(&self) {
        until(&self.handle, State::Complete).await;
        when(&self.handle, "whole", |status| status.pieces_verified == ALL).await;
        assert!(std::fs::read(self.file()).unwrap() == self.bytes);
    }

    async fn end(self) {
        self.leech.stop().await;
        self.seed.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_of_one_that_runs_is_fetched_again() {
    let mut two = Two::begin(64).await;
    two.handle.verify().await;
    assert_eq!(two.checked().await, ALL);
    until(&two.handle, State::Complete).await;
    two.damage();
    // One is enough.
    two.handle.verify().await;
    two.handle.verify().await;
    assert_eq!(two.checked().await, ALL - 1);
    two.is_mended().await;
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_of_one_that_sleeps_is_fetched_again() {
    let mut two = Two::begin(0).await;
    two.seed.stop().await;
    asleep(&two.handle).await;
    two.damage();
    two.handle.verify().await;
    assert_eq!(two.checked().await, ALL - 1);
    when(&two.handle, "lacking", |status| status.state == State::Downloading).await;
    assert_eq!(two.handle.look(|status| status.pieces_verified), ALL - 1);
    two.leech.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_paused_is_looked_at_and_stays_so() {
    let mut two = Two::begin(64).await;
    two.handle.pause().await;
    until(&two.handle, State::Paused).await;
    two.damage();
    two.handle.verify().await;
    assert_eq!(two.checked().await, ALL - 1);
    let is_known = |status: &Status| status.pieces_verified == ALL - 1;
    when(&two.handle, "paused", |it| it.state == State::Paused && is_known(it)).await;
    two.handle.unpause().await;
    two.is_mended().await;
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_has_seeded_enough_goes_on_if_something_is_wrong() {
    let mut two = Two::begin(64).await;
    two.handle.finish();
    until(&two.handle, State::Finished).await;
    two.handle.verify().await;
    assert_eq!(two.checked().await, ALL);
    until(&two.handle, State::Finished).await;
    two.damage();
    two.handle.verify().await;
    assert_eq!(two.checked().await, ALL - 1);
    two.is_mended().await;
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_waits_for_its_turn_is_looked_at_and_waits_on() {
    let (data, bytes) = payload(false);
    let home = tempfile::tempdir().unwrap();
    let session = session(home.path(), 1).await;
    let first = session.add(torrent(1), options(home.path())).await.unwrap();
    until(&first, State::Downloading).await;
    let waiting = session.add(data, options(home.path())).await.unwrap();
    until(&waiting, State::Queued).await;
    std::fs::create_dir_all(home.path().join("data")).unwrap();
    std::fs::write(home.path().join("data/m"), &bytes[..bytes.len() - 1]).unwrap();
    waiting.verify().await;
    let is_known = |status: &Status| status.pieces_verified == ALL - 1;
    when(&waiting, "queued", |it| it.state == State::Queued && is_known(it)).await;
    let (done, wanted) = waiting.look(|status| (status.done_bytes, status.wanted_bytes));
    assert_eq!((done, wanted), (63 * 16_384, 64 * 16_384));
    assert_eq!(first.state(), State::Downloading);
    // What was found is on record: it is not looked at again.
    first.pause().await;
    let mut news = waiting.news();
    until(&waiting, State::Downloading).await;
    let by_record = async {
        loop {
            if let News::Checked(found) = news.recv().await.unwrap() {
                return (found.count, found.by_record);
            }
        }
    };
    let by_record = timeout(LIMIT, by_record).await.expect("it is opened");
    assert_eq!(by_record, (ALL - 1, ALL - 1));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_only_seeds_says_what_it_lacks() {
    let (data, mut bytes) = payload(false);
    let home = tempfile::tempdir().unwrap();
    let session = session(home.path(), 1).await;
    std::fs::create_dir_all(home.path().join("data")).unwrap();
    std::fs::write(home.path().join("data/m"), &bytes).unwrap();
    let options = options(home.path()).seed_only(true);
    let handle = session.add(data, options).await.unwrap();
    until(&handle, State::Complete).await;
    bytes[20_000] ^= 1;
    std::fs::write(home.path().join("data/m"), &bytes).unwrap();
    handle.verify().await;
    when(&handle, "lacking", |status| status.pieces_verified == ALL - 1).await;
    let is_told = |status: &Status| match &status.state {
        State::DiskTrouble(why) | State::Failed(why) => why.contains("1 of 64 pieces"),
        _ => false,
    };
    when(&handle, "in trouble", is_told).await;
    session.stop().await;
}

/// A torrent of 8 GiB whose data nobody has, and a file as long, which takes no place on disk and
/// a while to look at.
async fn huge(home: &Path) -> (Session, TorrentHandle) {
    let info = "d6:lengthi8589934592e4:name1:m12:piece lengthi16777216e6:pieces10240:";
    let info = [info.as_bytes(), &[b'x'; 10_240], b"e"].concat();
    let torrent = Arc::new(Torrent::from_info(&info).unwrap());
    let session = session(home, 5).await;
    let handle = session.add(torrent, options(home).paused(true)).await.unwrap();
    until(&handle, State::Paused).await;
    std::fs::create_dir_all(home.join("data")).unwrap();
    std::fs::File::create(home.join("data/m")).unwrap().set_len(8 << 30).unwrap();
    (session, handle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_ends_when_its_torrent_is_to_rest_or_leaves() {
    let home = tempfile::tempdir().unwrap();
    let (session, handle) = huge(home.path()).await;
    let is_shown = |status: &Status| status.state == State::Checking && status.checked_bytes.1 > 0;
    for _ in 0..2 {
        handle.verify().await;
        when(&handle, "looked at", is_shown).await;
        handle.pause().await;
        until(&handle, State::Paused).await;
        let (looked_at, all) = handle.look(|status| status.checked_bytes);
        assert!(looked_at < all, "it is not looked at to the end: {looked_at} of {all}");
    }
    handle.verify().await;
    when(&handle, "looked at", is_shown).await;
    let leaves = session.remove(handle_hash(&session).await);
    assert!(timeout(LIMIT, leaves).await.expect("it leaves").unwrap());
    session.stop().await;
}

async fn handle_hash(session: &Session) -> InfoHash {
    session.list().await[0].0
}
