//! An authority that the user names vouches for all that is reached by TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;
use crate::mock_tls::{MockTls, certificate};

#[test]
fn who_names_an_authority_means_torrents_lists_trackers_and_servers_of_files() {
    let home = tempfile::tempdir().expect("a folder");
    let payload = Payload::new(11, "t", 65_536, &[("file", 300_000)]);
    let files: std::collections::HashMap<_, _> = payload.contents().into_iter().collect();
    let announced = Arc::new(AtomicBool::new(false));
    let bytes = Arc::new(std::sync::OnceLock::new());
    let (is_announced, its_bytes) = (announced, bytes.clone());
    let server = MockTls::start(move |target| match target {
        "/t.torrent" => its_bytes.get().cloned(),
        "/list" => Some(b"192.0.2.1\n".to_vec()),
        _ if target.starts_with("/announce?") => {
            is_announced.store(true, Ordering::SeqCst);
            Some(b"d8:intervali1800e5:peers0:e".to_vec())
        }
        file => {
            // It would be complete before the tracker is asked.
            let deadline = Instant::now() + DOWNLOAD;
            while !is_announced.load(Ordering::SeqCst) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            files.get(file).cloned()
        }
    });
    let mut text = payload.torrent(Some(&server.url("/announce")));
    text.pop();
    let seed = server.url("/");
    text.extend(format!("8:url-list{}:{seed}e", seed.len()).bytes());
    bytes.set(text).expect("set once");

    let run = |authority: Option<&Path>| {
        let mut command = driver(home.path());
        command.arg(server.url("/t.torrent")).arg("-d").arg(home.path().join("data"));
        command.args(["-p", "0", "-e", "--json", "--timeout", "60s"]);
        command.args(["--blocklist", &server.url("/list")]);
        if let Some(authority) = authority {
            command.arg("--ca").arg(authority);
        }
        let mut running = Process::start("driver", command, home.path());
        let status = running.wait(DOWNLOAD);
        (status, running.output())
    };
    let (status, output) = run(None);
    assert!(!status.success() && server.requests().is_empty(), "{output}");
    let (status, output) = run(Some(&certificate("authority.pem")));
    assert!(status.success(), "driver ended with {status}:\n{output}");
    payload.assert_same(&home.path().join("data"));
    let requests = server.requests();
    for begin in ["/t.torrent", "/list", "/announce?", "/t/file"] {
        assert!(requests.iter().any(|it| it.starts_with(begin)), "{begin}: {requests:?}");
    }
}

#[test]
fn a_file_without_certificates_starts_nothing() {
    let home = tempfile::tempdir().expect("a folder");
    for arguments in [&["info", "x.torrent"][..], &["x.torrent"], &["list"]] {
        let mut command = driver(home.path());
        command.args(arguments).arg("--ca").arg(certificate("server.key"));
        let mut running = Process::start("driver", command, home.path());
        let (status, output) = (running.wait(DOWNLOAD), running.output());
        assert_eq!(status.code(), Some(3), "{output}");
        assert!(output.contains("there is no certificate in it"), "{output}");
    }
}
