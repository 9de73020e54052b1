//! The ways to come by a file of which nothing tells the pieces. Its hash, if it has one, judges
//! only the whole: it comes from all mirrors together, and if it is wrong then, from one of them
//! alone, and from the next, since nobody can be blamed for a part. Without a hash it comes from
//! one mirror from the first byte to the last, so that no two files are mixed. It fetches nothing.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::ids::FileIndex;
use crate::metainfo::Torrent;
use crate::session::{CheckMode, TorrentOptions, WebSeed};
use crate::torrent::status::{SourceFileStatus, SourceState, SourceStatus};

use super::metalinked::{FileSum, has_hash};

/// A mirror that is not to be asked for so long is given up: no peer will come instead.
const REST_MAX: Duration = Duration::from_secs(300);
/// While others are left, a mirror is given up that has brought nothing for so long and rests.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is left to be tried.
#[derive(Debug)]
pub struct Attempts {
    options: TorrentOptions,
    sums: Vec<FileSum>,
    left: VecDeque<Vec<WebSeed>>,
    /// All mirrors are asked in the attempt at hand: what they lack, none of them has.
    is_of_all: bool,
    /// Why the attempt at hand came to nothing.
    vain: Option<String>,
    /// How the whole was wrong that came, if it did.
    wrong: Option<String>,
    /// The unfinished file, unless there was one before: it may be somebody's.
    part: Option<PathBuf>,
}

impl Attempts {
    /// The attempts at this torrent, if nothing judges its pieces; `options` are those of the first
    /// one then.
    pub fn of(torrent: &Torrent, options: &mut TorrentOptions, sums: &[FileSum]) -> Option<Self> {
        if torrent.is_judged() {
            return None;
        }
        let mut mirrors = std::mem::take(&mut options.web_seeds);
        mirrors.sort_by_key(|mirror| mirror.priority);
        let mut left: VecDeque<_> = mirrors.iter().map(|mirror| vec![mirror.clone()]).collect();
        if !sums.is_empty() && mirrors.len() > 1 {
            left.push_front(mirrors);
        }
        options.web_seeds = left.pop_front().unwrap_or_default();
        let file = torrent.files.file(FileIndex(0));
        let part = file.map(|file| options.dir.join(file.path).with_added_extension("part"));
        let part = part.filter(|part| part.symlink_metadata().is_err());
        let is_of_all = options.web_seeds.len() > 1;
        // What was fetched before is of no use in the next one.
        let options = options.clone().check(CheckMode::Force).overwrite(true).web_seeds(Vec::new());
        let sums = sums.to_vec();
        Some(Self { options, sums, left, is_of_all, vain: None, wrong: None, part })
    }

    /// Can the whole be judged?
    pub fn has_hash(&self) -> bool {
        !self.sums.is_empty()
    }

    /// All of it came, and was wrong.
    pub fn was_wrong(&mut self, why: String) {
        self.wrong = Some(why.clone());
        self.vain = Some(why);
    }

    /// How the whole was wrong that came, if it did in any attempt.
    pub fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// The unfinished file of an attempt that did not come to its end.
    pub fn part(&self) -> Option<&Path> {
        self.part.as_deref()
    }

    /// It does not come from whoever is asked.
    pub fn was_not_there(&mut self, why: String) {
        if self.is_of_all {
            self.left.clear();
        }
        self.vain = Some(why);
    }

    /// Why the attempt at hand came to nothing, if it did; told once.
    pub fn take_vain(&mut self) -> Option<String> {
        self.vain.take()
    }

    /// How the torrent is to run for the next attempt, and the hashes of its files.
    pub fn next(&mut self) -> Option<(TorrentOptions, Vec<FileSum>)> {
        let web_seeds = self.left.pop_front()?;
        self.is_of_all = false;
        Some((self.options.clone().web_seeds(web_seeds), self.sums.clone()))
    }

    /// Why nothing is to be expected of these mirrors any more, if that is so; nothing has come for
    /// as long as `idle`.
    pub fn judge(&self, sources: &[SourceStatus], idle: Duration) -> Option<String> {
        let is_impatient = !self.left.is_empty() && idle >= PATIENCE;
        let over = |source: &SourceStatus| {
            let why = match &source.state {
                SourceState::Off { why } => Some(why),
                SourceState::Waits { why, left } => (is_long(*left) || is_impatient).then_some(why),
                SourceState::Fit | SourceState::Slow => None,
            };
            let of_file = |file: &SourceFileStatus| {
                let is_over = file.left.is_none() || is_long(file.left) || is_impatient;
                file.why.clone().filter(|_| is_over)
            };
            // What is wrong with the file says more than that the source has none.
            let why = source.files.iter().find_map(of_file).or_else(|| why.cloned())?;
            Some(format!("{}: {why}", source.site))
        };
        let whys: Option<Vec<String>> = sources.iter().map(over).collect();
        whys.filter(|whys| !whys.is_empty()).map(|whys| whys.join("; "))
    }
}

fn is_long(left: Option<Duration>) -> bool {
    left.is_some_and(|left| left >= REST_MAX)
}

/// Is the file of such a torrent in `dir`, whole and right? Reads all of it, if it is as long as
/// it should be.
pub fn is_here(torrent: &Torrent, dir: &Path, sums: &[FileSum]) -> bool {
    let file = torrent.files.file(FileIndex(0));
    let path = file.map(|file| dir.join(file.path));
    let Some(path) = path.filter(|_| !torrent.is_judged()) else { return false };
    let is_as_long = path.metadata().is_ok_and(|it| it.len() == torrent.total_size());
    let is_right = |sum: &FileSum| has_hash(&path, &sum.hash).unwrap_or(false);
    is_as_long && !sums.is_empty() && sums.iter().all(is_right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metalink::{FileHash, HashKind};
    use crate::torrent::status::SourceScope;
    use sha1::{Digest as _, Sha1};

    fn torrent() -> Torrent {
        let info = [b"d6:lengthi3e4:name1:x12:piece lengthi16384e6:pieces20:", &[0; 20][..], b"e"];
        Torrent::unjudged(&info.concat()).unwrap()
    }

    #[test]
    fn what_is_left_of_a_file_in_a_directory_lies_there() {
        let head =
            b"d5:filesld6:lengthi3e4:pathl1:xeee4:name3:dir12:piece lengthi16384e6:pieces20:";
        let torrent = Torrent::unjudged(&[&head[..], &[0; 20], b"e"].concat()).unwrap();
        let mut options = TorrentOptions::default().dir(PathBuf::from("/no/where"));
        let attempts = Attempts::of(&torrent, &mut options, &sums()).unwrap();
        assert_eq!(attempts.part(), Some(Path::new("/no/where/dir/x.part")));
    }

    fn sums() -> Vec<FileSum> {
        let hash = FileHash { kind: HashKind::Sha1, bytes: Sha1::digest(b"abc").to_vec() };
        vec![FileSum { file: FileIndex(0), hash }]
    }

    /// Which mirrors are asked in each attempt.
    fn attempts(sums: &[FileSum]) -> Vec<Vec<String>> {
        let mirror = |url: &str, priority| WebSeed { priority, ..WebSeed::of_torrent(url) };
        let mirrors = vec![mirror("http://b/", 2), mirror("http://a/", 1)];
        let mut options = TorrentOptions::default().web_seeds(mirrors);
        let mut attempts = Attempts::of(&torrent(), &mut options, sums).unwrap();
        assert!(!options.overwrite);
        let urls = |options: &TorrentOptions| {
            options.web_seeds.iter().map(|seed| seed.url.clone()).collect::<Vec<_>>()
        };
        let mut all = vec![urls(&options)];
        while let Some((options, again)) = attempts.next() {
            assert!(options.overwrite && options.check == CheckMode::Force && again == sums);
            all.push(urls(&options));
        }
        all
    }

    #[test]
    fn with_a_hash_all_mirrors_are_asked_and_then_each_alone() {
        let (a, b) = ("http://a/", "http://b/");
        assert_eq!(attempts(&sums()), [vec![a, b], vec![a], vec![b]]);
        assert_eq!(attempts(&[]), [vec![a], vec![b]]);
    }

    #[test]
    fn what_no_mirror_has_is_not_asked_of_each_alone() {
        let mirrors = || ["http://a/", "http://b/"].map(WebSeed::of_user).to_vec();
        let attempts = |sums: &[FileSum]| {
            let mut options = TorrentOptions::default().web_seeds(mirrors());
            Attempts::of(&torrent(), &mut options, sums).unwrap()
        };
        let mut lacking = attempts(&sums());
        lacking.was_not_there("404".to_owned());
        assert_eq!(lacking.take_vain().as_deref(), Some("404"));
        assert!(lacking.next().is_none() && lacking.wrong().is_none());
        let mut wrong = attempts(&sums());
        wrong.was_wrong("its hash".to_owned());
        assert!(wrong.next().is_some());
        wrong.was_not_there("404".to_owned());
        assert!(wrong.next().is_some(), "the other one may be right");
        assert_eq!(wrong.wrong(), Some("its hash"));
        let mut unknown = attempts(&[]);
        unknown.was_not_there("404".to_owned());
        assert!(unknown.next().is_some(), "the other one was not asked");
    }

    #[test]
    fn mirrors_are_given_up_when_all_of_them_are_over() {
        let source = |state: SourceState| SourceStatus {
            site: "m".to_owned(),
            url: "http://m/".to_owned(),
            scope: SourceScope::All,
            state,
            links: 0,
            busy: 0,
            coming: 0,
            down_rate: 0,
            downloaded_bytes: 0,
            files: Vec::new(),
        };
        let waits = |seconds| SourceState::Waits {
            left: Some(Duration::from_secs(seconds)),
            why: "503".to_owned(),
        };
        let gone = || SourceFileStatus {
            file: FileIndex(0),
            path: "x".to_owned(),
            url: None,
            why: Some("404".to_owned()),
            left: Some(Duration::from_secs(3599)),
            whole_only: false,
        };
        let mut one = TorrentOptions::default().web_seeds(vec![WebSeed::of_user("http://m/")]);
        let last = Attempts::of(&torrent(), &mut one, &[]).unwrap();
        let two = ["http://m/", "http://n/"].map(WebSeed::of_user).to_vec();
        let mut two = TorrentOptions::default().web_seeds(two);
        let first = Attempts::of(&torrent(), &mut two, &[]).unwrap();
        let off = SourceState::Off { why: "401".to_owned() };
        let lacks = SourceStatus { files: vec![gone()], ..source(SourceState::Fit) };
        let (now, late) = (Duration::ZERO, PATIENCE);
        let judged = |sources: &[SourceStatus]| last.judge(sources, now);
        assert_eq!(judged(&[source(off.clone()), lacks]).as_deref(), Some("m: 401; m: 404"));
        assert_eq!(judged(&[source(off), source(SourceState::Slow)]), None);
        assert_eq!(judged(&[source(waits(299))]), None);
        assert_eq!(judged(&[source(waits(301))]).as_deref(), Some("m: 503"));
        assert_eq!(judged(&[]), None);
        assert_eq!(last.judge(&[source(waits(9))], late), None, "there is no other");
        assert!(first.judge(&[source(waits(9))], late).is_some());
        assert_eq!(first.judge(&[source(waits(9))], now), None);
    }

    #[test]
    fn a_file_that_is_there_and_right_need_not_come() {
        let home = tempfile::tempdir().unwrap();
        let (torrent, dir) = (torrent(), home.path());
        assert!(!is_here(&torrent, dir, &sums()));
        std::fs::write(dir.join("x"), b"abc").unwrap();
        assert!(is_here(&torrent, dir, &sums()) && !is_here(&torrent, dir, &[]));
        std::fs::write(dir.join("x"), b"abd").unwrap();
        assert!(!is_here(&torrent, dir, &sums()));
    }
}
