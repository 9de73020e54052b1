//! Scripts that give pieces (BEP 17).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// What stands behind a key of the query, up to the next one.
fn value<'a>(target: &'a str, key: &str) -> Option<&'a str> {
    let (_, query) = target.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

#[test]
fn pieces_come_from_a_script_that_may_want_to_be_left_alone() {
    let files = [("a", 300_000), ("d/b", 10), ("c", 900_001)];
    let payload = Arc::new(Payload::new(20, "set", 64 << 10, &files));
    let home = tempfile::tempdir().expect("a folder");
    let (has, busy) = (payload.clone(), AtomicUsize::new(0));
    let server = MockWeb::start(Vec::new(), move |request| {
        let target = &request.target;
        let hash = has.info_hash();
        let encoded = urlencoding::encode_binary(&hash);
        if value(target, "info_hash") != Some(&*encoded) || request.range().is_some() {
            return Reply::status("404 Not Found");
        }
        if busy.fetch_add(1, Ordering::SeqCst) == 0 {
            return Reply::Status("503 Service Unavailable", String::new(), b"1".to_vec());
        }
        let piece: u64 = value(target, "piece").and_then(|it| it.parse().ok()).expect("a piece");
        let begin = piece * u64::from(has.piece_len());
        let all = (has.len() - begin).min(u64::from(has.piece_len()));
        let part = value(target, "ranges").and_then(|it| it.split_once('-'));
        let number = |text: &str| text.parse::<u64>().expect("a number");
        let (first, last) =
            part.map_or((0, all - 1), |(first, last)| (number(first), number(last)));
        let mut bytes = vec![0; (last + 1 - first) as usize];
        has.read(begin + first, &mut bytes);
        Reply::Status("200 OK", String::new(), bytes)
    });
    let torrent = home.path().join("x.torrent");
    fs::write(&torrent, with_script(&payload, &server.url("/seed"))).expect("write the torrent");
    let (status, output) = download(home.path(), &torrent, &["--allow-local-web-seeds"]);
    assert!(status.success(), "driver ended with {status}:\n{output}");
    payload.assert_same(&home.path().join("data"));
    assert!(has_event(&output, &["web_source", "\"waits\"", "503"]), "{output}");
    // One request for each piece, but for the one that came too early.
    let requests = server.requests().len();
    assert!((payload.piece_count() + 1..=payload.piece_count() + 4).contains(&requests));
    // Who must not be asked in the own network is not.
    let (status, _) = download(home.path(), &torrent, &["--check"]);
    assert!(status.success());
    let other = home.path().join("other");
    fs::create_dir(&other).expect("make a home");
    let (status, _) = download(&other, &torrent, &["--timeout", "2s"]);
    assert_eq!((status.code(), server.requests().len()), (Some(4), 0));
}
