//! The hand, in virtual time, over the model of a device.

use tokio::time::{Instant, advance};

use super::super::task::Keeping;
use super::super::threads::Threads;
use super::*;

/// Keeps it, with threads for which virtual time stands still.
fn kept_from(ledger: Ledger) -> Keeping {
    let threads = Threads::with(|_, mut jobs| {
        tokio::spawn(async move {
            while let Some(job) = jobs.recv().await {
                // A panic is told by the runtime.
                let _ = tokio::task::spawn_blocking(job).await;
            }
        });
        Ok(())
    });
    Keeping::over(ledger, threads.unwrap())
}

async fn start() -> (Arc<Model>, Keeping) {
    let (model, ledger) = with_torrents(2);
    (model, kept_from(ledger))
}

/// What the next start finds.
fn kept(model: &Arc<Model>) -> Restored {
    open_model(&Arc::new(model.copy())).unwrap().1
}

/// Lets the hand hear what it was told; what its thread does about it goes on.
async fn settle(keeping: &Keeping) {
    // Its mailbox is read in order.
    let _ = keeping.metadata(TorrentId(1)).await.wait().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_answered_when_it_is_on_the_device() {
    let (model, keeping) = start().await;
    let begin = Instant::now();
    let before = model.operations();
    let mut answers = Vec::new();
    for id in 3..=50 {
        answers.push(keeping.add(spec(id), Some(torrent(id))).await);
    }
    answers.push(keeping.remove(TorrentId(1)).await);
    for answer in answers {
        answer.wait().await.unwrap();
    }
    assert_eq!(ids(&kept(&model)), (2..=50).collect::<Vec<_>>());
    assert!(begin.elapsed() < Duration::from_millis(10), "at once");
    let operations = model.operations() - before;
    // The first alone, and those that came meanwhile together.
    assert!(operations <= 12, "{operations} operations for 49 changes");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_is_kept_a_second_later_in_one_go() {
    let (model, keeping) = start().await;
    let before = model.operations();
    for place in 0..9 {
        keeping.put(Spec { place: Place(place), ..spec(1) }).await;
        settle(&keeping).await;
        advance(Duration::from_millis(100)).await;
    }
    assert_eq!(model.operations(), before);
    advance(Duration::from_millis(150)).await;
    settle(&keeping).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(model.operations() - before, 2);
    assert_eq!(kept(&model).torrents[0].spec.place, Place(8));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(model.operations() - before, 2, "and then it rests");
}

#[tokio::test(start_paused = true)]
async fn counts_are_kept_within_a_minute_and_at_the_end() {
    let (model, keeping) = start().await;
    keeping.tally(TorrentId(1), tally(1)).await;
    tokio::time::sleep(Duration::from_secs(59)).await;
    keeping.put(Spec { paused: true, ..spec(2) }).await;
    assert_eq!(kept(&model).torrents[0].tally, Tally::default());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(kept(&model).torrents[0].tally, tally(1));
    keeping.tally(TorrentId(2), tally(2)).await;
    keeping.put(spec(2)).await;
    keeping.stop().await.wait().await.unwrap();
    let restored = kept(&model);
    assert_eq!(restored.torrents[1].tally, tally(2));
    assert!(!restored.torrents[1].spec.paused);
    let ended = keeping.remove(TorrentId(1)).await.wait().await.unwrap_err();
    assert_eq!(ended.to_string(), "the session has ended");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_told_and_tried_again() {
    let (model, keeping) = start().await;
    let mut trouble = keeping.trouble();
    assert_eq!(*trouble.borrow_and_update(), None);
    model.limit(Some(0));
    let answer = keeping.add(spec(3), Some(torrent(3))).await;
    let why = answer.wait().await.unwrap_err().to_string();
    assert!(why.starts_with("cannot write state/torrents-1.pack: No space"), "{why}");
    assert_eq!(trouble.borrow_and_update().as_deref(), Some(&*why));
    let before = model.operations();
    tokio::time::sleep(Duration::from_secs(300)).await;
    let tried = model.operations() - before;
    // A write that fails, and a cut: after 1, 2, 4 … 60 seconds.
    assert!((10..40).contains(&tried), "{tried} operations");
    assert_eq!(ids(&kept(&model)), [1, 2]);
    // What is there already is to be had all the same.
    let bytes = keeping.metadata(TorrentId(3)).await.wait().await.unwrap();
    assert_eq!(bytes, Some(torrent(3)));
    model.limit(None);
    trouble.changed().await.unwrap();
    assert_eq!(*trouble.borrow_and_update(), None);
    assert_eq!(ids(&kept(&model)), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn its_end_is_the_end_of_its_last_handle() {
    let (model, keeping) = start().await;
    keeping.put(Spec { paused: true, ..spec(1) }).await;
    let mut trouble = keeping.trouble();
    drop(keeping);
    assert!(trouble.changed().await.is_err(), "it has ended");
    assert!(kept(&model).torrents[0].spec.paused);
}

#[tokio::test(start_paused = true)]
async fn metadata_is_read_and_what_is_wrong_with_it_told() {
    let (model, keeping) = start().await;
    for (id, expected) in [(1, Some(torrent(1))), (2, Some(torrent(2))), (77, None)] {
        assert_eq!(keeping.metadata(TorrentId(id)).await.wait().await.unwrap(), expected);
    }
    keeping.stop().await.wait().await.unwrap();
    model.set_bytes("torrents-1.pack", &[0; 5000]);
    let keeping = kept_from(open_model(&model).unwrap().0);
    let refused = keeping.metadata(TorrentId(2)).await.wait().await.unwrap_err();
    assert_eq!(refused.to_string(), "the metadata of torrent 2 is damaged");
}

#[tokio::test(start_paused = true)]
async fn it_makes_files_shorter_when_it_has_time() {
    let (model, keeping) = start().await;
    for id in 3..=60 {
        keeping.add(spec(id), Some(torrent(id))).await;
    }
    keeping.add(spec(61), None).await.wait().await.unwrap();
    let before = model.bytes(LEDGER).len();
    assert!(before > 10_000, "{before} bytes");
    for id in 3..=61 {
        keeping.remove(TorrentId(id)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(model.bytes(LEDGER).len() < 3000, "{} bytes", model.bytes(LEDGER).len());
    assert_eq!(ids(&kept(&model)), [1, 2]);
    assert_eq!(keeping.metadata(TorrentId(2)).await.wait().await.unwrap(), Some(torrent(2)));
}

#[tokio::test(start_paused = true)]
async fn what_was_said_not_to_be_kept_is_not_there_after_the_end() {
    let (model, keeping) = start().await;
    model.limit(Some(0));
    keeping.add(spec(3), Some(torrent(3))).await.wait().await.unwrap_err();
    // Whoever was there before stays, whatever is not written of it.
    keeping.add(spec(2), Some(torrent(2))).await.wait().await.unwrap_err();
    model.limit(None);
    // This one is added again before the end, and that goes well.
    model.limit(Some(0));
    keeping.add(spec(4), Some(torrent(4))).await.wait().await.unwrap_err();
    model.limit(None);
    keeping.add(spec(4), Some(torrent(4))).await.wait().await.unwrap();
    keeping.stop().await.wait().await.unwrap();
    assert_eq!(ids(&kept(&model)), [1, 2, 4]);
    let (ledger, _) = open_model(&model).unwrap();
    assert_eq!(ledger.next_id(), Some(TorrentId(5)));
}

#[tokio::test(start_paused = true)]
async fn a_number_that_was_given_is_given_to_no_other_though_nothing_was_added() {
    let (model, keeping) = start().await;
    keeping.used(TorrentId(3)).await;
    keeping.used(TorrentId(2)).await;
    settle(&keeping).await;
    // Time stands still while a thread works.
    tokio::time::sleep(Duration::from_millis(1)).await;
    // Without an end.
    let next = |model: &Arc<Model>| open_model(&Arc::new(model.copy())).unwrap().0.next_id();
    assert_eq!(next(&model), Some(TorrentId(4)));
    keeping.used(TorrentId(u32::MAX)).await;
    keeping.stop().await.wait().await.unwrap();
    assert_eq!((next(&model), ids(&kept(&model))), (None, vec![1, 2]));
}

#[tokio::test(start_paused = true)]
async fn what_a_torrent_did_before_it_was_added_is_kept_with_it() {
    let (model, keeping) = start().await;
    keeping.add_with(spec(3), Some(torrent(3)), tally(7)).await.wait().await.unwrap();
    assert_eq!(kept(&model).torrents[2].tally, tally(7));
}

/// A disk that hangs has all threads of the runtime's that may wait.
#[test]
fn it_waits_behind_no_other_disk() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open(dir.path()).unwrap();
    let (thaw, frozen) = std::sync::mpsc::sync_channel::<()>(1);
    runtime.block_on(async {
        let hangs = tokio::task::spawn_blocking(move || frozen.recv());
        let keeping = Keeping::start(ledger).unwrap();
        let all = async {
            keeping.add(spec(1), Some(torrent(1))).await.wait().await.unwrap();
            // Of which nothing is in memory any more.
            let bytes = keeping.metadata(TorrentId(1)).await.wait().await.unwrap();
            assert_eq!(bytes, Some(torrent(1)));
            keeping.stop().await.wait().await.unwrap();
        };
        let done = tokio::time::timeout(Duration::from_secs(20), all).await;
        drop(thaw);
        hangs.await.unwrap().unwrap_err();
        done.expect("it waits for nobody");
    });
    assert_eq!(ids(&Ledger::open(dir.path()).unwrap().1), [1]);
}

#[tokio::test]
async fn whoever_gives_up_a_read_on_a_device_that_hangs_leaves_nothing_behind() {
    let (_model, ledger) = with_torrents(2);
    // Its threads take what they get, and do nothing.
    let kept = std::cell::RefCell::new(Vec::new());
    let threads = Threads::with(|_, jobs| {
        kept.borrow_mut().push(jobs);
        Ok(())
    });
    let keeping = Keeping::over(ledger, threads.unwrap());
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let mut answers = Vec::new();
    for _ in 0..100 {
        answers.push(keeping.metadata(TorrentId(1)).await);
    }
    // As many as find room wait in the thread's mailbox.
    let full = async {
        while tasks() < before + 100 - 16 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), full).await.expect("the others wait");
    drop(answers);
    let empty = async {
        while tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), empty).await.expect("they go");
}

#[tokio::test(start_paused = true)]
async fn what_was_said_is_written_at_once_when_that_is_asked_for() {
    let (model, keeping) = start().await;
    let begin = Instant::now();
    keeping.put(Spec { place: Place(9), ..spec(1) }).await;
    keeping.flush().await.wait().await.unwrap();
    assert!(begin.elapsed() < Duration::from_millis(10));
    assert_eq!(kept(&model).torrents[0].spec.place, Place(9));
    // With nothing to write it is answered, too.
    keeping.flush().await.wait().await.unwrap();
    keeping.remove(TorrentId(1)).await.wait().await.unwrap();
}
