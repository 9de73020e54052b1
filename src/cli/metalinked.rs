//! What the files of a metalink are downloaded as: the torrent that it names, fetched into memory,
//! one that is made of its pieces, or one whose pieces nothing judges. Mirrors become exact web
//! seeds, and the hash of the whole file is kept for the end, in all cases.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::base::ids::FileIndex;
use crate::metainfo::create::wrap_found;
use crate::metainfo::{Magnet, Torrent};
use crate::metalink::plan::{TORRENT_WAIT, Way, file_in, plan};
use crate::metalink::{FileHash, HashKind, Listed, MetaUrl, Metalink};
use crate::net::egress::Egress;
use crate::session::{NamedBy, WebSeed};

use super::escape::escape;
use super::exit::{Exit, Failure};
use super::given::{Hints, Loaded, torrent_at};
use super::print::counted;

/// .torrent files that are fetched side by side, of so many files of a metalink from the one at
/// hand on.
const FETCHES_MAX: usize = 8;
const AHEAD_MAX: usize = 64;

/// The hash that a file is to have in the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSum {
    /// Which file.
    pub file: FileIndex,
    /// The hash of all of it.
    pub hash: FileHash,
}

/// What a file of a metalink comes to.
#[derive(Debug)]
pub enum Meant {
    /// A torrent with it, and mirrors of it; perhaps one whose pieces nothing judges.
    Torrent(Box<Loaded>),
    /// A magnet link of such a torrent.
    Link(Box<Magnet>),
}

/// What each file of a metalink comes to, by its name. Files of one torrent are one download.
/// What is left out goes to `told`. Waits for the .torrent files, half a minute each; some are
/// fetched side by side, and one that several files name once.
pub async fn meant(
    metalink: &Metalink,
    egress: &Egress,
    told: &mut Vec<String>,
) -> Vec<(String, Result<Meant, Failure>)> {
    let mut all: Vec<(String, Result<Meant, Failure>)> = Vec::new();
    let mut fetches = Fetches { egress: egress.clone(), known: HashMap::new() };
    for (at, file) in metalink.files.iter().enumerate() {
        fetches.begin_ahead(metalink.files.iter().skip(at).take(AHEAD_MAX));
        let found = match of_file(file, &mut fetches, told).await {
            Ok(Came::Named(named, hints)) => {
                let same = all.iter_mut().find_map(|(_, known)| match known {
                    Ok(Meant::Torrent(known)) if is_same(&known.torrent, &named.torrent) => {
                        Some(known)
                    }
                    _ => None,
                });
                if let Some(known) = same {
                    known.hints.join(&hints);
                    continue;
                }
                let (torrent, bytes) = (named.torrent.clone(), named.bytes.clone());
                Ok(Meant::Torrent(Box::new(Loaded { torrent, bytes, hints })))
            }
            Ok(Came::Alone(meant)) => Ok(meant),
            Err(failure) => Err(failure),
        };
        all.push((file.name.clone(), found));
    }
    all
}

fn is_same(one: &Torrent, other: &Torrent) -> bool {
    one.info_hash_v1 == other.info_hash_v1 && one.info_hash_v2 == other.info_hash_v2
}

/// What one file comes to.
enum Came {
    /// A torrent that the metalink names, and what it says of it beside.
    Named(Arc<Named>, Hints),
    /// Something of its own.
    Alone(Meant),
}

/// A torrent as it came.
struct Named {
    torrent: Torrent,
    bytes: Vec<u8>,
}

/// The .torrent files that a metalink names, by their URLs.
struct Fetches {
    egress: Egress,
    known: HashMap<String, Fetch>,
}

enum Fetch {
    /// It comes, since then; files that cannot wait so long do without it.
    Coming(Instant, JoinHandle<Result<(Torrent, Vec<u8>), Failure>>),
    /// Here, unless it cannot be had.
    Over(Option<Arc<Named>>),
}

impl Fetches {
    /// Begins to fetch the best torrent of each of these files, as far as there is room.
    fn begin_ahead<'a>(&mut self, files: impl Iterator<Item = &'a Listed>) {
        let is_coming =
            |it: &&Fetch| matches!(it, Fetch::Coming(_, fetching) if !fetching.is_finished());
        let coming = self.known.values().filter(is_coming).count();
        let best = files.filter_map(|file| Some(&file.torrents.first()?.url));
        let mut room = FETCHES_MAX.saturating_sub(coming);
        for url in best {
            if room == 0 {
                return;
            }
            room -= usize::from(self.begin(url));
        }
    }

    /// Begins to fetch what is at this URL, unless that was done.
    fn begin(&mut self, url: &str) -> bool {
        let is_new = !self.known.contains_key(url);
        if is_new {
            let (wanted, egress) = (url.to_owned(), self.egress.clone());
            let fetching = tokio::spawn(async move { torrent_at(&wanted, &egress).await });
            self.known.insert(url.to_owned(), Fetch::Coming(Instant::now(), fetching));
        }
        is_new
    }

    /// The torrent at this URL, if it can be had. Why not is told once.
    async fn torrent(&mut self, url: &str, told: &mut Vec<String>) -> Option<Arc<Named>> {
        self.begin(url);
        let fetch = self.known.get_mut(url)?;
        if let Fetch::Coming(_, fetching) = fetch {
            let came = match fetching.await {
                Ok(Ok((torrent, bytes))) => Some(Arc::new(Named { torrent, bytes })),
                Ok(Err(failure)) => {
                    told.push(failure.message);
                    None
                }
                Err(_) => None,
            };
            *fetch = Fetch::Over(came);
        }
        match fetch {
            Fetch::Over(came) => came.clone(),
            Fetch::Coming(..) => None,
        }
    }

    /// The first of these that can be had, and what its file is called in it.
    async fn first<'a>(
        &mut self,
        torrents: &'a [MetaUrl],
        told: &mut Vec<String>,
    ) -> Option<(Arc<Named>, Option<&'a str>)> {
        for named in torrents {
            if let Some(torrent) = self.torrent(&named.url, told).await {
                return Some((torrent, named.name.as_deref()));
            }
        }
        None
    }

    /// Since when one of these comes; now, if none does yet.
    fn since(&self, torrents: &[MetaUrl]) -> Instant {
        let since = torrents.iter().filter_map(|named| match self.known.get(&named.url) {
            Some(Fetch::Coming(since, _)) => Some(*since),
            _ => None,
        });
        since.min().unwrap_or_else(Instant::now)
    }
}

impl Drop for Fetches {
    fn drop(&mut self) {
        for fetch in self.known.values() {
            if let Fetch::Coming(_, fetching) = fetch {
                fetching.abort();
            }
        }
    }
}

async fn of_file(
    file: &Listed,
    fetches: &mut Fetches,
    told: &mut Vec<String>,
) -> Result<Came, Failure> {
    let unusable = |why: String| Failure::bad_input(format!("{}: {why}", escape(&file.name)));
    let way = plan(file).map_err(|error| unusable(error.to_string()))?;
    let Way::Torrent { torrents, magnets, meanwhile } = way else {
        return alone(file, way).map(Came::Alone);
    };
    let found = match meanwhile {
        // Mirrors wait no longer for it.
        Some(_) => {
            let until = fetches.since(torrents) + TORRENT_WAIT;
            timeout_at(until, fetches.first(torrents, told)).await.ok().flatten()
        }
        None => fetches.first(torrents, told).await,
    };
    if let Some((named, name)) = found
        && let Some(hints) = hints_of(file, &named.torrent, name, told)
    {
        return Ok(Came::Named(named, hints));
    }
    if !file.mirrors.is_empty() && file.size.is_some() {
        if !torrents.is_empty() {
            told.push(format!("{}: begins without its torrent", escape(&file.name)));
        }
        let bare = Listed { torrents: Vec::new(), magnets: Vec::new(), ..file.clone() };
        let way = plan(&bare).map_err(|error| unusable(error.to_string()))?;
        return alone(&bare, way).map(Came::Alone);
    }
    let link = magnets.iter().find_map(|link| Magnet::parse(link).ok());
    match link {
        Some(link) => Ok(Came::Alone(Meant::Link(Box::new(link)))),
        None => {
            let mut why = "no torrent that the metalink names is of use".to_owned();
            if !file.mirrors.is_empty() {
                why += ", and without one nothing says how long it is";
            }
            Err(Failure::new(Exit::Network, format!("{}: {why}", escape(&file.name))))
        }
    }
}

/// From the mirrors alone.
fn alone(file: &Listed, way: Way<'_>) -> Result<Meant, Failure> {
    let (torrent, info) = match way {
        Way::Pieces { info } => (Torrent::from_info(&info), info),
        Way::Whole { info, .. } => (Torrent::unjudged(&info), info),
        Way::Torrent { .. } => return Err(Failure::bad_input("a torrent is named after all")),
    };
    let torrent = torrent.map_err(|error| {
        let why = escape(&error.to_string());
        Failure::bad_input(format!("{}: {why}", escape(&file.name)))
    })?;
    let bytes = wrap_found(&info, &[], &[]);
    let hints = hints(file, FileIndex(0), false);
    Ok(Meant::Torrent(Box::new(Loaded { torrent, bytes, hints })))
}

/// What is said of a file of a torrent that decides what is right; of one that has another length
/// there nothing but that it is wanted. None when the torrent does not hold it.
fn hints_of(
    file: &Listed,
    torrent: &Torrent,
    name: Option<&str>,
    told: &mut Vec<String>,
) -> Option<Hints> {
    let is_one_of_several = torrent.files.iter().filter(|file| !file.is_pad).count() > 1;
    let why = match file_in(torrent, file, name) {
        Ok(index) if torrent.private && !file.mirrors.is_empty() => {
            // Nobody but its own file says who may see it.
            let count = counted(file.mirrors.len() as u64, "mirror");
            told.push(format!(
                "{}: its torrent is private: {count} left out; -w names a server that may see it",
                escape(&file.name)
            ));
            let unseen = Listed { mirrors: Vec::new(), ..file.clone() };
            return Some(hints(&unseen, index, is_one_of_several));
        }
        Ok(index) => return Some(hints(file, index, is_one_of_several)),
        Err(why) => why,
    };
    let shown = escape(&file.name);
    let bare = Listed { name: file.name.clone(), ..Listed::default() };
    let other = file_in(torrent, &bare, name).ok();
    told.push(match other {
        Some(_) => format!("{shown}: {why}; its mirrors are left out"),
        None => format!("{shown}: {why}"),
    });
    other.map(|index| hints(&bare, index, is_one_of_several))
}

/// What a metalink says of a file of a torrent: its mirrors, and the hash of all of it.
fn hints(file: &Listed, index: FileIndex, is_one_of_several: bool) -> Hints {
    let mirror = |mirror: &crate::metalink::Mirror| WebSeed {
        url: mirror.url.clone(),
        named_by: NamedBy::Torrent,
        file: Some(index),
        priority: mirror.priority,
        is_script: false,
    };
    let sum = |hash: &FileHash| FileSum { file: index, hash: hash.clone() };
    Hints {
        wanted: is_one_of_several.then_some(index.0..=index.0).into_iter().collect(),
        web_seeds: file.mirrors.iter().map(mirror).collect(),
        sums: file.hash.iter().map(sum).collect(),
        ..Hints::default()
    }
}

/// What a kind of hash is called.
pub fn kind_name(kind: HashKind) -> &'static str {
    match kind {
        HashKind::Sha1 => "SHA-1",
        HashKind::Sha256 => "SHA-256",
        HashKind::Sha512 => "SHA-512",
    }
}

/// A hash that is being made of bytes as they come.
pub enum Hasher {
    /// Of 20 bytes.
    Sha1(Sha1),
    /// Of 32 bytes.
    Sha256(Sha256),
    /// Of 64 bytes.
    Sha512(Box<Sha512>),
}

impl Hasher {
    /// Of no bytes yet.
    pub fn new(kind: HashKind) -> Self {
        match kind {
            HashKind::Sha1 => Self::Sha1(Sha1::new()),
            HashKind::Sha256 => Self::Sha256(Sha256::new()),
            HashKind::Sha512 => Self::Sha512(Box::new(Sha512::new())),
        }
    }

    /// These come next.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The hash of all of them.
    pub fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha1(hasher) => hasher.finalize().to_vec(),
            Self::Sha256(hasher) => hasher.finalize().to_vec(),
            Self::Sha512(hasher) => hasher.finalize().to_vec(),
        }
    }
}

/// Whether a file has this hash. Reads all of it.
///
/// # Errors
/// When it cannot be read.
pub fn has_hash(path: &Path, hash: &FileHash) -> std::io::Result<bool> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Hasher::new(hash.kind);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish() == hash.bytes),
            len => hasher.update(buffer.get(..len).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;
    use crate::metalink::Mirror;

    fn listed(size: Option<u64>) -> Listed {
        let mirror = |url: &str, priority| Mirror { url: url.to_owned(), priority, location: None };
        Listed {
            name: "a.iso".to_owned(),
            size,
            hash: Some(FileHash { kind: HashKind::Sha1, bytes: Sha1::digest(b"abc").to_vec() }),
            mirrors: vec![mirror("http://m/a.iso", 1), mirror("http://n/b", 7)],
            ..Listed::default()
        }
    }

    async fn one(file: Listed) -> Result<Meant, Failure> {
        let metalink = Metalink { files: vec![file], ..Metalink::default() };
        meant(&metalink, &Egress::default(), &mut Vec::new()).await.remove(0).1
    }

    #[tokio::test]
    async fn pieces_make_a_torrent_with_exact_mirrors_and_a_hash_for_the_end() {
        let pieces = crate::metalink::Pieces {
            kind: HashKind::Sha1,
            piece_len: 16_384,
            hashes: vec![7; 20],
        };
        let file = Listed { pieces: Some(pieces), ..listed(Some(3)) };
        let Ok(Meant::Torrent(loaded)) = one(file).await else { panic!() };
        assert_eq!((loaded.torrent.name.as_str(), loaded.torrent.total_size()), ("a.iso", 3));
        let seeds: Vec<_> = loaded
            .hints
            .web_seeds
            .iter()
            .map(|it| (it.url.as_str(), it.file, it.priority))
            .collect();
        let first = Some(FileIndex(0));
        assert_eq!(seeds, [("http://m/a.iso", first, 1), ("http://n/b", first, 7)]);
        assert_eq!(loaded.hints.sums.len(), 1);
        assert!(Torrent::parse(&loaded.bytes).is_ok());
    }

    #[tokio::test]
    async fn a_hash_alone_judges_the_whole() {
        let Ok(Meant::Torrent(loaded)) = one(listed(Some(3))).await else { panic!() };
        assert_eq!((loaded.torrent.total_size(), loaded.torrent.is_judged()), (3, false));
        assert_eq!((loaded.hints.web_seeds.len(), loaded.hints.sums.len()), (2, 1));
        let refused = one(listed(None)).await.unwrap_err();
        assert_eq!(refused.exit, Exit::BadInput);
    }

    /// A torrent of two files, `t/a` of 2 bytes and `t/b` of 3.
    fn of_two() -> Torrent {
        let files = "d6:lengthi2e4:pathl1:aeed6:lengthi3e4:pathl1:bee";
        let head = format!("d5:filesl{files}e4:name1:t12:piece lengthi16384e6:pieces20:");
        Torrent::from_info(&[head.as_bytes(), &[0; 20], b"e"].concat()).unwrap()
    }

    #[test]
    fn of_a_torrent_of_several_files_the_one_that_is_listed_is_wanted_whatever_its_length() {
        let file = |name: &str, size| Listed { name: name.to_owned(), ..listed(Some(size)) };
        let mut told = Vec::new();
        let mut said = |file: &Listed, name| hints_of(file, &of_two(), name, &mut told);
        let right = said(&file("b", 3), None).unwrap();
        assert_eq!((right.wanted, right.web_seeds.len()), (vec![1..=1], 2));
        let other = said(&file("b", 4), Some("t/b")).unwrap();
        assert_eq!((other.wanted, other.web_seeds, other.sums), (vec![1..=1], vec![], vec![]));
        assert_eq!(said(&file("c", 3), None), None);
        let expected = [
            "b: it has 4 bytes in the metalink, but 3 in the torrent; its mirrors are left out",
            "c: the torrent that the metalink names does not hold it",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn mirrors_of_a_private_torrent_are_left_out_and_that_is_told() {
        let info = b"d6:lengthi3e4:name5:a.iso12:piece lengthi16384e6:pieces20:";
        let private = b"7:privatei1ee";
        let torrent = Torrent::from_info(&[&info[..], &[0; 20], private].concat()).unwrap();
        let mut told = Vec::new();
        let found = hints_of(&listed(Some(3)), &torrent, None, &mut told).unwrap();
        assert_eq!((found.web_seeds, found.sums.len()), (vec![], 1));
        let expected = "a.iso: its torrent is private: 2 mirrors left out; \
            -w names a server that may see it";
        assert_eq!(told, [expected]);
    }

    /// A .torrent of one file of this name.
    fn torrent_of(name: &str) -> Vec<u8> {
        let name = format!("{}:{name}", name.len());
        let head = format!("d4:infod6:lengthi3e4:name{name}12:piece lengthi16384e6:pieces20:");
        [head.as_bytes(), &[0; 20], b"ee"].concat()
    }

    /// What a server of such files, `/a.torrent` and so on, has seen.
    #[derive(Default)]
    struct Seen {
        requests: AtomicUsize,
        at_once: AtomicUsize,
        most_at_once: AtomicUsize,
    }

    /// None of the first `together` requests is answered before all of them are there.
    fn serve(together: usize) -> (SocketAddr, Arc<Seen>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, first) = (Arc::<Seen>::default(), Arc::new(Barrier::new(together)));
        let shared = seen.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (seen, first) = (shared.clone(), first.clone());
                thread::spawn(move || {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        stream.read_exact(&mut byte).unwrap();
                        head.extend(byte);
                    }
                    let head = String::from_utf8(head).unwrap();
                    let path = head.split(' ').nth(1).unwrap();
                    let body = torrent_of(&path[1..path.len() - ".torrent".len()]);
                    let at_once = seen.at_once.fetch_add(1, Ordering::SeqCst) + 1;
                    seen.most_at_once.fetch_max(at_once, Ordering::SeqCst);
                    if seen.requests.fetch_add(1, Ordering::SeqCst) < together {
                        first.wait();
                    }
                    seen.at_once.fetch_sub(1, Ordering::SeqCst);
                    let len = body.len();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n"
                    );
                    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
                });
            }
        });
        (address, seen)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn torrents_of_several_files_are_fetched_side_by_side_but_not_too_many() {
        let count = 2 * FETCHES_MAX + 1;
        let (address, seen) = serve(FETCHES_MAX);
        let file = |number: usize| {
            let url = format!("http://{address}/file{number}.torrent");
            let torrents = vec![MetaUrl { url, priority: 1, name: None }];
            Listed { name: format!("file{number}"), torrents, ..Listed::default() }
        };
        // One that is there twice is fetched once.
        let files = (0..count).map(file).chain([Listed { name: "again".into(), ..file(0) }]);
        let metalink = Metalink { files: files.collect(), ..Metalink::default() };
        let mut told = Vec::new();
        let found = meant(&metalink, &Egress::default(), &mut told).await;
        assert_eq!(told, [""; 0]);
        let names = found.iter().map(|(name, meant)| match meant {
            Ok(Meant::Torrent(loaded)) => (name.clone(), loaded.torrent.name.clone()),
            other => panic!("{name}: {other:?}"),
        });
        let expected = (0..count).map(|number| format!("file{number}"));
        let expected: Vec<_> = expected.map(|name| (name.clone(), name)).collect();
        assert_eq!(names.collect::<Vec<_>>(), expected, "in their order");
        assert_eq!(seen.requests.load(Ordering::SeqCst), count);
        assert_eq!(seen.most_at_once.load(Ordering::SeqCst), FETCHES_MAX);
    }

    #[test]
    fn files_are_compared_with_their_hashes() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x");
        std::fs::write(&path, b"abc").unwrap();
        for (kind, bytes) in [
            (HashKind::Sha1, Sha1::digest(b"abc").to_vec()),
            (HashKind::Sha256, Sha256::digest(b"abc").to_vec()),
            (HashKind::Sha512, Sha512::digest(b"abc").to_vec()),
        ] {
            assert!(has_hash(&path, &FileHash { kind, bytes: bytes.clone() }).unwrap());
            let other = bytes.iter().map(|byte| byte ^ 1).collect();
            assert!(!has_hash(&path, &FileHash { kind, bytes: other }).unwrap());
        }
    }
}
