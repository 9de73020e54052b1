//! Whether strangers reach us, by which we say that we take queries or none (BEP 43). Not here:
//! what our address is.

use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Who was spoken to so lately may use the way that we opened.
const OPENED: Duration = Duration::from_secs(5 * 60);
/// For how long a stranger's query proves anything.
const PROVEN: Duration = Duration::from_secs(60 * 60);
/// Each hour begins with so long a trial, in which we say that we take queries.
const TRIAL: Duration = Duration::from_secs(10 * 60);
const TRIAL_EACH: Duration = Duration::from_secs(60 * 60);
/// Minutes that are remembered apart.
const MINUTES: usize = 5;
const MINUTE: Duration = Duration::from_secs(60);
/// Bits for the hosts spoken to in a minute; the budget lets out some 3,840, at which every
/// ninth stranger is taken for one of them. That only delays a proof.
const BITS: usize = 32_768;

/// What is known of it.
#[derive(Debug)]
pub struct Reach {
    /// The user's word.
    is_fixed: bool,
    /// A public address of ours, or a mapped port.
    is_open: bool,
    proven: Option<Instant>,
    born: Instant,
    /// Hosts spoken to, minute by minute.
    spoken_to: Vec<[u64; BITS / 64]>,
    minute: Instant,
}

impl Reach {
    /// One that says forever that it takes no queries, or finds out.
    pub fn new(is_fixed: bool, is_public: bool, now: Instant) -> Self {
        let spoken_to = vec![[0; BITS / 64]; MINUTES + 1];
        Self { is_fixed, is_open: is_public, proven: None, born: now, spoken_to, minute: now }
    }

    /// A port is mapped to us, or is no more.
    pub fn set_open(&mut self, is_open: bool) {
        self.is_open = is_open;
    }

    /// We spoke to a host.
    pub fn spoke_to(&mut self, host: IpAddr, now: Instant) {
        self.turn(now);
        let bit = bit_of(host);
        self.spoken_to[0][bit / 64] |= 1 << (bit % 64);
    }

    /// A host asked us something: a proof, unless we spoke to it in the last five minutes.
    pub fn asked_by(&mut self, host: IpAddr, now: Instant) {
        self.turn(now);
        let bit = bit_of(host);
        let is_known = |minute: &[u64; BITS / 64]| minute[bit / 64] & (1 << (bit % 64)) != 0;
        // In the first five minutes it may be one of the life before.
        let may_know = now.saturating_duration_since(self.born) < OPENED;
        if !may_know && !self.spoken_to.iter().any(is_known) {
            self.proven = Some(now);
        }
    }

    /// The network is another one: all is open again, and a trial begins.
    pub fn changed(&mut self, now: Instant) {
        (self.proven, self.born) = (None, now);
    }

    /// Whether our queries say that we take none.
    pub fn is_read_only(&self, now: Instant) -> bool {
        let is_within = |since: Instant, span| now.saturating_duration_since(since) < span;
        if self.is_fixed {
            return true;
        }
        let age = now.saturating_duration_since(self.born).as_secs();
        let is_trial = age % TRIAL_EACH.as_secs() < TRIAL.as_secs();
        !(self.is_open || is_trial || self.proven.is_some_and(|at| is_within(at, PROVEN)))
    }

    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.minute).as_secs() / MINUTE.as_secs();
        for _ in 0..passed.min(self.spoken_to.len() as u64) {
            self.spoken_to.rotate_right(1);
            self.spoken_to[0] = [0; BITS / 64];
        }
        self.minute += MINUTE * u32::try_from(passed).unwrap_or(u32::MAX);
    }
}

/// FNV-1a, folded.
fn bit_of(host: IpAddr) -> usize {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = match host.to_canonical() {
        IpAddr::V4(v4) => v4.octets().iter().fold(0xcbf2_9ce4_8422_2325, mix),
        IpAddr::V6(v6) => v6.octets().iter().fold(0xcbf2_9ce4_8422_2325, mix),
    };
    ((hash ^ (hash >> 32)) % BITS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = MINUTE;

    fn host(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn each_hour_begins_with_ten_minutes_of_trial() {
        let now = Instant::now();
        let reach = Reach::new(false, false, now);
        let said = [0, 9, 10, 59, 60, 69, 70].map(|minute| reach.is_read_only(now + minute * MIN));
        assert_eq!(said, [false, false, true, true, false, false, true]);
        assert!(Reach::new(true, true, now).is_read_only(now), "the user's word");
        assert!(!Reach::new(false, true, now).is_read_only(now + 30 * MIN));
    }

    #[test]
    fn a_mapped_port_is_an_open_door() {
        let now = Instant::now();
        let mut reach = Reach::new(false, false, now);
        reach.set_open(true);
        assert!(!reach.is_read_only(now + 30 * MIN));
        reach.set_open(false);
        assert!(reach.is_read_only(now + 30 * MIN));
    }

    #[test]
    fn a_query_of_a_stranger_proves_it_for_an_hour() {
        let now = Instant::now();
        let mut reach = Reach::new(false, false, now);
        reach.asked_by(host(9), now + MIN);
        assert!(reach.is_read_only(now + 11 * MIN), "it may know us from before");
        reach.spoke_to(host(1), now + 11 * MIN);
        reach.asked_by(host(1), now + 15 * MIN);
        assert!(reach.is_read_only(now + 15 * MIN), "we opened that way");
        reach.asked_by(host(2), now + 15 * MIN);
        assert!(!reach.is_read_only(now + 59 * MIN));
        assert!(reach.is_read_only(now + 75 * MIN));
        // Five minutes later the way that we opened is shut.
        reach.asked_by(host(1), now + 76 * MIN);
        assert!(!reach.is_read_only(now + 76 * MIN));
        reach.changed(now + 77 * MIN);
        assert!(!reach.is_read_only(now + 77 * MIN), "a new trial");
        assert!(reach.is_read_only(now + 90 * MIN));
    }
}
