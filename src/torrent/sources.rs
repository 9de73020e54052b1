//! The servers that the files of one torrent may be fetched from: those that it names itself, and
//! those that the user does. What is fetched from which is the brain's; who may have a connection
//! is decided in the session.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, info};

use crate::base::extents::Extents;
use crate::base::ids::{FileIndex, LinkId, SourceId};
use crate::base::layout::PieceIndex;
use crate::base::url::{Site, Url};
use crate::link::web::{self, Origins, Server};
use crate::metainfo::{Spelling, Torrent, WEB_SEEDS_MAX};
use crate::swarm::Swarm;
use crate::swarm::event::{Holds, Input, WebSource};
use crate::swarm::report::{FileSnapshot, SourceSnapshot};

use super::links::Links;
use super::source_news::{SourceChange, SourceNews, SourceWatch};
use super::status::{SourceFileStatus, SourceScope, SourceStatus};

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

/// Servers that have files at URLs of their own, so many at most of one torrent, beside those that
/// have all: metalinks name some dozens. With the others no more than a brain remembers.
const EXACT_SEEDS_MAX: usize = 477;
/// Of the mirrors of each file, so many are also used together, for pieces that lie in several
/// files which no one server has.
const SEAMS_MAX: usize = 3;
/// What those are called.
const TOGETHER: &str = "mirrors together";

/// The servers of one torrent.
#[derive(Debug)]
pub(super) struct Sources {
    torrent: Arc<Torrent>,
    extents: Arc<Extents>,
    origins: Origins,
    servers: BTreeMap<SourceId, Arc<Server>>,
    /// Those that are several servers together.
    seams: BTreeSet<SourceId>,
    /// Those that were named while it ran.
    added: Vec<WebSeed>,
    /// What people were told of them.
    watch: SourceWatch,
}

impl Sources {
    /// None yet.
    pub fn new(torrent: Arc<Torrent>, extents: Extents, origins: Origins) -> Self {
        Self {
            torrent,
            extents: Arc::new(extents),
            origins,
            servers: BTreeMap::new(),
            seams: BTreeSet::new(),
            added: Vec::new(),
            watch: SourceWatch::default(),
        }
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
        let mut entered: Vec<_> = whole.iter().filter_map(|seed| self.enter(seed)).collect();
        if entered.len() < whole.len() {
            let left_out = whole.len() - entered.len();
            info!(
                left_out,
                taken = entered.len(),
                "web seeds are unusable, twice there or too many"
            );
        }
        let groups = grouped(exact);
        let seams = seams(&groups);
        for group in groups.into_iter().take(EXACT_SEEDS_MAX) {
            entered.extend(self.enter_exact(group, Holds::Files));
        }
        for group in seams {
            entered.extend(self.enter_exact(group, Holds::Seams));
        }
        entered
    }

    /// One more, while the torrent runs; none when it is no URL, there already, or one too many.
    pub fn add(&mut self, seed: WebSeed) -> Option<WebSource> {
        let entered = self.enter(&seed)?;
        self.added.push(seed);
        Some(entered)
    }

    /// Whether those that the torrent itself names are fetched from, while it runs: what its brain
    /// is to be told.
    pub fn use_own(&mut self, uses_own: bool) -> Vec<Input> {
        let is_own = |server: &Server| server.named_by() == NamedBy::Torrent;
        let known = self.servers.iter().filter(|(_, server)| is_own(server));
        let known = known.map(|(source, _)| *source).collect();
        let barred = Input::SourcesBarred { sources: known, are_barred: !uses_own };
        let torrent = self.torrent.clone();
        let own = torrent.web_seeds.iter().map(WebSeed::of_torrent);
        let own = own.chain(torrent.http_seeds.iter().map(WebSeed::script));
        let entered: Vec<_> =
            own.filter(|_| uses_own).filter_map(|seed| self.enter(&seed)).collect();
        vec![barred, Input::Sources(entered)]
    }

    fn enter(&mut self, seed: &WebSeed) -> Option<WebSource> {
        if seed.file.is_some() {
            let group = grouped(vec![seed.clone()]).pop()?;
            return self.enter_exact(group, Holds::Files);
        }
        let (torrent, extents) = (self.torrent.clone(), self.extents.clone());
        let server = match seed.is_script {
            true => Server::script(&seed.url, seed.named_by, torrent)?,
            false => Server::new(&seed.url, seed.named_by, torrent, extents)?,
        };
        let whole = || self.servers.values().filter(|other| other.files().is_none());
        let is_known = |other: &Arc<Server>| {
            same_place(other.url(), server.url()) && other.is_script() == server.is_script()
        };
        if whole().count() >= WEB_SEEDS_MAX || whole().any(is_known) {
            return None;
        }
        Some(self.insert(server, Holds::All, seed.priority))
    }

    /// One that has files at URLs of their own, unless it is one too many, or each of them is
    /// there already.
    fn enter_exact(
        &mut self,
        group: Group,
        holds: impl FnOnce(Arc<[FileIndex]>) -> Holds,
    ) -> Option<WebSource> {
        let Group { files, named_by, priority } = group;
        let list: Arc<[FileIndex]> = files.keys().copied().collect();
        let holds = holds(list);
        let exact = self.servers.values().filter_map(|other| other.files());
        let is_known = |other: &BTreeMap<FileIndex, Url>| {
            files.iter().all(|(file, url)| other.get(file).is_some_and(|it| same_place(it, url)))
        };
        let is_full = exact.clone().count() >= EXACT_SEEDS_MAX + SEAMS_MAX;
        let is_there = matches!(holds, Holds::Files(_)) && exact.clone().any(is_known);
        if is_full || is_there {
            return None;
        }
        let (torrent, extents) = (self.torrent.clone(), self.extents.clone());
        let server = Server::exact(files, named_by, torrent, extents)?;
        Some(self.insert(server, holds, priority))
    }

    fn insert(&mut self, server: Server, holds: Holds, priority: u32) -> WebSource {
        let source = SourceId(self.servers.len() as u32);
        self.servers.insert(source, Arc::new(server));
        let links_max = match holds {
            Holds::Seams(_) => {
                self.seams.insert(source);
                1
            }
            _ => self.origins.connections(),
        };
        WebSource { source, holds, priority, links_max }
    }

    /// Those that there are connections to, and all.
    pub fn counts(&self, swarm: &Swarm, now: Instant) -> (u32, u32) {
        if self.servers.is_empty() {
            return (0, 0);
        }
        let up = swarm.sources(now).iter().filter(|source| source.links > 0).count();
        (up as u32, self.servers.len() as u32)
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
            let name = match self.seams.contains(source) {
                true => TOGETHER.to_owned(),
                false => server.site().to_string(),
            };
            at_site.entry(name).or_default().push(*source);
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
                url: server.url_of(it.file, Spelling::Preferred).map(|url| url.to_string()),
                why: it.why.as_deref().map(str::to_owned),
                left: it.left,
                whole_only: it.whole_only,
            };
            Some(SourceStatus {
                site: names.remove(&it.source)?,
                url: server.url().to_string(),
                scope: self.scope(it.source, server),
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

    fn scope(&self, source: SourceId, server: &Server) -> SourceScope {
        match server.files() {
            None => SourceScope::All,
            Some(files) if self.seams.contains(&source) => SourceScope::Seams(files.len()),
            Some(files) => match (files.len(), files.keys().next()) {
                (1, Some(file)) => SourceScope::File(path(&self.torrent, *file)),
                (count, _) => SourceScope::Files(count),
            },
        }
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

/// Files at URLs of their own.
#[derive(Debug)]
struct Group {
    files: BTreeMap<FileIndex, Url>,
    named_by: NamedBy,
    /// Of the best of them.
    priority: u32,
}

/// Mirrors of single files by their sites: one server has many of them, and pieces that lie in
/// several. The best ones of all files come first, then the second best ones, and so on.
fn grouped(mut exact: Vec<WebSeed>) -> Vec<Group> {
    exact.sort_by_key(|seed| (seed.named_by != NamedBy::User, seed.priority));
    let mut mirrors: BTreeMap<Option<FileIndex>, Vec<Url>> = BTreeMap::new();
    let mut ranked = Vec::new();
    for seed in exact {
        let known = mirrors.entry(seed.file).or_default();
        let Some((file, url)) = seed.file.zip(Url::parse(&seed.url)) else { continue };
        if known.len() < WEB_SEEDS_MAX && !known.iter().any(|other| same_place(other, &url)) {
            known.push(url.clone());
            ranked.push((known.len(), file, url, seed));
        }
    }
    ranked.sort_by_key(|(rank, ..)| *rank);
    let mut groups: Vec<Group> = Vec::new();
    let mut at_site: BTreeMap<(Site, bool), Vec<usize>> = BTreeMap::new();
    for (_, file, url, WebSeed { named_by, priority, .. }) in ranked {
        let key = (url.origin().site(), named_by == NamedBy::User);
        let known = at_site.entry(key).or_default();
        // A site may have a file twice.
        let group = known.iter().find(|at| !groups[**at].files.contains_key(&file));
        match group {
            Some(at) => {
                groups[*at].files.insert(file, url);
                groups[*at].priority = groups[*at].priority.min(priority);
            }
            None => {
                known.push(groups.len());
                groups.push(Group { files: [(file, url)].into(), named_by, priority });
            }
        }
    }
    groups
}

/// The same mirrors without regard to their sites, the best of each file, the second best of each
/// and so on, as far as those lie at several sites.
fn seams(groups: &[Group]) -> Vec<Group> {
    let mut mirrors: BTreeMap<FileIndex, Vec<&Url>> = BTreeMap::new();
    for (file, url) in groups.iter().flat_map(|group| &group.files) {
        mirrors.entry(*file).or_default().push(url);
    }
    let most = mirrors.values().map(Vec::len).max().unwrap_or(0);
    let count = if groups.len() > 1 && mirrors.len() > 1 { most.min(SEAMS_MAX) } else { 0 };
    let is_of_user = groups.iter().all(|group| group.named_by == NamedBy::User);
    let named_by = if is_of_user { NamedBy::User } else { NamedBy::Torrent };
    let group = |rank: usize| {
        let nth = |urls: &Vec<&Url>| urls.get(rank % urls.len()).map(|url| (*url).clone());
        let files = mirrors.iter().filter_map(|(file, urls)| Some((*file, nth(urls)?)));
        Group { files: files.collect(), named_by, priority: u32::MAX }
    };
    let is_several = |group: &Group| {
        let mut sites = group.files.values().map(|url| url.origin().site());
        let first = sites.next();
        sites.any(|site| Some(site) != first)
    };
    (0..count).map(group).filter(is_several).collect()
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

    fn mirror(site: u32, file: u32, priority: u32) -> WebSeed {
        let url = format!("http://h{site}/{file}");
        WebSeed { file: Some(FileIndex(file)), priority, ..WebSeed::of_torrent(url) }
    }

    /// The files that each source has; of those for seams what their URLs are.
    fn told(sources: &Sources, known: &[WebSource]) -> Vec<String> {
        let words = |it: &WebSource| {
            let files = sources.servers[&it.source].files().into_iter().flatten();
            let urls: Vec<_> = files.map(|(file, url)| format!("{}={url}", file.0)).collect();
            let kind = match it.holds {
                Holds::All => "all",
                Holds::Files(_) => "files",
                Holds::Seams(_) => "seams",
            };
            format!("{kind} {} {}", it.priority, urls.join(" "))
        };
        known.iter().map(words).collect()
    }

    #[test]
    fn mirrors_are_one_source_for_each_site_and_all_together_for_pieces_of_several_files() {
        let mut sources = sources(false);
        let named = [mirror(1, 0, 5), mirror(1, 1, 3), mirror(2, 1, 4), mirror(1, 1, 3)];
        let again = WebSeed { url: "http://h1/also".to_owned(), ..mirror(1, 0, 9) };
        let known = sources.begin(false, &[&named[..], &[again]].concat());
        let expected = [
            "files 3 0=http://h1/0 1=http://h1/1",
            "files 4 1=http://h2/1",
            "files 9 0=http://h1/also",
            "seams 4294967295 0=http://h1/also 1=http://h2/1",
        ];
        assert_eq!(told(&sources, &known), expected);
        assert_eq!(known.last().unwrap().links_max, 1);
        let names = [0, 2, 3].map(|source| sources.name(SourceId(source)).unwrap());
        assert_eq!(names, ["h1 #1", "h1 #2", "mirrors together"]);
        assert_eq!(sources.add(mirror(2, 1, 1)), None, "it is there");
        assert!(sources.add(mirror(2, 0, 1)).is_some());
    }

    #[test]
    fn mirrors_of_one_file_or_at_one_site_are_not_put_together() {
        for named in [[mirror(1, 0, 1), mirror(2, 0, 1)], [mirror(1, 0, 1), mirror(1, 1, 1)]] {
            let known = sources(false).begin(false, &named);
            assert!(known.iter().all(|it| matches!(it.holds, Holds::Files(_))), "{known:?}");
        }
    }

    #[test]
    fn mirrors_of_single_files_have_room_of_their_own() {
        let mut sources = sources(false);
        let mut many: Vec<_> = (0..2000).map(|number| mirror(number, number / 4, 1)).collect();
        many.push(WebSeed::of_user("http://whole/"));
        let known = sources.begin(true, &many);
        assert_eq!(known.len(), 3 + EXACT_SEEDS_MAX + SEAMS_MAX);
        let of = |file| known[3..].iter().filter(|it| it.holds.has(FileIndex(file))).count();
        assert!(
            (0..EXACT_SEEDS_MAX as u32).all(|file| of(file) == 1 + SEAMS_MAX),
            "the best one of each"
        );
        // One file alone has no more than a torrent.
        let mut sources = self::sources(false);
        let many: Vec<_> = (0..100).map(|number| mirror(number, 0, number)).collect();
        assert_eq!(sources.begin(false, &many).len(), WEB_SEEDS_MAX);
    }
}
