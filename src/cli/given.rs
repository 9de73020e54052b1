//! What people name when they mean a torrent, a file, a URL, a magnet link or a bare info-hash,
//! and how it becomes one: files are read, URLs fetched, also those that links name. What is
//! downloaded then, and how, is decided elsewhere.

use std::net::{SocketAddr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::base::addr::{Locality, Teller, canonical, is_usable_peer};
use crate::metainfo::magnet::{KEPT_MAX, Peer};
use crate::metainfo::{Magnet, Torrent};
use crate::metalink::Metalink;
use crate::net;
use crate::net::egress::{Egress, Purpose, Remote};
use crate::session::{TorrentOptions, WebSeed};
use crate::torrent::without_passkey;
use crate::web::{Fetched, Limits, fetch};

use super::commands::create::write;
use super::commands::load;
use super::escape::escape;
use super::exit::{Exit, Failure};
use super::metalinked::FileSum;
use super::print::counted;
use super::selection::linked_files;

/// How long the names of a link's peers may take to be resolved.
pub const LOOKUP_LIMIT: Duration = Duration::from_secs(5);

const NO_METADATA: &str = "only its peers have the metadata of that link: \
    driver info --fetch LINK --save-torrent FILE gets the .torrent from them";

const METALINK: &str = "that is a metalink, a list of files and their mirrors: driver FILE \
    downloads them, driver info FILE shows them";

/// What a word means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Given {
    /// A .torrent file, or a metalink.
    File(PathBuf),
    /// The http(s) URL of one.
    Url(String),
    /// A magnet link, or a bare info-hash.
    Link(Box<Magnet>),
}

impl Given {
    /// What `word` means: a file when there is one of that name, else what it looks like.
    ///
    /// # Errors
    /// For what looks like a magnet link and is none.
    pub fn of(word: &Path) -> Result<Self, Failure> {
        let text = word.to_str().map(str::trim).filter(|text| is_link(text) && !word.exists());
        let Some(text) = text else { return Ok(Self::File(word.to_owned())) };
        if is_url(text) {
            return Ok(Self::Url(text.to_owned()));
        }
        let link = match Magnet::from_hash(text) {
            Some(link) => link,
            None => Magnet::parse(text)
                .map_err(|error| Failure::bad_input(escape(&error.to_string())))?,
        };
        Ok(Self::Link(Box::new(link)))
    }

    /// Makes of it what it is by itself; nobody whom a link names is asked. Waits for the network,
    /// half a minute at most.
    ///
    /// # Errors
    /// When the file cannot be read, the URL not fetched, or what is there is no torrent.
    pub async fn open(self, egress: &Egress) -> Result<Input, Failure> {
        match self {
            Self::File(path) => Input::of_file(&path),
            Self::Url(url) => match fetched(&url, Teller::User, egress).await? {
                Fetched::Torrent(bytes) => {
                    let torrent = load::parse(&without_passkey(&url), &bytes)?;
                    let hints = Hints::default();
                    Ok(Input::Torrent(Box::new(Loaded { torrent, bytes, hints })))
                }
                Fetched::Link(link) => Ok(Input::Link(link)),
                Fetched::Metalink(bytes) => {
                    let metalink = load::read_metalink(&without_passkey(&url), &bytes)?;
                    Ok(Input::Metalink(Box::new(metalink)))
                }
            },
            Self::Link(link) => Ok(Input::Link(link)),
        }
    }

    /// The torrent that it means, of a link by the URLs that it names, half a minute each. What
    /// there is to say of those that are no good goes to `told`.
    ///
    /// # Errors
    /// As [`Given::open`], and for links that only peers could make a torrent of.
    pub async fn torrent(self, egress: &Egress, told: &mut Vec<String>) -> Result<Loaded, Failure> {
        let link = match self.open(egress).await? {
            Input::Torrent(loaded) => return Ok(*loaded),
            Input::Link(link) => link,
            Input::Metalink(_) => return Err(Failure::bad_input(METALINK)),
        };
        for url in &link.torrent_urls {
            match by_url_of(&link, url, egress).await {
                Ok((torrent, bytes)) => {
                    return Ok(Loaded::by_link(torrent, bytes, &link, egress, told).await);
                }
                Err(why) => told.push(why.message),
            }
        }
        if told.is_empty() {
            return Err(Failure::bad_input(NO_METADATA));
        }
        // Why none of its URLs is of use is the reason then.
        let why = std::mem::take(told).join("; ");
        Err(Failure::bad_input(format!("{why}; {NO_METADATA}")))
    }
}

/// What something given came to.
#[derive(Debug)]
pub enum Input {
    /// A torrent.
    Torrent(Box<Loaded>),
    /// A link whose torrent only its peers have.
    Link(Box<Magnet>),
    /// Files, each with what is known of it and where it can be had.
    Metalink(Box<Metalink>),
}

impl Input {
    /// What a file has.
    ///
    /// # Errors
    /// It cannot be read, or is neither a torrent nor a metalink.
    pub fn of_file(path: &Path) -> Result<Self, Failure> {
        if let Some(metalink) = load::metalink(path)? {
            return Ok(Self::Metalink(Box::new(metalink)));
        }
        let (torrent, bytes) = load::file(path)?;
        Ok(Self::Torrent(Box::new(Loaded { torrent, bytes, hints: Hints::default() })))
    }
}

/// A torrent that was read or fetched.
#[derive(Debug)]
pub struct Loaded {
    /// The torrent, with the trackers and web seeds of the link that led to it.
    pub torrent: Torrent,
    /// The .torrent file as it came.
    pub bytes: Vec<u8>,
    /// What the link says besides.
    pub hints: Hints,
}

impl Loaded {
    /// The torrent that a link means, with all that the link says: its trackers, each a tier of
    /// its own, and web seeds, where the torrent lacks them; peers, their names resolved, and
    /// files to choose. Of a private torrent neither peers nor web seeds; what is left out goes to
    /// `told`.
    pub async fn by_link(
        mut torrent: Torrent,
        bytes: Vec<u8>,
        link: &Magnet,
        egress: &Egress,
        told: &mut Vec<String>,
    ) -> Self {
        for url in &link.trackers {
            if !torrent.trackers.iter().flatten().any(|known| known == url) {
                torrent.trackers.push(vec![url.clone()]);
            }
        }
        let mut hints = Hints { wanted: link.wanted.clone(), ..Hints::default() };
        let is_new = |url: &&String| !torrent.web_seeds.contains(*url);
        let web_seeds: Vec<_> = link.web_seeds.iter().filter(is_new).cloned().collect();
        match torrent.private {
            false => {
                torrent.web_seeds.extend(web_seeds);
                hints.peers = addresses(egress, &link.peers).await;
            }
            // Only its trackers name peers (BEP 27), and nobody but its own file who may see it.
            true => told.extend(left_out(link.peers.len(), web_seeds.len())),
        }
        Self { torrent, bytes, hints }
    }
}

/// That so many peers and web seeds of a link to a private torrent are not asked, if there are any.
fn left_out(peers: usize, web_seeds: usize) -> Option<String> {
    let all = [(peers, "peer"), (web_seeds, "web seed")];
    let all = all.into_iter().filter(|(count, _)| *count > 0);
    let all: Vec<String> = all.map(|(count, what)| counted(count as u64, what)).collect();
    let remedy = if web_seeds > 0 { "; -w names a server that may see it" } else { "" };
    let all = all.join(" and ");
    let words = format!("the torrent is private: {all} of the magnet link left out{remedy}");
    (!all.is_empty()).then_some(words)
}

/// What a magnet link, or a metalink, says of a download, beside the torrent itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hints {
    /// Peers to dial, names resolved.
    pub peers: Vec<SocketAddr>,
    /// Positions of the wanted files; all when empty.
    pub wanted: Vec<RangeInclusive<u32>>,
    /// Servers of single files, which a metalink names.
    pub web_seeds: Vec<WebSeed>,
    /// Hashes of whole files, from a metalink.
    pub sums: Vec<FileSum>,
}

impl Hints {
    /// The options of a download with what the link says; files that the user chose stay chosen.
    ///
    /// # Errors
    /// When the link chooses only files that the torrent has not.
    pub fn add_to(
        self,
        options: TorrentOptions,
        torrent: &Torrent,
    ) -> Result<TorrentOptions, Failure> {
        let mut options = options;
        // Who seeds has it all.
        if options.wanted_files.is_none() && !options.seed_only {
            options.wanted_files =
                linked_files(torrent, &self.wanted).map_err(Failure::bad_input)?;
        }
        options.peers.extend(self.peers);
        if options.use_web_seeds {
            options.web_seeds.extend(self.web_seeds);
        }
        Ok(options)
    }

    /// What is said of another file of the same torrent, too.
    pub fn join(&mut self, other: &Self) {
        self.peers.extend(&other.peers);
        self.wanted.extend(other.wanted.iter().cloned());
        self.web_seeds.extend(other.web_seeds.iter().cloned());
        self.sums.extend(other.sums.iter().cloned());
    }
}

/// Whether a word looks like a URL, a magnet link or an info-hash.
pub fn is_link(word: &str) -> bool {
    is_url(word) || begins_with(word, "magnet:") || Magnet::from_hash(word).is_some()
}

fn is_url(word: &str) -> bool {
    begins_with(word, "http://") || begins_with(word, "https://")
}

fn begins_with(word: &str, begin: &str) -> bool {
    word.get(..begin.len()).is_some_and(|start| start.eq_ignore_ascii_case(begin))
}

/// Writes a .torrent as it came. A file that has these very bytes is left as it is.
///
/// # Errors
/// When the file is another one, or cannot be written.
pub fn save(bytes: &[u8], path: &Path) -> Result<(), Failure> {
    let shown = escape(&path.display().to_string());
    match std::fs::metadata(path) {
        Ok(there) => {
            let is_same = there.len() == bytes.len() as u64
                && std::fs::read(path).is_ok_and(|there| there == bytes);
            let why = format!("{shown} exists: choose another file with --save-torrent");
            if is_same { Ok(()) } else { Err(Failure::new(Exit::Disk, why)) }
        }
        Err(_) => write(path, bytes, false)
            .map_err(|error| Failure::new(Exit::Disk, format!("writing {shown}: {error}"))),
    }
}

async fn fetched(url: &str, from: Teller, egress: &Egress) -> Result<Fetched, Failure> {
    let fetched = fetch(url, from, &Limits::by(egress.clone())).await;
    fetched.map_err(|error| {
        let exit = if error.is_of_network() { Exit::Network } else { Exit::BadInput };
        Failure::new(exit, escape(&format!("{}: {error}", without_passkey(url))))
    })
}

/// The torrent of a link by one of the URLs that it names, with the file as it came.
///
/// # Errors
/// When it cannot be fetched, or is another torrent than the link means.
pub async fn by_url_of(
    link: &Magnet,
    url: &str,
    egress: &Egress,
) -> Result<(Torrent, Vec<u8>), Failure> {
    let shown = without_passkey(url);
    let (torrent, bytes) = torrent_at(url, egress).await?;
    match link.is_of(&torrent) {
        true => Ok((torrent, bytes)),
        false => Err(Failure::bad_input(format!(
            "{}: another torrent than the magnet link means, so it is ignored",
            escape(&shown)
        ))),
    }
}

/// The torrent at a URL that a stranger names, with the file as it came.
///
/// # Errors
/// When it cannot be fetched, or is none.
pub async fn torrent_at(url: &str, egress: &Egress) -> Result<(Torrent, Vec<u8>), Failure> {
    let shown = without_passkey(url);
    // Strangers may name any address.
    let bytes = match fetched(url, Teller::Remote(Locality::Public), egress).await? {
        Fetched::Torrent(bytes) => bytes,
        Fetched::Link(_) => {
            let why = format!("{}: it leads to a magnet link again", escape(&shown));
            return Err(Failure::bad_input(why));
        }
        Fetched::Metalink(_) => {
            let why = format!("{}: it is a metalink, not a torrent", escape(&shown));
            return Err(Failure::bad_input(why));
        }
    };
    Ok((load::parse(&shown, &bytes)?, bytes))
}

/// The IPv4 address of what the user named as one, by `egress`.
///
/// # Errors
/// When the name cannot be resolved, or has no such address.
pub async fn address_of(named: &Remote, egress: &Egress) -> Result<SocketAddrV4, Failure> {
    let (found, host) = match named {
        Remote::Address(address) => (vec![*address], address.ip().to_string()),
        Remote::Name { host, port } => {
            let found = egress.lookup(host, *port, Purpose::Course, LOOKUP_LIMIT).await;
            let told = |error: net::Error| Failure::new(Exit::Network, escape(&error.to_string()));
            (found.map_err(told)?, escape(host))
        }
    };
    let mut four = found.into_iter().filter_map(|address| match canonical(address) {
        SocketAddr::V4(four) => Some(four),
        SocketAddr::V6(_) => None,
    });
    let why = "has no IPv4 address, and the course protocol no other";
    four.next().ok_or_else(|| Failure::bad_input(format!("{host} {why}")))
}

/// The addresses of peers, all names resolved at once. Names that lead nowhere are left out.
async fn addresses(egress: &Egress, peers: &[Peer]) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    let mut lookups = JoinSet::new();
    for peer in peers {
        match peer {
            Peer::Address(address) => found.push(*address),
            Peer::Host { name, port } => {
                let (name, port, egress) = (name.clone(), *port, egress.clone());
                lookups.spawn(async move {
                    let found = egress.lookup(&name, port, Purpose::Peer, LOOKUP_LIMIT).await;
                    let mut usable = found.ok()?.into_iter().map(canonical);
                    usable.find(|address| is_usable_peer(*address, Teller::User))
                });
            }
        }
    }
    while let Some(looked_up) = lookups.join_next().await {
        let address = looked_up.ok().flatten();
        found.extend(address.filter(|address| found.len() < KEPT_MAX && !found.contains(address)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "6f84758b0ddd8dc05840bf932a77935d8b5b8b93";

    fn given(word: &str) -> Given {
        Given::of(Path::new(word)).unwrap()
    }

    #[test]
    fn words_mean_what_they_look_like() {
        let link = Given::Link(Box::new(Magnet::from_hash(HASH).unwrap()));
        for word in [HASH, &format!("Magnet:?xt=urn:btih:{}", HASH.to_uppercase())] {
            assert_eq!(given(word), link, "{word}");
        }
        for word in ["N6CHLCYN3WG4AWCAX6JSU54TLWFVXC4T", &"ab".repeat(32)] {
            assert!(matches!(given(word), Given::Link(_)), "{word}");
        }
        let url = "HTTPS://x/y?a";
        assert_eq!(given(url), Given::Url(url.to_owned()));
        for word in ["a.torrent", "./magnet:", "http:/x", "ftp://x/y.torrent", &HASH[1..], "é"] {
            assert_eq!(given(word), Given::File(word.into()), "{word}");
        }
    }

    #[test]
    fn bad_links_are_told_in_one_safe_line() {
        let refused = Given::of(Path::new("magnet:?xt=urn:btih:\u{202e}1")).unwrap_err();
        assert_eq!(refused.exit, Exit::BadInput);
        assert!(refused.message.contains("bad info hash"), "{refused}");
        assert!(!refused.message.contains('\u{202e}'), "{refused}");
    }

    #[tokio::test]
    async fn a_link_alone_is_no_torrent_yet() {
        let mut told = Vec::new();
        let opened = given(HASH).open(&Egress::default()).await.unwrap();
        assert!(matches!(opened, Input::Link(link) if link.trackers.is_empty()));
        let refused = given(HASH).torrent(&Egress::default(), &mut told).await.unwrap_err();
        assert_eq!((refused.exit, refused.message.as_str()), (Exit::BadInput, NO_METADATA));
    }

    fn torrent(is_private: bool) -> Torrent {
        let mut bytes = b"d8:announce8:http://a8:url-list8:http://w4:infod5:filesl\
            d6:lengthi9e4:pathl1:aeed6:lengthi9e4:pathl1:beee\
            4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaa"
            .to_vec();
        bytes.extend(if is_private { b"7:privatei1eee".as_slice() } else { b"ee" });
        Torrent::parse(&bytes).unwrap()
    }

    async fn linked(is_private: bool) -> (Loaded, Vec<String>) {
        let link = "magnet:?xt=urn:btih:{HASH}&tr=http://a&tr=http://b&tr=http://c&ws=http://w\
            &ws=http://v&x.pe=192.0.2.1:6&so=1";
        let link = Magnet::parse(&link.replace("{HASH}", HASH)).unwrap();
        let mut told = Vec::new();
        let egress = Egress::default();
        (Loaded::by_link(torrent(is_private), Vec::new(), &link, &egress, &mut told).await, told)
    }

    #[tokio::test]
    async fn a_torrent_gets_all_that_its_link_says() {
        let (loaded, told) = linked(false).await;
        assert_eq!(loaded.torrent.trackers, [["http://a"], ["http://b"], ["http://c"]]);
        assert_eq!(loaded.torrent.web_seeds, ["http://w", "http://v"]);
        assert_eq!(told, [""; 0]);
        let options = |options| loaded.hints.clone().add_to(options, &loaded.torrent).unwrap();
        let default = TorrentOptions::default;
        assert_eq!(options(default()).wanted_files, Some(vec![false, true]));
        assert_eq!(options(default()).peers, ["192.0.2.1:6".parse().unwrap()]);
        let chosen = options(default().wanted_files(vec![true, false])).wanted_files;
        assert_eq!(chosen, Some(vec![true, false]), "by the user");
        assert_eq!(options(default().seed_only(true)).wanted_files, None);
        let hints = Hints { wanted: vec![2..=9], ..Hints::default() };
        let refused = hints.add_to(default(), &loaded.torrent).unwrap_err();
        assert_eq!(refused.exit, Exit::BadInput);
    }

    #[tokio::test]
    async fn of_a_private_torrent_a_link_names_neither_peers_nor_servers() {
        let (loaded, told) = linked(true).await;
        assert_eq!(loaded.hints.peers, []);
        assert_eq!(loaded.torrent.web_seeds, ["http://w"], "that of its own file");
        let expected = "the torrent is private: 1 peer and 1 web seed of the magnet link left out; \
            -w names a server that may see it";
        assert_eq!(told, [expected]);
    }

    #[tokio::test]
    async fn names_of_peers_become_addresses() {
        let link = format!(
            "magnet:?xt=urn:btih:{HASH}&x.pe=localhost:5&x.pe=192.0.2.1:6&x.pe=no.such.invalid:7"
        );
        let found = addresses(&Egress::default(), &Magnet::parse(&link).unwrap().peers).await;
        assert_eq!(found[0], "192.0.2.1:6".parse().unwrap());
        assert!(found[1].ip().is_loopback() && found[1].port() == 5, "{found:?}");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_torrent_is_saved_as_it_came_and_replaces_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x.torrent");
        save(b"d1", &path).unwrap();
        save(b"d1", &path).unwrap();
        assert_eq!(save(b"d2", &path).unwrap_err().exit, Exit::Disk);
        assert_eq!(std::fs::read(&path).unwrap(), b"d1");
        assert_eq!(save(b"d1", &home.path().join("no/x")).unwrap_err().exit, Exit::Disk);
    }
}
