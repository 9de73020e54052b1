//! Files from servers that do what real ones do when they are at odds with BEP 19: whole files in
//! answer to ranges, ranges cut short or mislabelled, links that expire, rests, breaks and silence.
//! The server is written by hand; nginx is in `interop::web`.

mod faults;
mod mirrors;
mod script;
mod tls;
mod whole;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use sha1::{Digest as _, Sha1};

use crate::mock_web::{MockWeb, Reply, Request};
use crate::payload::Payload;
use crate::process::{Process, driver};

const MIB: u64 = 1 << 20;
/// For a download to end, on a slow machine.
const DOWNLOAD: Duration = Duration::from_secs(300);

/// A server that has the files of the payload below `/`.
fn serve(
    payload: &Payload,
    behaviour: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> MockWeb {
    MockWeb::start(payload.contents(), behaviour)
}

/// The line of an event whose text has all these parts.
fn has_event(output: &str, parts: &[&str]) -> bool {
    output.lines().any(|line| parts.iter().all(|part| line.contains(part)))
}

/// The torrent with these web seeds in its `url-list`.
pub fn with_web_seeds(payload: &Payload, urls: &[&str]) -> Vec<u8> {
    let mut bytes = payload.torrent(None);
    bytes.pop();
    bytes.extend(b"8:url-listl");
    for url in urls {
        bytes.extend(format!("{}:{url}", url.len()).bytes());
    }
    bytes.extend(b"ee");
    bytes
}

/// The torrent with this script in its `httpseeds`.
fn with_script(payload: &Payload, url: &str) -> Vec<u8> {
    let torrent = payload.torrent(None);
    // Keys are sorted, and `info` is the first one else.
    let key = format!("d9:httpseedsl{}:{url}e", url.len());
    [key.as_bytes(), &torrent[1..]].concat()
}

/// Runs driver to its end.
pub fn download(home: &Path, torrent: &Path, more: &[&str]) -> (ExitStatus, String) {
    let mut command = driver(home);
    command.arg(torrent).arg("-d").arg(home.join("data")).args(["-p", "0", "-e", "--json"]);
    command.arg("--no-trackers").args(more);
    if !more.contains(&"--timeout") {
        command.args(["--timeout", "60s"]);
    }
    let mut running = Process::start("driver", command, home);
    let status = running.wait(DOWNLOAD);
    (status, running.output())
}

/// Downloads the payload with the web seeds in its torrent, and compares all of it.
pub fn assert_comes(home: &Path, payload: &Payload, urls: &[&str], more: &[&str]) -> String {
    let torrent = home.join("payload.torrent");
    fs::write(&torrent, with_web_seeds(payload, urls)).expect("write the torrent");
    let (status, output) = download(home, &torrent, more);
    assert!(status.success(), "driver ended with {status}:\n{output}");
    payload.assert_same(&home.join("data"));
    output
}

/// A metalink of one file with these elements.
pub fn metalink(home: &Path, name: &str, inner: &str) -> PathBuf {
    let text = format!(
        "<?xml version=\"1.0\"?>\n<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">\
         <file name=\"{name}\">{inner}</file></metalink>"
    );
    let path = home.join("x.meta4");
    fs::write(&path, text).expect("write a metalink");
    path
}

/// In hex.
pub fn sha1_hex(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
