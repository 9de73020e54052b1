//! Other trackers for a torrent that is announced.

use super::*;

impl World {
    /// These are its trackers from now on.
    fn name(&mut self, tiers: &[&[&str]]) -> Vec<String> {
        let url = |name: &&str| match *name {
            "" => String::new(),
            name => format!("http://{name}"),
        };
        let tiers: Vec<Vec<String>> =
            tiers.iter().map(|tier| tier.iter().map(url).collect()).collect();
        self.tiers.name(tiers, self.now);
        self.outputs()
    }

    fn names(&self) -> Vec<String> {
        let name = |it: &TrackerStatus| it.url.trim_start_matches("http://").to_owned();
        self.tiers.status().iter().map(name).collect()
    }
}

#[test]
fn who_stays_hears_nothing_and_who_goes_that_we_leave() {
    let mut world = World::started(&[&["a"], &["b"]]);
    assert_eq!(world.outputs(), ["a started"]);
    assert!(world.replied("a", reply(1800)).is_empty());
    assert!(world.peers(1, 1).is_empty());
    assert!(world.name(&[&["a"], &["c"]]).is_empty(), "b was never asked, and a answers");
    assert_eq!(world.names(), ["a", "c"]);
    assert_eq!(world.name(&[&["c"]]), ["a stopped", "c started"]);
    assert!(world.replied("a", reply(1800)).is_empty());
    assert!(world.replied("c", reply(1800)).is_empty());
    assert_eq!(world.names(), ["c"]);
    assert_eq!(world.tiers.status()[0].state, TrackerState::Working);
    // It comes back, and enters as anybody does.
    assert_eq!(world.name(&[&["a"]]), ["c stopped", "a started"]);
    assert_eq!(world.name(&[&["c"]]), ["a stopped", "c started"], "both before they answer");
    world.handle(Input::Stopped);
    let goodbyes = world.outputs();
    assert!(!goodbyes.iter().any(|it| it == "a stopped"), "it was told: {goodbyes:?}");
}

#[test]
fn a_tier_begins_with_those_that_were_there_and_doubles_are_dropped() {
    let mut world = World::started(&[&["a"], &["b"]]);
    assert_eq!(world.outputs(), ["a started"]);
    assert!(world.name(&[&["x", "b", "a"], &["a", "", "y"]]).is_empty(), "a is asked already");
    let names = world.names();
    assert_eq!((&names[..2], names.len()), (&["a".to_owned(), "b".to_owned()][..], 4));
    assert_eq!(world.failed("a"), ["b started"]);
}

#[test]
fn one_that_is_paused_or_leaves_tells_nobody_more() {
    let mut world = World::started(&[&["a"]]);
    world.outputs();
    world.replied("a", reply(1800));
    world.handle(Input::Paused);
    assert_eq!(world.outputs(), ["a stopped"]);
    assert!(world.name(&[&["b"]]).is_empty());
    world.handle(Input::Resumed);
    assert_eq!(world.outputs(), ["b started"]);
}
