//! The other end of a course server: sends bytes written by hand and expects bytes written
//! by hand, so that our encoder cannot agree with our decoder's fault.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Far more than anything here takes; a server that hangs fails its test.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const GET_FILE_INFO: [u8; 8] = [1, 2, 0, 0, 0, 0, 0, 2];
pub const DISCOVER_TRACKER: [u8; 8] = [1, 0, 0, 0, 0, 0, 0, 2];
pub const MALFORMED: [u8; 12] = [1, 6, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0];
pub const NO_REQUEST: [u8; 12] = [1, 6, 0, 0, 0, 0, 0, 3, 0, 1, 0, 0];
pub const NOT_FOUND: [u8; 12] = [1, 6, 0, 0, 0, 0, 0, 3, 0, 2, 0, 0];

/// GET_CHUNK for a hash.
pub fn get_chunk(hash: [u8; 20]) -> Vec<u8> {
    [&[1, 4, 0, 0, 0, 0, 0, 7][..], &hash].concat()
}

/// CHUNK with this content, its padding zero.
pub fn chunk(hash: [u8; 20], content: &[u8]) -> Vec<u8> {
    let padding = (4 - content.len() % 4) % 4;
    let dwords = (8 + content.len() + padding) as u32 / 4 + 6;
    let mut bytes = vec![1, 5, 0, 0];
    bytes.extend(dwords.to_be_bytes());
    bytes.extend(hash);
    bytes.extend((content.len() as u32).to_be_bytes());
    bytes.extend(content);
    bytes.extend(&[0; 3][..padding]);
    bytes
}

pub struct Client(pub TcpStream);

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.0.write_all(bytes)).await.unwrap().unwrap();
    }

    /// Exactly these bytes come next.
    pub async fn expect(&mut self, expected: &[u8]) {
        let mut bytes = vec![0; expected.len()];
        let read = timeout(PATIENCE, self.0.read_exact(&mut bytes)).await;
        read.expect("the server answers in time").expect("the server answers whole");
        // Whole chunks would fill the screen.
        let at = bytes.iter().zip(expected).position(|(found, expected)| found != expected);
        let from = at.unwrap_or_default();
        let upto = bytes.len().min(from + 32);
        assert_eq!(at, None, "{:?} instead of {:?}", &bytes[from..upto], &expected[from..upto]);
    }

    /// Sends these bytes and expects those.
    pub async fn ask(&mut self, request: &[u8], expected: &[u8]) {
        self.send(request).await;
        self.expect(expected).await;
    }

    /// Nothing comes any more, in good order.
    pub async fn expect_end(&mut self) {
        let read = timeout(PATIENCE, self.0.read(&mut [0])).await;
        assert_eq!(read.expect("the server closes in time").unwrap(), 0);
    }
}
