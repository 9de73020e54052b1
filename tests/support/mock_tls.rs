//! A mock server over TLS on loopback, which has proved to be `localhost` to whoever trusts the
//! authority of the tests. It answers each request with bytes, or that there are none. It shares
//! no code with the client but the library of TLS. Include it with `mod mock_tls;`.
#![allow(missing_docs)]

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A file of the tests' certificates.
pub fn certificate(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/support/tls", name].iter().collect()
}

type Answer = dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync;

/// The server; its threads end with it, or with their connections.
pub struct MockTls {
    address: SocketAddr,
    seen: mpsc::Receiver<String>,
    is_over: Arc<AtomicBool>,
}

impl MockTls {
    /// Answers requests by their path and query; none is a 404.
    pub fn start(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let chain = CertificateDer::pem_file_iter(certificate("server.pem")).expect("a file");
        let chain: Vec<_> = chain.map(|it| it.expect("a certificate")).collect();
        let key = PrivateKeyDer::from_pem_file(certificate("server.key")).expect("a key");
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions of TLS");
        let config = builder.with_no_client_auth().with_single_cert(chain, key);
        let config = Arc::new(config.expect("a certificate with its key"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (sender, seen) = mpsc::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, answer): (_, Arc<Answer>) = (is_over.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (config, answer, sender) = (config.clone(), answer.clone(), sender.clone());
                thread::spawn(move || {
                    // A client that does not trust us goes away.
                    let _ = serve(stream, config, &*answer, &sender);
                });
            }
        });
        Self { address, seen, is_over }
    }

    /// `https://localhost:port` and this path.
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// Paths and queries of the requests that came and were not taken yet.
    pub fn requests(&self) -> Vec<String> {
        self.seen.try_iter().collect()
    }
}

impl Drop for MockTls {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees the flag. If that fails it is gone already.
        let _ = TcpStream::connect(self.address);
    }
}

/// One request, and its answer.
fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    answer: &Answer,
    seen: &mpsc::Sender<String>,
) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default();
    let body = answer(target);
    // Nobody may be interested.
    let _ = seen.send(target.to_owned());
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    let len = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&body)?;
    stream.conn.send_close_notify();
    stream.flush()
}
