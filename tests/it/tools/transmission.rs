//! Tools for Transmission. Their scripts print a line for each thing that they did and saw done.

use std::process::Command;
use std::time::Instant;

use super::{Daemon, LIMIT, asked_for, installed, script};

/// Whether transmission-remote succeeds with these words, and what it says.
fn tell(daemon: &Daemon, words: &[&str]) -> (bool, String) {
    let mut command = Command::new("transmission-remote");
    command.arg(&daemon.address).args(["-n", &format!("me:{}", daemon.token)]).args(words);
    let ran = command.output().expect("transmission-remote is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ran.status.success(), text(&ran.stdout) + &text(&ran.stderr))
}

/// What it says where it succeeds.
#[track_caller]
fn remote(daemon: &Daemon, words: &[&str]) -> String {
    let (is_done, said) = tell(daemon, words);
    assert!(is_done, "{words:?}: {said}");
    said
}

/// Does what these words order, and says so.
#[track_caller]
fn does(daemon: &Daemon, words: &[&str]) {
    let said = remote(daemon, words);
    assert!(said.contains("responded: \"success\""), "{words:?}: {said}");
}

/// Waits until what these words show has that in it.
#[track_caller]
fn shows(daemon: &Daemon, words: &[&str], part: &str) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let said = remote(daemon, words);
        // Columns are as wide as their widest.
        let plain = said.split_whitespace().collect::<Vec<_>>().join(" ");
        if plain.contains(part) {
            return;
        }
        assert!(Instant::now() < deadline, "{words:?} never shows {part}:\n{said}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn transmission_remote_does_what_it_does_elsewhere() {
    if !asked_for() {
        return;
    }
    let daemon = Daemon::start();
    let (film, extra) = (daemon.path("film.torrent"), daemon.path("extra.torrent"));
    let one = |words: &[&str]| does(&daemon, &[&["-t", "1"], words].concat());
    does(&daemon, &["-a", &film]);
    shows(&daemon, &["-l"], "1 100% 350.0 kB");
    shows(&daemon, &["-t", "1", "-i"], "State: Idle");
    does(&daemon, &["--start-paused", "-a", &extra]);
    shows(&daemon, &["-l"], "2 0% None");
    shows(&daemon, &["-l"], "Stopped extra");
    one(&["-S"]);
    shows(&daemon, &["-l"], "Stopped film");
    one(&["-s"]);
    shows(&daemon, &["-l"], "Idle film");
    one(&["-d", "77"]);
    one(&["-u", "50"]);
    shows(&daemon, &["-t", "1", "-i"], "Download Limit: 77 kB/s");
    shows(&daemon, &["-t", "1", "-i"], "Upload Limit: 50 kB/s");
    one(&["-D"]);
    shows(&daemon, &["-t", "1", "-i"], "Download Limit: Unlimited");
    one(&["-sr", "1.5"]);
    one(&["-L", "tv,linux"]);
    shows(&daemon, &["-t", "1", "-i"], "Labels: tv, linux");
    shows(&daemon, &["-t", "2", "-it"], "127.0.0.1:1024");
    does(&daemon, &["-t", "2", "-td", "http://127.0.0.1:1025/announce"]);
    shows(&daemon, &["-t", "2", "-it"], "127.0.0.1:1025");
    does(&daemon, &["-t", "2", "-tr", "1"]);
    assert!(!remote(&daemon, &["-t", "2", "-it"]).contains("127.0.0.1:1025"));
    does(&daemon, &["-t", "2", "-G", "0"]);
    shows(&daemon, &["-t", "2", "-f"], "Normal No");
    does(&daemon, &["-t", "2", "-g", "all", "-ph", "1"]);
    shows(&daemon, &["-t", "2", "-f"], "High Yes");
    one(&["-v"]);
    shows(&daemon, &["-l"], "1 100% 350.0 kB");
    does(&daemon, &["-t", "2", "-s"]);
    does(&daemon, &["-t", "2", "--reannounce"]);
    shows(&daemon, &["-t", "2", "-it"], "Got an error");
    shows(&daemon, &["-t", "1", "-ip"], "Address Flags");
    shows(&daemon, &["-t", "1", "-ic"], "11");
    let moved = daemon.path("out/moved");
    one(&["--move", &moved]);
    shows(&daemon, &["-t", "1", "-i"], &format!("Location: {moved}"));
    does(&daemon, &["-d", "700", "-u", "600"]);
    does(&daemon, &["-as", "-asd", "9"]);
    shows(&daemon, &["-si"], "Download speed limit: 9 kB/s");
    does(&daemon, &["-AS"]);
    shows(&daemon, &["-si"], "Download speed limit: 700 kB/s");
    shows(&daemon, &["-st"], "CURRENT SESSION");
    does(
        &daemon,
        &["-a", "magnet:?xt=urn:btih:abababababababababababababababababababab&dn=sought"],
    );
    shows(&daemon, &["-l"], "sought");
    does(&daemon, &["-t", "abababababababababababababababababababab", "-r"]);
    does(&daemon, &["-t", "2", "-r"]);
    one(&["-rad"]);
    shows(&daemon, &["-l"], "Sum: None");
    assert!(!daemon.home.path().join("out/moved/film").exists(), "its data is gone");
    let (_, refused) = tell(&daemon, &["-a", &film, "-w", "/etc"]);
    assert!(refused.contains("outside of what may be written to"), "{refused}");
}

#[test]
fn transmission_rpc_does_what_it_does_elsewhere() {
    if !asked_for() {
        return;
    }
    let mut command = Command::new(installed().join("venv/bin/python"));
    command.arg(script("tools_transmission.py"));
    let said = Daemon::start().run(command);
    assert!(said.lines().count() >= 40, "{said}");
}

#[test]
fn ctrl_transmission_does_what_it_does_elsewhere() {
    if !asked_for() {
        return;
    }
    let mut command = Command::new("node");
    command.arg(script("tools_transmission.mjs")).arg(installed().join("node"));
    let said = Daemon::start().run(command);
    assert!(said.lines().count() >= 20, "{said}");
}

#[test]
fn answers_are_shaped_as_those_of_the_real_server() {
    if !asked_for() {
        return;
    }
    let mut command = Command::new("python3");
    command.arg(script("beside_transmission.py"));
    let said = Daemon::start().run(command);
    assert!(said.contains("no difference without a reason"), "{said}");
}
