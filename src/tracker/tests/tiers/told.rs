//! What is kept of a tracker's answers, and what people are told of it.

use super::*;

#[test]
fn a_tracker_id_is_kept_until_another_one_comes() {
    let mut world = World::started(&[&["one"]]);
    world.outputs();
    let tracker = world.in_flight[0].0.tracker;
    world.replied("one", AnnounceReply { tracker_id: Some(b"x".to_vec()), ..reply(300) });
    assert_eq!(world.tiers.tracker_id(tracker), Some(b"x".as_slice()));
    world.until(300);
    world.replied("one", reply(300));
    assert_eq!(world.tiers.tracker_id(tracker), Some(b"x".as_slice()));
    world.until(600);
    world.replied("one", AnnounceReply { tracker_id: Some(b"y".to_vec()), ..reply(300) });
    assert_eq!(world.tiers.tracker_id(tracker), Some(b"y".as_slice()));
}

#[test]
fn counts_that_a_reply_lacks_are_scraped_once_an_interval() {
    let mut world = World::started(&[&["one"], &["two"], &["three"]]);
    world.outputs();
    world.peers(1, 1);
    let tracker = world.in_flight[0].0.tracker;
    assert_eq!(world.replied("one", without_counts(1800)), ["one scrape"]);
    let counts = SwarmCounts { complete: Some(4), incomplete: None, downloaded: Some(9) };
    world.handle(Input::Scraped { tracker, counts });
    let status = &world.tiers.status()[0];
    assert_eq!((status.seeds, status.leeches, status.downloaded), (Some(4), None, Some(9)));
    // Who wants to see them gets those that are not known yet.
    world.handle(Input::ScrapeWanted);
    assert_eq!(world.outputs(), ["two scrape", "three scrape"]);
    world.handle(Input::ScrapeWanted);
    assert_eq!(world.outputs(), [""; 0]);
    // A scrape that failed tells nothing and costs nothing.
    world.handle(Input::Scraped { tracker, counts: SwarmCounts::default() });
    assert_eq!(world.tiers.status()[0].seeds, Some(4));
    assert_eq!(world.until(1800), [at(1800, "one -")]);
    assert_eq!(world.replied("one", reply(1800)), [""; 0]);
    world.handle(Input::ScrapeWanted);
    assert_eq!(world.outputs(), ["two scrape", "three scrape"]);
}

#[test]
fn the_status_tells_all_there_is() {
    let mut world = World::started(&[&["one"], &["two"]]);
    world.outputs();
    world.failed("one");
    world.peers(1, 1);
    let good = AnnounceReply {
        complete: Some(3),
        incomplete: Some(4),
        warning: Some("be nice".to_owned()),
        ..reply(1800)
    };
    world.replied("two", good);
    let status = world.tiers.status();
    assert_eq!(status[0].state, TrackerState::Failing(1));
    assert_eq!(status[0].last_error.as_deref(), Some("cannot reach tracker: connection reset"));
    assert_eq!(status[0].next_announce_at, Some(world.start + seconds(5)));
    assert_eq!((status[1].tier, status[1].state), (1, TrackerState::Working));
    assert_eq!((status[1].seeds, status[1].leeches), (Some(3), Some(4)));
    assert_eq!(status[1].warning.as_deref(), Some("be nice"));
    assert_eq!(status[1].next_announce_at, Some(world.start + seconds(1800)));
}
