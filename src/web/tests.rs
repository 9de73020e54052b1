//! Fetches from a server on loopback whose answers are written by hand.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const HASH: &str = "6f84758b0ddd8dc05840bf932a77935d8b5b8b93";

/// What a server does with a connection when it has read a request.
#[derive(Clone)]
enum Script {
    /// Sends these bytes and closes.
    Raw(Vec<u8>),
    /// Sends `x` until the client has enough.
    Endless,
    /// Waits until the client goes away.
    Hang,
}

impl Script {
    fn body(body: &[u8]) -> Self {
        Self::response("200 OK", "", body)
    }

    /// A status, header lines (each with its line end) and a body with its length.
    fn response(status: &str, headers: &str, body: &[u8]) -> Self {
        let len = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {len}\r\nConnection: close\r\n\r\n"
        );
        Self::Raw([head.as_bytes(), body].concat())
    }

    fn redirect(target: &str) -> Self {
        Self::response("302 Found", &format!("Location: {target}\r\n"), b"")
    }

    fn play(self, mut stream: TcpStream) {
        // A client that has seen enough goes away.
        let _ = match self {
            Self::Raw(bytes) => stream.write_all(&bytes),
            Self::Endless => {
                let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
                let mut sent = stream.write_all(head);
                while sent.is_ok() {
                    sent = stream.write_all(&[b'x'; 4096]);
                }
                sent
            }
            Self::Hang => stream.read(&mut [0]).map(drop),
        };
    }
}

/// A server on loopback, where each connection gets the next script. Its first lines of requests
/// are kept. It ends with its last script.
struct Server {
    address: SocketAddr,
    requests: mpsc::Receiver<String>,
}

impl Server {
    fn start(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, requests) = mpsc::sync_channel(scripts.len());
        std::thread::spawn(move || {
            for script in scripts {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let _ = seen.send(head.lines().next().unwrap_or_default().to_owned());
                script.play(stream);
            }
        });
        Self { address, requests }
    }

    fn url_of(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// First lines of requests that were not looked at yet.
    fn requests(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }
}

/// What the user gets of a server that answers so.
async fn fetched(scripts: Vec<Script>) -> Result<Fetched, Error> {
    let server = Server::start(scripts);
    fetch(&server.url_of("/x.torrent"), Teller::User, &Limits::by(Egress::default())).await
}

async fn refused(script: Script) -> Error {
    fetched(vec![script]).await.expect_err("it is no torrent")
}

fn torrent(bytes: &[u8]) -> Result<Fetched, Error> {
    Ok(Fetched::Torrent(bytes.to_vec()))
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn what_begins_as_a_torrent_is_fetched_as_it_is() {
    assert_eq!(fetched(vec![Script::body(b"d4:infode")]).await, torrent(b"d4:infode"));
    let gzip = |header: &str| Script::response("200 OK", header, &packed(b"d4:infode"));
    for header in ["Content-Encoding: gzip\r\n", "Content-Encoding: x-gzip\r\n", ""] {
        assert_eq!(fetched(vec![gzip(header)]).await, torrent(b"d4:infode"), "{header}");
    }
}

#[tokio::test]
async fn the_host_is_asked_by_its_name_and_path() {
    let server = Server::start(vec![Script::body(b"d")]);
    let url = server.url_of("/a%20b.torrent?id=1").replace("127.0.0.1", "localhost");
    assert_eq!(fetch(&url, Teller::User, &Limits::by(Egress::default())).await, torrent(b"d"));
    assert_eq!(server.requests(), ["GET /a%20b.torrent?id=1 HTTP/1.1"]);
}

#[tokio::test]
async fn what_is_no_torrent_is_quoted() {
    let page = b"\r\n\n  <!DOCTYPE html>\x1b[2J\n<html>";
    let Error::Other(quoted) = refused(Script::body(page)).await else { panic!("another error") };
    assert_eq!(quoted, "<!DOCTYPE html>[2J");
    let said = Error::Other(quoted).to_string();
    assert_eq!(said, "not a torrent: the server sends \"<!DOCTYPE html>[2J\"");
    let long = refused(Script::body(&[b'y'; 5000])).await;
    assert_eq!(long, Error::Other("y".repeat(60) + "..."));
    assert_eq!(refused(Script::body(&packed(b"no"))).await, Error::Other("no".to_owned()));
    assert_eq!(refused(Script::body(b"")).await, Error::Empty);
    let gone = refused(Script::response("404 Not Found", "", b"d4:infode")).await;
    assert_eq!(gone, Error::Status(StatusCode::NOT_FOUND));
    assert_eq!(gone.to_string(), "the server says 404 Not Found");
    assert!(!gone.is_of_network());
    let busy = refused(Script::response("503 Service Unavailable", "", b"")).await;
    assert!(busy.is_of_network());
}

#[tokio::test]
async fn what_has_no_end_is_not_read_to_it() {
    // Of other things no more than their beginning.
    let Error::Other(line) = refused(Script::Endless).await else { panic!("another error") };
    assert!(line.starts_with("xxx"));
    let announced =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\nd", FETCHED_LEN_MAX as u64 + 1);
    assert_eq!(refused(Script::Raw(announced.into_bytes())).await, Error::TooLong);
    let mut endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    endless.resize(FETCHED_LEN_MAX + 200, b'd');
    assert_eq!(refused(Script::Raw(endless)).await, Error::TooLong);
}

#[tokio::test]
async fn a_small_body_that_unpacks_to_a_large_one_is_no_torrent() {
    let bomb = packed(&vec![b'd'; FETCHED_LEN_MAX + 1]);
    assert!(bomb.len() < 1 << 20);
    for header in ["Content-Encoding: gzip\r\n", ""] {
        let script = Script::response("200 OK", header, &bomb);
        assert_eq!(refused(script).await, Error::TooLong, "{header}");
    }
    let torn = Script::body(&packed(b"d4:infode")[..15]);
    assert!(matches!(refused(torn).await, Error::Packed(_)));
}

#[tokio::test]
async fn redirects_are_followed_so_often() {
    let near = || Script::redirect("/y.torrent");
    let mut scripts = vec![near(), near(), near(), near(), near(), Script::body(b"d")];
    assert_eq!(fetched(scripts.clone()).await, torrent(b"d"));
    scripts.insert(0, near());
    assert_eq!(fetched(scripts).await, Err(Error::TooManyRedirects));
    for target in ["ftp://127.0.0.1/x", "http://", "file:///etc/passwd"] {
        assert_eq!(refused(Script::redirect(target)).await, Error::Redirect, "{target}");
    }
    assert_eq!(refused(Script::response("302 Found", "", b"d")).await, Error::Redirect);
}

#[tokio::test]
async fn a_redirect_to_a_magnet_link_is_the_end() {
    let link = format!("Magnet:?xt=urn:btih:{HASH}&dn=x");
    let wanted = Magnet::parse(&link).unwrap();
    let led = fetched(vec![Script::redirect(&link)]).await;
    assert_eq!(led, Ok(Fetched::Link(Box::new(wanted))));
    let bad = refused(Script::redirect("magnet:?dn=x")).await;
    assert_eq!(bad, Error::Link(magnet::Error::NoHash));
}

#[tokio::test]
async fn who_does_not_answer_is_given_up() {
    let limits = Limits { total: Duration::from_millis(300), ..Limits::by(Egress::default()) };
    let server = Server::start(vec![Script::Hang]);
    let url = server.url_of("/x.torrent");
    let late = fetch(&url, Teller::User, &limits).await.expect_err("nothing came");
    assert_eq!(late, Error::Timeout(limits.total));
    assert!(late.is_of_network());
    drop(server);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = fetch(&format!("http://{free}/"), Teller::User, &limits).await;
    assert!(matches!(gone, Err(Error::Network(_))), "{gone:?}");
}

#[tokio::test]
async fn urls_that_cannot_be_asked_are_refused() {
    for url in ["x", "ftp://127.0.0.1/x.torrent", "udp://127.0.0.1:1/", "http://", "http://[::"] {
        let refused = fetch(url, Teller::User, &Limits::by(Egress::default())).await;
        assert!(matches!(refused, Err(Error::Url(_))), "{url}: {refused:?}");
    }
    let refused =
        fetch("http://0.0.0.0/x.torrent", Teller::User, &Limits::by(Egress::default())).await;
    assert!(
        matches!(refused, Err(Error::Reach(reach::Error::Forbidden(Locality::Unroutable, _)))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn no_stranger_and_no_redirect_leads_to_a_port_of_another_protocol() {
    let refused = Err(Error::Reach(reach::Error::Port(25)));
    let stranger = Teller::Remote(Locality::Public);
    let named =
        fetch("http://127.0.0.1:25/x.torrent", stranger, &Limits::by(Egress::default())).await;
    assert_eq!(named, refused);
    let redirect = Script::redirect("http://127.0.0.1:25/x.torrent");
    assert_eq!(fetched(vec![redirect]).await, refused);
    let of_user =
        fetch("http://127.0.0.1:25/x.torrent", Teller::User, &Limits::by(Egress::default())).await;
    assert_ne!(of_user, refused);
}

#[tokio::test]
async fn a_strangers_link_may_name_local_torrents_and_nothing_else() {
    let stranger = Teller::Remote(Locality::Public);
    let server = Server::start(vec![Script::redirect("/reboot"), Script::body(b"d")]);
    let asked = |path: &str| {
        let url = server.url_of(path);
        async move { fetch(&url, stranger, &Limits::by(Egress::default())).await }
    };
    let forbidden = reach::Error::Forbidden(Locality::Loopback, [127, 0, 0, 1].into());
    let forbidden = Err(Error::Reach(forbidden));
    assert_eq!(asked("/reboot").await, forbidden);
    assert_eq!(server.requests(), [""; 0]);
    assert_eq!(asked("/x.torrent").await, forbidden, "its redirect");
    assert_eq!(asked("/x.TORRENT?y").await, torrent(b"d"));
}

#[test]
fn redirects_never_lead_inwards() {
    let allowed = |from, previous, target: &str, path| {
        hop((from, previous), path, true).check(target.parse().unwrap()).is_ok()
    };
    let public = [None, Some(Locality::Public), Some(Locality::Loopback)];
    assert!(public.into_iter().all(|it| allowed(Teller::User, it, "192.0.3.1", "/x")));
    let inwards = [
        ("192.168.1.1", Locality::Private),
        ("169.254.169.254", Locality::LinkLocal),
        ("127.0.0.1", Locality::Loopback),
        ("::1", Locality::Loopback),
        ("::ffff:10.0.0.1", Locality::Private),
    ];
    for (target, locality) in inwards {
        assert!(allowed(Teller::User, None, target, "/x"), "{target} may be typed");
        assert!(allowed(Teller::User, Some(locality), target, "/x"), "{target} is no further in");
        assert!(!allowed(Teller::User, Some(Locality::Public), target, "/x.torrent"), "{target}");
        let stranger = Teller::Remote(Locality::Public);
        let is_on_cable = locality == Locality::LinkLocal;
        assert_eq!(allowed(stranger, None, target, "/x.torrent"), !is_on_cable, "{target}");
        let doubted = hop((stranger, None), "/x.torrent", false).check(target.parse().unwrap());
        assert!(doubted.is_err(), "{target}");
        assert!(!allowed(stranger, None, target, "/x"));
        assert!(!allowed(stranger, Some(Locality::Public), target, "/x.torrent"));
    }
    assert!(!allowed(Teller::User, Some(Locality::Private), "127.0.0.1", "/x"));
    assert!(allowed(Teller::User, Some(Locality::Loopback), "10.0.0.1", "/x"));
    assert!(!allowed(Teller::User, None, "224.0.0.1", "/x"));
}

#[test]
fn fuzz() {
    crate::fuzz::run("fetched_body", |bytes| match torrent_in(bytes.to_vec()) {
        Ok(Fetched::Torrent(torrent)) => assert!(torrent.starts_with(b"d")),
        Ok(Fetched::Metalink(text)) => assert!(metalink::begins(&text)),
        Ok(Fetched::Link(_)) => panic!("no body is a link"),
        Err(Error::Other(line)) => {
            assert!(line.chars().count() <= QUOTED_LEN + 3 && !line.contains(char::is_control));
        }
        Err(Error::Empty | Error::Packed(_) | Error::TooLong) => {}
        Err(error) => panic!("{error}"),
    });
}
