//! Where trackers of torrents are, as lists tell it.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_tell_the_hosts_of_trackers_and_when_they_are_others() {
    let home = tempfile::tempdir().unwrap();
    let api = api(home.path()).await;
    let trackers = [
        "http://T.Example.org:6969/announce?key=secret",
        "udp://b.example:1",
        "http://b.example/x",
    ];
    let trackers = trackers.map(str::to_owned).to_vec();
    add(&api, Addition { trackers, paused: true, ..addition("one") }).await;
    let link = Some(format!("magnet:?xt=urn:btih:{}&tr=udp://c.example:1", "ab".repeat(20)));
    add(&api, Addition { link, paused: true, ..Addition::default() }).await;
    until(&api, 1, State::Paused).await;
    let listed = list(&api, None).await;
    let hosts = |all: &[&str]| Some(all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
    assert_eq!(listed.torrents[0].trackers, hosts(&["b.example", "t.example.org"]));
    assert_eq!(listed.torrents[1].trackers, None, "what a link names is not all that there is");
    let tiers = Some(vec![vec!["http://d.example/announce".to_owned()]]);
    let patch = Patch { trackers: tiers, ..Patch::default() };
    api.answer(Request::Set(Key::Id(1), Box::new(patch))).await.unwrap();
    let changed = list(&api, Some(listed.cursor)).await;
    let one = changed.torrents.iter().find(|it| it.id == 1).expect("it is told");
    assert_eq!(one.trackers, hosts(&["d.example"]));
    api.session().stop().await;
}
