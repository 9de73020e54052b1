//! A seeder written by hand from BEP 3: blocking threads, no extensions, every message as
//! plain bytes, so that nothing of the program under test can agree with itself. It counts what
//! it serves and can be slowed down. It never downloads.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::payload::Payload;

const UNCHOKE: u8 = 1;
const INTERESTED: u8 = 2;
const BITFIELD: u8 = 5;
const REQUEST: u8 = 6;
const PIECE: u8 = 7;

/// A listening seeder; it stops accepting when dropped.
pub struct Seeder {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    payload: Arc<Payload>,
    /// Each seeder's own: two of one id would be one peer.
    peer_id: [u8; 20],
    rate_bytes_per_s: Option<u64>,
    served: Mutex<Served>,
    changed: Condvar,
    closing: AtomicBool,
}

struct Served {
    bytes: u64,
    /// Connections that asked for a block.
    askers: u64,
    /// When the next block may leave.
    free_at: Instant,
}

impl Seeder {
    /// Serves `payload` on a free port of loopback, to all peers together at most at this rate.
    pub fn start(payload: Arc<Payload>, rate_bytes_per_s: Option<u64>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen on loopback");
        let address = listener.local_addr().expect("a listener's address");
        let served = Mutex::new(Served { bytes: 0, askers: 0, free_at: Instant::now() });
        let (changed, closing) = (Condvar::new(), AtomicBool::new(false));
        let peer_id = format!("-XX0001-by-hand-{:04x}", address.port()).into_bytes();
        let peer_id = peer_id.try_into().expect("twenty letters");
        let shared = Shared { payload, peer_id, rate_bytes_per_s, served, changed, closing };
        let shared = Arc::new(shared);
        let ours = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ours.closing.load(Ordering::Relaxed) {
                    return;
                }
                let shared = ours.clone();
                // A peer that is killed ends its connection with an error; that is the test.
                thread::spawn(move || serve(&shared, stream));
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Payload bytes given to the sockets so far.
    pub fn served_bytes(&self) -> u64 {
        self.shared.served.lock().expect("the seeder's count").bytes
    }

    /// Connections that asked for a block so far.
    pub fn askers(&self) -> u64 {
        self.shared.served.lock().expect("the seeder's count").askers
    }

    /// Waits until this much was served; false when `limit` passed first.
    pub fn wait_served(&self, bytes: u64, limit: Duration) -> bool {
        let served = self.shared.served.lock().expect("the seeder's count");
        let waiting = |served: &mut Served| served.bytes < bytes;
        let waited = self.shared.changed.wait_timeout_while(served, limit, waiting);
        waited.expect("the seeder's count").0.bytes >= bytes
    }
}

impl Drop for Seeder {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        // Wakes the accepting thread, which then sees the flag.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(shared: &Shared, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut greeting = [0; 68];
    stream.read_exact(&mut greeting)?;
    let hash = shared.payload.info_hash();
    if greeting[..20] != *b"\x13BitTorrent protocol" || greeting[28..48] != hash {
        return Ok(());
    }
    let mut answer = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
    answer.extend(hash);
    answer.extend(shared.peer_id);
    let count = shared.payload.piece_count();
    let mut bits = vec![BITFIELD];
    // The high bit of the first byte is piece 0; spare bits at the end are zero.
    bits.extend((0..count.div_ceil(8)).map(|byte| match count - byte * 8 {
        left if left < 8 => 0xFF_u8 << (8 - left),
        _ => 0xFF,
    }));
    answer.extend(frame(&bits));
    stream.write_all(&answer)?;
    let mut has_asked = false;
    loop {
        let message = read_message(&mut stream)?;
        if message.first() == Some(&REQUEST) && !std::mem::replace(&mut has_asked, true) {
            shared.served.lock().expect("the seeder's count").askers += 1;
            shared.changed.notify_all();
        }
        match message.first() {
            Some(&INTERESTED) => stream.write_all(&frame(&[UNCHOKE]))?,
            Some(&REQUEST) if message.len() == 13 => {
                let number =
                    |at: usize| u32::from_be_bytes(message[at..at + 4].try_into().unwrap());
                send_block(shared, &mut stream, number(1), number(5), number(9))?;
            }
            _ => {}
        }
    }
}

fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let len = u32::from_be_bytes(head) as usize;
    if len > 1 << 17 {
        return Err(io::Error::other("a message of over 128 KiB"));
    }
    let mut message = vec![0; len];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn send_block(
    shared: &Shared,
    stream: &mut TcpStream,
    piece: u32,
    begin: u32,
    len: u32,
) -> io::Result<()> {
    let payload = &shared.payload;
    let offset = u64::from(piece) * u64::from(payload.piece_len()) + u64::from(begin);
    let inside = begin.checked_add(len).is_some_and(|end| end <= payload.piece_len());
    if len > 1 << 15 || !inside || offset + u64::from(len) > payload.len() {
        return Err(io::Error::other("a request outside the torrent"));
    }
    shared.pace(len);
    let mut message = vec![PIECE];
    message.extend(piece.to_be_bytes());
    message.extend(begin.to_be_bytes());
    message.resize(9 + len as usize, 0);
    payload.read(offset, &mut message[9..]);
    stream.write_all(&frame(&message))?;
    shared.served.lock().expect("the seeder's count").bytes += u64::from(len);
    shared.changed.notify_all();
    Ok(())
}

impl Shared {
    /// Waits for this block's turn under the rate limit.
    fn pace(&self, len: u32) {
        let Some(rate) = self.rate_bytes_per_s else { return };
        let now = Instant::now();
        let mut served = self.served.lock().expect("the seeder's count");
        let turn = served.free_at.max(now);
        served.free_at = turn + Duration::from_secs_f64(f64::from(len) / rate as f64);
        drop(served);
        thread::sleep(turn - now);
    }
}

fn frame(message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).expect("a small message");
    [&len.to_be_bytes(), message].concat()
}
