//! What is wanted of a torrent, and what it has done so far, as values and as bytes. Pure. Not
//! here: how a torrent stands, which is seen and not wanted.

use std::borrow::Cow;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::base::file_priority::FilePriority;
use crate::base::ids::{InfoHash, InfoHashV2, TorrentId};
use crate::bencode::{self, Limits};

/// The longest there is: the choice among eight million files, or thousands of trackers.
pub(super) const SPEC_LEN_MAX: usize = (1 << 20) - 256;
/// A dictionary of lists, and some thousand labels and URLs.
const LIMITS: Limits = Limits { depth: 3, tokens: 10_000 };
/// Room for all that has few bytes: another directory, limits, dates.
const ROOM: usize = 8 << 10;
const ROOM_TOKENS: u32 = 32;

/// What is wanted of a torrent: its one owner is the session.
#[derive(Clone, PartialEq, Debug)]
pub struct Spec {
    /// Its number, never used again.
    pub id: TorrentId,
    /// Its hash, where it has a v1 half (BEP 3). One of both there is.
    pub info_hash: Option<InfoHash>,
    /// Its hash, where it has a v2 half (BEP 52).
    pub info_hash_v2: Option<InfoHashV2>,
    /// What it calls itself; of a link whose metadata is not known what that says, if anything.
    pub name: String,
    /// Directory that its files go under.
    pub dir: PathBuf,
    /// Which of its files are wanted; all when none. Of a link whose metadata is not known they are
    /// counted without pad files, and none behind the last one here is wanted.
    pub selection: Option<Selection>,
    /// Most that it may receive, bytes per second.
    pub download_limit: Option<u64>,
    /// Most that it may send, bytes per second.
    pub upload_limit: Option<u64>,
    /// Most connected peers; as many as others have when none.
    pub peers_max: Option<u32>,
    /// Most peers that are served at once; as many as the upload limit suggests when none.
    pub slots_max: Option<u32>,
    /// What its user sorts it under.
    pub labels: Vec<String>,
    /// What lists call it, where its user has given it another name than its own.
    pub shown_name: Option<String>,
    /// When it has seeded enough.
    pub goals: Goals,
    /// Pieces in order instead of rarest first.
    pub sequential: bool,
    /// The first and the last piece of each wanted file before all others.
    pub ends_first: bool,
    /// By which ways it may meet others.
    pub ways: Ways,
    /// It rests until its user says otherwise.
    pub paused: bool,
    /// Never download: what is wanted is there.
    pub seed_only: bool,
    /// Its place in the queue; lower ones are first.
    pub place: Place,
    /// When it was added, seconds since 1970.
    pub added_s: u64,
    /// When all that is wanted was there for the first time, seconds since 1970.
    pub completed_s: Option<u64>,
    /// Trackers that its user named.
    pub extra_trackers: Vec<String>,
    /// All its trackers by tier, where its user wants others than those and its own.
    pub trackers: Option<Arc<[Vec<String>]>>,
    /// Servers of its files that its user named.
    pub web_seeds: Vec<String>,
    /// The magnet link that it came by, for as long as its metadata is not known.
    pub link: Option<String>,
    /// What was seen of it when nothing was to be done for it; none since something is.
    pub whole: Option<Whole>,
}

/// What lists need of a torrent of which everything is on its device, without its metadata. It says
/// how that was at some moment, and is no proof of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whole {
    /// Bytes of its files, which are all wanted.
    pub bytes: u64,
    /// How many files it has, pad files included.
    pub files: u32,
    /// Only its trackers name peers (BEP 27).
    pub is_private: bool,
    /// It names trackers itself.
    pub has_trackers: bool,
}

/// By which ways a torrent may meet those that have it, as far as its session and the torrent
/// itself allow them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ways {
    /// Trackers are asked.
    pub trackers: bool,
    /// Peers tell each other of others (BEP 11).
    pub exchange: bool,
    /// The DHT is asked, and told (BEP 5).
    pub dht: bool,
    /// The local network is (BEP 14).
    pub lsd: bool,
    /// The servers that the torrent names are fetched from (BEP 19).
    pub web_seeds: bool,
}

impl Default for Ways {
    /// All of them.
    fn default() -> Self {
        Self { trackers: true, exchange: true, dht: true, lsd: true, web_seeds: true }
    }
}

/// When a complete torrent has seeded enough: at whichever comes first, never without.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Goals {
    /// Bytes sent in its life for each byte that it has.
    pub ratio: Option<f64>,
    /// Time since it was complete, rests included: in this run, and [`Tally::seeding_s`] of
    /// earlier ones.
    pub time: Option<Duration>,
}

/// What a torrent has done in its life. It changes often, and costs little to lose a minute of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Bytes sent.
    pub uploaded: u64,
    /// Bytes received that were of use.
    pub downloaded: u64,
    /// Bytes received for nothing.
    pub wasted: u64,
    /// Seconds that it was neither parked nor paused.
    pub active_s: u64,
    /// Seconds of them with all that is wanted.
    pub seeding_s: u64,
}

/// How much each file of a torrent is wanted, by its position in it: a bit each for those that are,
/// and one more where not all of those are alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection {
    files: u32,
    /// The first file is the highest bit of the first byte.
    wanted: Arc<[u8]>,
    /// None when no file is.
    high: Option<Arc<[u8]>>,
    low: Option<Arc<[u8]>>,
}

impl Selection {
    /// Of a priority a file; none of more files than a torrent can have.
    pub fn of(priorities: &[FilePriority]) -> Option<Self> {
        let files = u32::try_from(priorities.len()).ok()?;
        let rare = |priority| {
            let is_there = priorities.contains(&priority);
            is_there.then(|| bits(priorities, |it| it == priority))
        };
        let wanted = bits(priorities, FilePriority::is_wanted);
        let (high, low) = (rare(FilePriority::High), rare(FilePriority::Low));
        Some(Self { files, wanted, high, low })
    }

    /// A priority a file.
    pub fn priorities(&self) -> impl Iterator<Item = FilePriority> {
        let is_set = |bits: &Option<Arc<[u8]>>, at| bits.as_ref().is_some_and(|it| bit(it, at));
        (0..self.files).map(move |at| match bit(&self.wanted, at) {
            false => FilePriority::Off,
            true if is_set(&self.high, at) => FilePriority::High,
            true if is_set(&self.low, at) => FilePriority::Low,
            true => FilePriority::Normal,
        })
    }

    /// A flag a file.
    pub fn wanted(&self) -> impl Iterator<Item = bool> {
        (0..self.files).map(|at| bit(&self.wanted, at))
    }

    fn read(files: u32, wanted: ByteBuf, rare: [Option<ByteBuf>; 2]) -> Option<Self> {
        let [high, low] = rare.map(|bits| bits.map(ByteBuf::into_vec));
        let fits = |bits: &Vec<u8>| u64::from(files).div_ceil(8) == bits.len() as u64;
        let wanted = wanted.into_vec();
        let do_fit = [Some(&wanted), high.as_ref(), low.as_ref()].into_iter().flatten().all(fits);
        do_fit.then(|| Self {
            files,
            wanted: wanted.into(),
            high: high.map(Arc::from),
            low: low.map(Arc::from),
        })
    }
}

fn bits(priorities: &[FilePriority], is_set: impl Fn(FilePriority) -> bool) -> Arc<[u8]> {
    let byte = |files: &[FilePriority]| {
        (0..).zip(files).fold(0, |byte, (bit, it)| byte | u8::from(is_set(*it)) << (7 - bit))
    };
    priorities.chunks(8).map(byte).collect()
}

fn bit(bits: &[u8], at: u32) -> bool {
    bits.get(at as usize / 8).is_some_and(|byte| byte << (at % 8) & 0x80 != 0)
}

/// A place in the queue. There is room between two, so that who is moved changes alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place(pub u64);

impl Place {
    /// From one to the next when they are dealt out: a place between two can be halved as often as
    /// this has bits, and thousands of millions find room on either side.
    const GAP: u64 = 1 << 29;
    const FIRST: u64 = 1 << 62;
    /// Bencode's readers know no larger numbers.
    const LAST: u64 = i64::MAX.cast_unsigned();

    /// One behind `before` and in front of `after`, either of which may be missing. None when there
    /// is no room: then all are to be dealt out anew.
    pub fn between(before: Option<Self>, after: Option<Self>) -> Option<Self> {
        let place = match (before.map(|it| it.0), after.map(|it| it.0)) {
            (None, None) => Self::FIRST,
            (Some(before), None) => before.checked_add(Self::GAP)?,
            (None, Some(after)) => after.checked_sub(Self::GAP)?,
            (Some(before), Some(after)) => before + after.checked_sub(before)? / 2,
        };
        let is_free = before.is_none_or(|it| it.0 < place) && after.is_none_or(|it| place < it.0);
        (is_free && place <= Self::LAST).then_some(Self(place))
    }

    /// Places for so many, in order.
    pub fn dealt(count: u32) -> impl Iterator<Item = Self> {
        let first = Self::FIRST - u64::from(count) / 2 * Self::GAP;
        (0..u64::from(count)).map(move |nth| Self(first + nth * Self::GAP))
    }
}

/// A [`Spec`] as a dictionary. What is not there is off, none or empty; keys that are not known are
/// stepped over.
#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(default)]
    added: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    completed: Option<u64>,
    dir: ByteBuf,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "down limit")]
    download_limit: Option<u64>,
    /// How many files `wanted` speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<u32>,
    /// 1: sequential, 2: paused, 4: seed only, 8: ends first; ways that are closed: 16: trackers,
    /// 32: exchange, 64: DHT, 128: local network, 256: servers that it names.
    #[serde(default)]
    flags: u64,
    /// Files that come before others, as `wanted` has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    high: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "info-hash")]
    info_hash: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "info-hash v2")]
    info_hash_v2: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    /// Files that come behind others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low: Option<ByteBuf>,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "peers max")]
    peers_max: Option<u32>,
    place: u64,
    /// In decimal, for bencode has whole numbers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ratio: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "seed for")]
    seed_for: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "shown name")]
    shown_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "slots max")]
    slots_max: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trackers: Vec<String>,
    /// All trackers, in the place of those above and of its own: a list for each tier. An earlier
    /// program steps over this, and leaves it out with whatever it changes.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "trackers wanted")]
    trackers_wanted: Option<Vec<Vec<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "up limit")]
    upload_limit: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wanted: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "web seeds")]
    web_seeds: Vec<String>,
    /// How many bytes and files it had when it was whole, and flags of then. An earlier program
    /// steps over this, and leaves it out with whatever it changes.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "whole bytes")]
    whole_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "whole files")]
    whole_files: Option<u32>,
    /// 1: private, 2: it names trackers.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "whole flags")]
    whole_flags: Option<u64>,
}

const PRIVATE: u64 = 1;
const HAS_TRACKERS: u64 = 2;

const SEQUENTIAL: u64 = 1;
const PAUSED: u64 = 2;
const SEED_ONLY: u64 = 4;
const ENDS_FIRST: u64 = 8;
const NO_TRACKERS: u64 = 16;
const NO_EXCHANGE: u64 = 32;
const NO_DHT: u64 = 64;
const NO_LSD: u64 = 128;
const NO_WEB_SEEDS: u64 = 256;

/// The largest number that bencode's readers know.
fn whole_number(number: u64) -> u64 {
    number.min(i64::MAX.cast_unsigned())
}

impl Spec {
    /// What people call it: by the name that its user gave it, else by its own, else by its hash in
    /// hex.
    pub fn called(&self) -> Cow<'_, str> {
        match (&self.shown_name, self.info_hash, self.info_hash_v2) {
            (Some(shown), ..) => shown.into(),
            (None, Some(hash), _) if self.name.is_empty() => hash.to_string().into(),
            (None, None, Some(hash)) if self.name.is_empty() => hash.to_string().into(),
            _ => (&self.name).into(),
        }
    }

    /// All its trackers by tier: those that its user wants, or those that were named with it and
    /// then its `own`.
    pub fn tiers<'a>(&'a self, own: &'a [Vec<String>]) -> Vec<Vec<String>> {
        match &self.trackers {
            Some(tiers) => tiers.to_vec(),
            None => {
                let named = self.extra_trackers.iter().map(|url| vec![url.clone()]);
                named.chain(own.iter().cloned()).collect()
            }
        }
    }

    fn flags(&self) -> u64 {
        let Ways { trackers, exchange, dht, lsd, web_seeds } = self.ways;
        let flags = [
            (self.sequential, SEQUENTIAL),
            (self.paused, PAUSED),
            (self.seed_only, SEED_ONLY),
            (self.ends_first, ENDS_FIRST),
            (!trackers, NO_TRACKERS),
            (!exchange, NO_EXCHANGE),
            (!dht, NO_DHT),
            (!lsd, NO_LSD),
            (!web_seeds, NO_WEB_SEEDS),
        ];
        flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum()
    }

    /// As the body of an entry; none when it is larger than one may be.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let rare = |bits: &Option<Arc<[u8]>>| bits.as_deref().map(ByteBuf::from);
        let selection = self.selection.as_ref();
        let bytes = bencode::encode(&Body {
            added: whole_number(self.added_s),
            completed: self.completed_s.map(whole_number),
            dir: ByteBuf::from(self.dir.as_os_str().as_bytes()),
            download_limit: self.download_limit.map(whole_number),
            files: selection.map(|selection| selection.files),
            flags: self.flags(),
            high: selection.and_then(|it| rare(&it.high)),
            info_hash: self.info_hash.map(|hash| ByteBuf::from(hash.0)),
            info_hash_v2: self.info_hash_v2.map(|hash| ByteBuf::from(hash.0)),
            labels: self.labels.clone(),
            link: self.link.clone(),
            low: selection.and_then(|it| rare(&it.low)),
            name: self.name.clone(),
            peers_max: self.peers_max,
            place: whole_number(self.place.0),
            ratio: self.goals.ratio.filter(|it| is_ratio(*it)).map(|it| it.to_string()),
            seed_for: self.goals.time.map(|time| whole_number(time.as_secs())),
            shown_name: self.shown_name.clone(),
            slots_max: self.slots_max,
            trackers: self.extra_trackers.clone(),
            trackers_wanted: self.trackers.as_deref().map(<[_]>::to_vec),
            upload_limit: self.upload_limit.map(whole_number),
            wanted: selection.map(|it| ByteBuf::from(&*it.wanted)),
            web_seeds: self.web_seeds.clone(),
            whole_bytes: self.whole.map(|whole| whole_number(whole.bytes)),
            whole_files: self.whole.map(|whole| whole.files),
            whole_flags: self.whole.map(Whole::flags),
        });
        let is_read_again = bytes.len() <= SPEC_LEN_MAX && bencode::scan(&bytes, LIMITS).is_ok();
        is_read_again.then_some(bytes)
    }

    /// Is it short enough to be kept, also when what has few bytes changes: its directory, limits,
    /// place and dates?
    pub fn fits(&self) -> bool {
        let limits = Limits { tokens: LIMITS.tokens - ROOM_TOKENS, ..LIMITS };
        self.encode().is_some_and(|bytes| {
            bytes.len() <= SPEC_LEN_MAX - ROOM && bencode::scan(&bytes, limits).is_ok()
        })
    }

    /// Reads such a body; none when it makes no sense.
    pub(super) fn decode(id: TorrentId, bytes: &[u8]) -> Option<Self> {
        let body: Body = bencode::decode(bytes, LIMITS).ok()?;
        let info_hash = body.info_hash.map(|hash| hash.as_slice().try_into().map(InfoHash));
        let v2 = body.info_hash_v2.map(|hash| hash.as_slice().try_into().map(InfoHashV2));
        let (info_hash, info_hash_v2) = (info_hash.transpose().ok()?, v2.transpose().ok()?);
        if info_hash.is_none() && info_hash_v2.is_none() {
            return None;
        }
        let selection = match (body.files, body.wanted) {
            (None, None) => None,
            (Some(files), Some(bits)) => Some(Selection::read(files, bits, [body.high, body.low])?),
            _ => return None,
        };
        let ratio: Option<f64> = body.ratio.map(|text| text.parse()).transpose().ok()?;
        if !ratio.is_none_or(is_ratio) {
            return None;
        }
        let has = |flag| body.flags & flag != 0;
        Some(Self {
            id,
            info_hash,
            info_hash_v2,
            name: body.name,
            dir: std::ffi::OsString::from_vec(body.dir.into_vec()).into(),
            selection,
            download_limit: body.download_limit,
            upload_limit: body.upload_limit,
            peers_max: body.peers_max,
            slots_max: body.slots_max,
            labels: body.labels,
            shown_name: body.shown_name,
            goals: Goals { ratio, time: body.seed_for.map(Duration::from_secs) },
            sequential: has(SEQUENTIAL),
            ends_first: has(ENDS_FIRST),
            ways: Ways {
                trackers: !has(NO_TRACKERS),
                exchange: !has(NO_EXCHANGE),
                dht: !has(NO_DHT),
                lsd: !has(NO_LSD),
                web_seeds: !has(NO_WEB_SEEDS),
            },
            paused: has(PAUSED),
            seed_only: has(SEED_ONLY),
            place: Place(body.place),
            added_s: body.added,
            completed_s: body.completed,
            extra_trackers: body.trackers,
            trackers: body.trackers_wanted.map(Arc::from),
            web_seeds: body.web_seeds,
            link: body.link,
            whole: Whole::read(body.whole_bytes, body.whole_files, body.whole_flags),
        })
    }
}

impl Whole {
    fn flags(self) -> u64 {
        let flags = [(self.is_private, PRIVATE), (self.has_trackers, HAS_TRACKERS)];
        flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum()
    }

    /// None where anything is missing.
    fn read(bytes: Option<u64>, files: Option<u32>, flags: Option<u64>) -> Option<Self> {
        let has = |flag| flags.map(|flags| flags & flag != 0);
        let (is_private, has_trackers) = (has(PRIVATE)?, has(HAS_TRACKERS)?);
        Some(Self { bytes: bytes?, files: files?, is_private, has_trackers })
    }
}

fn is_ratio(ratio: f64) -> bool {
    ratio.is_finite() && ratio >= 0.0
}

/// A [`Tally`] as a dictionary.
#[derive(Serialize, Deserialize)]
struct Counts {
    #[serde(default)]
    active: u64,
    #[serde(default)]
    downloaded: u64,
    #[serde(default)]
    seeding: u64,
    #[serde(default)]
    uploaded: u64,
    #[serde(default)]
    wasted: u64,
}

impl Tally {
    pub(super) fn encode(&self) -> Vec<u8> {
        bencode::encode(&Counts {
            active: whole_number(self.active_s),
            downloaded: whole_number(self.downloaded),
            seeding: whole_number(self.seeding_s),
            uploaded: whole_number(self.uploaded),
            wasted: whole_number(self.wasted),
        })
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let Counts { active, downloaded, seeding, uploaded, wasted } =
            bencode::decode(bytes, LIMITS).ok()?;
        Some(Self { uploaded, downloaded, wasted, active_s: active, seeding_s: seeding })
    }
}
