//! A mock HTTP tracker on loopback that answers with scripted bytes, right or wrong. It shares
//! no code with the client: replies are written by hand. Include it with `mod mock_tracker;`.
//!
//! Every connection takes the next script; the last one repeats. Requests are kept as their
//! first lines ("GET /announce?… HTTP/1.1") in the order of arrival. Requests for `/scrape…`
//! take no script; they are kept apart and answered for one torrent, whose hash is all ones.
#![allow(missing_docs)]

use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// 5 seeds, 7 downloads and 6 leeches.
const SCRAPE: &[u8] = b"d5:filesd20:\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\
    \x01\x01\x01\x01\x01\x01d8:completei5e10:downloadedi7e10:incompletei6eeee";

/// What to do with one connection after its request has been read.
#[derive(Clone, Debug)]
pub enum Script {
    /// Send these bytes, head included, and close.
    Raw(Vec<u8>),
    /// Send nothing and keep the connection open.
    Hang,
    /// Send the bytes one by one, so far apart.
    Drip(Vec<u8>, Duration),
    /// Send a head without length and then `x` for ever.
    Endless,
    /// Close at once.
    Close,
}

impl Script {
    /// `200 OK` with `body`.
    pub fn body(body: &[u8]) -> Self {
        Self::response("200 OK", "Content-Type: text/plain\r\n", body)
    }

    /// A status, header lines (each with its line end) and a body with its length.
    pub fn response(status: &str, headers: &str, body: &[u8]) -> Self {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        Self::Raw([head.as_bytes(), body].concat())
    }

    /// A redirect.
    pub fn redirect(target: &str) -> Self {
        Self::response("302 Found", &format!("Location: {target}\r\n"), b"")
    }

    /// A reply with an interval of 1800 s and one compact peer.
    pub fn peer(address: [u8; 4], port: u16) -> Self {
        Self::peers(&[SocketAddrV4::new(address.into(), port)])
    }

    /// The same with several.
    pub fn peers(addresses: &[SocketAddrV4]) -> Self {
        let mut body = format!("d8:intervali1800e5:peers{}:", addresses.len() * 6).into_bytes();
        for address in addresses {
            body.extend(address.ip().octets());
            body.extend(address.port().to_be_bytes());
        }
        body.push(b'e');
        Self::body(&body)
    }
}

/// The tracker; its threads end with it.
pub struct MockTracker {
    address: SocketAddr,
    requests: mpsc::Receiver<String>,
    scrapes: mpsc::Receiver<String>,
    is_over: Arc<AtomicBool>,
}

impl MockTracker {
    /// Listens on a free port of 127.0.0.1.
    pub fn start(scripts: Vec<Script>) -> Self {
        Self::start_at("127.0.0.1", scripts)
    }

    /// Listens on a free port of `host`.
    pub fn start_at(host: &str, scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (seen, requests) = mpsc::channel();
        let (seen_scrapes, scrapes) = mpsc::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let desk = Arc::new(Desk {
            scripts,
            next: AtomicUsize::new(0),
            seen,
            seen_scrapes,
            is_over: Arc::clone(&is_over),
        });
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                if desk.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let desk = Arc::clone(&desk);
                thread::spawn(move || desk.serve(stream));
            }
        });
        Self { address, requests, scrapes, is_over }
    }

    /// The request lines of scrapes that have arrived and were not taken yet.
    pub fn scrapes(&self) -> Vec<String> {
        self.scrapes.try_iter().collect()
    }

    /// `http://127.0.0.1:port/announce`.
    pub fn url(&self) -> String {
        self.url_of("/announce")
    }

    /// The same with another path and query.
    pub fn url_of(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next request line, waited for at most `limit`.
    pub fn next_request(&self, limit: Duration) -> Option<String> {
        self.requests.recv_timeout(limit).ok()
    }

    /// The request lines that have arrived and were not taken yet.
    pub fn requests(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }
}

impl Drop for MockTracker {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees the flag. If that fails it is gone already.
        let _ = TcpStream::connect(self.address);
    }
}

/// A gzip stream that unpacks to about `len` zero bytes: a fixed-Huffman block of one literal
/// and copies of 258 bytes each, 13 bits long (RFC 1951, RFC 1952).
pub fn gzip_bomb(len: usize) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut bits: Vec<u8> = vec![1, 1, 0];
    bits.extend([0, 0, 1, 1, 0, 0, 0, 0]);
    for _ in 0..len / 258 {
        bits.extend([1, 1, 0, 0, 0, 1, 0, 1]);
        bits.extend([0; 5]);
    }
    bits.extend([0; 7]);
    let byte = |bits: &[u8]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit);
    out.extend(bits.chunks(8).map(byte));
    // Check sum and length, wrong: nobody should get as far.
    out.extend([0; 8]);
    out
}

/// What the threads of a tracker share.
struct Desk {
    scripts: Vec<Script>,
    next: AtomicUsize,
    seen: mpsc::Sender<String>,
    seen_scrapes: mpsc::Sender<String>,
    is_over: Arc<AtomicBool>,
}

impl Desk {
    fn serve(&self, mut stream: TcpStream) {
        let Some(request) = read_head(&mut stream) else { return };
        let first = request.lines().next().unwrap_or_default().to_owned();
        if first.starts_with("GET /scrape") {
            // Nobody may be interested.
            let _ = self.seen_scrapes.send(first);
            return play(stream, &Script::body(SCRAPE), &self.is_over);
        }
        let last = self.scripts.len().saturating_sub(1);
        let count = self.next.fetch_add(1, Ordering::SeqCst);
        let Some(script) = self.scripts.get(count.min(last)) else { return };
        if self.seen.send(first).is_ok() {
            play(stream, script, &self.is_over);
        }
    }
}

fn play(mut stream: TcpStream, script: &Script, over: &AtomicBool) {
    let _ = match script {
        Script::Raw(bytes) => stream.write_all(bytes),
        Script::Close => Ok(()),
        Script::Hang => {
            // Ends when the client closes or sends more, or when the mock is over.
            let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
            while !over.load(Ordering::SeqCst) && would_block(&stream) {}
            Ok(())
        }
        Script::Drip(bytes, pause) => bytes.iter().try_for_each(|byte| {
            thread::sleep(*pause);
            stream.write_all(&[*byte])
        }),
        Script::Endless => {
            let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
            let mut result = stream.write_all(head);
            while result.is_ok() && !over.load(Ordering::SeqCst) {
                result = stream.write_all(&[b'x'; 16 * 1024]);
            }
            result
        }
    };
}

fn would_block(stream: &TcpStream) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    match stream.peek(&mut [0]) {
        Ok(_) => false,
        Err(cause) => matches!(cause.kind(), TimedOut | WouldBlock),
    }
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > 64 * 1024 || stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}
