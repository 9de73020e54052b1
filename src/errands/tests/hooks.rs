//! Hooks: programs that are run and servers that are told.

use std::fs;

use super::server::{Server, answer};
use super::*;
use crate::api::{Addition, Key};
use data_encoding::BASE64;

/// A hook on these that runs a script with the shell, which is given the home of the test.
fn script(home: &Path, on: &[Moment], text: &str) -> Hook {
    let path = home.join(format!("{}.sh", on[0].name()));
    fs::write(&path, text).unwrap();
    let words = ["/bin/sh".into(), path, home.to_owned()];
    let words = words.map(|it| it.to_string_lossy().into_owned());
    Hook { on: on.to_vec(), labels: Vec::new(), act: Act::Run(words.into()) }
}

fn hooked(hooks: Vec<Hook>) -> Plan {
    Plan { hooks, ..Plan::default() }
}

async fn add(world: &World, name: &str, label: &str) -> u32 {
    let addition = Addition {
        torrent: Some(BASE64.encode(&torrent(name))),
        labels: vec![label.to_owned()],
        paused: true,
        ..Addition::default()
    };
    match world.api.answer(Request::Add(Box::new(addition))).await {
        Ok(Answer::Added(added)) => added.id.unwrap(),
        other => panic!("{other:?}"),
    }
}

fn first(standing: &Standing) -> HookStanding {
    standing.hooks.first().cloned().unwrap_or_default()
}

async fn begun(plan: impl FnOnce(&Path) -> Plan) -> World {
    let world = World::new(plan).await;
    world.until("begun", |it| !it.hooks.is_empty()).await;
    world
}

/// Is this process gone, or dead and only not waited for?
fn is_gone(pid: &str) -> bool {
    match fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Ok(stat) => stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')),
        Err(_) => true,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_told_by_its_environment_of_torrents_of_its_label() {
    let world = begun(|home| {
        let text = "env >> \"$1/said\"; echo --- >> \"$1/said\"";
        let mut hook = script(home, &[Moment::Added, Moment::Removed], text);
        hook.labels = vec!["mine".to_owned()];
        hooked(vec![hook])
    })
    .await;
    add(&world, "other", "others").await;
    let id = add(&world, "$(touch out)", "mine").await;
    world.until("told", |it| first(it).done == 1).await;
    world.api.answer(Request::Remove(Key::Id(id), false)).await.unwrap();
    world.until("told of both", |it| first(it).done == 2).await;
    let said = fs::read_to_string(world.path("said")).unwrap();
    let [added, removed, _] = &said.split("---\n").collect::<Vec<_>>()[..] else {
        panic!("{said}")
    };
    let has = |text: &str, line: &str| text.lines().any(|own| own == line);
    for (told, event) in [(added, "added"), (removed, "removed")] {
        for line in [
            &*format!("PIGEON_EVENT={event}"),
            &format!("PIGEON_ID={id}"),
            "PIGEON_NAME=$(touch out)",
            "PIGEON_LABEL=mine",
            "PIGEON_SIZE=40000",
            &format!("PIGEON_DIR={}", world.path("downloads").display()),
        ] {
            assert!(has(told, line), "{line} in {told}");
        }
        assert!(!told.contains("DRIVER_"), "{told}");
    }
    assert_eq!(first(&world.errands.standing()).failed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_hangs_is_ended_with_what_it_has_started() {
    let text = "sleep 1000 & echo $! > \"$1/child\"; echo $$ > \"$1/own\"; wait";
    let world = begun(|home| hooked(vec![script(home, &[Moment::Added], text)])).await;
    add(&world, "one", "x").await;
    world.until("ended", |it| first(it).failed == 1).await;
    let why = first(&world.errands.standing()).trouble.unwrap();
    assert_eq!(why, "it took longer than 10 s and was ended");
    for name in ["own", "child"] {
        let pid = fs::read_to_string(world.path(name)).unwrap();
        world.until(name, |_| is_gone(&pid)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_says_much_or_fails_is_waited_for_and_not_run_again() {
    let text = "head -c 3000000 /dev/zero; echo told >> \"$1/said\"; exit 3";
    let world = begun(|home| hooked(vec![script(home, &[Moment::Added], text)])).await;
    add(&world, "one", "x").await;
    world.until("failed", |it| first(it).failed == 1).await;
    let standing = first(&world.errands.standing());
    assert_eq!((&*standing.trouble.unwrap(), standing.waiting), ("it ended with code 3", 0));
    assert_eq!(fs::read_to_string(world.path("said")).unwrap(), "told\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_a_hook_run_at_once_others_are_told_and_all_end_with_the_daemon() {
    let home = tempfile::tempdir().unwrap();
    let text = "echo $$ > \"$1/run.$PIGEON_ID\"; sleep 1000";
    let hangs = script(home.path(), &[Moment::Added], text);
    let ends = Hook { act: Act::Run(vec!["true".to_owned()]), ..hangs.clone() };
    let plan = hooked(vec![hangs, ends]);
    let api = api(home.path()).await;
    let errands = home.path().join("errands");
    let config = ErrandsConfig { hook_limit: LIMIT * 10, ..config(&api, errands) };
    let world = World { errands: Errands::start(config, plan), api, home };
    world.until("begun", |it| !it.hooks.is_empty()).await;
    for name in ["1", "2", "3", "4", "5", "6"] {
        add(&world, name, "x").await;
    }
    let pids = || -> Vec<String> {
        let paths = (1..=6).map(|id| world.path(&format!("run.{id}")));
        let pids = paths.filter_map(|path| fs::read_to_string(path).ok());
        pids.filter(|pid| pid.ends_with('\n')).collect()
    };
    let counts = |it: &HookStanding| (it.running, it.waiting, it.done);
    let is_so =
        |all: &Standing| counts(&all.hooks[0]) == (2, 4, 0) && counts(&all.hooks[1]) == (0, 0, 6);
    world.until("running", |it| is_so(it) && pids().len() == 2).await;
    world.errands.stop().await;
    let pids = pids();
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| is_gone(pid)), "{pids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_told_signed_and_again_when_it_fails() {
    let server = Server::start(|before, _| match before {
        0 => answer("503 Busy", "", b""),
        _ => answer("204 No Content", "", b""),
    })
    .await;
    let url = server.url("/hook?key=secret");
    let world = begun(|_| {
        let act = Act::Post { url, secret: Some("between us".to_owned()) };
        hooked(vec![Hook { on: vec![Moment::Added], labels: Vec::new(), act }])
    })
    .await;
    add(&world, "one \"two\" ü", "x").await;
    world.until("told", |it| first(it).done == 1).await;
    let asked = server.asked();
    let [one, two] = &asked[..] else { panic!("{asked:?}") };
    assert!(one.head.starts_with("POST /hook?key=secret HTTP/1.1\r\n"), "{}", one.head);
    assert_eq!(one.body, two.body, "whoever has heard it knows it again");
    assert_eq!(two.path(), "/hook?key=secret");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"between us");
    for asked in [one, two] {
        let told = asked.header("x-pigeon-signature").unwrap().strip_prefix("sha256=").unwrap();
        let told = data_encoding::HEXLOWER.decode(told.as_bytes()).unwrap();
        ring::hmac::verify(&key, &asked.body, &told).unwrap();
        assert_eq!(asked.header("content-type"), Some("application/json"));
    }
    let body: serde_json::Value = serde_json::from_slice(&one.body).unwrap();
    assert_eq!((&body["event"], &body["labels"][0]), (&"added".into(), &"x".into()));
    assert_eq!(body["name"], "one \"two\" ü");
    let standing = first(&world.errands.standing());
    assert!(!standing.what.contains("secret"), "{standing:?}");
    assert_eq!(
        (standing.failed, standing.trouble),
        (0, Some("the server says 503 Service Unavailable".to_owned()))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_redirects_is_not_followed() {
    let server = Server::start(|_, _| answer("302 Found", "Location: /elsewhere\r\n", b"")).await;
    let url = server.url("/hook");
    let world = begun(|_| {
        let act = Act::Post { url, secret: None };
        hooked(vec![Hook { on: vec![Moment::Added], labels: Vec::new(), act }])
    })
    .await;
    add(&world, "one", "x").await;
    world.until("failed", |it| first(it).failed == 1).await;
    let asked = server.asked();
    assert_eq!((asked.len(), asked[0].header("x-pigeon-signature")), (1, None));
}
