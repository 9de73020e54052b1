//! What a remote says of its pieces and wishes before anybody knows the torrent (BEP 9): kept as
//! little as can be, and told when the torrent is known. Whether it makes sense shows then.

use std::collections::BTreeMap;

use crate::base::pool::{BlockPool, Kept};
use crate::wire::Message;

/// Pieces that are kept of what a remote has, one by one: two million. More have no bitfield
/// either that is taken before the torrent is known.
const HAVES_MAX: u32 = 2_097_152;
/// Pieces that it allows us to ask for while it chokes us; BEP 6 speaks of ten or so.
const ALLOWED_MAX: usize = 64;

/// Bytes that are kept of each remote in any case: the set of 32,768 pieces. Beyond that all links
/// share one budget.
const OWN: usize = 4 << 10;
/// What a word of `haves` takes with its key and its part of the tree.
const WORD_BYTES: usize = 24;

/// What one remote said.
#[derive(Debug, Default)]
pub(super) struct Early {
    /// What it takes beyond its own part; with none there is nothing beyond.
    kept: Option<Kept>,
    /// Its set of pieces: `Bitfield`, `HaveAll` or `HaveNone`.
    set: Option<Message>,
    /// Pieces that it told behind that, one bit each, 64 in a word: one far out costs a word.
    haves: BTreeMap<u32, u64>,
    allowed: Vec<u32>,
    is_unchoked: bool,
    is_interested: bool,
}

impl Early {
    /// One that takes a part of what there is for all links.
    pub(super) fn within(pool: &BlockPool) -> Self {
        Self { kept: Some(pool.kept()), ..Self::default() }
    }

    /// Keeps what the message says, if that holds for later; false when there is no room for it.
    #[must_use]
    pub(super) fn note(&mut self, message: Message) -> bool {
        match message {
            Message::Bitfield(_) | Message::HaveAll | Message::HaveNone => {
                self.set = Some(message);
                self.haves.clear();
            }
            Message::Have(piece) if piece < HAVES_MAX => {
                *self.haves.entry(piece / 64).or_default() |= 1 << (piece % 64);
            }
            Message::AllowedFast(piece) if self.allowed.len() < ALLOWED_MAX => {
                self.allowed.push(piece);
            }
            Message::Choke => self.is_unchoked = false,
            Message::Unchoke => self.is_unchoked = true,
            Message::Interested => self.is_interested = true,
            Message::NotInterested => self.is_interested = false,
            // Nobody asks who has nothing, and nothing was asked for.
            _ => return true,
        }
        self.has_room()
    }

    fn has_room(&mut self) -> bool {
        let set = match &self.set {
            Some(Message::Bitfield(bytes)) => bytes.len(),
            _ => 0,
        };
        let beyond = (set + self.haves.len() * WORD_BYTES).saturating_sub(OWN);
        match &mut self.kept {
            Some(kept) => kept.resize(beyond),
            None => beyond == 0,
        }
    }

    /// What it comes to, in an order that any remote may use.
    pub(super) fn into_messages(self) -> impl Iterator<Item = Message> {
        let bits = self.haves.into_iter().flat_map(|(at, word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at * 64 + bit)
        });
        let allowed = self.allowed.into_iter().map(Message::AllowedFast);
        let unchoke = self.is_unchoked.then_some(Message::Unchoke);
        let interested = self.is_interested.then_some(Message::Interested);
        let states = unchoke.into_iter().chain(interested);
        self.set.into_iter().chain(bits.map(Message::Have)).chain(allowed).chain(states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::pool::KEPT_BYTES;

    fn told(messages: Vec<Message>) -> Vec<String> {
        let mut early = Early::default();
        messages.into_iter().for_each(|message| assert!(early.note(message)));
        early.into_messages().map(|message| format!("{message:?}")).collect()
    }

    #[test]
    fn what_holds_in_the_end_is_told_and_no_more() {
        use Message::*;
        let said = vec![
            Have(3),
            Bitfield(vec![0x80]),
            Unchoke,
            Interested,
            Have(70),
            Have(2_097_152),
            Have(1),
            AllowedFast(9),
            NotInterested,
            KeepAlive,
        ];
        let expected = ["Bitfield([128])", "Have(1)", "Have(70)", "AllowedFast(9)", "Unchoke"];
        assert_eq!(told(said), expected);
        assert_eq!(told(vec![Unchoke, Choke, HaveAll, HaveNone]), ["HaveNone"]);
        let flood = (0..100_000).map(AllowedFast).collect();
        assert_eq!(told(flood).len(), ALLOWED_MAX);
    }

    #[test]
    fn sets_of_all_links_have_one_budget_and_small_ones_are_always_kept() {
        let pool = BlockPool::new(1);
        let longest = || Message::Bitfield(vec![1; HAVES_MAX as usize / 8]);
        let mut links = Vec::new();
        let refused = loop {
            let mut early = Early::within(&pool);
            if !early.note(longest()) {
                break early;
            }
            links.push(early);
        };
        assert_eq!(links.len(), KEPT_BYTES / (HAVES_MAX as usize / 8));
        drop(refused);
        let mut small = Early::within(&pool);
        assert!(small.note(Message::Bitfield(vec![1; OWN])));
        // One piece in a word, so that each takes one.
        let mut scattered = Early::within(&pool);
        let told = (0..HAVES_MAX / 64).take_while(|at| scattered.note(Message::Have(at * 64)));
        assert!(told.count() < 4 * OWN, "they count, too");
        assert!(links.pop().is_some_and(|early| early.into_messages().count() == 1));
        assert!(Early::within(&pool).note(longest()), "what is told is not kept any more");
    }
}
