//! `driver resume`: what is kept of earlier downloads is listed and cleared, and nothing that a
//! running program has.

use serde_json::Value;

use super::run::{LIMIT, Place, Running, finish, run};

fn listed(place: &Place) -> Vec<Value> {
    let ran = run(place.home.path(), &["resume", "list", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let mut told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    serde_json::from_value(told["records"].take()).expect("a list")
}

#[test]
fn records_are_listed_and_cleared_and_data_stays() {
    let place = Place::new(None);
    let hash: String = place.payload.info_hash().iter().map(|byte| format!("{byte:02x}")).collect();
    let resume = |arguments: &[&str]| run(place.home.path(), &[&["resume"], arguments].concat());
    assert!(resume(&["list"]).stdout.starts_with("nothing is kept in "));
    let ran = finish(&mut place.command(&["-e"]));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);

    let records = listed(&place);
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["info_hash"], hash);
    assert_eq!((&records[0]["in_use"], &records[0]["missing"]), (&false.into(), &false.into()));
    resume(&["clear"]).assert_refused(2, "--older-than DAYS, --missing, or --all");
    resume(&["clear", &"0".repeat(40)]).assert_refused(3, "nothing is kept of it");
    let none = resume(&["clear", "--older-than", "1", "--missing"]);
    assert_eq!((none.code, &*none.stdout), (Some(0), "nothing to clear\n"));
    let dry = resume(&["clear", "--all", "--dry-run"]);
    assert!(dry.stdout.contains("1 record, ") && dry.stdout.contains("would be cleared"));
    assert_eq!(listed(&place).len(), 1);

    std::fs::rename(place.out(), place.home.path().join("away")).expect("take the data away");
    let cleared = resume(&["clear", "--missing"]);
    assert_eq!(cleared.code, Some(0), "{}", cleared.stderr);
    let words = format!("{hash}\n1 record, ");
    assert!(cleared.stdout.starts_with(&words), "{}", cleared.stdout);
    assert!(cleared.stdout.ends_with(" cleared; no data was touched\n"), "{}", cleared.stdout);
    assert_eq!(listed(&place), [Value::Null; 0]);
    place.payload.assert_same(&place.home.path().join("away"));
}

#[test]
fn what_a_running_program_has_is_left_alone() {
    let place = Place::new(Some(100_000));
    let mut running = Running::start(&mut place.command(&[]));
    assert!(place.seeder.wait_served(100_000, LIMIT), "nothing was asked for");
    let records = listed(&place);
    assert_eq!(records[0]["in_use"], true, "{records:?}");
    let all = run(place.home.path(), &["resume", "clear", "--all"]);
    assert_eq!((all.code, &*all.stdout), (Some(0), "nothing to clear\n"));
    assert!(all.stderr.contains(" is left: a running program has it"), "{}", all.stderr);
    let hash = records[0]["info_hash"].as_str().expect("a hash");
    let named = run(place.home.path(), &["resume", "clear", hash, "--json"]);
    assert_eq!(named.code, Some(8), "{}{}", named.stdout, named.stderr);
    let told: Value = serde_json::from_str(&named.stdout).expect("JSON");
    assert_eq!(told["left"][0]["info_hash"], hash);
    assert_eq!(listed(&place).len(), 1);
    running.type_line("quit");
    assert_eq!(running.wait().code, Some(7));
}
