//! The items that we keep for others.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{SALT_LEN_MAX, VALUE_LEN_MAX, is_canonical};
use crate::base::addr::host_key;
use crate::base::ration::Ration;
use crate::dht::gate::Pace;
use crate::dht::id::NodeId;
use crate::dht::message::{ItemView, SignedView, code};
use crate::dht::nets::is_exempt;

/// Items at most (libtorrent).
const ITEMS_MAX: usize = 700;
/// "Without re-announcement, these items MAY expire in 2 hours."
const ITEM_LIFE: Duration = Duration::from_secs(2 * 3_600);
/// Between two rounds in which old ones are thrown away.
const SWEEP_EACH: Duration = Duration::from_secs(60);
/// Signatures that are checked in a second: each takes some 50 µs.
const SIGNATURES_PER_S: u32 = 50;
/// Puts of one host in a second.
const PUTS_PER_S: u32 = 1;

/// Why an item is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unkept {
    /// "message (v field) too big".
    ValueTooBig,
    /// "salt (salt field) too big".
    SaltTooBig,
    /// Not bencode as it must be written.
    NotCanonical,
    /// There is a later one, another one with this number, or the number is negative.
    SeqTooLow,
    /// It is not the one that should be replaced.
    CasMismatch,
    /// The host puts too much.
    TooOften,
    /// More signatures are to be checked than there is time for.
    Busy,
    /// "invalid signature".
    BadSignature,
    /// All places have items nearer to our id.
    Full,
}

impl Unkept {
    /// What is answered.
    pub fn code(self) -> i64 {
        match self {
            Self::ValueTooBig => code::VALUE_TOO_BIG,
            Self::SaltTooBig => code::SALT_TOO_BIG,
            Self::NotCanonical => code::PROTOCOL,
            Self::SeqTooLow => code::SEQ_TOO_LOW,
            Self::CasMismatch => code::CAS_MISMATCH,
            Self::TooOften => code::GENERIC,
            Self::Busy | Self::Full => code::SERVER,
            Self::BadSignature => code::BAD_SIGNATURE,
        }
    }

    /// The same for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::ValueTooBig => "v is longer than 1000 bytes",
            Self::SaltTooBig => "salt is longer than 64 bytes",
            Self::NotCanonical => "v is not canonical bencode",
            Self::SeqTooLow => "seq is not later",
            Self::CasMismatch => "cas is not the current seq",
            Self::TooOften => "one put a second",
            Self::Busy => "busy",
            Self::BadSignature => "invalid signature",
            Self::Full => "full",
        }
    }
}

/// Items by what they are found by.
#[derive(Debug)]
pub struct Items {
    own: NodeId,
    /// Sorted by target.
    kept: Vec<Kept>,
    puts: Ration,
    signatures: Pace,
    next_sweep: Instant,
}

#[derive(Debug)]
struct Kept {
    target: NodeId,
    value: Box<[u8]>,
    signed: Option<Box<Key>>,
    put_at: Instant,
}

/// Without the salt: it is part of the target, and whoever asks knows it.
#[derive(Debug)]
struct Key {
    key: [u8; 32],
    seq: i64,
    signature: [u8; 64],
}

impl Items {
    /// None yet, near `own`.
    pub fn new(own: NodeId, now: Instant) -> Self {
        Self {
            own,
            kept: Vec::new(),
            puts: Ration::new(PUTS_PER_S, Duration::from_secs(1)),
            signatures: Pace::new(SIGNATURES_PER_S, SIGNATURES_PER_S, now),
            next_sweep: now + SWEEP_EACH,
        }
    }

    /// Our own id is another one.
    pub fn rename(&mut self, own: NodeId) {
        self.own = own;
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.kept.len()
    }

    /// The item of this name.
    pub fn find(&self, target: &NodeId) -> Option<ItemView<'_>> {
        let kept = &self.kept[self.position(target).ok()?];
        let signed = kept.signed.as_ref().map(|signed| SignedView {
            key: &signed.key,
            salt: &[],
            seq: signed.seq,
            signature: &signed.signature,
        });
        Some(ItemView { value: &kept.value, signed })
    }

    /// Keeps an item, or for another two hours. What costs nothing is checked first.
    ///
    /// # Errors
    /// When it is not kept.
    pub fn put(
        &mut self,
        item: &ItemView<'_>,
        cas: Option<i64>,
        from: IpAddr,
        now: Instant,
    ) -> Result<(), Unkept> {
        self.sweep(now);
        if item.value.len() > VALUE_LEN_MAX {
            return Err(Unkept::ValueTooBig);
        }
        if item.signed.is_some_and(|signed| signed.salt.len() > SALT_LEN_MAX) {
            return Err(Unkept::SaltTooBig);
        }
        if item.signed.is_some_and(|signed| signed.seq < 0) {
            return Err(Unkept::SeqTooLow);
        }
        if !is_canonical(item.value) {
            return Err(Unkept::NotCanonical);
        }
        let target = item.target();
        let position = self.position(&target);
        if let Ok(at) = position {
            let kept = &mut self.kept[at];
            if supersedes(item, kept, cas)? == Step::Same {
                kept.put_at = now;
                return Ok(());
            }
        } else if !self.has_room(&target) {
            return Err(Unkept::Full);
        }
        if !is_exempt(from) && !self.puts.take(host_key(from), now) {
            return Err(Unkept::TooOften);
        }
        if item.signed.is_some() && !self.signatures.take(1, now) {
            return Err(Unkept::Busy);
        }
        if !item.is_signed_well() {
            return Err(Unkept::BadSignature);
        }
        self.keep(target, item, now);
        Ok(())
    }

    /// Whether an item that is not here yet would be kept.
    pub fn has_room(&self, target: &NodeId) -> bool {
        self.kept.len() < ITEMS_MAX
            || self.position(target).is_ok()
            || self.farthest().is_some_and(|at| {
                self.own.common_bits(&self.kept[at].target) < self.own.common_bits(target)
            })
    }

    /// Throws away what is too old, once a minute.
    pub fn sweep(&mut self, now: Instant) {
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP_EACH;
            self.kept.retain(|kept| now.saturating_duration_since(kept.put_at) <= ITEM_LIFE);
        }
    }

    fn position(&self, target: &NodeId) -> Result<usize, usize> {
        self.kept.binary_search_by_key(target, |kept| kept.target)
    }

    /// The one that leaves next.
    fn farthest(&self) -> Option<usize> {
        (0..self.kept.len())
            .min_by_key(|at| (self.own.common_bits(&self.kept[*at].target), self.kept[*at].put_at))
    }

    fn keep(&mut self, target: NodeId, item: &ItemView<'_>, now: Instant) {
        let signed = item.signed.map(|signed| {
            Box::new(Key { key: *signed.key, seq: signed.seq, signature: *signed.signature })
        });
        let kept = Kept { target, value: item.value.into(), signed, put_at: now };
        if let Ok(at) = self.position(&target) {
            self.kept[at] = kept;
            return;
        }
        if self.kept.len() >= ITEMS_MAX
            && let Some(at) = self.farthest()
        {
            self.kept.remove(at);
        }
        let at = self.position(&target).unwrap_or_else(|at| at);
        self.kept.insert(at, kept);
    }
}

/// What a valid signature would make of a put.
#[derive(PartialEq)]
enum Step {
    /// It is what we have.
    Same,
    /// It replaces that.
    Newer,
}

fn supersedes(item: &ItemView<'_>, kept: &Kept, cas: Option<i64>) -> Result<Step, Unkept> {
    let (Some(new), Some(old)) = (item.signed, &kept.signed) else {
        // Two values with one hash are one.
        return Ok(Step::Same);
    };
    if cas.is_some_and(|cas| cas != old.seq) {
        return Err(Unkept::CasMismatch);
    }
    match new.seq.cmp(&old.seq) {
        std::cmp::Ordering::Greater => Ok(Step::Newer),
        std::cmp::Ordering::Equal if *item.value == *kept.value => Ok(Step::Same),
        _ => Err(Unkept::SeqTooLow),
    }
}
