//! A mock UDP tracker on loopback. What it sends is written by hand, byte by byte, and shares
//! no code with the client. Include it with `mod mock_udp_tracker;`.
//!
//! Every datagram goes to the tracker's answer, a closure that sends what it likes; requests
//! are kept in the order of arrival.
#![allow(missing_docs)]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

/// Offsets 8 and 12 of a request (BEP 15).
pub const CONNECT: u8 = 0;
pub const ANNOUNCE: u8 = 1;
pub const SCRAPE: u8 = 2;

/// Connection id that [`Asked::connected`] hands out.
pub const CONNECTION: [u8; 8] = [9, 8, 7, 6, 5, 4, 3, 2];

/// A request and the way back.
pub struct Asked<'a> {
    pub socket: &'a UdpSocket,
    pub from: SocketAddr,
    pub request: &'a [u8],
    /// Requests before this one.
    pub count: usize,
}

impl Asked<'_> {
    pub fn action(&self) -> u8 {
        self.request.get(11).copied().unwrap_or(255)
    }

    pub fn send(&self, reply: &[u8]) {
        // The client may have gone.
        let _ = self.socket.send_to(reply, self.from);
    }

    /// The first eight bytes of a reply.
    pub fn head(&self, action: u8) -> Vec<u8> {
        let transaction = self.request.get(12..16).unwrap_or(&[0; 4]);
        [&[0, 0, 0, action], transaction].concat()
    }

    pub fn connected(&self) {
        self.send(&[self.head(CONNECT).as_slice(), &CONNECTION].concat());
    }

    /// A reply to an announce: interval, no leechers, one seeder, these compact peers.
    pub fn peers(&self, interval_s: u32, compact: &[u8]) {
        let counts = [0, 0, 0, 0, 0, 0, 0, 1];
        let parts = [&self.head(ANNOUNCE), &interval_s.to_be_bytes()[..], &counts, compact];
        self.send(&parts.concat());
    }

    pub fn error(&self, text: &[u8]) {
        self.send(&[self.head(3).as_slice(), text].concat());
    }

    /// What a good tracker does, with these compact peers; a scrape tells 5 seeds, 7
    /// downloads, 6 leeches.
    pub fn honest(&self, compact: &[u8]) {
        match self.action() {
            CONNECT => self.connected(),
            ANNOUNCE => self.peers(1800, compact),
            _ => {
                self.send(&[&self.head(SCRAPE)[..], &[0, 0, 0, 5, 0, 0, 0, 7, 0, 0, 0, 6]].concat())
            }
        }
    }
}

/// The tracker; its thread ends with it.
pub struct MockUdpTracker {
    address: SocketAddr,
    requests: mpsc::Receiver<Vec<u8>>,
    is_over: Arc<AtomicBool>,
}

impl MockUdpTracker {
    /// Listens on a free port of 127.0.0.1.
    pub fn start(answer: impl FnMut(&Asked<'_>) + Send + 'static) -> Self {
        Self::on(UdpSocket::bind("127.0.0.1:0").expect("a free port"), answer)
    }

    /// Listens on `socket`.
    pub fn on(socket: UdpSocket, mut answer: impl FnMut(&Asked<'_>) + Send + 'static) -> Self {
        let address = socket.local_addr().expect("an address");
        let (seen, requests) = mpsc::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            for count in 0.. {
                let Ok((len, from)) = socket.recv_from(&mut buffer) else { return };
                let request = &buffer[..len];
                if over.load(Ordering::SeqCst) || seen.send(request.to_vec()).is_err() {
                    return;
                }
                answer(&Asked { socket: &socket, from, request, count });
            }
        });
        Self { address, requests, is_over }
    }

    /// `udp://127.0.0.1:port/announce`.
    pub fn url(&self) -> String {
        self.url_of("/announce")
    }

    /// The same with another path and query.
    pub fn url_of(&self, path: &str) -> String {
        format!("udp://{}{path}", self.address)
    }

    /// The requests that have arrived and were not taken yet.
    pub fn requests(&self) -> Vec<Vec<u8>> {
        self.requests.try_iter().collect()
    }
}

impl Drop for MockUdpTracker {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread, which then sees the flag.
        let waker = UdpSocket::bind((self.address.ip(), 0));
        let _ = waker.and_then(|waker| waker.send_to(b"", self.address));
    }
}
