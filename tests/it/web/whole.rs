//! Metalinks of files whose pieces nothing tells: the hash of the whole judges, if there is one.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A file, what it is called on servers, and its bytes.
fn file(seed: u64) -> (Payload, Vec<u8>) {
    let payload = Payload::new(seed, "w", 1 << 20, &[("file", 6 * MIB + 3)]);
    let bytes = payload.contents().remove(0).1;
    (payload, bytes)
}

/// The elements of a metalink of this file at these mirrors; `hash` in hex.
fn inner(len: usize, hash: Option<&str>, mirrors: &[String]) -> String {
    let hash = hash.map(|hash| format!("<hash type=\"sha-1\">{hash}</hash>")).unwrap_or_default();
    let urls = (1..).zip(mirrors);
    let urls = urls.map(|(at, url)| format!("<url priority=\"{at}\">{url}</url>"));
    format!("<size>{len}</size>{hash}{}", urls.collect::<String>())
}

/// A mirror with these bytes under `/file`.
fn mirror(bytes: &[u8], behaviour: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> MockWeb {
    MockWeb::start(vec![("/file".to_owned(), bytes.to_vec())], behaviour)
}

/// What came, or nothing.
fn came(home: &Path) -> Option<Vec<u8>> {
    match fs::read(home.join("data/x.bin")) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn with_a_hash_it_counts_when_that_is_right_and_need_not_come_again() {
    let (home, (_, bytes)) = (tempfile::tempdir().expect("a folder"), file(1));
    let mirrors = [mirror(&bytes, |_| Reply::Honest), mirror(&bytes, |_| Reply::Honest)];
    let urls = mirrors.each_ref().map(|mirror| mirror.url("/file"));
    let inner = inner(bytes.len(), Some(&sha1_hex(&bytes)), &urls);
    let path = metalink(home.path(), "x.bin", &inner);
    let (status, output) = download(home.path(), &path, &[]);
    assert!(status.success(), "driver ended with {status}:\n{output}");
    assert!(came(home.path()) == Some(bytes), "other bytes");
    let hash = output.find("\"file_hash\"").expect("the hash is told");
    let complete = output.find("\"completed\"").expect("completion is told");
    assert!(hash < complete, "{output}");
    // It is there: nobody is asked.
    let (status, output) = download(home.path(), &path, &[]);
    assert!(status.success() && !output.contains("started"), "{output}");
}

#[test]
fn one_wrong_mirror_costs_an_attempt_and_not_the_file() {
    let (home, (_, bytes)) = (tempfile::tempdir().expect("a folder"), file(2));
    let wrong = mirror(&vec![7; bytes.len()], |_| Reply::Honest);
    let right = mirror(&bytes, |_| Reply::Honest);
    let urls = [wrong.url("/file"), right.url("/file")];
    let inner = inner(bytes.len(), Some(&sha1_hex(&bytes)), &urls);
    let path = metalink(home.path(), "x.bin", &inner);
    let (status, output) = download(home.path(), &path, &[]);
    assert!(status.success(), "driver ended with {status}:\n{output}");
    assert!(came(home.path()) == Some(bytes), "other bytes");
    // Both together, the wrong one alone, the right one alone.
    assert_eq!(output.matches("\"event\":\"again\"").count(), 2, "{output}");
    assert_eq!(output.matches("\"event\":\"completed\"").count(), 1, "{output}");
}

#[test]
fn what_is_wrong_everywhere_is_not_kept() {
    let (home, (_, bytes)) = (tempfile::tempdir().expect("a folder"), file(3));
    let mirrors = [mirror(&bytes, |_| Reply::Honest), mirror(&bytes, |_| Reply::Honest)];
    let urls = mirrors.each_ref().map(|mirror| mirror.url("/file"));
    let path = metalink(home.path(), "x.bin", &inner(bytes.len(), Some(&"11".repeat(20)), &urls));
    let (status, output) = download(home.path(), &path, &[]);
    assert_eq!(status.code(), Some(6), "{output}");
    let left: Vec<_> = fs::read_dir(home.path().join("data"))
        .map(|entries| entries.map(|entry| entry.expect("an entry").file_name()).collect())
        .unwrap_or_default();
    assert!(left.is_empty(), "{left:?} is left");
    assert!(!output.contains("\"completed\""), "{output}");
}

#[test]
fn what_is_wrong_everywhere_is_not_kept_in_its_directory_either() {
    let (home, (_, bytes)) = (tempfile::tempdir().expect("a folder"), file(3));
    let mirrors = [mirror(&bytes, |_| Reply::Honest), mirror(&bytes, |_| Reply::Honest)];
    let urls = mirrors.each_ref().map(|mirror| mirror.url("/file"));
    let inner = inner(bytes.len(), Some(&"11".repeat(20)), &urls);
    let path = metalink(home.path(), "some/where/x.bin", &inner);
    let (status, output) = download(home.path(), &path, &[]);
    assert_eq!(status.code(), Some(6), "{output}");
    assert!(!output.contains("stays"), "{output}");
    let left = fs::read_dir(home.path().join("data/some/where")).map(|entries| entries.count());
    assert_eq!(left.unwrap_or(0), 0, "something is left");
}

#[test]
fn what_is_wrong_at_one_mirror_and_comes_in_part_from_the_last_is_not_kept_either() {
    let (home, (_, bytes)) = (tempfile::tempdir().expect("a folder"), file(3));
    let wrong = mirror(&vec![7; bytes.len()], |_| Reply::Honest);
    let last = mirror(&bytes, |request| match request.range() {
        Some((0..MIB, _)) => Reply::Short(MIB),
        _ => Reply::status("404 Not Found"),
    });
    let urls = [wrong.url("/file"), last.url("/file")];
    let path = metalink(home.path(), "x.bin", &inner(bytes.len(), Some(&"11".repeat(20)), &urls));
    let (status, output) = download(home.path(), &path, &[]);
    assert_eq!(status.code(), Some(6), "{output}");
    assert!(output.contains("none of its mirrors has it"), "{output}");
    assert!(output.contains("its SHA-1 is wrong"), "{output}");
    let left = fs::read_dir(home.path().join("data")).map(|entries| entries.count());
    assert_eq!(left.unwrap_or(0), 0, "something is left");
}

#[test]
fn without_a_hash_it_comes_from_one_mirror_and_when_that_has_nothing_from_the_next() {
    let (home, (_, bytes)) = (tempfile::tempdir().expect("a folder"), file(4));
    let gone = mirror(&bytes, |_| Reply::status("404 Not Found"));
    let good = mirror(&bytes, |_| Reply::Honest);
    let spare = mirror(&bytes, |_| Reply::Honest);
    let urls = [gone.url("/file"), good.url("/file"), spare.url("/file")];
    let path = metalink(home.path(), "x.bin", &inner(bytes.len(), None, &urls));
    let (status, output) = download(home.path(), &path, &[]);
    assert!(status.success(), "driver ended with {status}:\n{output}");
    assert!(came(home.path()) == Some(bytes), "other bytes");
    assert_eq!(spare.requests().len(), 0, "another one was asked, too");
}

#[test]
fn mirrors_that_all_lack_it_end_the_run() {
    let (home, (_, bytes)) = (tempfile::tempdir().expect("a folder"), file(5));
    let gone = mirror(&bytes, |_| Reply::status("404 Not Found"));
    let longer = mirror(&[&bytes[..], b"more"].concat(), |_| Reply::Honest);
    let urls = [gone.url("/file"), longer.url("/file")];
    let hash = sha1_hex(&bytes);
    let path = metalink(home.path(), "x.bin", &inner(bytes.len(), Some(&hash), &urls));
    let (status, output) = download(home.path(), &path, &[]);
    assert_eq!(status.code(), Some(4), "{output}");
    assert!(output.contains("404") && output.contains("4 bytes longer there"), "{output}");
}

#[test]
fn an_empty_file_needs_no_mirror() {
    let home = tempfile::tempdir().expect("a folder");
    let server = mirror(b"", |_| Reply::Honest);
    let hash = sha1_hex(b"");
    let path = metalink(home.path(), "x.bin", &inner(0, Some(&hash), &[server.url("/file")]));
    let (status, output) = download(home.path(), &path, &[]);
    assert!(status.success(), "driver ended with {status}:\n{output}");
    assert_eq!(came(home.path()), Some(Vec::new()));
}

#[test]
fn what_was_stopped_goes_on_where_it_was() {
    let (home, (_, bytes)) = (tempfile::tempdir().expect("a folder"), file(6));
    let is_held = Arc::new(AtomicBool::new(true));
    let holds = is_held.clone();
    let server = mirror(&bytes, move |request| {
        let is_first = request.range().is_none_or(|(first, _)| first == 0);
        match holds.load(Ordering::SeqCst) {
            true if is_first => Reply::StallAfter(3 << 20),
            true => Reply::Silence,
            false => Reply::Honest,
        }
    });
    let hash = sha1_hex(&bytes);
    let url = server.url("/file");
    let path = metalink(home.path(), "x.bin", &inner(bytes.len(), Some(&hash), &[url]));
    let mut command = driver(home.path());
    command.arg(&path).arg("-d").arg(home.path().join("data")).args(["-p", "0", "-e", "--json"]);
    let mut first = Process::start("first", command, home.path());
    let part = home.path().join("data/x.bin.part");
    let has_some = |text: &str| text.lines().any(|line| !line.contains("\"pieces_verified\":0"));
    let deadline = std::time::Instant::now() + DOWNLOAD;
    while !first.output().lines().any(|line| line.contains("\"progress\"") && has_some(line)) {
        assert!(std::time::Instant::now() < deadline, "nothing came:\n{}", first.output());
        std::thread::sleep(Duration::from_millis(20));
    }
    let sent = std::process::Command::new("kill").args(["-INT", &first.id().to_string()]).status();
    assert!(sent.expect("run kill").success());
    assert_eq!(first.wait(DOWNLOAD).code(), Some(7), "{}", first.output());
    assert!(part.exists() && came(home.path()).is_none());
    server.requests();
    is_held.store(false, Ordering::SeqCst);
    let (status, output) = download(home.path(), &path, &[]);
    assert!(status.success(), "driver ended with {status}:\n{output}");
    assert!(came(home.path()) == Some(bytes), "other bytes");
    let again: Vec<_> = server.requests().iter().map(Request::range).collect();
    assert!(again.iter().all(|range| range.is_some_and(|(first, _)| first > 0)), "{again:?}");
}
