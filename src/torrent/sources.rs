//! The servers that the files of one torrent may be fetched from: those that it names itself, and
//! those that the user does. What is fetched from which is the brain's; who may have a connection
//! is decided in the session.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, info};

use crate::base::extents::Extents;
use crate::base::ids::{FileIndex, LinkId, SourceId};
use crate::base::layout::PieceIndex;
use crate::base::url::Url;
use crate::link::web::{self, Origins, Server};
use crate::metainfo::{Torrent, WEB_SEEDS_MAX};
use crate::swarm::Swarm;
use crate::swarm::event::WebSource;
use crate::swarm::report::{FileSnapshot, SourceSnapshot};

use super::links::Links;
use super::source_news::{SourceChange, SourceNews, SourceWatch};
use super::status::{SourceFileStatus, SourceStatus};

pub use crate::link::web::NamedBy;

/// A server that has files of a torrent (BEP 19), as somebody names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebSeed {
    /// Its URL: of the one file, or of what the torrent's name is below.
    pub url: String,
    /// Who names it.
    pub named_by: NamedBy,
    /// The file that the URL is of, whatever the torrent calls it; all files are below it when
    /// none.
    pub file: Option<FileIndex>,
    /// Lower ones are tried first (RFC 5854).
    pub priority: u32,
    /// It is a script that gives pieces (BEP 17).
    pub is_script: bool,
}

impl WebSeed {
    /// One that the user names.
    pub fn of_user(url: impl Into<String>) -> Self {
        let named_by = NamedBy::User;
        Self { url: url.into(), named_by, file: None, priority: 1, is_script: false }
    }

    /// One that the torrent, or the link to it, names.
    pub fn of_torrent(url: impl Into<String>) -> Self {
        Self { named_by: NamedBy::Torrent, ..Self::of_user(url) }
    }

    /// A script that the torrent names (BEP 17).
    fn script(url: impl Into<String>) -> Self {
        Self { is_script: true, ..Self::of_torrent(url) }
    }
}

/// Servers of single files that a torrent has at most, beside those of all its files: metalinks
/// name some dozens for each of their files. With the others no more than a brain remembers.
const EXACT_SEEDS_MAX: usize = 480;

/// The servers of one torrent.
#[derive(Debug)]
pub(super) struct Sources {
    torrent: Arc<Torrent>,
    extents: Arc<Extents>,
    origins: Origins,
    servers: BTreeMap<SourceId, Arc<Server>>,
    /// Those that were named while it ran.
    added: Vec<WebSeed>,
    /// What people were told of them.
    watch: SourceWatch,
}

impl Sources {
    /// None yet.
    pub fn new(torrent: Arc<Torrent>, extents: Extents, origins: Origins) -> Self {
        let extents = Arc::new(extents);
        let (servers, added) = (BTreeMap::new(), Vec::new());
        Self { torrent, extents, origins, servers, added, watch: SourceWatch::default() }
    }

    /// Those that the torrent itself names, and `seeds`. Of a private torrent nobody is told but by
    /// its own file or the user; one whose pieces nothing judges is nowhere else.
    pub fn begin(&mut self, uses_own: bool, seeds: &[WebSeed]) -> Vec<WebSource> {
        let is_private = self.torrent.private && self.torrent.is_judged();
        let may_be = |seed: &&WebSeed| !is_private || seed.named_by == NamedBy::User;
        let torrent = self.torrent.clone();
        let own = torrent.web_seeds.iter().map(WebSeed::of_torrent);
        let own = own.chain(torrent.http_seeds.iter().map(WebSeed::script));
        let own = own.filter(|_| uses_own);
        // What the user names comes first, also where there are too many.
        let mut all: Vec<_> = seeds.iter().filter(may_be).cloned().chain(own).collect();
        all.sort_by_key(|seed| seed.named_by != NamedBy::User);
        let (exact, whole): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.file.is_some());
        let all: Vec<_> = whole.into_iter().chain(in_turn(exact)).collect();
        let entered: Vec<_> = all.iter().filter_map(|seed| self.enter(seed)).collect();
        if entered.len() < all.len() {
            let left_out = all.len() - entered.len();
            info!(
                left_out,
                taken = entered.len(),
                "web seeds are unusable, twice there or too many"
            );
        }
        entered
    }

    /// One more, while the torrent runs; none when it is no URL, there already, or one too many.
    pub fn add(&mut self, seed: WebSeed) -> Option<WebSource> {
        let entered = self.enter(&seed)?;
        self.added.push(seed);
        Some(entered)
    }

    fn enter(&mut self, seed: &WebSeed) -> Option<WebSource> {
        let (torrent, extents) = (self.torrent.clone(), self.extents.clone());
        let server = match seed.is_script {
            true => Server::script(&seed.url, seed.named_by, torrent)?,
            false => Server::new(&seed.url, seed.named_by, torrent, extents, seed.file)?,
        };
        let is_known = |other: &Arc<Server>| {
            same_place(other.url(), server.url())
                && other.file() == server.file()
                && other.is_script() == server.is_script()
        };
        let alike = self.servers.values().filter(|other| other.file() == seed.file).count();
        let exact = self.servers.values().filter(|other| other.file().is_some()).count();
        let is_full = alike >= WEB_SEEDS_MAX || seed.file.is_some() && exact >= EXACT_SEEDS_MAX;
        if is_full || self.servers.values().any(is_known) {
            return None;
        }
        let source = SourceId(self.servers.len() as u32);
        self.servers.insert(source, Arc::new(server));
        let links_max = self.origins.connections();
        Some(WebSource { source, file: seed.file, priority: seed.priority, links_max })
    }

    /// Those that there were connections to when it was looked last, and all.
    pub fn counts(&self) -> (u32, u32) {
        (self.watch.up_count(), self.servers.len() as u32)
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Those that were named while it ran.
    pub fn into_added(self) -> Vec<WebSeed> {
        self.added
    }

    /// What people are told that the source is called: its host, and its port if that is no usual
    /// one; with a number where several are there. No path, query or user, which may be secrets.
    pub fn name(&self, source: SourceId) -> Option<String> {
        self.names().remove(&source)
    }

    /// The same of all of them.
    fn names(&self) -> BTreeMap<SourceId, String> {
        let mut at_site: BTreeMap<String, Vec<SourceId>> = BTreeMap::new();
        for (source, server) in &self.servers {
            at_site.entry(server.site().to_string()).or_default().push(*source);
        }
        let named = at_site.into_iter().flat_map(|(site, sources)| {
            let is_alone = sources.len() == 1;
            (1..).zip(sources).map(move |(number, source)| match is_alone {
                true => (source, site.clone()),
                false => (source, format!("{site} #{number}")),
            })
        });
        named.collect()
    }

    /// What people may know of all of them as of `now`.
    pub fn status(&self, swarm: &Swarm, now: Instant) -> Vec<SourceStatus> {
        let mut names = self.names();
        let status = |it: SourceSnapshot| {
            let server = self.servers.get(&it.source)?;
            let path = |file| path(&self.torrent, file);
            let file_status = |it: FileSnapshot| SourceFileStatus {
                file: it.file,
                path: path(it.file),
                why: it.why.as_deref().map(str::to_owned),
                left: it.left,
                whole_only: it.whole_only,
            };
            Some(SourceStatus {
                site: names.remove(&it.source)?,
                url: server.url().to_string(),
                file: server.file().map(path),
                state: it.state,
                links: it.links,
                busy: it.busy,
                coming: it.coming,
                down_rate: it.down_rate,
                downloaded_bytes: it.downloaded_bytes,
                files: it.files.into_iter().map(file_status).collect(),
            })
        };
        swarm.sources(now).into_iter().filter_map(status).collect()
    }

    /// What has changed about them since this was last asked.
    pub fn news(&mut self, swarm: &Swarm, now: Instant) -> Vec<SourceNews> {
        let torrent = &self.torrent;
        let changes = self.watch.look(&swarm.sources(now), |file| path(torrent, file));
        changes.into_iter().filter_map(|(source, what)| self.news_of(source, what)).collect()
    }

    fn news_of(&self, source: SourceId, what: SourceChange) -> Option<SourceNews> {
        let server = self.servers.get(&source)?;
        Some(SourceNews { site: self.name(source)?, url: server.url().to_string(), what })
    }

    /// The limit on what all servers together send, in bytes per second, and whether it holds
    /// something back now.
    pub fn limit(&self, now: Instant) -> (Option<u64>, bool) {
        (self.origins.limit(), self.origins.is_limited(now))
    }

    /// The news that a source sent a wrong piece.
    pub fn wrong(&self, source: SourceId, piece: PieceIndex) -> Option<SourceNews> {
        self.news_of(source, SourceChange::Wrong { piece: piece.number() })
    }

    /// Has a link made to the source as soon as it may be, for a torrent that lacks so many bytes.
    pub fn dial(&self, links: &mut Links, (link, left_bytes): (LinkId, u64), source: SourceId) {
        let Some(server) = self.servers.get(&source).cloned() else { return };
        debug!(link = link.0, server = self.name(source), "asks for a connection");
        let origins = self.origins.clone();
        links.lease(link, source, |config, reports| {
            web::dial_server(config, (link, left_bytes), server, origins, reports)
        });
    }
}

fn path(torrent: &Torrent, file: FileIndex) -> String {
    let file = torrent.files.file(file);
    file.map_or_else(String::new, |file| file.path.display().to_string())
}

/// The best ones of all files, then the second best ones, and so on.
fn in_turn(mut exact: Vec<WebSeed>) -> Vec<WebSeed> {
    exact.sort_by_key(|seed| (seed.named_by != NamedBy::User, seed.priority));
    let mut counts: BTreeMap<Option<FileIndex>, usize> = BTreeMap::new();
    let mut rank = |seed: &WebSeed| {
        let count = counts.entry(seed.file).or_default();
        *count += 1;
        *count
    };
    let mut ranked: Vec<_> = exact.into_iter().map(|seed| (rank(&seed), seed)).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, seed)| seed).collect()
}

/// With or without a slash at the end, and by http or by https, it is one place.
fn same_place(one: &Url, other: &Url) -> bool {
    let target = |url: &Url| url.target().trim_end_matches('/').to_owned();
    one.origin().site() == other.origin().site() && target(one) == target(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::link::web::Policy;

    fn sources(is_private: bool) -> Sources {
        let info = "d6:lengthi5e4:name1:f12:piece lengthi16384e6:pieces20:";
        let private = if is_private { "7:privatei1e" } else { "" };
        let list = "8:url-listl8:http://a13:https://b/x/ye";
        let text = [b"d4:info", info.as_bytes(), &[b'x'; 20], private.as_bytes(), b"e"].concat();
        let torrent = Torrent::parse(&[&text[..], list.as_bytes(), b"e"].concat()).unwrap();
        let extents = torrent.extents().unwrap();
        Sources::new(Arc::new(torrent), extents, Origins::new(Policy::default()).0)
    }

    fn places(sources: &Sources) -> Vec<String> {
        sources.servers.values().map(|server| server.url().to_string()).collect()
    }

    #[test]
    fn what_the_user_names_comes_before_what_the_torrent_does_and_none_is_there_twice() {
        let mut sources = sources(false);
        let named = [
            WebSeed::of_torrent("http://c/"),
            WebSeed { priority: 7, ..WebSeed::of_user("http://b/x/y/") },
            WebSeed::of_user("ftp://d/"),
        ];
        let known = sources.begin(true, &named);
        assert_eq!(places(&sources), ["http://b/x/y/", "http://c/", "http://a/"]);
        assert_eq!(sources.name(SourceId(2)).as_deref(), Some("a"));
        let told: Vec<_> = known.iter().map(|it| (it.source.0, it.priority)).collect();
        assert_eq!(told, [(0, 7), (1, 1), (2, 1)]);
        assert_eq!(sources.add(WebSeed::of_user("https://a")), None);
        // The same place may be that of one file, and something else.
        let one = WebSeed { file: Some(FileIndex(0)), ..WebSeed::of_user("http://a") };
        assert_eq!(sources.add(one.clone()).unwrap().source, SourceId(3));
        let names = [2, 3, 1].map(|source| sources.name(SourceId(source)).unwrap());
        assert_eq!(names, ["a #1", "a #2", "c"]);
        assert_eq!(sources.into_added(), [one]);
    }

    #[test]
    fn a_private_torrent_has_those_of_its_file_and_of_the_user() {
        let mut sources = sources(true);
        let named = [WebSeed::of_torrent("http://c/"), WebSeed::of_user("http://d/")];
        sources.begin(true, &named);
        assert_eq!(places(&sources), ["http://d/", "http://a/", "https://b/x/y"]);
    }

    #[test]
    fn there_are_no_more_than_a_torrent_may_have() {
        let mut sources = sources(false);
        let many: Vec<_> =
            (0..100).map(|number| WebSeed::of_user(format!("http://h{number}/"))).collect();
        assert_eq!(sources.begin(false, &many).len(), WEB_SEEDS_MAX);
        assert_eq!(sources.add(WebSeed::of_user("http://one-more/")), None);
    }

    #[test]
    fn mirrors_of_single_files_have_room_of_their_own_and_each_file_has_its_share() {
        let mut sources = sources(false);
        let mirror = |file: u32, number: u32| WebSeed {
            file: Some(FileIndex(file)),
            priority: number,
            ..WebSeed::of_torrent(format!("http://h{number}/{file}"))
        };
        let mut many: Vec<_> =
            (0..60).flat_map(|file| (0..40).map(move |number| mirror(file, number))).collect();
        many.push(WebSeed::of_user("http://whole/"));
        let known = sources.begin(true, &many);
        assert_eq!(known.len(), EXACT_SEEDS_MAX + 3);
        let of_file = |file| known.iter().filter(|it| it.file == Some(FileIndex(file))).count();
        assert!((0..60).all(|file| of_file(file) == EXACT_SEEDS_MAX / 60));
        let best = known.iter().filter(|it| it.file.is_some()).all(|it| it.priority < 8);
        assert!(best, "those that are best by their list");
        // One file alone has no more than a torrent.
        let mut sources = self::sources(false);
        let many: Vec<_> = (0..100).map(|number| mirror(0, number)).collect();
        assert_eq!(sources.begin(false, &many).len(), WEB_SEEDS_MAX);
    }
}
