//! What a world of many brains is made of: its torrent, its members, and a mixed one of thirty
//! made from one seed. At least its first member is complete and stays.

use std::sync::Arc;
use std::time::Duration;

use pigeon::base::bitfield::Bitfield;
use pigeon::base::layout::Layout;
use pigeon::base::units::BLOCK_LEN;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How one takes without giving.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rider {
    /// It unchokes nobody.
    Chokes,
    /// It unchokes, and refuses whatever it is asked for.
    Refuses,
}

/// What harm one does to those who seek the metadata.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lie {
    /// It claims another length, and sends as much.
    Size,
    /// All it sends is wrong.
    Bytes,
    /// The last piece is wrong.
    OneWrong,
    /// It refuses whatever it is asked for.
    Rejects,
    /// It never answers.
    Silent,
    /// It names another length again and again.
    Sizes,
    /// It sends what nobody asked for, without end.
    Floods,
    /// It sends a wrong piece and is gone before that is found out.
    HitAndRun,
}

impl Lie {
    pub const ALL: [Self; 8] = [
        Self::Size,
        Self::Bytes,
        Self::OneWrong,
        Self::Rejects,
        Self::Silent,
        Self::Sizes,
        Self::Floods,
        Self::HitAndRun,
    ];
}

/// One brain and the line to it.
#[derive(Clone, Debug)]
pub struct Member {
    pub has: Bitfield,
    /// Bytes a second.
    pub up: u64,
    pub down: u64,
    /// To the middle of the network, one way.
    pub latency: Duration,
    /// The brain is told that `up` is its limit.
    pub knows_limit: bool,
    pub fast: bool,
    pub max_peers: usize,
    pub joins: Duration,
    pub leaves: Option<Duration>,
    /// Leaves so long after it is complete.
    pub leaves_complete: Option<Duration>,
    pub rider: Option<Rider>,
    /// It knows nothing but the hash when it joins.
    pub seeks: bool,
    /// It has no brain, and lies.
    pub lie: Option<Lie>,
    /// Whom its user names.
    pub knows: Vec<usize>,
    /// Trackers name it.
    pub is_listed: bool,
    /// Nobody who has anything can be reached.
    pub is_lost: bool,
    /// For each job of its disk.
    pub disk: Duration,
    /// Of a hundred pieces made ready, those that cannot be read; half of them for good.
    pub rots: u32,
}

impl Member {
    /// Has everything and stays, on a symmetric line of this rate.
    pub fn seed(layout: &Layout, rate: u64, latency: Duration) -> Self {
        Self {
            has: Bitfield::all(layout.piece_count()),
            up: rate,
            down: rate,
            latency,
            knows_limit: false,
            fast: true,
            max_peers: 60,
            joins: Duration::ZERO,
            leaves: None,
            leaves_complete: None,
            rider: None,
            seeks: false,
            lie: None,
            knows: Vec::new(),
            is_listed: true,
            is_lost: false,
            disk: Duration::from_millis(2),
            rots: 0,
        }
    }

    /// The same, but it has nothing.
    pub fn leecher(layout: &Layout, rate: u64, latency: Duration) -> Self {
        Self { has: Bitfield::none(layout.piece_count()), ..Self::seed(layout, rate, latency) }
    }
}

/// A torrent and all who take part in it.
#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    pub layout: Layout,
    pub members: Vec<Member>,
    /// Only the first member is known to the others.
    pub star: bool,
    /// There is one tracker, that all ask.
    pub has_tracker: bool,
    /// The info dictionary, or what stands for it.
    pub metadata: Arc<[u8]>,
    /// Links speak the extension protocol.
    pub describes: bool,
    pub exchanges_peers: bool,
    pub is_private: bool,
    /// Of a hundred links, those that are lost within twenty seconds.
    pub breaks: u32,
    /// The invariants of a brain are looked at after one fact of so many.
    pub audit_every: u64,
}

impl Setup {
    /// Nobody is there yet. Pieces of `piece_blocks` blocks.
    pub fn empty(seed: u64, pieces: u32, piece_blocks: u32) -> Self {
        let piece_len = piece_blocks * BLOCK_LEN as u32;
        let total_len = u64::from(pieces) * u64::from(piece_len);
        let layout = Layout::new(total_len, piece_len).expect("a possible layout");
        Self {
            seed,
            layout,
            members: Vec::new(),
            star: false,
            has_tracker: true,
            metadata: Arc::from([]),
            describes: false,
            exchanges_peers: false,
            is_private: false,
            breaks: 0,
            audit_every: 64,
        }
    }
}

/// Thirty brains of all kinds.
pub fn mixed(seed: u64) -> Setup {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut setup = Setup::empty(seed, rng.random_range(24..64), rng.random_range(1..5));
    let layout = setup.layout;
    let anchor = Member::seed(&layout, rng.random_range(100_000..1_000_000), latency(&mut rng));
    setup.members.push(Member { knows_limit: rng.random(), ..anchor });
    setup.members.extend((1..30).map(|_| anybody(&layout, &mut rng)));
    setup
}

fn latency(rng: &mut StdRng) -> Duration {
    Duration::from_millis(rng.random_range(1..80))
}

fn anybody(layout: &Layout, rng: &mut StdRng) -> Member {
    let rate = [30_000, 100_000, 500_000, 5_000_000][rng.random_range(0..4)];
    let mut one = Member::leecher(layout, rate, latency(rng));
    one.down = rate * rng.random_range(1..10);
    one.knows_limit = rng.random();
    one.fast = rng.random_range(0..4) > 0;
    one.max_peers = [4, 10, 30, 60][rng.random_range(0..4)];
    one.disk = Duration::from_millis(rng.random_range(0..30));
    let seconds =
        |rng: &mut StdRng, most: u64| Duration::from_millis(rng.random_range(100..most * 1000));
    match rng.random_range(0..4) {
        0 => one.has = some_pieces(layout, rng),
        1 => one.joins = seconds(rng, 60),
        _ => {}
    }
    match rng.random_range(0..6) {
        0 => one.leaves = Some(one.joins + seconds(rng, 60)),
        1 => one.leaves_complete = Some(seconds(rng, 20)),
        2 => one.rots = rng.random_range(1..20),
        _ => {}
    }
    one
}

fn some_pieces(layout: &Layout, rng: &mut StdRng) -> Bitfield {
    let mut set = Bitfield::none(layout.piece_count());
    let share = rng.random_range(0..=100);
    for piece in layout.pieces() {
        if rng.random_range(0..100) < share {
            set.insert(piece);
        }
    }
    set
}
