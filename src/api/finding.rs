//! Which torrents have these words in their names, or in the paths of their files.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::ledger::Spec;
use crate::metainfo;
use crate::roster::Cursor;
use crate::session::Listed;

use super::answer::{Answer, Kind, Outcome, Refusal};
use super::desk::Api;
use super::found::{Found, FoundFile, FoundTorrent};
use super::view;

/// Letters of what is sought.
const SOUGHT_MAX: usize = 128;
/// Torrents in one answer.
const TORRENTS_MAX: usize = 200;
/// Files of one torrent in an answer.
const FILES_MAX: usize = 20;
/// How long files are looked at: metadata are read from the ledger.
const LOOK_MAX: Duration = Duration::from_secs(4);
/// Torrents that are read at once.
const LOOKS_MAX: usize = 16;

/// What is sought, in small letters.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Words(Vec<String>);

impl Words {
    fn of(text: &str) -> Result<Self, Refusal> {
        if text.chars().nth(SOUGHT_MAX).is_some() {
            let why = "what is sought is longer than 128 letters: leave words out";
            return Err(Refusal::new(Kind::Invalid, why));
        }
        Ok(Self(text.split_whitespace().map(str::to_lowercase).collect()))
    }

    fn all_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.0.iter().all(|word| text.contains(word.as_str()))
    }

    fn are_hash(&self, spec: &Spec) -> bool {
        let first = spec.info_hash.map(|hash| HEXLOWER.encode(&hash.0));
        let second = spec.info_hash_v2.map(|hash| HEXLOWER.encode(&hash.0));
        [first, second].into_iter().flatten().any(|hash| self.0.iter().all(|word| hash == *word))
    }

    /// Do they say which file it is, what its torrent is called being known?
    fn point_at(&self, name: &str, path: &str) -> bool {
        let (name, path) = (name.to_lowercase(), path.to_lowercase());
        let mut is_any = false;
        self.0.iter().all(|word| {
            let is_here = path.contains(word.as_str());
            is_any |= is_here;
            is_here || name.contains(word.as_str())
        }) && is_any
    }
}

impl Api {
    /// Names are at hand; files are looked at for as long as that may take.
    pub(super) async fn seek(&self, text: &str) -> Outcome {
        let words = Arc::new(Words::of(text)?);
        if words.0.is_empty() {
            return Ok(Answer::Found(Found::default()));
        }
        let all = self.session().listing(Cursor::default()).await.ok_or_else(Refusal::ended)?.1;
        let until = Instant::now() + LOOK_MAX;
        let mut files = self.look_into(&all, &words, until).await;
        let (mut named, mut others) = (Vec::new(), Vec::new());
        let mut unread = 0;
        for (at, listed) in all.iter().enumerate() {
            let looked = files.remove(&at);
            unread += u32::from(looked.is_none());
            let (files, files_found) = looked.unwrap_or_default();
            let name = listed.spec.called();
            let is_named = words.all_in(&name) || words.are_hash(&listed.spec);
            if is_named || files_found > 0 {
                let (id, name) = (listed.spec.id.0, name.into_owned());
                let found = FoundTorrent { id, name, named: is_named, files, files_found };
                if is_named { named.push(found) } else { others.push(found) }
            }
        }
        named.append(&mut others);
        let more = named.len() > TORRENTS_MAX;
        named.truncate(TORRENTS_MAX);
        Ok(Answer::Found(Found { torrents: named, more, unread }))
    }

    /// Files that fit, of those of these torrents that could be looked at, by their places here.
    async fn look_into(
        &self,
        all: &[Listed],
        words: &Arc<Words>,
        until: Instant,
    ) -> HashMap<usize, Fitting> {
        let mut found = HashMap::new();
        // However many ask, one of them has files read.
        let Ok(Ok(_turn)) = timeout_at(until, self.seeking.acquire()).await else { return found };
        let mut looks = JoinSet::new();
        let mut waiting = all.iter().enumerate().filter(|(_, listed)| !view::is_sought(listed));
        loop {
            while looks.len() < LOOKS_MAX
                && let Some((at, listed)) = waiting.next()
            {
                let (session, words, listed) =
                    (self.session().clone(), words.clone(), listed.clone());
                looks.spawn(async move {
                    let torrent = session.metadata(listed.spec.id).await.ok()?;
                    Some((at, fitting(&torrent, &words, &listed)))
                });
            }
            match timeout_at(until, looks.join_next()).await {
                Ok(Some(looked)) => found.extend(looked.ok().flatten()),
                // All were looked at, or time is over.
                Ok(None) | Err(_) => return found,
            }
        }
    }
}

/// The first files that fit, and how many do.
type Fitting = (Vec<FoundFile>, u32);

fn fitting(torrent: &metainfo::Torrent, words: &Words, listed: &Listed) -> Fitting {
    let home = listed.handle.as_ref().and_then(|it| it.look(|status| status.home.clone()));
    let (name, is_single) = (listed.spec.called(), torrent.is_single_file());
    let (mut first, mut count) = (Vec::new(), 0);
    let files = (0_u32..).zip(torrent.files.iter()).filter(|(_, file)| !file.is_pad);
    for (number, (at, file)) in (1..).zip(files) {
        let path = match &home {
            Some(home) => home.path_of(at, file.path),
            None => file.path.to_owned(),
        };
        // The name of the torrent, or that of the directory that is called so, is no file's own.
        let own: PathBuf = path.components().skip(usize::from(!is_single)).collect();
        let is_own = !(is_single && own.as_os_str() == &*name);
        if is_own && words.point_at(&name, &own.to_string_lossy()) {
            count += 1;
            if first.len() < FILES_MAX {
                let path = path.to_string_lossy().into_owned();
                first.push(FoundFile { number, path, size: file.length });
            }
        }
    }
    (first, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sought_in_any_case_and_order() {
        let words = Words::of("  ISO debian ").unwrap();
        assert!(words.all_in("Debian-13.iso") && !words.all_in("debian.img"));
        assert!(Words::of("ÄRGER").unwrap().all_in("viel ärger"));
    }

    #[test]
    fn a_file_fits_when_a_word_is_its_own_and_the_others_its_torrents() {
        let words = Words::of("holiday img_7").unwrap();
        assert!(words.point_at("Holiday 2019", "day 1/IMG_7.jpg"));
        assert!(words.point_at("x", "holiday/img_7.jpg"));
        assert!(!words.point_at("holiday img_7", "day 1/other.jpg"), "that is the name alone");
        assert!(!words.point_at("x", "img_7.jpg"));
    }

    #[test]
    fn what_is_sought_has_an_end() {
        assert!(Words::of(&"ü".repeat(SOUGHT_MAX)).is_ok());
        assert_eq!(Words::of(&"ü".repeat(SOUGHT_MAX + 1)).unwrap_err().code, Kind::Invalid);
    }
}
