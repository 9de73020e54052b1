//! From a course listing to a torrent: a chunk is a piece, the listing an info dictionary
//! without a tracker, and who is said to have a chunk a provider. So everything behind it,
//! resume included, is that of any torrent; and one file can come from both worlds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use sha1::{Digest as _, Sha1};
use tokio::net::TcpStream;
use tracing::warn;

use crate::base::addr::Locality;
use crate::base::bitfield::Bitfield;
use crate::base::layout::{Layout, PieceIndex};
use crate::bencode;
use crate::chunk::fetch_info::{Answer, Fetched, Open};
use crate::chunk::wire::{CHUNK_LEN_MAX, ChunkHash, FileInfo};
use crate::chunk::{config, fetch_info, ini};
use crate::link::Provider;
use crate::metainfo::{self, Torrent};
use crate::net::egress::Egress;

use super::handle::{News, TorrentHandle};
use super::options::{Found, FoundBytes};

/// Providers of one listing that are asked; a stranger can name millions.
const PROVIDERS_MAX: usize = 1000;

/// Why a listing is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configuration file; the text names file, section and key.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A listing of configuration files that do not fit each other.
    #[error("{}: {error}", dir.join(config::FILE).display())]
    Listing {
        /// Where both are.
        dir: PathBuf,
        /// What does not fit.
        error: ini::Error,
    },
    /// The tracker did not give its listing.
    #[error("chunk tracker {tracker}: {error}")]
    Tracker {
        /// Which.
        tracker: SocketAddrV4,
        /// What happened.
        error: fetch_info::Error,
    },
    /// Nobody gave a chunk that the sizes are learnt from.
    #[error("nobody has chunk {number} ({hash}): {asked}")]
    Missing {
        /// Its number, from 0.
        number: usize,
        /// Its hash.
        hash: ChunkHash,
        /// Who was asked, and what came of it.
        asked: String,
    },
    /// Its chunks cannot be those of one file.
    #[error("the chunks listed make no file: {0}")]
    Sizes(String),
    /// Its info dictionary would not be a torrent.
    #[error("the file listed cannot be downloaded: {0}")]
    Torrent(#[from] metainfo::Error),
}

/// Where a listing comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListingSource {
    /// Both configuration files in this directory.
    Config(PathBuf),
    /// A tracker.
    Tracker(SocketAddrV4),
}

/// A file, its chunks, who is said to have them, and what those are called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing {
    /// As a tracker tells it.
    pub info: FileInfo,
    /// Names of providers, where they are known.
    pub names: BTreeMap<SocketAddrV4, String>,
    /// What was odd about it and does no harm.
    pub warning: Option<String>,
}

/// What no listing tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// Bytes of every chunk but the last.
    pub chunk_len: u32,
    /// Bytes of the file.
    pub total_len: u64,
}

/// What came of learning the sizes.
#[derive(Debug)]
pub struct Learnt {
    /// The sizes.
    pub sizes: Sizes,
    /// The chunks that were fetched for it, as pieces.
    pub found: Vec<Found>,
    /// Which providers failed meanwhile, in words for people.
    pub replaced: Vec<String>,
    /// Connections that are open since, to be used again.
    pub open: Vec<(SocketAddr, TcpStream)>,
}

impl Learnt {
    /// Sizes that need no learning.
    pub fn known(sizes: Sizes) -> Self {
        Self { sizes, found: Vec::new(), replaced: Vec::new(), open: Vec::new() }
    }
}

impl ListingSource {
    /// Gets the listing.
    ///
    /// # Errors
    /// `Config`, `Listing` or `Tracker`.
    pub async fn listing(&self, egress: &Egress) -> Result<Listing, Error> {
        match self {
            Self::Config(dir) => Listing::of_config(dir),
            Self::Tracker(tracker) => match fetch_info::file_info(egress, *tracker).await {
                Ok(Answer { info, is_mislabelled }) => {
                    let odd = || format!("tracker {tracker} sends FILE_INFO with msg_type 5");
                    let warning = is_mislabelled.then(odd);
                    if let Some(warning) = &warning {
                        warn!("{warning}");
                    }
                    Ok(Listing { info, names: BTreeMap::new(), warning })
                }
                Err(error) => Err(Error::Tracker { tracker: *tracker, error }),
            },
        }
    }
}

impl Listing {
    /// Reads both configuration files in `dir`.
    ///
    /// # Errors
    /// `Config` or `Listing`.
    pub fn of_config(dir: &Path) -> Result<Self, Error> {
        let (peers, file) = (config::peers(dir)?, config::file(dir)?);
        let info =
            file.listing(&peers).map_err(|error| Error::Listing { dir: dir.to_owned(), error })?;
        let names = peers.providers.into_iter().map(|(name, address)| (address, name)).collect();
        Ok(Self { info, names, warning: None })
    }

    /// Names the listing by its content, so that what was learnt of it is found again.
    pub fn id(&self) -> String {
        let mut hash = Sha1::new();
        hash.update(self.info.filename.as_bytes());
        self.info.chunks.iter().for_each(|chunk| hash.update(chunk.hash.0));
        ChunkHash(hash.finalize().into()).to_string()
    }

    /// The listing as a torrent.
    ///
    /// # Errors
    /// `Sizes` when they do not fit the number of chunks, `Torrent` when it would have no
    /// usable name.
    pub fn torrent(&self, sizes: Sizes) -> Result<Torrent, Error> {
        #[derive(Serialize)]
        struct Info<'a> {
            length: u64,
            name: &'a str,
            #[serde(rename = "piece length")]
            piece_length: u32,
            #[serde(with = "serde_bytes")]
            pieces: Vec<u8>,
        }
        let count = self.info.chunks.len();
        // An empty file has no chunk, or one of nothing.
        let is_empty = sizes.total_len == 0 && count <= 1;
        let layout = Layout::new(sizes.total_len, sizes.chunk_len.max(1));
        if !is_empty && layout.is_none_or(|layout| layout.piece_count() as usize != count) {
            return Err(Error::Sizes(format!(
                "{} bytes in chunks of {} are not {count} chunks",
                sizes.total_len, sizes.chunk_len
            )));
        }
        let hashes = self.info.chunks.iter().filter(|_| !is_empty);
        let info = Info {
            length: sizes.total_len,
            name: &self.info.filename,
            piece_length: sizes.chunk_len.max(1),
            pieces: hashes.flat_map(|chunk| chunk.hash.0).collect(),
        };
        Ok(Torrent::from_info(&bencode::encode(&info))?)
    }

    /// The providers of chunks that are pieces of `torrent`, by their hashes; a chunk that is
    /// none is left out. At most `PROVIDERS_MAX`.
    pub fn providers(&self, torrent: &Torrent) -> Vec<Provider> {
        let Some(layout) = torrent.layout else { return Vec::new() };
        let hashes: Arc<[ChunkHash]> =
            torrent.piece_hashes().as_chunks().0.iter().map(|hash| ChunkHash(*hash)).collect();
        let mut places: HashMap<ChunkHash, Vec<PieceIndex>> = HashMap::new();
        for (piece, hash) in layout.pieces().zip(hashes.iter()) {
            places.entry(*hash).or_default().push(piece);
        }
        // A hash may stand in many places of both lists: each pair of hash and address is
        // looked at once.
        let mut holders: HashMap<ChunkHash, BTreeSet<SocketAddrV4>> = HashMap::new();
        let mut known = BTreeSet::new();
        for chunk in self.info.chunks.iter().filter(|chunk| places.contains_key(&chunk.hash)) {
            for address in chunk.peers.iter().filter(|address| is_usable(address)) {
                if known.len() < PROVIDERS_MAX || known.contains(address) {
                    known.insert(*address);
                    holders.entry(chunk.hash).or_default().insert(*address);
                }
            }
        }
        let mut providers: BTreeMap<SocketAddrV4, Bitfield> = BTreeMap::new();
        for (hash, addresses) in holders {
            let pieces = places.get(&hash).map(Vec::as_slice).unwrap_or_default();
            for address in addresses {
                let none = || Bitfield::none(layout.piece_count());
                let has = providers.entry(address).or_insert_with(none);
                for piece in pieces {
                    has.insert(*piece);
                }
            }
        }
        let provider = |(address, pieces): (SocketAddrV4, Bitfield)| Provider {
            address: SocketAddr::V4(address),
            name: self.name_of(address),
            pieces,
            hashes: hashes.clone(),
        };
        providers.into_iter().map(provider).collect()
    }

    /// What a provider is called.
    pub fn name_of(&self, address: SocketAddrV4) -> String {
        self.names.get(&address).cloned().unwrap_or_else(|| "provider".to_owned())
    }

    /// Learns the sizes by fetching the first and the last chunk.
    ///
    /// # Errors
    /// `Missing` when nobody gives them, `Sizes` when they cannot be of one file.
    pub async fn fetch_sizes(&self, egress: &Egress) -> Result<Learnt, Error> {
        let Some(last) = self.info.chunks.len().checked_sub(1) else {
            let sizes = Sizes { chunk_len: 1, total_len: 0 };
            return Ok(Learnt::known(sizes));
        };
        // One after the other, so that one connection serves both if it can.
        let mut open = Vec::new();
        let mut ends = vec![(0, self.fetch(egress, 0, &mut open).await?)];
        if last > 0 {
            ends.push((last, self.fetch(egress, last, &mut open).await?));
        }
        let sizes = self.sizes(ends.iter().map(|(number, it)| (*number, it.content.len())))?;
        let (mut found, mut replaced) = (Vec::new(), Vec::new());
        for (number, Fetched { content, failures }) in ends {
            let bytes = FoundBytes::Memory(content.into());
            found.push(Found { piece: number as u32, bytes });
            replaced.extend(failures.iter().map(|(address, error)| {
                let name = self.name_of(*address);
                format!("chunk {number} was asked of {name} {address}, but {error}; others were")
            }));
        }
        let open = open.into_iter().map(|(address, stream)| (SocketAddr::V4(address), stream));
        Ok(Learnt { sizes, found, replaced, open: open.collect() })
    }

    /// The sizes as the lengths of the first and the last chunk tell them; none of other
    /// chunks matters.
    ///
    /// # Errors
    /// `Sizes` when one of them is not among `lens`, or they cannot be of one file.
    pub fn sizes(&self, lens: impl IntoIterator<Item = (usize, usize)>) -> Result<Sizes, Error> {
        let lens: BTreeMap<usize, usize> = lens.into_iter().collect();
        let last = self.info.chunks.len().saturating_sub(1);
        let (Some(first_len), Some(last_len)) = (lens.get(&0), lens.get(&last)) else {
            return Err(Error::Sizes("the first or the last one is not there".to_owned()));
        };
        let fits = last == 0 || (*last_len > 0 && last_len <= first_len);
        let chunk_len = u32::try_from(*first_len).ok().filter(|len| *len <= CHUNK_LEN_MAX);
        match chunk_len.filter(|_| fits) {
            Some(chunk_len) => {
                let before = last as u64 * u64::from(chunk_len);
                Ok(Sizes { chunk_len, total_len: before + *last_len as u64 })
            }
            None => Err(Error::Sizes(format!(
                "the first has {first_len} bytes and the last {last_len}"
            ))),
        }
    }

    async fn fetch(
        &self,
        egress: &Egress,
        number: usize,
        open: &mut Vec<Open>,
    ) -> Result<Fetched, Error> {
        let chunk = &self.info.chunks[number];
        let usable: Vec<_> = chunk.peers.iter().copied().filter(is_usable).collect();
        fetch_info::chunk(egress, chunk.hash, &usable, open).await.map_err(|errors| {
            let said = |(address, error): &(SocketAddrV4, fetch_info::Error)| {
                format!("{} {address}: {error}", self.name_of(*address))
            };
            let asked: Vec<_> = errors.iter().map(said).collect();
            let asked = match asked.is_empty() {
                true => "the listing names no provider of it".to_owned(),
                false => format!("asked {}", asked.join(", ")),
            };
            Error::Missing { number, hash: chunk.hash, asked }
        })
    }
}

/// Lets a running torrent use the providers of a listing too, as far as their chunks are its
/// pieces. What comes of it is told as news.
pub async fn join(
    egress: Egress,
    handle: TorrentHandle,
    torrent: Arc<Torrent>,
    source: ListingSource,
) {
    let told = match source.listing(&egress).await {
        Ok(listing) => {
            let providers = listing.providers(&torrent);
            let has = |piece: &PieceIndex| providers.iter().any(|it| it.pieces.has(*piece));
            let pieces = torrent.layout.iter().flat_map(Layout::pieces).filter(has).count();
            if let Some(warning) = listing.warning.clone() {
                // Nobody may be listening, here and below.
                handle.news.send(News::Course(warning));
            }
            let told = match providers.len() {
                0 => "no chunk of the listing is a piece of this torrent".to_owned(),
                count => format!(
                    "course providers: {count}, with {} of {} pieces",
                    pieces, torrent.num_pieces
                ),
            };
            handle.add_providers(providers, Vec::new()).await;
            told
        }
        Err(error) => format!("no course providers: {error}"),
    };
    handle.news.send(News::Course(told));
}

/// Could somebody listen there?
fn is_usable(address: &SocketAddrV4) -> bool {
    let locality = Locality::of((*address.ip()).into());
    address.port() != 0 && locality != Locality::Unroutable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::wire::ListedChunk;

    fn listing(hashes: &[u8], peers: &[&str]) -> Listing {
        let peers: Vec<SocketAddrV4> = peers.iter().map(|peer| peer.parse().unwrap()).collect();
        let chunk = |byte: &u8| ListedChunk { hash: ChunkHash([*byte; 20]), peers: peers.clone() };
        let info =
            FileInfo { filename: "a.txt".into(), chunks: hashes.iter().map(chunk).collect() };
        Listing { info, names: BTreeMap::new(), warning: None }
    }

    #[test]
    fn a_listing_is_the_torrent_of_its_file() {
        let listing = listing(&[1, 2, 3], &["127.0.0.1:8001"]);
        let torrent = listing.torrent(Sizes { chunk_len: 1000, total_len: 2500 }).unwrap();
        assert_eq!((torrent.name.as_str(), torrent.total_size()), ("a.txt", 2500));
        assert_eq!(torrent.piece_hashes(), [[1; 20], [2; 20], [3; 20]].as_flattened());
        let other = listing.torrent(Sizes { chunk_len: 1000, total_len: 2000 });
        assert!(matches!(other, Err(Error::Sizes(_))));
    }

    #[test]
    fn an_empty_file_is_a_torrent_too() {
        for hashes in [&[][..], &[7][..]] {
            let torrent = listing(hashes, &[]).torrent(Sizes { chunk_len: 0, total_len: 0 });
            assert_eq!(torrent.unwrap().total_size(), 0, "{hashes:?}");
        }
    }

    #[test]
    fn the_last_chunk_may_be_shorter_and_never_longer() {
        let listing = listing(&[1, 2, 3], &[]);
        let sizes = listing.sizes([(0, 100), (2, 7)]).unwrap();
        assert_eq!(sizes, Sizes { chunk_len: 100, total_len: 207 });
        assert!(listing.sizes([(0, 100), (2, 101)]).is_err());
        assert!(listing.sizes([(0, 100), (2, 0)]).is_err());
        assert!(listing.sizes([(0, 100), (1, 100)]).is_err());
        assert!(listing.sizes([(0, CHUNK_LEN_MAX as usize + 1), (2, 1)]).is_err());
    }

    #[test]
    fn a_hash_that_stands_everywhere_is_looked_at_once() {
        let hashes = vec![7; 65_535];
        let peers: Vec<String> = (1..=30).map(|port| format!("10.0.0.1:{port}")).collect();
        let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
        let listing = listing(&hashes, &peers);
        let sizes = Sizes { chunk_len: 1, total_len: 65_535 };
        let torrent = listing.torrent(sizes).unwrap();
        let began = std::time::Instant::now();
        let providers = listing.providers(&torrent);
        assert_eq!(providers.len(), 30);
        assert!(providers.iter().all(|provider| provider.pieces.is_full()));
        // One by one these were 10^11 steps.
        assert!(began.elapsed() < std::time::Duration::from_secs(30));
    }

    #[test]
    fn providers_have_the_pieces_whose_hashes_are_theirs() {
        let torrent = listing(&[1, 2, 2], &[]).torrent(Sizes { chunk_len: 10, total_len: 30 });
        let torrent = torrent.unwrap();
        let mut listing =
            listing(&[9, 2], &["10.0.0.1:1", "10.0.0.2:2", "0.0.0.0:5", "10.0.0.3:0"]);
        listing.info.chunks[0].peers.push("10.0.0.9:9".parse().unwrap());
        listing.names.insert("10.0.0.2:2".parse().unwrap(), "bob".into());
        let providers = listing.providers(&torrent);
        let told: Vec<_> = providers
            .iter()
            .map(|it| (it.address.to_string(), it.name.as_str(), it.pieces.iter_ones().collect()))
            .collect::<Vec<(String, &str, Vec<u32>)>>();
        let expected = [
            ("10.0.0.1:1".to_owned(), "provider", vec![1, 2]),
            ("10.0.0.2:2".to_owned(), "bob", vec![1, 2]),
        ];
        assert_eq!(told, expected);
    }
}
