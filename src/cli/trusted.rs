//! Trackers that were trusted before: they knew the user's token, or the user chose them. Kept in
//! the state directory as `trackers`, a line for each, its key and its URL, the latest first. Not
//! here: how a tracker shows that it is one of them.

use std::fs;
use std::io::{self, Read as _};
use std::net::SocketAddrV4;
use std::path::Path;

use crate::net::egress::Egress;
use crate::os::whole::{self, How};
use crate::tracker::find::{FoundTracker, is_at_hand};
use crate::tracker::proof::TrackerKey;

use super::config::state_dir;
use super::escape::escape;
use super::out;

const FILE: &str = "trackers";
/// More than anybody uses; the longest unused is forgotten.
const TRACKERS_MAX: usize = 64;
/// Most that are asked before others: those that are gone cost time.
const AT_HAND_MAX: usize = 16;
/// Longest file that is read.
const LEN_MAX: u64 = 64 << 10;
/// Longest URL that is kept.
const URL_LEN_MAX: usize = 256;

/// Whom the user trusts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trusted {
    trackers: Vec<(TrackerKey, String)>,
}

impl Trusted {
    /// Those of the state directory; none where nothing can be read.
    pub fn load() -> Self {
        let path = state_dir().map(|dir| dir.join(FILE));
        path.ok()
            .and_then(|path| read(&path).ok())
            .map(|text| Self::parse(&text))
            .unwrap_or_default()
    }

    /// Whether it is one of them.
    pub fn has(&self, key: &TrackerKey) -> bool {
        self.trackers.iter().any(|(known, _)| known == key)
    }

    /// Whether one of them says so of itself; anybody can.
    pub fn may_have(&self, instance: [u8; 8]) -> bool {
        self.trackers.iter().any(|(known, _)| known.instance() == instance)
    }

    #[cfg(test)]
    pub(super) fn of(key: TrackerKey, url: &str) -> Self {
        Self { trackers: vec![(key, url.to_owned())] }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.trackers.is_empty()
    }

    /// Those whose address is on the local network, the latest first.
    pub fn at_hand(&self, egress: &Egress) -> Vec<FoundTracker> {
        let found = |(key, url): &(TrackerKey, String)| {
            let address: SocketAddrV4 = url.strip_prefix("http://")?.parse().ok()?;
            let (url, name) = (url.clone(), String::new());
            let tracker = FoundTracker { url, name, instance: key.instance() };
            is_at_hand(*address.ip(), egress).then_some(tracker)
        };
        self.trackers.iter().filter_map(found).take(AT_HAND_MAX).collect()
    }

    /// Remembers one, as reached at `url`. Where that cannot be written, it is said, and all
    /// goes on.
    pub fn remember(&mut self, key: TrackerKey, url: &str) {
        if self.trackers.first().is_some_and(|(known, at)| *known == key && at == url) {
            return;
        }
        self.trackers.retain(|(known, _)| *known != key);
        self.trackers.insert(0, (key, url.chars().take(URL_LEN_MAX).collect()));
        self.trackers.truncate(TRACKERS_MAX);
        let written = state_dir().map(|dir| dir.join(FILE)).map(|path| {
            let written = write(&path, &self.to_text());
            written.map_err(|error| (path, error))
        });
        if let Ok(Err((path, error))) = written {
            let shown = escape(&path.display().to_string());
            out::talk(&format!("cannot remember the tracker in {shown}: {error}"));
        }
    }

    fn to_text(&self) -> String {
        self.trackers.iter().map(|(key, url)| format!("{key} {url}\n")).collect()
    }

    /// Lines that are none are left out.
    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (key, url) = line.split_once(' ')?;
            Some((TrackerKey::parse(key)?, url.trim().to_owned()))
        };
        Self { trackers: text.lines().filter_map(line).take(TRACKERS_MAX).collect() }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(LEN_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Readable for its owner only; whole or not at all.
fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
    whole::replace(path, text.as_bytes(), How::QUICK.private())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_nobody_else_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/trackers");
        let trackers = vec![
            (TrackerKey([1; 32]), "http://10.0.0.2:6969".to_owned()),
            (TrackerKey([2; 32]), "http://10.0.0.3:6969".to_owned()),
        ];
        let trusted = Trusted { trackers };
        write(&path, &trusted.to_text()).unwrap();
        assert_eq!(Trusted::parse(&read(&path).unwrap()), trusted);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(trusted.has(&TrackerKey([2; 32])) && !trusted.has(&TrackerKey([3; 32])));
        assert!(trusted.may_have([1; 8]) && !trusted.may_have([3; 8]));
    }

    #[test]
    fn only_those_of_this_network_are_asked_unasked() {
        let urls =
            ["http://127.0.0.1:1", "http://240.0.0.1:1", "https://127.0.0.1:2", "http://a:1"];
        let known = |url: &str| (TrackerKey([1; 32]), url.to_owned());
        let trusted = Trusted { trackers: urls.into_iter().map(known).collect() };
        let asked = trusted.at_hand(&Egress::default());
        assert_eq!(asked.iter().map(|it| it.url.as_str()).collect::<Vec<_>>(), urls[..1]);
        assert_eq!(asked[0].instance, [1; 8]);
    }

    #[test]
    fn lines_that_are_none_are_left_out() {
        let good = format!("{} http://a:1", TrackerKey([1; 32]));
        let text = format!("# x\n\nzz http://b:1\n{good}\n{}", &good[..64]);
        assert_eq!(Trusted::parse(&text).trackers.len(), 1);
    }
}
