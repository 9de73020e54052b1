//! Connections that begin with an encrypted handshake (`wire::mse`): the hand that runs its machine
//! on a socket. It makes keys and pads by chance, and asks for leave before it computes a secret,
//! since that costs us a tenth of a millisecond and a stranger nothing. Not here: which way is
//! tried first (`dial`), and whose torrent it is (who owns them all).

use std::net::SocketAddr;
use std::sync::Arc;

use rand::RngExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::base::digest::Sha1Hash;
use crate::base::ids::InfoHash;
use crate::net::budget::Budget;
use crate::wire::PROTOCOL;
use crate::wire::mse::{Encryption, KEY_LEN, Machine, Method, Outcome, PAD_MAX, PrivateKey, Step};

use super::ciphered::{CipheredRead, CipheredWrite, Tails};
use super::error::Error;
use super::stream::{ReadSide, WriteSide};

/// Secrets that all connections together may have computed in a second, on average: 3 % of a core.
const SECRETS_PER_S: u32 = 300;

/// What the user wants of encryption, and what it may cost; the same for all connections of a
/// session.
#[derive(Clone, Debug)]
pub struct Secrecy {
    /// What may be, and what comes first.
    pub policy: Encryption,
    /// Turns to compute a secret.
    pub budget: Arc<Budget>,
    /// What its hidden connections keep.
    pub(super) tails: Tails,
}

impl Secrecy {
    /// By this policy, at the usual cost.
    pub fn new(policy: Encryption) -> Self {
        let budget = Arc::new(Budget::per_second(SECRETS_PER_S));
        Self { policy, budget, tails: Tails::default() }
    }
}

/// What a connection that comes in asks of whoever owns the torrents and knows all strangers.
#[derive(Debug)]
pub enum Question {
    /// May it begin an encrypted handshake?
    Begin(oneshot::Sender<bool>),
    /// Which torrent has this key ([`torrent_key`](crate::wire::mse::torrent_key))?
    Find(Sha1Hash, oneshot::Sender<Option<InfoHash>>),
}

/// What a connection that comes in is judged by.
#[derive(Clone, Debug)]
pub struct Door {
    secrecy: Secrecy,
    questions: Option<(SocketAddr, mpsc::Sender<(SocketAddr, Question)>)>,
}

impl Door {
    /// One where plain handshakes alone are taken.
    pub fn plain() -> Self {
        Self { secrecy: Secrecy::new(Encryption::Off), questions: None }
    }

    /// One for who comes from `from`: `secrecy` says what is taken, and whoever hears `questions`
    /// answers them.
    pub fn new(
        secrecy: Secrecy,
        from: SocketAddr,
        questions: mpsc::Sender<(SocketAddr, Question)>,
    ) -> Self {
        Self { secrecy, questions: Some((from, questions)) }
    }

    /// What is taken here.
    pub(super) fn policy(&self) -> Encryption {
        self.secrecy.policy
    }

    /// None when there is nobody to answer.
    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let (from, questions) = self.questions.as_ref()?;
        questions.send((*from, question(answer))).await.ok()?;
        answered.await.ok()
    }
}

/// A connection whose encrypted handshake is over.
#[derive(Debug)]
pub(super) struct Hidden {
    pub read: ReadSide,
    pub write: WriteSide,
    pub torrent: InfoHash,
    /// The remote's first words.
    pub initial: Vec<u8>,
    pub method: Method,
}

/// How a connection turned out to begin.
#[derive(Debug)]
pub(super) enum Beginning {
    /// Plainly: the first 20 bytes of a handshake were read.
    Plain(ReadSide, WriteSide),
    Hidden(Hidden),
}

/// What a side of a handshake may ask.
enum Judge<'a> {
    Dialler(&'a Secrecy),
    Door(&'a Door),
}

/// One side of a handshake that is under way.
struct Talk<'a> {
    read: ReadSide,
    write: WriteSide,
    machine: Machine,
    key: PrivateKey,
    judge: Judge<'a>,
}

/// Opens a connection for `torrent` with an encrypted handshake and `initial` as the first words.
/// `hear` reads the first bytes of the answer, so that whoever waits for any has a say.
pub(super) async fn open(
    (mut read, mut write): (ReadSide, WriteSide),
    torrent: InfoHash,
    initial: &[u8],
    secrecy: &Secrecy,
    hear: impl AsyncFnOnce(&mut ReadSide, &mut [u8]) -> Result<usize, Error>,
) -> Result<Beginning, Error> {
    let key = PrivateKey::new(rand::random());
    let (public, pad) = (key.public(), pad());
    let initial = initial.to_vec();
    let mut machine = Machine::initiate(secrecy.policy, &public, &pad, torrent, initial);
    write.write_all(&machine.take_output()).await?;
    let mut bytes = [0; KEY_LEN];
    let wanted = wanted(&machine, &mut bytes);
    let len = hear(&mut read, wanted).await?;
    machine.hear(bytes.get(..len).unwrap_or_default())?;
    Talk { read, write, machine, key, judge: Judge::Dialler(secrecy) }.finish().await
}

/// Takes a connection that came in, whichever way it begins.
///
/// # Errors
/// Also when that way is not taken here, or too many come by it.
pub(super) async fn take(
    (mut read, write): (ReadSide, WriteSide),
    door: &Door,
) -> Result<Beginning, Error> {
    // One byte would not be enough: keys begin with any.
    let mut first = [0; PROTOCOL.len()];
    read.read_exact(&mut first).await?;
    if &first == PROTOCOL {
        return Ok(Beginning::Plain(read, write));
    }
    // Before a key is told: who has heard one does not try the other way.
    let may_begin = door.ask(Question::Begin).await.unwrap_or(false);
    if !may_begin || !door.secrecy.budget.take(Instant::now().into_std()) {
        return Err(Error::Busy);
    }
    let key = PrivateKey::new(rand::random());
    let mut machine = Machine::respond(door.policy(), &key.public(), &pad());
    machine.hear(&first)?;
    let judge = Judge::Door(door);
    Talk { read, write, machine, key, judge }.finish().await
}

/// Where the bytes go that the machine wants next.
fn wanted<'a>(machine: &Machine, bytes: &'a mut [u8; KEY_LEN]) -> &'a mut [u8] {
    let count = match machine.step() {
        Step::Hear(count) => count.min(KEY_LEN),
        _ => 0,
    };
    bytes.get_mut(..count).unwrap_or_default()
}

/// Padding of any length.
fn pad() -> Vec<u8> {
    let mut rng = rand::rng();
    let mut pad = vec![0; rng.random_range(0..=PAD_MAX)];
    rng.fill(&mut pad[..]);
    pad
}

impl Talk<'_> {
    /// Goes on to the end.
    async fn finish(mut self) -> Result<Beginning, Error> {
        loop {
            let said = self.machine.take_output();
            if !said.is_empty() {
                self.write.write_all(&said).await?;
            }
            match self.machine.step() {
                Step::Hear(_) => {
                    let mut bytes = [0; KEY_LEN];
                    let len = self.read.read(wanted(&self.machine, &mut bytes)).await?;
                    if len == 0 {
                        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                    }
                    self.machine.hear(bytes.get(..len).unwrap_or_default())?;
                }
                Step::Agree(theirs) => {
                    self.judge.turn().await;
                    self.machine.agreed(self.key.agree(&theirs))?;
                }
                Step::Find(key) => {
                    let torrent = self.judge.find(key).await;
                    self.machine.found(torrent)?;
                }
                Step::Done => return Ok(self.done()),
            }
        }
    }

    fn done(self) -> Beginning {
        let Self { read, write, machine, judge, .. } = self;
        let tails = judge.secrecy().tails.clone();
        let Some(Outcome::Agreed { torrent, initial, method, ciphers }) = machine.outcome() else {
            return Beginning::Plain(read, write);
        };
        let (read, write) = match ciphers {
            Some(ciphers) => (
                ReadSide::Rc4(Box::new(CipheredRead { side: read, cipher: ciphers.incoming })),
                WriteSide::Rc4(Box::new(CipheredWrite::new(write, ciphers.outgoing, tails))),
            ),
            None => (read, write),
        };
        Beginning::Hidden(Hidden { read, write, torrent, initial, method })
    }
}

impl Judge<'_> {
    fn secrecy(&self) -> &Secrecy {
        match self {
            Self::Dialler(secrecy) => secrecy,
            Self::Door(door) => &door.secrecy,
        }
    }

    /// Waits for a turn to compute a secret. Who dials may always have one: it is bounded by how
    /// many may dial. Who came in has had one.
    async fn turn(&self) {
        if let Self::Dialler(secrecy) = self {
            let wait = secrecy.budget.reserve(Instant::now().into_std());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
    }

    async fn find(&self, key: Sha1Hash) -> Option<InfoHash> {
        match self {
            Self::Door(door) => door.ask(|answer| Question::Find(key, answer)).await.flatten(),
            // It knows its torrent.
            Self::Dialler(_) => None,
        }
    }
}
