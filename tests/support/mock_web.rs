//! A mock server of files over HTTP on loopback, right or wrong as it is told, request by request.
//! It shares no code with the client: heads are read and written by hand. Include it with
//! `mod mock_web;`.
//!
//! Every request is kept as it came. Threads end with the mock, or with their connections.
#![allow(missing_docs)]

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Counts the requests of all connections, from 0.
    pub number: usize,
    /// Counts the requests of its connection, from 0.
    pub place: usize,
    /// Path and query.
    pub target: String,
    /// The fields, each with its line end.
    pub fields: String,
}

impl Request {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// First and last byte of its `Range`.
    pub fn range(&self) -> Option<(u64, u64)> {
        let (first, last) = self.field("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    }
}

/// What to do about a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// What HTTP says.
    Honest,
    /// The whole file, whatever was asked for.
    Whole,
    /// No more than so many bytes of what was asked for.
    Short(u64),
    /// The bytes that were asked for, with this `Content-Range`, or none.
    Says(Option<String>),
    /// What was asked for in chunks of so many bytes.
    Chunked(usize),
    /// What was asked for over HTTP/1.0, up to the end of the connection, without a length.
    Old,
    /// What was asked for, with the word that the connection ends then.
    Last,
    /// What was asked for, and then the connection ends without a word.
    ThenClose,
    /// A status line without the version, fields each with its line end, a body.
    Status(&'static str, String, Vec<u8>),
    /// So many bytes of what was asked for, and then the connection ends.
    BreakAfter(u64),
    /// So many bytes of what was asked for, and then nothing.
    StallAfter(u64),
    /// Nothing, and the connection stays open.
    Silence,
    /// Nothing, and the connection ends.
    Close,
    /// These bytes.
    Raw(Vec<u8>),
}

impl Reply {
    /// A redirect.
    pub fn redirect(target: &str) -> Self {
        Self::Status("302 Found", format!("Location: {target}\r\n"), Vec::new())
    }

    /// A status with a few words.
    pub fn status(status: &'static str) -> Self {
        Self::Status(status, String::new(), b"no more words".to_vec())
    }
}

type Behaviour = dyn Fn(&Request) -> Reply + Send + Sync;

/// The server.
pub struct MockWeb {
    pub address: SocketAddr,
    seen: mpsc::Receiver<Request>,
    is_over: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
}

struct Desk {
    files: HashMap<String, Vec<u8>>,
    behaviour: Box<Behaviour>,
    seen: mpsc::Sender<Request>,
    is_over: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    requests: AtomicUsize,
}

impl MockWeb {
    /// Serves these files, by their paths, on a free port of 127.0.0.1.
    pub fn start(
        files: Vec<(String, Vec<u8>)>,
        behaviour: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (sender, seen) = mpsc::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(AtomicUsize::new(0));
        let desk = Arc::new(Desk {
            files: files.into_iter().collect(),
            behaviour: Box::new(behaviour),
            seen: sender,
            is_over: is_over.clone(),
            connections: connections.clone(),
            requests: AtomicUsize::new(0),
        });
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                if desk.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let desk = desk.clone();
                thread::spawn(move || {
                    // A client that has enough goes away.
                    let _ = desk.serve(stream);
                });
            }
        });
        Self { address, seen, is_over, connections }
    }

    /// `http://127.0.0.1:port` and this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests that came and were not taken yet.
    pub fn requests(&self) -> Vec<Request> {
        self.seen.try_iter().collect()
    }

    /// Connections that were made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for MockWeb {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees the flag. If that fails it is gone already.
        let _ = TcpStream::connect(self.address);
    }
}

impl Desk {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        self.connections.fetch_add(1, Ordering::SeqCst);
        stream.set_nodelay(true)?;
        let mut place = 0;
        while let Some(head) = read_head(&mut stream)? {
            let (line, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
            let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let number = self.requests.fetch_add(1, Ordering::SeqCst);
            let request = Request { number, place, target, fields: fields.to_owned() };
            place += 1;
            let reply = (self.behaviour)(&request);
            // Nobody may be interested.
            let _ = self.seen.send(request.clone());
            if !self.answer(&mut stream, &request, reply)? {
                stream.shutdown(Shutdown::Write)?;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Answers; false when the connection is to end.
    fn answer(&self, stream: &mut TcpStream, request: &Request, reply: Reply) -> io::Result<bool> {
        let path = request.target.split('?').next().unwrap_or_default();
        let file = self.files.get(path);
        match reply {
            Reply::Status(status, fields, body) => {
                let len = body.len();
                let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {len}\r\n\r\n");
                stream.write_all(&[head.as_bytes(), &body].concat())?;
                return Ok(true);
            }
            Reply::Raw(bytes) => return stream.write_all(&bytes).map(|()| true),
            Reply::Silence => return self.stall(stream),
            Reply::Close => return Ok(false),
            _ => {}
        }
        let Some(file) = file else {
            let reply = Reply::Status("404 Not Found", String::new(), b"not here".to_vec());
            return self.answer(stream, request, reply);
        };
        let total = file.len() as u64;
        let (first, last) = match (&reply, request.range()) {
            (Reply::Whole, _) | (_, None) => (0, total - 1),
            (Reply::Short(most), Some((first, last))) => (first, last.min(first + most - 1)),
            (_, Some((first, last))) => (first, last.min(total - 1)),
        };
        let body = &file[first as usize..=last as usize];
        let is_part = request.range().is_some() && !matches!(reply, Reply::Whole);
        let range = match &reply {
            Reply::Says(said) => said.clone(),
            _ => Some(format!("bytes {first}-{last}/{total}")),
        };
        let mut fields = match range.filter(|_| is_part) {
            Some(range) => format!("Content-Range: {range}\r\n"),
            None => String::new(),
        };
        let status = if is_part { "206 Partial Content" } else { "200 OK" };
        let len = body.len();
        match &reply {
            Reply::Chunked(_) => fields.push_str("Transfer-Encoding: chunked\r\n"),
            Reply::Old => {}
            _ => fields.push_str(&format!("Content-Length: {len}\r\n")),
        }
        if let Reply::Last = reply {
            fields.push_str("Connection: close\r\n");
        }
        let version = if let Reply::Old = reply { "1.0" } else { "1.1" };
        stream.write_all(format!("HTTP/{version} {status}\r\n{fields}\r\n").as_bytes())?;
        self.send_body(stream, body, &reply)
    }

    fn send_body(&self, stream: &mut TcpStream, body: &[u8], reply: &Reply) -> io::Result<bool> {
        let part = |most: u64| &body[..body.len().min(most as usize)];
        match reply {
            Reply::Chunked(len) => {
                for chunk in body.chunks(*len) {
                    let head = format!("{:x};name=value\r\n", chunk.len());
                    stream.write_all(&[head.as_bytes(), chunk, b"\r\n"].concat())?;
                }
                stream.write_all(b"0\r\nTrailer: x\r\n\r\n")?;
            }
            Reply::BreakAfter(most) => {
                stream.write_all(part(*most))?;
                return Ok(false);
            }
            Reply::StallAfter(most) => {
                stream.write_all(part(*most))?;
                return self.stall(stream);
            }
            _ => stream.write_all(body)?,
        }
        Ok(!matches!(reply, Reply::Old | Reply::Last | Reply::ThenClose))
    }

    /// Waits until the client closes or sends more, or the mock is over.
    fn stall(&self, stream: &mut TcpStream) -> io::Result<bool> {
        stream.set_read_timeout(Some(Duration::from_millis(20)))?;
        while !self.is_over.load(Ordering::SeqCst) {
            match stream.peek(&mut [0]) {
                Err(cause) if matches!(cause.kind(), io::ErrorKind::WouldBlock) => {}
                _ => break,
            }
        }
        Ok(false)
    }
}

/// One head; what comes behind it is left for later.
fn read_head(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut seen = vec![0; 64 * 1024];
    let mut before = 0;
    loop {
        let len = stream.peek(&mut seen)?;
        if len == 0 || len == seen.len() {
            return Ok(None);
        }
        let end = seen[..len].windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let mut head = vec![0; end + 4];
            stream.read_exact(&mut head)?;
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        if len == before {
            // The rest is on its way.
            thread::sleep(Duration::from_millis(1));
        }
        before = len;
    }
}
