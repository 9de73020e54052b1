//! Encrypted handshakes around mock peers, who speak plainly: a listener in front of one that
//! listens, or in front of the client for one that dials. What goes through is the peer's own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pigeon::base::ids::InfoHash;
use pigeon::wire::PROTOCOL;
use pigeon::wire::mse::{
    Ciphers, Encryption, Machine, Method, Outcome, PrivateKey, Rc4, Step, torrent_key,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::mock_peer::{BITS_NONE, handshake};

/// How connections through a veil began.
#[derive(Debug, Default)]
pub struct Seen {
    /// Plainly, and were let through.
    pub plain: AtomicU64,
    /// With a hidden handshake alone.
    pub plaintext: AtomicU64,
    /// With everything hidden.
    pub rc4: AtomicU64,
    /// In a way that was refused.
    pub refused: AtomicU64,
}

impl Seen {
    /// Plain, plaintext, RC4, refused.
    pub fn counts(&self) -> [u64; 4] {
        let all = [&self.plain, &self.plaintext, &self.rc4, &self.refused];
        all.map(|count| count.load(Ordering::Relaxed))
    }
}

/// A listener that runs until it is dropped.
#[derive(Debug)]
pub struct Veil {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Drop for Veil {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Which end of the connection the veil hangs before.
#[derive(Clone, Copy)]
enum Side {
    /// It answers who dials, and goes on to a peer that listens.
    Peer,
    /// The same, but those whom it refuses are not told.
    Deaf,
    /// It takes any bytes for a plain handshake, and waits for the messages behind it.
    Blind,
    /// It dials the client for a peer, which wants this torrent.
    Client([u8; 20]),
}

impl Veil {
    /// Before a peer at `peer` that has this torrent, and takes what this policy takes.
    pub async fn before_peer(peer: SocketAddr, torrent: [u8; 20], policy: Encryption) -> Self {
        Self::hang(peer, torrent, policy, Side::Peer).await
    }

    /// Before a peer at `peer` that takes plain handshakes, and never answers to others.
    pub async fn before_deaf_peer(peer: SocketAddr) -> Self {
        Self::hang(peer, [0; 20], Encryption::Off, Side::Deaf).await
    }

    /// Before a peer at `peer` that has this torrent, and takes any bytes for a plain handshake.
    pub async fn before_blind_peer(peer: SocketAddr, torrent: [u8; 20]) -> Self {
        Self::hang(peer, torrent, Encryption::Off, Side::Blind).await
    }

    /// Before the client, for peers that want `torrent` and name another one for it if `wanted` is
    /// not the same.
    pub async fn before_client(client: SocketAddr, wanted: [u8; 20], policy: Encryption) -> Self {
        Self::hang(client, wanted, policy, Side::Client(wanted)).await
    }

    async fn hang(to: SocketAddr, torrent: [u8; 20], policy: Encryption, side: Side) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let seen = Arc::new(Seen::default());
        let ours = seen.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let seen = ours.clone();
                connections.spawn(async move {
                    let done = match side {
                        Side::Client(wanted) => dial(stream, to, wanted, policy).await,
                        side => answer(stream, to, torrent, policy, side, &seen).await,
                    };
                    if done.is_err() {
                        seen.refused.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Self { address, seen, task }
    }
}

async fn answer(
    mut remote: TcpStream,
    peer: SocketAddr,
    torrent: [u8; 20],
    policy: Encryption,
    side: Side,
    seen: &Seen,
) -> io::Result<()> {
    let mut first = [0; 20];
    remote.read_exact(&mut first).await?;
    if &first == PROTOCOL {
        if !policy.takes_plain() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        seen.plain.fetch_add(1, Ordering::Relaxed);
        let mut inside = TcpStream::connect(peer).await?;
        inside.write_all(&first).await?;
        // However either side ends it.
        let _ = copy_bidirectional(&mut remote, &mut inside).await;
        return Ok(());
    }
    if !policy.takes_encrypted() {
        if matches!(side, Side::Blind) {
            remote.write_all(&handshake(BITS_NONE, torrent, [b'B'; 20])).await?;
        }
        while !matches!(side, Side::Peer) && remote.read(&mut first).await? > 0 {}
        return Err(io::ErrorKind::InvalidData.into());
    }
    let key = PrivateKey::new(rand::random());
    let mut machine = Machine::respond(policy, &key.public(), &[7; 100]);
    machine.hear(&first).map_err(io::Error::other)?;
    let begun = shake_hands(&mut remote, machine, &key, torrent).await?;
    let Outcome::Agreed { initial, method, ciphers, .. } = begun else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let count = if method == Method::Rc4 { &seen.rc4 } else { &seen.plaintext };
    count.fetch_add(1, Ordering::Relaxed);
    let mut inside = TcpStream::connect(peer).await?;
    inside.write_all(&initial).await?;
    pass_on(remote, inside, ciphers).await;
    Ok(())
}

async fn dial(
    mut peer: TcpStream,
    client: SocketAddr,
    wanted: [u8; 20],
    policy: Encryption,
) -> io::Result<()> {
    let mut initial = vec![0; 68];
    peer.read_exact(&mut initial).await?;
    let mut remote = TcpStream::connect(client).await?;
    let key = PrivateKey::new(rand::random());
    let torrent = InfoHash(wanted);
    let machine = Machine::initiate(policy, &key.public(), &[9; 300], torrent, initial);
    let begun = shake_hands(&mut remote, machine, &key, wanted).await?;
    let Outcome::Agreed { ciphers, .. } = begun else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    pass_on(remote, peer, ciphers).await;
    Ok(())
}

async fn shake_hands(
    remote: &mut TcpStream,
    mut machine: Machine,
    key: &PrivateKey,
    torrent: [u8; 20],
) -> io::Result<Outcome> {
    loop {
        remote.write_all(&machine.take_output()).await?;
        match machine.step() {
            Step::Hear(count) => {
                let mut bytes = vec![0; count];
                let len = remote.read(&mut bytes).await?;
                if len == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                machine.hear(&bytes[..len]).map_err(io::Error::other)?;
            }
            Step::Agree(theirs) => {
                machine.agreed(key.agree(&theirs)).map_err(io::Error::other)?;
            }
            Step::Find(named) => {
                let torrent = InfoHash(torrent);
                let known = (torrent_key(torrent) == named).then_some(torrent);
                machine.found(known).map_err(io::Error::other)?;
            }
            Step::Done => return machine.outcome().ok_or(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Carries bytes both ways, hidden on the way to the remote, until both ends are over.
async fn pass_on(remote: TcpStream, inside: TcpStream, ciphers: Option<Box<Ciphers>>) {
    let (incoming, outgoing) = ciphers.map(|it| (it.incoming, it.outgoing)).unzip();
    let (mut from_remote, mut to_remote) = remote.into_split();
    let (mut from_inside, mut to_inside) = inside.into_split();
    let carry = async |from: &mut tokio::net::tcp::OwnedReadHalf,
                       to: &mut tokio::net::tcp::OwnedWriteHalf,
                       mut cipher: Option<Rc4>| {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(len @ 1..) = from.read(&mut bytes).await {
            if let Some(cipher) = &mut cipher {
                cipher.apply(&mut bytes[..len]);
            }
            if to.write_all(&bytes[..len]).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(
        carry(&mut from_remote, &mut to_inside, incoming),
        carry(&mut from_inside, &mut to_remote, outgoing),
    );
}
