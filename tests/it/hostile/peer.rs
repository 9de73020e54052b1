//! A hostile peer's socket: it listens or dials and gives every connection to an act, which
//! drives it byte by byte. Blocking threads; all bytes are written here by hand (BEP 3, 6).

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::acts::Act;
use crate::mock_peer::{BITS_ALL, handshake, message};
use crate::payload::Payload;

/// No act outlives a download by more.
const ACT_MAX: Duration = Duration::from_secs(60);

/// A listening hostile peer; it stops accepting when dropped.
pub struct Hostile {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    visits: AtomicUsize,
    is_over: AtomicBool,
}

impl Hostile {
    /// Listens on a free port; every connection is one performance of the act.
    pub fn listen(payload: Arc<Payload>, index: usize, act: Act) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { visits: AtomicUsize::new(0), is_over: false.into() });
        let ours = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ours.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let visit = ours.visits.fetch_add(1, Ordering::Relaxed);
                let payload = payload.clone();
                let connection = Connection { stream, payload, index, visit, dials: false };
                thread::spawn(move || connection.perform(act));
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    pub fn visits(&self) -> usize {
        self.shared.visits.load(Ordering::Relaxed)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes the accepting thread, which then sees the flag.
        let _ = TcpStream::connect(self.address);
    }
}

/// Dials the port and performs the act there.
pub fn dial(port: u16, payload: Arc<Payload>, index: usize, act: Act) {
    thread::spawn(move || {
        if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Connection { stream, payload, index, visit: 0, dials: true }.perform(act);
        }
    });
}

/// What a request asks for: piece, first byte, length.
pub type Asked = [u32; 3];

/// One connection of a hostile peer.
pub struct Connection {
    pub stream: TcpStream,
    pub payload: Arc<Payload>,
    /// Which of the hostile peers of a run.
    pub index: usize,
    /// How many connections it had before.
    pub visit: usize,
    dials: bool,
}

impl Connection {
    fn perform(mut self, act: Act) {
        let _ = self.stream.set_read_timeout(Some(ACT_MAX));
        let _ = self.stream.set_write_timeout(Some(ACT_MAX));
        // That the driver ends the connection is what an act is for.
        let _ = act(&mut self);
    }

    pub fn peer_id(&self) -> [u8; 20] {
        let mut id = *b"-EV0001-hostile-0000";
        id[18] = b'a' + (self.index / 26 % 26) as u8;
        id[19] = b'a' + (self.index % 26) as u8;
        id
    }

    /// The driver's handshake, where it comes first.
    pub fn greeted(&mut self) -> io::Result<[u8; 68]> {
        let mut theirs = [0; 68];
        if !self.dials {
            self.stream.read_exact(&mut theirs)?;
        }
        Ok(theirs)
    }

    pub fn hello_as(&mut self, bits: [u8; 8], hash: [u8; 20], id: [u8; 20]) -> io::Result<()> {
        self.greeted()?;
        self.send(&handshake(bits, hash, id))?;
        if self.dials {
            self.stream.read_exact(&mut [0; 68])?;
        }
        Ok(())
    }

    /// An honest handshake with fast and extension bits.
    pub fn hello(&mut self) -> io::Result<()> {
        self.hello_as(BITS_ALL, self.payload.info_hash(), self.peer_id())
    }

    /// The same, then `have all` and `unchoke`: as a seeder would.
    pub fn open(&mut self) -> io::Result<()> {
        self.hello()?;
        self.send(&[message(14, &[]), message(1, &[])].concat())
    }

    /// As a seeder without extensions: bit field and `unchoke`.
    pub fn open_plain(&mut self) -> io::Result<()> {
        self.hello_as([0; 8], self.payload.info_hash(), self.peer_id())?;
        let bits = self.bits();
        self.send(&[message(5, &bits), message(1, &[])].concat())
    }

    /// All pieces as a bit field, spare bits zero.
    pub fn bits(&self) -> Vec<u8> {
        let count = self.payload.piece_count();
        let byte = |index: usize| match count - index * 8 {
            left if left < 8 => 0xFF_u8 << (8 - left),
            _ => 0xFF,
        };
        (0..count.div_ceil(8)).map(byte).collect()
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends the same until the driver has enough.
    pub fn flood(&mut self, bytes: &[u8]) -> io::Result<()> {
        let many = bytes.repeat((16_384 / bytes.len()).max(1));
        let begin = Instant::now();
        while begin.elapsed() < ACT_MAX {
            self.send(&many)?;
        }
        Ok(())
    }

    /// Sends single bytes, so far apart.
    pub fn drip(&mut self, bytes: &[u8], pause: Duration) -> io::Result<()> {
        bytes.iter().try_for_each(|byte| {
            thread::sleep(pause);
            self.send(&[*byte])
        })
    }

    /// Reads and does nothing until the driver leaves.
    pub fn idle(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while self.stream.read(&mut buffer)? > 0 {}
        Ok(())
    }

    /// Answers each request with what `answer` makes of it.
    pub fn serve(
        &mut self,
        mut answer: impl FnMut(&mut Self, Asked) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            let mut head = [0; 4];
            self.stream.read_exact(&mut head)?;
            let mut body = vec![0; u32::from_be_bytes(head) as usize];
            self.stream.read_exact(&mut body)?;
            if body.first() == Some(&6) && body.len() == 13 {
                let word = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
                answer(self, [word(1), word(5), word(9)])?;
            }
        }
    }

    /// The right bytes of a block.
    pub fn block(&self, [piece, begin, len]: Asked) -> Vec<u8> {
        let offset = u64::from(piece) * u64::from(self.payload.piece_len()) + u64::from(begin);
        let mut data = vec![0; len as usize];
        self.payload.read(offset, &mut data);
        data
    }
}
