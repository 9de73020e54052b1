//! A peer that shakes hands, and goes.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use pigeon::metainfo::Torrent;

/// Knocks at this port for the torrent, and waits for an answer.
pub fn knock(port: u16, torrent: &Torrent) -> io::Result<()> {
    let hash = torrent.info_hash_v1.expect("a v1 torrent").0;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let id = *b"-XX0001-knockknockkn";
    let hello = [b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0", &hash[..], &id].concat();
    stream.write_all(&hello)?;
    stream.read_exact(&mut [0; 68])
}
