//! A seeder of the demo: it accepts, shows its pieces, lets everybody in and answers
//! requests at its own pace. It is no client: it wants nothing, and writes its few messages
//! by hand, so that the client under demonstration is not talking to itself (BEP 3).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::content::{PIECE_LEN, Sample};

const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";
/// Longest message read: the bit set of the largest sample is far shorter.
const MESSAGE_MAX: u32 = 1 << 17;
/// Longest part sent at once, twice what clients ask for.
const PART_MAX: u32 = 32 << 10;
const UNCHOKE: u8 = 1;
const INTERESTED: u8 = 2;
const BITFIELD: u8 = 5;
const REQUEST: u8 = 6;
const PIECE: u8 = 7;

/// One seeder.
pub struct Seeder {
    /// What it is called.
    pub name: String,
    /// What it has parts of.
    pub sample: Arc<Sample>,
    /// Which pieces it has.
    pub part: Vec<bool>,
    /// Bytes a second it sends at most.
    pub rate: Option<u64>,
}

impl Seeder {
    /// Listens on a free port of this machine and announces there; returns where. It serves
    /// until the runtime ends.
    ///
    /// # Errors
    /// When no port can be opened, or the tracker does not answer.
    pub async fn start(self, tracker: SocketAddr) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let seeder = Arc::new(self);
        seeder.announce(tracker, address.port()).await?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seeder = seeder.clone();
                tokio::spawn(async move {
                    if let Err(error) = seeder.serve(stream).await {
                        tracing::debug!("demo seeder {}: {error}", seeder.name);
                    }
                });
            }
        });
        Ok(address)
    }

    /// One announce over plain HTTP; the answer does not matter to somebody who wants nothing.
    async fn announce(&self, tracker: SocketAddr, port: u16) -> std::io::Result<()> {
        let missing = self.part.iter().filter(|has| !**has).count() * PIECE_LEN;
        let query = format!(
            "info_hash={}&peer_id={}&port={port}&uploaded=0&downloaded=0&left={missing}\
             &compact=1&event=started",
            urlencoding::encode_binary(&self.sample.info_hash()),
            urlencoding::encode_binary(&self.peer_id()),
        );
        let mut stream = TcpStream::connect(tracker).await?;
        let request = format!(
            "GET /announce?{query} HTTP/1.1\r\nHost: {tracker}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut Vec::new()).await?;
        Ok(())
    }

    fn peer_id(&self) -> [u8; 20] {
        let mut id = *b"-DM0100-............";
        for (slot, letter) in id[8..].iter_mut().zip(self.name.bytes()) {
            *slot = letter;
        }
        id
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut theirs = [0; 68];
        stream.read_exact(&mut theirs).await?;
        let hash = self.sample.info_hash();
        if theirs[..20] != *PROTOCOL || theirs[28..48] != hash {
            return Ok(());
        }
        let mut greeting = [PROTOCOL.as_slice(), &[0; 8], &hash, &self.peer_id()].concat();
        greeting.extend(message(BITFIELD, &[&self.bits()]));
        stream.write_all(&greeting).await?;
        let mut paid_until = Instant::now();
        while let Some(body) = read_message(&mut stream).await? {
            match body.split_first() {
                Some((&INTERESTED, _)) => stream.write_all(&message(UNCHOKE, &[])).await?,
                Some((&REQUEST, ask)) => {
                    let Some(answer) = self.answer(ask) else { return Ok(()) };
                    paid_until = self.pace(paid_until, answer.len()).await;
                    stream.write_all(&answer).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The `piece` message for a request; none when it asks for what we do not have.
    fn answer(&self, ask: &[u8]) -> Option<Vec<u8>> {
        let mut numbers = ask.chunks(4).map(|bytes| bytes.try_into().map(u32::from_be_bytes));
        let mut number = || numbers.next()?.ok();
        let (piece, begin, len) = (number()?, number()?, number()?);
        let has = *self.part.get(piece as usize)?;
        let data = self.sample.part(piece, begin, len).filter(|_| has && len <= PART_MAX)?;
        Some(message(PIECE, &[&piece.to_be_bytes(), &begin.to_be_bytes(), data]))
    }

    /// Waits until the rate allows so many more bytes; returns when they will be paid for.
    async fn pace(&self, paid_until: Instant, len: usize) -> Instant {
        let Some(rate) = self.rate else { return paid_until };
        tokio::time::sleep_until(paid_until).await;
        // Time in which nothing was asked is not saved up.
        let from = paid_until.max(Instant::now() - Duration::from_millis(50));
        from + Duration::from_secs_f64(len as f64 / rate.max(1) as f64)
    }

    fn bits(&self) -> Vec<u8> {
        let bytes = self.part.chunks(8).map(|eight| {
            let bits = eight.iter().enumerate().filter(|(_, has)| **has);
            bits.fold(0, |byte, (at, _)| byte | 0x80 >> at)
        });
        bytes.collect()
    }
}

fn message(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len = 1 + parts.iter().map(|part| part.len()).sum::<usize>() as u32;
    let mut message = len.to_be_bytes().to_vec();
    message.push(kind);
    parts.iter().for_each(|part| message.extend(*part));
    message
}

/// The body of the next message, empty for a keep-alive; none when the peer is gone or
/// sends something longer than anything we understand.
async fn read_message(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let len = match stream.read_u32().await {
        Ok(len) if len <= MESSAGE_MAX => len,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut body = vec![0; len as usize];
    stream.read_exact(&mut body).await?;
    Ok(Some(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::server::{ServerConfig, serve};

    #[tokio::test]
    async fn a_seeder_gives_what_it_has_and_hangs_up_on_the_rest() {
        let tracker = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let announce = tracker.local_addr().unwrap();
        tokio::spawn(serve(tracker, ServerConfig::default(), std::future::pending()));
        let sample = Arc::new(Sample::new(600_000));
        let seeder = Seeder {
            name: "alice".into(),
            sample: sample.clone(),
            part: vec![true, false, false],
            rate: None,
        };
        let address = seeder.start(announce).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let hello = [PROTOCOL.as_slice(), &[0; 8], &sample.info_hash(), &[b'x'; 20]].concat();
        stream.write_all(&hello).await.unwrap();
        let mut theirs = [0; 68];
        stream.read_exact(&mut theirs).await.unwrap();
        assert_eq!(&theirs[48..], b"-DM0100-alice.......");
        assert_eq!(read_message(&mut stream).await.unwrap().unwrap(), [BITFIELD, 0x80]);
        stream.write_all(&[0, 0, 0, 1, INTERESTED]).await.unwrap();
        assert_eq!(read_message(&mut stream).await.unwrap().unwrap(), [UNCHOKE]);
        let ask = [0, 0, 0, 13, REQUEST, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 9];
        stream.write_all(&ask).await.unwrap();
        let answer = read_message(&mut stream).await.unwrap().unwrap();
        assert_eq!(answer[..9], [PIECE, 0, 0, 0, 0, 0, 0, 0x40, 0]);
        assert_eq!(Some(&answer[9..]), sample.part(0, 0x4000, 9));
        let not_there = [0, 0, 0, 13, REQUEST, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
        stream.write_all(&not_there).await.unwrap();
        assert_eq!(read_message(&mut stream).await.unwrap(), None);
    }
}
