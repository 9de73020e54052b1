//! What follows when a server sends something else than what was asked for, or no connection is to
//! be had: where to ask instead, what is wrong with the file, the source or the whole origin, and
//! for how long.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::info;

use crate::base::addr::Locality;
use crate::base::ids::FileIndex;
use crate::metainfo::Spelling;
use crate::net::reach;
use crate::swarm::event::DownReason;
use crate::swarm::link::{RunEnd, Trouble};
use crate::web::expiry::{self, Keep};
use crate::web::range::{BUSY_REST_MAX, FILE_REST, Oddity, Rest, Verdict, seconds_in};

use super::connect;
use super::exchange::Told;
use super::hand::{Hand, WAY_KEPT, Way};
use super::lease::Target;

/// Redirects followed one after the other, as for trackers.
const REDIRECTS_MAX: usize = 5;
/// A source is left alone for so long when where it redirects to is busy, and does not say how
/// long: between the first and the last of the waits for an origin, since nobody counts them.
const TARGET_REST: Duration = Duration::from_secs(15);
/// Characters of a page that says why not which people may see.
const QUOTED_MAX: usize = 200;

impl Hand {
    /// The server at the end of this way, which lies there, sent something else.
    pub async fn on_told(
        &mut self,
        told: Told,
        way: &Way,
        from: Locality,
    ) -> Result<(), DownReason> {
        if self.server.is_script() {
            return self.on_script_told(told).await;
        }
        let file = told.slice.file;
        if way.redirects > 0 && !way.is_fresh && told.verdict.may_be_expiry() {
            self.forget(way).await;
            return Ok(());
        }
        match &told.verdict {
            Verdict::Redirect(location) => {
                return self.follow(location, &told, way, from).await;
            }
            Verdict::Gone if self.spells_otherwise(file, way) => return Ok(()),
            Verdict::Odd(Oddity::NoLength) if !self.names_ranges => {
                self.names_ranges = true;
                return Ok(());
            }
            Verdict::WholeOnly => {
                self.end_run(RunEnd::WholeOnly(file));
                return Ok(());
            }
            _ => {}
        }
        let why = self.words(&told);
        match told.verdict.rest() {
            // The site that we have a slot of is not the one that is busy, and may lead elsewhere.
            Rest::Origin(wait) if self.is_away(way) => {
                self.forget(way).await;
                let rest = Some(wait.unwrap_or(TARGET_REST));
                self.end_run(RunEnd::Source(Trouble { why, rest }));
            }
            Rest::Origin(wait) => return self.be_busy(why, wait).await,
            Rest::Source => self.end_run(RunEnd::Source(Trouble { why, rest: None })),
            Rest::File(rest) if told.verdict == Verdict::Refused => {
                self.end_run(RunEnd::Refused(file, Trouble { why, rest }));
            }
            Rest::File(rest) => self.end_run(RunEnd::File(file, Trouble { why, rest })),
            Rest::None => {
                self.end_run(RunEnd::File(file, Trouble { why, rest: Some(FILE_REST) }));
            }
        }
        Ok(())
    }

    /// A script sent something else than a piece: whatever it is, it is the script's (BEP 17).
    async fn on_script_told(&mut self, told: Told) -> Result<(), DownReason> {
        let why = self.words(&told);
        let rest = match told.verdict.rest() {
            Rest::Origin(wait) => {
                return self.be_busy(why, wait.or_else(|| seconds_in(&told.page))).await;
            }
            Rest::Source => None,
            Rest::File(_) | Rest::None => Some(FILE_REST),
        };
        self.end_run(RunEnd::Source(Trouble { why, rest }));
        Ok(())
    }

    /// There is no connection to where this way leads.
    pub async fn on_unconnected(
        &mut self,
        error: connect::Error,
        way: &Way,
    ) -> Result<(), DownReason> {
        if let connect::Error::Held(why) = error {
            return Err(DownReason::Held(why));
        }
        let is_redirected = way.redirects > 0;
        if is_redirected {
            self.forget(way).await;
        }
        let is_of_network = error.is_of_network();
        if is_of_network && is_redirected && !way.is_fresh {
            return Ok(());
        }
        let is_away = self.is_away(way);
        if is_of_network && !is_away {
            return self.no_connection(error).await;
        }
        let why = error.to_string();
        let trouble = |rest| Trouble { why: why.clone(), rest };
        self.end_run(match error {
            // Where other files are may be better.
            _ if is_of_network => RunEnd::File(way.file, trouble(Some(BUSY_REST_MAX))),
            _ if is_away => RunEnd::File(way.file, trouble(Some(FILE_REST))),
            connect::Error::Tls(_) => RunEnd::Source(trouble(Some(FILE_REST))),
            _ => RunEnd::Source(trouble(None)),
        });
        Ok(())
    }

    /// Nobody answers: the origin is left alone for a while, unless others are served there.
    pub async fn no_connection(&mut self, error: connect::Error) -> Result<(), DownReason> {
        let why = error.to_string();
        let (origins, words) = (self.origins.clone(), why.clone());
        // Who waits for the pool only waits for an answer of its own session.
        match origins.busy(&self.lease, words, None).await {
            Some(_) => Err(DownReason::DialFailed(why)),
            None => Err(DownReason::NoRoom),
        }
    }

    /// The origin has no time for us, and gets its slot back. If it has for others, those go on.
    async fn be_busy(&mut self, why: String, wait: Option<Duration>) -> Result<(), DownReason> {
        let (origins, words) = (self.origins.clone(), why.clone());
        if let Some(rest) = origins.busy(&self.lease, words, wait).await {
            self.end_run(RunEnd::Source(Trouble { why, rest: Some(rest) }));
        }
        Err(DownReason::NoRoom)
    }

    /// The file is elsewhere.
    async fn follow(
        &mut self,
        location: &[u8],
        told: &Told,
        way: &Way,
        from: Locality,
    ) -> Result<(), DownReason> {
        let trouble = |why: String| Trouble { why, rest: Some(FILE_REST) };
        if way.redirects >= REDIRECTS_MAX {
            let why = format!("it redirects more than {REDIRECTS_MAX} times");
            self.forget(way).await;
            self.end_run(RunEnd::File(way.file, trouble(why)));
            return Ok(());
        }
        let Some(url) = way.url.join(location) else {
            let why = format!("{}: it redirects to an unusable address", told.head.status);
            self.end_run(RunEnd::File(way.file, trouble(why)));
            return Ok(());
        };
        if way.url.origin().is_tls() && !url.origin().is_tls() {
            // Hashes protect the bytes, but nothing who asks for which.
            info!(server = %self.server.site(), to = %url.origin(), "redirected from https to http");
        }
        let keep = match expiry::keep(&told.head, &url, SystemTime::now()) {
            Keep::ForGood => way.keep,
            Keep::For(keep) => way.keep.min(keep),
        };
        let target = Target { url: url.clone(), from };
        // One that is not to be kept is good for this once.
        let kept = (!keep.is_zero()).then_some((target, keep));
        self.origins.remember(way.first.clone(), kept).await;
        let redirects = way.redirects + 1;
        let until = Instant::now() + keep.min(WAY_KEPT);
        let way = Way { url, redirects, keep, until, is_fresh: true, ..way.clone() };
        self.way = Some(way.behind(from));
        Ok(())
    }

    /// Is the file to be asked for under another name? The plain spelling is kept once a file came
    /// under it; a file that is not there at all says nothing about the others.
    fn spells_otherwise(&mut self, file: FileIndex, way: &Way) -> bool {
        let is_first = self.spelling == Spelling::Preferred;
        let other = self.server.url_of(file, Spelling::Plain).filter(|_| is_first);
        let is_other = other.is_some_and(|other| other != way.first);
        if !is_first && !self.is_plain {
            self.spelling = Spelling::Preferred;
        }
        if is_other {
            self.spelling = Spelling::Plain;
            self.way = None;
        }
        is_other
    }

    fn words(&self, told: &Told) -> String {
        let file_len = self.exchange.wish(told.slice).file_len;
        let words = told.verdict.words(told.head.status, file_len);
        let page = match told.verdict {
            Verdict::Refused | Verdict::Busy(_) | Verdict::Odd(Oddity::Status | Oddity::Page) => {
                quoted(&told.page)
            }
            _ => String::new(),
        };
        if page.is_empty() { words } else { format!("{words} ({page:?})") }
    }
}

impl connect::Error {
    /// Whether it may be otherwise in a moment: nobody answers, or the name is not known.
    pub fn is_of_network(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Reach(reach::Error::Lookup(_)))
    }
}

/// The text of a page in one line, without tags, cut.
fn quoted(page: &[u8]) -> String {
    let text = String::from_utf8_lossy(page);
    let mut is_tag = false;
    let plain = text.chars().filter_map(|letter| {
        let was_tag = is_tag;
        is_tag = match letter {
            '<' => true,
            '>' => false,
            _ => is_tag,
        };
        (!was_tag && !is_tag).then_some(letter).or((was_tag && !is_tag).then_some(' '))
    });
    let plain: String =
        plain.map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let words = words.get(repeated(&words)..).unwrap_or_default();
    words.join(" ").chars().take(QUOTED_MAX).collect()
}

/// How many words at the beginning come again right behind them: titles are headings, too.
fn repeated(words: &[&str]) -> usize {
    let is_twice = |len: &usize| words.get(..*len) == words.get(*len..2 * len);
    (1..=words.len() / 2).rev().find(is_twice).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_in_one_line_without_its_tags_and_not_at_length() {
        let page =
            b"<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>No\x07 more</body>";
        assert_eq!(quoted(page), "403 Forbidden No more");
        let page = b"<title>503 Busy</title><h1>503 Busy</h1><hr>nginx";
        assert_eq!(quoted(page), "503 Busy nginx");
        assert_eq!(quoted(&b"Stra\xc3\xdfe ".repeat(100)).chars().count(), QUOTED_MAX);
        assert_eq!(quoted(b""), "");
    }
}
