//! Complete torrents that nobody is connected to sleep, and wake for whoever comes.

use super::*;
use crate::disk::reserve;
use crate::torrent::status::Status;

/// A torrent of one byte that stands in the directory of these options.
pub(super) fn held(number: usize, options: &TorrentOptions) -> Arc<Torrent> {
    let content = [u8::try_from(number).unwrap()];
    let name = format!("{number:04}");
    std::fs::create_dir_all(&options.dir).unwrap();
    let file = options.dir.join(&name);
    if !file.exists() {
        std::fs::write(file, content).unwrap();
    }
    let info = format!("d6:lengthi1e4:name4:{name}12:piece lengthi16384e6:pieces20:");
    let bytes = [b"d4:info", info.as_bytes(), &sha1(&[&content]), b"ee"].concat();
    Arc::new(Torrent::parse(&bytes).unwrap())
}

pub(super) async fn when(handle: &TorrentHandle, what: &str, is_so: impl Fn(&Status) -> bool) {
    let mut status = handle.watch();
    let reached = tokio::time::timeout(Duration::from_secs(20), status.wait_for(is_so)).await;
    reached.unwrap_or_else(|_| panic!("not {what}")).unwrap();
}

pub(super) async fn asleep(handle: &TorrentHandle) {
    when(handle, "asleep", |it| it.is_asleep && it.state == State::Complete).await;
}

/// Seeds so many, of which some may be awake without peers.
async fn seeds(home: &Path, count: usize, awake: usize) -> (Session, Vec<TorrentHandle>) {
    let session = Session::start(config(home, 5).awake_max(awake)).await.unwrap();
    let options = options(home).seed_only(true);
    let mut handles = Vec::new();
    for number in 0..count {
        handles.push(session.add(held(number, &options), options.clone()).await.unwrap());
    }
    (session, handles)
}

/// Has another session fetch the torrent of this number from that one.
pub(super) async fn fetched(from: &Session, number: usize, torrent: Arc<Torrent>) {
    let home = tempfile::tempdir().unwrap();
    let session = Session::start(config(home.path(), 5)).await.unwrap();
    let peers = vec![SocketAddr::from(([127, 0, 0, 1], from.port()))];
    let handle = session.add(torrent, options(home.path()).peers(peers)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), handle.wait_until_complete())
        .await
        .unwrap_or_else(|_| panic!("{number} is not fetched"))
        .unwrap();
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeds_with_nobody_sleep_but_for_some_and_wake_for_who_connects() {
    let home = tempfile::tempdir().unwrap();
    let (session, handles) = seeds(home.path(), 3, 1).await;
    let is_asleep = |number: &usize| handles[*number].look(|status| status.is_asleep);
    let awake = |numbers: [usize; 2]| numbers.into_iter().find(|number| !is_asleep(number));
    // All but one, which is whichever was complete last.
    let mut numbers = [0, 1, 2];
    tokio::time::timeout(Duration::from_secs(20), async {
        while numbers.iter().filter(|number| is_asleep(number)).count() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("two sleep");
    numbers.sort_by_key(|number| is_asleep(number));
    let [last, first, second] = numbers;
    until(&handles[last], State::Complete).await;
    assert_eq!(awake([first, second]), None);
    fetched(&session, first, held(first, &options(home.path()))).await;
    let is_served = |status: &Status| status.uploaded_bytes == 1 && !status.is_asleep;
    when(&handles[first], "served", is_served).await;
    // Of the two that are awake, that one had somebody last.
    asleep(&handles[last]).await;
    fetched(&session, second, held(second, &options(home.path()))).await;
    asleep(&handles[first]).await;
    assert_eq!(handles[first].look(|status| status.uploaded_bytes), 1, "it is not forgotten");
    assert_eq!(awake([last, second]), Some(second));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeds_of_an_earlier_run_begin_asleep() {
    let home = tempfile::tempdir().unwrap();
    let (session, handles) = seeds(home.path(), 3, 1).await;
    for handle in &handles {
        until(handle, State::Complete).await;
    }
    session.stop().await;
    let (session, handles) = seeds(home.path(), 3, 1).await;
    for handle in &handles[1..] {
        let seen = handle.status();
        assert!(seen.is_asleep, "{:?}", seen.state);
        assert_eq!((seen.done_bytes, seen.wanted_bytes, seen.pieces_verified), (1, 1, 1));
    }
    fetched(&session, 2, held(2, &options(home.path()))).await;
    when(&handles[2], "served", |status| status.uploaded_bytes == 1).await;
    session.stop().await;
    // A task hears no orders any more a moment after its torrent has stopped.
    let ended = async {
        while !handles.iter().all(TorrentHandle::has_ended) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("they have ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_and_place_of_a_torrent_are_free_as_soon_as_it_has_stopped() {
    let home = tempfile::tempdir().unwrap();
    for awake in [64, 0] {
        let (session, handles) = seeds(home.path(), 64, awake).await;
        for (number, handle) in handles.iter().enumerate() {
            until(handle, State::Complete).await;
            let hash = held(number, &options(home.path())).info_hash_v1.unwrap();
            let record = home.path().join("state").join(format!("{hash}.resume"));
            let dir = handle.status().home.unwrap().dir.clone();
            assert!(record.exists() && reserve(&record, hash, &dir).is_none(), "{number} is free");
            handle.stop().await;
            assert!(reserve(&record, hash, &dir).is_some(), "{number} is taken, {awake} awake");
        }
        session.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_reach_a_sleeping_torrent() {
    let home = tempfile::tempdir().unwrap();
    let (session, handles) = seeds(home.path(), 1, 0).await;
    let sleeper = &handles[0];
    asleep(sleeper).await;
    assert_eq!(sleeper.peers(false).await, []);
    sleeper.limit_up(Some(1000)).await;
    when(sleeper, "limited", |status| status.limit_up == Some(1000) && status.is_asleep).await;
    // It wakes for that, and sleeps again.
    sleeper.select_files(vec![true]).await;
    sleeper.pause().await;
    until(sleeper, State::Paused).await;
    sleeper.resume().await;
    asleep(sleeper).await;
    // Files can be moved though none is open.
    let there = home.path().join("there");
    sleeper.relocate(Relocation::Dir(there.clone())).await.unwrap().unwrap();
    when(sleeper, "moved", |it| it.home.as_ref().is_some_and(|home| home.dir == there)).await;
    asleep(sleeper).await;
    sleeper.finish();
    until(sleeper, State::Finished).await;
    assert!(session.remove(held(0, &options(home.path())).info_hash_v1.unwrap()).await.unwrap());
    assert!(sleeper.has_ended());
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_lost_in_its_sleep_is_seen_when_it_wakes() {
    let home = tempfile::tempdir().unwrap();
    let (session, handles) = seeds(home.path(), 1, 0).await;
    asleep(&handles[0]).await;
    let data = options(home.path()).dir;
    std::fs::remove_file(data.join("0000")).unwrap();
    handles[0].add_peer(([127, 0, 0, 1], 1).into()).await;
    let is_lost = |status: &Status| matches!(status.state, State::DiskTrouble(_));
    when(&handles[0], "in trouble", |status| is_lost(status) && !status.is_asleep).await;
    // Put back, it goes on by itself.
    held(0, &options(home.path()));
    until(&handles[0], State::Complete).await;
    fetched(&session, 0, held(0, &options(home.path()))).await;
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeping_torrent_keeps_its_record_and_its_place() {
    let home = tempfile::tempdir().unwrap();
    let (session, handles) = seeds(home.path(), 1, 0).await;
    asleep(&handles[0]).await;
    let other = Session::start(config(home.path(), 5)).await.unwrap();
    let options = options(home.path());
    let torrent = held(0, &options);
    let refused = other.add(torrent.clone(), options.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("already in use"), "{refused}");
    fetched(&session, 0, torrent.clone()).await;
    session.stop().await;
    other.add(torrent, options).await.unwrap();
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeper_is_paused_in_its_sleep_and_wakes_as_such() {
    let home = tempfile::tempdir().unwrap();
    let (session, handles) = seeds(home.path(), 1, 0).await;
    let sleeper = &handles[0];
    asleep(sleeper).await;
    let mut seen = sleeper.watch();
    let never_woke = tokio::spawn(async move {
        let woke = seen.wait_for(|status| !status.is_asleep).await;
        woke.is_err()
    });
    for _ in 0..3 {
        sleeper.pause().await;
        when(sleeper, "paused", |it| it.state == State::Paused && it.is_asleep).await;
        // Nobody is let in.
        let peer = tokio::net::TcpStream::connect(("127.0.0.1", session.port())).await.unwrap();
        drop(peer);
        sleeper.unpause().await;
        asleep(sleeper).await;
    }
    sleeper.pause().await;
    when(sleeper, "paused", |it| it.state == State::Paused).await;
    assert!(!never_woke.is_finished(), "it woke");
    never_woke.abort();
    // It wakes for what is done with files, and sleeps again, as it was.
    let there = home.path().join("there");
    sleeper.relocate(Relocation::Dir(there.clone())).await.unwrap().unwrap();
    let is_there = |it: &Status| it.home.as_ref().is_some_and(|home| home.dir == there);
    let rests = |it: &Status| it.state == State::Paused && it.is_asleep && is_there(it);
    when(sleeper, "asleep again", rests).await;
    sleeper.resume().await;
    asleep(sleeper).await;
    fetched(&session, 0, held(0, &options(home.path()))).await;
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_only_looks_wakes_nobody() {
    let home = tempfile::tempdir().unwrap();
    let (session, handles) = seeds(home.path(), 1, 0).await;
    let sleeper = &handles[0];
    asleep(sleeper).await;
    let mut seen = sleeper.watch();
    let woke = tokio::spawn(async move { seen.wait_for(|it| !it.is_asleep).await.is_ok() });
    for _ in 0..2 {
        assert_eq!(sleeper.why().await.unwrap(), Default::default());
        assert_eq!((sleeper.sources().await, sleeper.peers(true).await), (vec![], vec![]));
        // A server is noted for when something is missing.
        sleeper.add_web_seed(WebSeed::of_user("http://192.0.2.1/")).await.unwrap();
        sleeper.pause().await;
        when(sleeper, "paused", |it| it.state == State::Paused && it.is_asleep).await;
    }
    assert!(!woke.is_finished(), "it woke");
    woke.abort();
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_one_that_is_paused_sleeps_though_others_may_be_awake() {
    let home = tempfile::tempdir().unwrap();
    let (session, handles) = seeds(home.path(), 1, 5).await;
    until(&handles[0], State::Complete).await;
    handles[0].pause().await;
    when(&handles[0], "asleep", |it| it.state == State::Paused && it.is_asleep).await;
    handles[0].resume().await;
    asleep(&handles[0]).await;
    fetched(&session, 0, held(0, &options(home.path()))).await;
    session.stop().await;
}

/// BEP 14: it announces itself to them, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_announces_itself_in_the_local_network_wakes_nobody() {
    let home = tempfile::tempdir().unwrap();
    let (commands, _ordered) = mpsc::channel(16);
    let (heard, peers) = mpsc::channel(16);
    let local = |_| Local::with(Some(crate::net::lsd::Lsd { commands, peers }));
    let session = Session::start_among(config(home.path(), 5).awake_max(0), local).await.unwrap();
    let options = options(home.path()).seed_only(true);
    let torrent = held(0, &options);
    let sleeper = session.add(torrent.clone(), options).await.unwrap();
    asleep(&sleeper).await;
    let (info_hash, address) = (torrent.info_hash_v1.unwrap(), ([127, 0, 0, 1], 9).into());
    heard.send(crate::net::lsd::LocalPeer { info_hash, address }).await.unwrap();
    while heard.capacity() < heard.max_capacity() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // What comes behind it is heard in its sleep.
    session.list().await;
    sleeper.limit_up(Some(1000)).await;
    when(&sleeper, "limited", |status| status.limit_up == Some(1000)).await;
    assert!(sleeper.look(|status| status.is_asleep));
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeds_of_an_earlier_run_sleep_without_a_turn_and_others_wait_for_it() {
    let home = tempfile::tempdir().unwrap();
    let (session, handles) = seeds(home.path(), 3, 0).await;
    for handle in &handles {
        asleep(handle).await;
    }
    session.stop().await;
    let session = Session::start(config(home.path(), 1)).await.unwrap();
    // It holds the only place.
    let options = options(home.path());
    let first = session.add(torrent(9), options.clone()).await.unwrap();
    until(&first, State::Downloading).await;
    let seed = options.clone().seed_only(true);
    // Whether it only sends or has all that it was to fetch.
    for (number, options) in [(0, seed.clone()), (1, options.clone())] {
        let handle = session.add(held(number, &options), options).await.unwrap();
        assert!(handle.look(|it| it.is_asleep && it.state == State::Complete), "{number}");
        fetched(&session, number, held(number, &seed)).await;
    }
    // Who has no record, is to be paused, or has lost something waits.
    let unknown = session.add(held(3, &seed), seed.clone()).await.unwrap();
    assert_eq!(unknown.state(), State::Queued);
    let paused = options.clone().paused(true);
    let paused = session.add(held(2, &options), paused).await.unwrap();
    assert_eq!(paused.state(), State::Paused);
    assert!(session.remove(held(2, &options).info_hash_v1.unwrap()).await.unwrap());
    let third = held(2, &seed);
    std::fs::remove_file(seed.dir.join("0002")).unwrap();
    let lost = session.add(third, seed).await.unwrap();
    assert_eq!((lost.state(), first.state()), (State::Queued, State::Downloading));
    session.stop().await;
}
