//! Who is told of which verified pieces, and when. One log of all of them, and how far in it
//! each link has been told: so a piece costs one entry, and a link a message for many pieces.
//! What a verified piece means for us is in `check`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::layout::PieceIndex;
use crate::swarm::effects::Effects;
use crate::swarm::link::PeerCommand;

use super::Transfer;

/// With so many links they are told this much less often: what a few want to know at once, a
/// thousand may know four times a second, and nobody ever wakes more than 4,000 times a second.
const PAUSE_PER_LINK: Duration = Duration::from_micros(250);
/// Seeds want nothing of us: they are told so that they show our progress, and see that we may
/// be closed when we are complete.
const PAUSE_SEEDS: Duration = Duration::from_secs(5);

/// Verified pieces that somebody has not been told of yet, in order.
#[derive(Debug)]
pub(super) struct VerifiedLog {
    pieces: Vec<PieceIndex>,
    /// When leechers may be told again, and whether there is anything to tell.
    leechers: (Instant, bool),
    /// The same for seeds.
    seeds: (Instant, bool),
}

impl VerifiedLog {
    pub(super) fn new(now: Instant) -> Self {
        Self { pieces: Vec::new(), leechers: (now, false), seeds: (now, false) }
    }

    /// A piece is verified.
    pub(super) fn push(&mut self, piece: PieceIndex, now: Instant) {
        self.pieces.push(piece);
        self.leechers.1 = true;
        if !self.seeds.1 {
            self.seeds = (now + PAUSE_SEEDS, true);
        }
    }

    /// Where a new link stands, which is told all our pieces when it comes up.
    pub(super) fn end(&self) -> usize {
        self.pieces.len()
    }

    /// When somebody is to be told, if nothing happens before.
    pub(super) fn next(&self) -> Option<Instant> {
        let due = |(at, is_news): (Instant, bool)| is_news.then_some(at);
        [due(self.leechers), due(self.seeds)].into_iter().flatten().min()
    }
}

impl Transfer {
    /// Tells links of pieces that were verified since they were told last, if it is time.
    pub(super) fn tell_verified(&mut self, now: Instant, out: &mut Effects) {
        if self.verified.next().is_none_or(|at| now < at) {
            return;
        }
        let to_seeds = self.verified.seeds.1 && now >= self.verified.seeds.0;
        let pause = PAUSE_PER_LINK * u32::try_from(self.trades.len()).unwrap_or(u32::MAX);
        self.tell_log(to_seeds, out);
        self.verified.leechers = (now + pause, false);
    }

    /// Everybody is told, seeds too: what follows may end their links.
    pub(super) fn tell_verified_now(&mut self, out: &mut Effects) {
        self.tell_log(true, out);
        self.verified.leechers.1 = false;
    }

    fn tell_log(&mut self, to_seeds: bool, out: &mut Effects) {
        let log = &self.verified.pieces;
        // Most links stand at the same place.
        let mut last: Option<(usize, Arc<[PieceIndex]>)> = None;
        for (link, trade) in &mut self.trades {
            let is_told = trade.told() >= log.len() || !trade.caps().can_upload_to;
            if is_told || trade.is_seed() && !to_seeds {
                continue;
            }
            let news = match &last {
                Some((from, news)) if *from == trade.told() => news.clone(),
                _ => {
                    let news = log[trade.told()..].iter().copied();
                    // One may be lost again meanwhile.
                    let news: Arc<[PieceIndex]> = news.filter(|it| self.goal.has(*it)).collect();
                    last = Some((trade.told(), news.clone()));
                    news
                }
            };
            trade.set_told(log.len());
            if !news.is_empty() {
                out.send(*link, PeerCommand::Have(news));
            }
        }
        if to_seeds {
            self.verified.seeds.1 = false;
            self.verified.pieces.clear();
            self.trades.values_mut().for_each(|trade| trade.set_told(0));
        }
    }
}
