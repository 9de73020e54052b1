//! One object that everybody asks, and whose lists change under them.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::parse::List;
use super::*;
use crate::net::egress::{Egress, Policy, Purpose};

/// Longest wait for something that must come.
const LIMIT: Duration = Duration::from_secs(20);

fn pace() -> Pace {
    let soon = Duration::from_millis(20);
    Pace { look: soon, fetch: Duration::from_secs(24 * 3600), again: soon }
}

fn lists(sources: &[&str]) -> Lists {
    let sources = sources.iter().map(|source| Source::parse(source).unwrap()).collect();
    Lists { sources, is_forced: false, pace: pace() }
}

fn blocks(egress: &Egress, ip: &str) -> bool {
    egress.blocklist().contains(ip.parse().unwrap())
}

/// Waits until it is so.
async fn until(egress: &Egress, is_so: impl Fn(&Blocklist) -> bool) {
    let waiting = async {
        while !is_so(egress.blocklist()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, waiting).await.expect("it becomes so");
}

fn trouble(list: &Blocklist) -> Option<String> {
    list.standings().first().and_then(|standing| standing.trouble.clone())
}

#[test]
fn what_is_refused_is_counted() {
    let list = Blocklist::default();
    let ip: IpAddr = "192.0.2.7".parse().unwrap();
    assert!(!list.is_on() && !list.refuses(ip, Refused::Dial));
    list.set([("a".to_owned(), List::read(&b"192.0.2.0/24\nx"[..], false).unwrap())]);
    assert!(list.is_on() && list.contains(ip));
    let _ = [Refused::Dial, Refused::Dial, Refused::Connection].map(|it| list.refuses(ip, it));
    list.refuses("192.0.3.1".parse().unwrap(), Refused::Datagram);
    assert_eq!(list.tally(), Tally { dials: 2, connections: 1, datagrams: 0 });
    let standing = Standing { list: "a".to_owned(), ranges: 1, bad: 1, trouble: None };
    assert_eq!(list.standings(), [standing]);
}

#[tokio::test]
async fn peers_that_are_blocked_are_not_dialled_and_others_are_asked_at_the_same_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let egress = Egress::default();
    let list = List::read(&b"127.0.0.1"[..], false).unwrap();
    egress.blocklist().set([("a".to_owned(), list)]);
    let to = address.into();
    let refused = egress.connect(&to, Purpose::Peer, LIMIT).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("{address} is on the blocklist"));
    assert_eq!(egress.blocklist().tally().dials, 1);
    egress.connect(&to, Purpose::Tracker, LIMIT).await.unwrap();
    egress.clone().blocklist().set([]);
    egress.connect(&to, Purpose::Peer, LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_file_that_changes_is_read_again_and_one_that_fails_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list.p2p");
    let named = path.to_str().unwrap();
    let egress = Egress::default();
    let missing = start(lists(&[named]), &egress, Some(dir.path())).await.unwrap_err().to_string();
    assert!(missing.starts_with(&format!("blocklist {named}: cannot be read: ")), "{missing}");
    fs::write(&path, "nothing\n").unwrap();
    assert!(start(lists(&[named]), &egress, Some(dir.path())).await.is_err());
    assert!(!egress.blocklist().is_on());
    fs::write(&path, "a:1.2.3.4-1.2.3.5\n").unwrap();
    let other = dir.path().join("other.dat");
    fs::write(&other, "009.009.009.009 - 009.009.009.009 , 0 , x\n").unwrap();
    let both = [named, other.to_str().unwrap()];
    let keeper = start(lists(&both), &egress, Some(dir.path())).await.unwrap();
    assert!(
        blocks(&egress, "1.2.3.5") && blocks(&egress, "9.9.9.9") && !blocks(&egress, "5.6.7.8")
    );
    let mut changes = egress.blocklist().watch();
    fs::write(&path, "b:5.6.7.8-5.6.7.9\n").unwrap();
    timeout(LIMIT, changes.changed()).await.unwrap();
    assert!(
        blocks(&egress, "5.6.7.8") && blocks(&egress, "9.9.9.9") && !blocks(&egress, "1.2.3.5")
    );
    fs::write(&path, "0.0.0.0/0\n").unwrap();
    until(&egress, |list| trouble(list).is_some()).await;
    let told = trouble(egress.blocklist()).unwrap();
    assert!(told.contains("more than half") && told.ends_with("stays in force"), "{told}");
    assert!(blocks(&egress, "5.6.7.8") && !blocks(&egress, "1.2.3.5"));
    fs::remove_file(&path).unwrap();
    until(&egress, |list| trouble(list).is_some_and(|it| it.contains("cannot be read"))).await;
    assert!(blocks(&egress, "5.6.7.8"));
    fs::write(&path, "1.2.3.5\n").unwrap();
    until(&egress, |list| trouble(list).is_none()).await;
    assert!(blocks(&egress, "1.2.3.5") && !blocks(&egress, "5.6.7.8"));
    drop(keeper);
}

#[tokio::test]
async fn a_list_that_blocks_most_of_the_world_is_taken_when_that_is_forced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all");
    fs::write(&path, "0.0.0.0/0").unwrap();
    let egress = Egress::default();
    let lists = lists(&[path.to_str().unwrap()]);
    let refused = start(lists.clone(), &egress, Some(dir.path())).await.unwrap_err().to_string();
    assert!(refused.contains("--blocklist-force"), "{refused}");
    let _keeper =
        start(Lists { is_forced: true, ..lists }, &egress, Some(dir.path())).await.unwrap();
    assert!(blocks(&egress, "255.255.255.255") && !blocks(&egress, "2001:db8::1"));
}

/// A server that gives each request the next of these answers, and tells what it was asked.
async fn server(answers: Vec<Vec<u8>>) -> (SocketAddr, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            asked.push(String::from_utf8(head).unwrap().to_lowercase());
            stream.write_all(&answer).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        asked
    });
    (address, asked)
}

fn answer(status: &str, head: &str, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len}\r\n{head}\r\n");
    [head.as_bytes(), body].concat()
}

const DATE: &str = "Sun, 29 Nov 2026 10:00:00 GMT";

#[tokio::test]
async fn a_list_of_a_url_is_kept_for_starts_without_network_and_asked_for_again_by_its_date() {
    let dir = tempfile::tempdir().unwrap();
    let dated = format!("Last-Modified: {DATE}\r\n");
    let (address, asked) = server(vec![
        answer("302 Found", "Location: /list?pin=7\r\n", b""),
        answer("200 OK", &dated, b"a:1.2.3.4-1.2.3.5\n"),
        answer("304 Not Modified", "", b""),
        answer("503 Busy", "", b""),
        answer("200 OK", "", b"Sign in first.\nYou come from\n9.9.9.9\n"),
        answer("200 OK", "", b"a:5.6.7.8-5.6.7.9\n"),
    ])
    .await;
    let url = format!("http://{address}/begin?pin=7");
    let egress = Egress::default();
    drop(start(lists(&[&url]), &egress, Some(dir.path())).await.unwrap());
    assert!(blocks(&egress, "1.2.3.4"));
    // The next start asks nobody: it is not a day old.
    let next = Egress::default();
    drop(start(lists(&[&url]), &next, Some(dir.path())).await.unwrap());
    assert!(blocks(&next, "1.2.3.4"));
    let file = kept::path(dir.path(), &url);
    let age = |seconds| {
        let file = fs::File::options().append(true).open(&file).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    };
    age(25 * 3600);
    let old = Egress::default();
    let keeper = start(lists(&[&url]), &old, Some(dir.path())).await.unwrap();
    assert!(blocks(&old, "1.2.3.4"), "at once");
    let is_new = || fs::metadata(&file).unwrap().modified().unwrap().elapsed().unwrap_or_default();
    until(&old, |_| is_new() < Duration::from_secs(3600)).await;
    drop(keeper);
    age(25 * 3600);
    let keeper = start(lists(&[&url]), &old, Some(dir.path())).await.unwrap();
    until(&old, |list| trouble(list).is_some() || list.contains("5.6.7.8".parse().unwrap())).await;
    until(&old, |list| {
        assert!(!list.contains("9.9.9.9".parse().unwrap()), "a page is no list");
        list.contains("5.6.7.8".parse().unwrap())
    })
    .await;
    assert!(trouble(old.blocklist()).is_none() && !blocks(&old, "1.2.3.4"));
    let asked = timeout(LIMIT, asked).await.unwrap().unwrap();
    assert!(asked[0].starts_with("get /begin?pin=7 ") && asked[1].starts_with("get /list?pin=7 "));
    assert!(!asked[1].contains("if-modified-since"));
    for again in &asked[2..] {
        let line = format!("if-modified-since: {}", DATE.to_lowercase());
        assert!(again.contains(&line), "{again}");
    }
    drop(keeper);
    let _ = start(lists(&[&url]), &Egress::default(), Some(dir.path())).await.unwrap();
}

#[tokio::test]
async fn a_url_without_a_list_is_an_error_that_tells_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n1.2.3.4\n";
    let (address, asked) = server(vec![
        answer("404 Not Found", "", b"1.2.3.4\n"),
        answer("200 OK", "", b"<html>\nlog in\n"),
        cut.to_vec(),
        answer("200 OK", "", &[0x1f, 0x8b, 8, 0]),
        answer("302 Found", "Location: http://127.0.0.1:22/\r\n", b""),
        answer("304 Not Modified", "", b""),
    ])
    .await;
    let url = format!("http://me:pw@{address}/list?pin=7");
    let mut told = Vec::new();
    for _ in 0..6 {
        let egress = Egress::default();
        let error = start(lists(&[&url]), &egress, Some(dir.path())).await.unwrap_err().to_string();
        assert!(!egress.blocklist().is_on());
        assert!(!error.contains("pw") && !error.contains("pin"), "{error}");
        assert!(error.starts_with(&format!("blocklist http://{address}/list?...: ")), "{error}");
        told.push(error);
    }
    let parts = ["404", "nothing in it", "", "cut off", "port 22", "304"];
    for (error, part) in told.iter().zip(parts) {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is kept");
    assert_eq!(timeout(LIMIT, asked).await.unwrap().unwrap().len(), 6);
}

/// Opening a pipe waits for somebody who writes to it.
#[tokio::test]
async fn what_is_no_regular_file_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [pipe.as_path(), dir.path(), std::path::Path::new("/dev/zero")] {
        let named = path.to_str().unwrap();
        let egress = Egress::default();
        let lists = lists(&[named]);
        let refused = timeout(LIMIT, start(lists, &egress, None)).await.expect("it waits");
        let refused = refused.unwrap_err().to_string();
        assert_eq!(refused, format!("blocklist {named}: it is no regular file"));
    }
}

/// The way out is not there at the start: nobody is connected to until the list is.
#[tokio::test]
async fn a_url_that_cannot_be_asked_yet_blocks_everybody_until_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap();
    drop(proxy);
    let url = "http://lists.example/list";
    let policy = Policy { proxy: format!("http://{address}").parse().ok(), ..Policy::default() };
    let egress = Egress::new(policy);
    let looking = tokio::spawn(egress.clone().look_around());
    let mut around = egress.watch();
    let is_away = |_: &_| egress.held(Purpose::WebSeed).is_some();
    timeout(LIMIT, around.wait_for(is_away)).await.unwrap().unwrap();
    let keeper = start(lists(&[url]), &egress, Some(dir.path())).await.unwrap();
    assert!(blocks(&egress, "1.2.3.4") && blocks(&egress, "5.6.7.8") && blocks(&egress, "::1"));
    let told = trouble(egress.blocklist()).unwrap();
    let words = format!("blocklist {url}: the proxy http://{address} is not reached: ");
    assert!(told.starts_with(&words), "{told}");
    assert!(told.ends_with("; nobody is connected to before it is there"), "{told}");
    let refused = egress.connect(&address.into(), Purpose::Peer, LIMIT).await.unwrap_err();
    assert!(matches!(refused, crate::net::Error::Blocked { .. }), "{refused}");
    // It answers what would be the server, and whether it is there.
    let proxy = TcpListener::bind(address).await.unwrap();
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = proxy.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let body: &[u8] = if head.starts_with(b"GET ") { b"a:1.2.3.4-1.2.3.5\n" } else { b"" };
            // Whoever only asks whether it is there does not wait for all of it.
            let _ = stream.write_all(&answer("200 OK", "", body)).await;
        }
    });
    let mut changes = egress.blocklist().watch();
    timeout(LIMIT, changes.changed()).await.unwrap();
    assert!(blocks(&egress, "1.2.3.4") && !blocks(&egress, "5.6.7.8") && !blocks(&egress, "::1"));
    assert_eq!(trouble(egress.blocklist()), None);
    assert!(kept::path(dir.path(), url).exists(), "for the next start");
    drop(keeper);
    looking.abort();
    serving.abort();
}
