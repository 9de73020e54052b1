//! What is asked of a web server, and what its head means for that, before a byte of the body
//! counts (RFC 9110 §14 and §15). Each class of answers has its own rest: what waits too long after
//! one of them, or asks again too soon, is why downloads by HTTP stand still elsewhere. Not here:
//! who waits, and what else is tried meanwhile.

use std::time::{Duration, SystemTime};

use super::head::{BodyLen, Head, number};

/// A file that is not there is asked for again after this: mirrors are filled by and by.
pub const GONE_REST: Duration = Duration::from_secs(3600);
/// A file that is refused, or answered oddly, is left alone for so long. A refusal may be a limit
/// of rates or a wall against robots: both are over some minutes later.
pub const FILE_REST: Duration = Duration::from_secs(600);
/// The longest that a busy origin is left alone which does not say how long.
pub const BUSY_REST_MAX: Duration = Duration::from_secs(120);
/// No script is left alone for longer, whatever it says.
const SCRIPT_REST_MAX: Duration = Duration::from_secs(3600);
/// So much of a whole file may be thrown away in front of what was asked for. archive.org answers
/// short ranges near the beginning so.
pub const SKIP_MAX: u64 = 48 << 10;

/// A part of a file that is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Its first byte.
    pub first: u64,
    /// Its bytes, at least one.
    pub len: u64,
    /// All bytes of the file, as the torrent has it.
    pub file_len: u64,
}

impl Asked {
    /// What the `Range` header says; none when the whole file is wanted, since caches and simple
    /// servers answer with the whole file anyway.
    pub fn header(&self) -> Option<String> {
        self.part().map(|(first, last)| format!("bytes={first}-{last}"))
    }

    /// Its first and last byte; none when all of the file is wanted.
    pub fn part(&self) -> Option<(u64, u64)> {
        let is_whole = self.first == 0 && self.len >= self.file_len;
        (!is_whole).then(|| (self.first, self.last()))
    }

    fn last(&self) -> u64 {
        self.first.saturating_add(self.len.saturating_sub(1))
    }

    /// What the head of an answer means. `skip_max` is how much of the body may be thrown away in
    /// front of what is wanted: [`SKIP_MAX`], or more where that is soon done. `now` is the time
    /// that a date in the answer is compared with.
    pub fn judge(&self, head: &Head, skip_max: u64, now: SystemTime) -> Verdict {
        match head.status {
            200 => self.judge_whole(head, skip_max),
            206 => self.judge_part(head),
            301 | 302 | 303 | 307 | 308 => match &head.location {
                Some(location) => Verdict::Redirect(location.clone()),
                None => Verdict::Odd(Oddity::NoLocation),
            },
            401 | 407 => Verdict::Unauthorized,
            403 => Verdict::Refused,
            404 | 410 | 451 => Verdict::Gone,
            416 => match head.content_range {
                Some(ContentRange::Unsatisfied { total }) if total != self.file_len => {
                    Verdict::OtherFile { theirs: total }
                }
                _ => Verdict::Odd(Oddity::Unsatisfied),
            },
            408 | 425 | 429 => Verdict::Busy(head.retry_after(now)),
            // They do not know the method or the version: time does not mend that.
            501 | 505 => Verdict::Odd(Oddity::Status),
            500..=599 => Verdict::Busy(head.retry_after(now)),
            _ => Verdict::Odd(Oddity::Status),
        }
    }

    /// The same of a script (BEP 17), which sends what was asked for and nothing else, as if it
    /// were all of a file.
    pub fn judge_script(&self, head: &Head, now: SystemTime) -> Verdict {
        match (head.status, &head.coding, head.body) {
            (200, None, BodyLen::Known(len)) if len == self.len => {
                Verdict::Take { skip: 0, len, behind: 0 }
            }
            (200, Some(coding), _) => Verdict::Compressed(coding.clone()),
            (200, None, BodyLen::Known(_)) => Verdict::Odd(Oddity::WrongLength),
            (200, None, _) => Verdict::Odd(Oddity::NoLength),
            (206 | 416 | 300..=399, ..) => Verdict::Odd(Oddity::Status),
            _ => self.judge(head, SKIP_MAX, now),
        }
    }

    /// The whole file, in answer to whatever was asked.
    fn judge_whole(&self, head: &Head, skip_max: u64) -> Verdict {
        let len = match (&head.coding, head.body) {
            // A server may call a file that is packed on its disk so, but says how long it is.
            (_, BodyLen::Known(len)) if len == self.file_len => len,
            (Some(coding), _) => return Verdict::Compressed(coding.clone()),
            // Walls before networks and sites under repair do so for a while.
            (None, BodyLen::Known(_)) if head.is_page => return Verdict::Odd(Oddity::Page),
            (None, BodyLen::Known(len)) => return Verdict::OtherFile { theirs: len },
            (None, _) => return Verdict::Odd(Oddity::NoLength),
        };
        if self.last() >= len {
            return Verdict::Odd(Oddity::WrongRange);
        }
        let behind = len - self.last() - 1;
        match self.first <= skip_max {
            true => Verdict::Take { skip: self.first, len: self.len, behind },
            false => Verdict::WholeOnly,
        }
    }

    fn judge_part(&self, head: &Head) -> Verdict {
        if head.is_multipart {
            return Verdict::Odd(Oddity::Multipart);
        }
        let (first, last, total) = match head.content_range {
            None => return Verdict::Odd(Oddity::NoRange),
            Some(ContentRange::Part { first, last, total }) => (first, last, total),
            Some(_) => return Verdict::Odd(Oddity::WrongRange),
        };
        match (total, &head.coding) {
            (Some(total), _) if total == self.file_len => {}
            (_, Some(coding)) => return Verdict::Compressed(coding.clone()),
            (Some(total), None) => return Verdict::OtherFile { theirs: total },
            (None, None) => return Verdict::Odd(Oddity::NoTotal),
        }
        if first != self.first || last > self.last() {
            return Verdict::Odd(Oddity::WrongRange);
        }
        let len = last - first + 1;
        match head.body {
            BodyLen::Known(body) if body != len => Verdict::Odd(Oddity::WrongLength),
            _ => Verdict::Take { skip: 0, len, behind: 0 },
        }
    }
}

/// What a `Content-Range` says of a body (RFC 9110 §14.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContentRange {
    /// `bytes 0-9/100`.
    Part {
        /// First byte.
        first: u64,
        /// Last byte, not less.
        last: u64,
        /// Bytes of the file, more than the last byte's number; none for `*`.
        total: Option<u64>,
    },
    /// `bytes */100`: there is nothing of what was asked.
    Unsatisfied {
        /// Bytes of the file.
        total: u64,
    },
    /// Anything else.
    Odd,
}

impl ContentRange {
    /// Reads the value of the field; what makes no sense is [`ContentRange::Odd`].
    pub fn parse(text: &[u8]) -> Self {
        Self::read(text).unwrap_or(Self::Odd)
    }

    fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (unit, rest) = text.split_at_checked("bytes".len())?;
        // Some write `bytes=0-9/100`, or a colon.
        let rest = rest.strip_prefix([' ', '=', ':'])?.trim();
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (range, total) = rest.split_once('/')?;
        let number = |text: &str| number(text.trim().as_bytes());
        if range.trim() == "*" {
            return Some(Self::Unsatisfied { total: number(total)? });
        }
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let total = match total.trim() {
            "*" => None,
            total => Some(number(total)?),
        };
        // The largest number has no number of bytes.
        let is_sound = first <= last && last < u64::MAX && total.is_none_or(|total| last < total);
        is_sound.then_some(Self::Part { first, last, total })
    }
}

/// What an answer is worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The body holds what is wanted, or its beginning.
    Take {
        /// Bytes of the body before it.
        skip: u64,
        /// Its bytes, fewer than were asked for if the server gives no more at a time.
        len: u64,
        /// Bytes of the body behind it, which were not asked for.
        behind: u64,
    },
    /// The server gives whole files only, and what is wanted lies far inside.
    WholeOnly,
    /// The file there is not the torrent's: none of its bytes counts.
    OtherFile {
        /// Its bytes.
        theirs: u64,
    },
    /// It is somewhere else, at this reference.
    Redirect(Vec<u8>),
    /// There is no such file.
    Gone,
    /// It is not given to us. The link of a redirect may have expired.
    Refused,
    /// The source wants to know who we are.
    Unauthorized,
    /// The origin has no time, or trouble; it may say until when.
    Busy(Option<Duration>),
    /// It is packed on the way, by this method.
    Compressed(String),
    /// An answer that fits nothing that was asked.
    Odd(Oddity),
}

/// What is odd about an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Oddity {
    /// A part without a word which (RFC 9110 §15.3.7 forbids it).
    #[error("it does not say which part of the file it sends")]
    NoRange,
    /// Another part than the one that was asked for.
    #[error("it sends another part of the file than was asked for")]
    WrongRange,
    /// A part of a file of unknown length, which may be any file.
    #[error("it does not say how long the whole file is")]
    NoTotal,
    /// A whole file of unknown length.
    #[error("it does not say how long the file is")]
    NoLength,
    /// A body that is not as long as its part.
    #[error("it contradicts itself about the length of the part")]
    WrongLength,
    /// Several parts at once.
    #[error("it sends several parts at once")]
    Multipart,
    /// Nothing of a file that is as long as ours.
    #[error("it has nothing of the part that was asked for")]
    Unsatisfied,
    /// A page for people that is not as long as the file.
    #[error("it sends a page instead of the file")]
    Page,
    /// A redirect to nowhere.
    #[error("it redirects without saying where to")]
    NoLocation,
    /// A status that means nothing here.
    #[error("it cannot be asked for the file so")]
    Status,
}

/// Who is left alone after an answer, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// Nobody.
    None,
    /// This file at this source for so long; as long as the torrent runs when none.
    File(Option<Duration>),
    /// This source, as long as the torrent runs.
    Source,
    /// The whole origin, for this time or as its pool decides; with fewer connections afterwards.
    Origin(Option<Duration>),
}

impl Verdict {
    /// Who rests, and for how long.
    pub fn rest(&self) -> Rest {
        match self {
            Self::Take { .. } | Self::WholeOnly | Self::Redirect(_) => Rest::None,
            // Another file stays another one, and who packs files goes on doing it.
            Self::OtherFile { .. } | Self::Compressed(_) => Rest::File(None),
            Self::Gone => Rest::File(Some(GONE_REST)),
            Self::Refused | Self::Odd(_) => Rest::File(Some(FILE_REST)),
            Self::Unauthorized => Rest::Source,
            Self::Busy(wait) => Rest::Origin(*wait),
        }
    }

    /// Whether it tells where to ask instead, so that it has to be known which file that was.
    pub fn is_of_way(&self) -> bool {
        matches!(self, Self::Redirect(_) | Self::Gone)
    }

    /// Whether an answer so at the target of a redirect may only mean that the redirect is no
    /// longer good: the origin is asked once more before anybody is blamed. Some say 400 then (S3's
    /// `ExpiredToken`), send a page of whatever kind that says so, or lead to one. Only who is
    /// busy, or sends a file of the right length, needs no such question.
    pub fn may_be_expiry(&self) -> bool {
        !matches!(self, Self::Take { .. } | Self::WholeOnly | Self::Busy(_))
    }

    /// What happened, for people: the status and what it means, as in `404: the file is not there`;
    /// when it is tried again is added by whoever knows it. `file_len` are the torrent's bytes of
    /// the file.
    pub fn words(&self, status: u16, file_len: u64) -> String {
        let what = match self {
            Self::Take { .. } => "the file is there".to_owned(),
            Self::WholeOnly => "it sends whole files only".to_owned(),
            Self::OtherFile { theirs } => return other_file_words(*theirs, file_len),
            Self::Redirect(_) => "the file is somewhere else".to_owned(),
            Self::Gone => "the file is not there".to_owned(),
            Self::Refused => "it refuses the file".to_owned(),
            Self::Unauthorized => "it wants a user and a password".to_owned(),
            Self::Busy(_) => "it is busy".to_owned(),
            Self::Compressed(coding) => format!("it compresses the file ({coding})"),
            Self::Odd(oddity) => oddity.to_string(),
        };
        format!("{status}: {what}")
    }
}

/// How long a script wants to be left alone that answers 503: "an integer in ASCII, the number of
/// seconds to wait before retrying" (BEP 17).
pub fn seconds_in(page: &[u8]) -> Option<Duration> {
    let seconds = number(page.trim_ascii())?;
    Some(Duration::from_secs(seconds.clamp(1, SCRIPT_REST_MAX.as_secs())))
}

/// Another file, by its length.
fn other_file_words(theirs: u64, ours: u64) -> String {
    let (difference, way) = match theirs.checked_sub(ours) {
        Some(more) => (more, "longer"),
        None => (ours - theirs, "shorter"),
    };
    let unit = if difference == 1 { "byte" } else { "bytes" };
    format!("another file: {difference} {unit} {way} there")
}

#[cfg(test)]
mod tests {
    use super::super::head::HeadReader;
    use super::*;

    const ASKED: Asked = Asked { first: 100, len: 50, file_len: 1000 };

    #[test]
    fn a_script_sends_what_was_asked_for_or_says_how_long_it_rests() {
        let judged = |text: &str| ASKED.judge_script(&head(text), SystemTime::UNIX_EPOCH);
        let all = Verdict::Take { skip: 0, len: 50, behind: 0 };
        assert_eq!(judged("200 OK\r\nContent-Length: 50"), all);
        let odd = Verdict::Odd(Oddity::WrongLength);
        assert_eq!(judged("200 OK\r\nContent-Length: 1000"), odd);
        assert_eq!(judged("503 Busy\r\nContent-Length: 2"), Verdict::Busy(None));
        let status = Verdict::Odd(Oddity::Status);
        assert_eq!(judged("302 Found\r\nLocation: /x\r\nContent-Length: 0"), status);
        let seconds = |page: &[u8]| seconds_in(page).map(|rest| rest.as_secs());
        assert_eq!([&b"12\n"[..], b"0", b"999999"].map(seconds), [Some(12), Some(1), Some(3600)]);
        assert_eq!([&b"soon"[..], b"", b"<p>9</p>"].map(seconds), [None; 3]);
    }

    fn head(text: &str) -> Head {
        let text = format!("HTTP/1.1 {text}\r\n\r\n");
        let (_, head) = HeadReader::new().feed(text.as_bytes()).expect("a good head");
        head.expect("a whole head")
    }

    fn judge(asked: Asked, text: &str) -> Verdict {
        asked.judge(&head(text), SKIP_MAX, SystemTime::UNIX_EPOCH)
    }

    fn part(range: &str) -> Verdict {
        judge(ASKED, &format!("206 P\r\nContent-Range: {range}"))
    }

    #[test]
    fn a_whole_file_is_asked_for_without_a_range() {
        assert_eq!(ASKED.header().as_deref(), Some("bytes=100-149"));
        assert_eq!(Asked { first: 0, len: 1000, file_len: 1000 }.header(), None);
        let first = Asked { first: 0, len: 1, file_len: 1000 };
        assert_eq!(first.header().as_deref(), Some("bytes=0-0"));
    }

    #[test]
    fn content_ranges_are_read() {
        let parse = |text: &str| ContentRange::parse(text.as_bytes());
        let range = |first, last, total| ContentRange::Part { first, last, total };
        assert_eq!(parse("bytes 0-9/100"), range(0, 9, Some(100)));
        assert_eq!(parse("Bytes=0-9/*"), range(0, 9, None));
        assert_eq!(parse("bytes  0 - 9 / 10 "), range(0, 9, Some(10)));
        assert_eq!(parse("bytes */100"), ContentRange::Unsatisfied { total: 100 });
        for text in [
            "",
            "bytes",
            "bytes 0-9",
            "bytes 9-0/100",
            "bytes 0-10/10",
            "items 0-9/100",
            "bytes */*",
            "bytes 0-9,20-29/100",
            "bytes -9/100",
            "bytes 0-/100",
            "bytes +0-9/100",
            "bytes 0-18446744073709551615/*",
            "bytes 0-18446744073709551616/*",
            "bytes 0-9/x",
        ] {
            assert_eq!(parse(text), ContentRange::Odd, "{text}");
        }
    }

    #[test]
    fn a_part_counts_when_it_is_the_one_that_was_asked_for() {
        let take = |len| Verdict::Take { skip: 0, len, behind: 0 };
        assert_eq!(part("bytes 100-149/1000"), take(50));
        assert_eq!(part("bytes 100-110/1000"), take(11), "a server may give less at a time");
        assert_eq!(part("bytes 100-149/1000\r\nContent-Length: 50"), take(50));
        let chunked = "bytes 100-149/1000\r\nTransfer-Encoding: chunked";
        assert_eq!(part(chunked), take(50));
        for (range, oddity) in [
            ("bytes 99-149/1000", Oddity::WrongRange),
            ("bytes 0-999/1000", Oddity::WrongRange),
            ("bytes 100-150/1000", Oddity::WrongRange),
            ("bytes */1000", Oddity::WrongRange),
            ("bytes 100-149", Oddity::WrongRange),
            ("bytes 100-149/*", Oddity::NoTotal),
            ("bytes 100-149/1000\r\nContent-Length: 49", Oddity::WrongLength),
            (
                "bytes 100-149/1000\r\nContent-Type: multipart/byteranges; boundary=x",
                Oddity::Multipart,
            ),
        ] {
            assert_eq!(part(range), Verdict::Odd(oddity), "{range}");
        }
        assert_eq!(judge(ASKED, "206 P\r\nContent-Length: 50"), Verdict::Odd(Oddity::NoRange));
    }

    // What another file is called like is found before it costs a piece.
    #[test]
    fn a_file_of_another_length_is_another_file() {
        let other = |theirs| Verdict::OtherFile { theirs };
        assert_eq!(part("bytes 100-149/1004"), other(1004));
        assert_eq!(judge(ASKED, "200 OK\r\nContent-Length: 999"), other(999));
        assert_eq!(judge(ASKED, "416 R\r\nContent-Range: bytes */90"), other(90));
        assert_eq!(other(1004).words(206, 1000), "another file: 4 bytes longer there");
        assert_eq!(other(999).words(200, 1000), "another file: 1 byte shorter there");
        assert_eq!(other(1004).rest(), Rest::File(None));
        let same = judge(ASKED, "416 R\r\nContent-Range: bytes */1000");
        assert_eq!(same, Verdict::Odd(Oddity::Unsatisfied));
    }

    // Of a page nobody knows how long it is there in place of the file.
    #[test]
    fn a_page_of_another_length_is_no_other_file_for_good() {
        let page = |len: u64| {
            judge(ASKED, &format!("200 OK\r\nContent-Type: text/html\r\nContent-Length: {len}"))
        };
        let verdict = page(999);
        assert_eq!(verdict, Verdict::Odd(Oddity::Page));
        assert_eq!(verdict.rest(), Rest::File(Some(FILE_REST)));
        assert_eq!(verdict.words(200, 1000), "200: it sends a page instead of the file");
        assert_eq!(
            page(1000),
            Verdict::Take { skip: 100, len: 50, behind: 850 },
            "the file may be one"
        );
    }

    #[test]
    fn the_whole_file_is_taken_where_little_of_it_is_in_the_way() {
        let whole = |first, len, file_len| {
            let text = format!("200 OK\r\nContent-Length: {file_len}");
            judge(Asked { first, len, file_len }, &text)
        };
        let take = |skip, len, behind| Verdict::Take { skip, len, behind };
        assert_eq!(whole(0, 1000, 1000), take(0, 1000, 0));
        assert_eq!(whole(0, 50, 1000), take(0, 50, 950));
        assert_eq!(whole(SKIP_MAX, 1, 1 << 20), take(SKIP_MAX, 1, (1 << 20) - SKIP_MAX - 1));
        assert_eq!(whole(SKIP_MAX + 1, 1, 1 << 20), Verdict::WholeOnly);
        assert_eq!(Verdict::WholeOnly.rest(), Rest::None);
        for text in ["200 OK", "200 OK\r\nTransfer-Encoding: chunked"] {
            assert_eq!(judge(ASKED, text), Verdict::Odd(Oddity::NoLength));
        }
    }

    #[test]
    fn what_is_packed_on_the_way_is_no_file_and_what_is_called_so_is() {
        let packed = Verdict::Compressed("gzip".to_owned());
        for text in [
            "200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked",
            "200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 400",
            "206 P\r\nContent-Encoding: gzip\r\nContent-Range: bytes 100-149/400",
            "206 P\r\nContent-Encoding: gzip\r\nContent-Range: bytes 100-149/*",
        ] {
            assert_eq!(judge(ASKED, text), packed, "{text}");
        }
        assert_eq!(packed.words(200, 1000), "200: it compresses the file (gzip)");
        // A file .tar.gz that lies there as it is.
        let same =
            judge(ASKED, "206 P\r\nContent-Encoding: gzip\r\nContent-Range: bytes 100-149/1000");
        assert!(matches!(same, Verdict::Take { len: 50, .. }));
    }

    #[test]
    fn each_class_of_answers_has_its_own_rest() {
        let rest = |text: &str| judge(ASKED, text).rest();
        for status in ["404", "410", "451"] {
            assert_eq!(rest(&format!("{status} X")), Rest::File(Some(GONE_REST)));
        }
        assert_eq!(rest("403 X"), Rest::File(Some(FILE_REST)));
        assert_eq!([rest("401 X"), rest("407 X")], [Rest::Source; 2]);
        for status in ["408", "425", "429", "500", "502", "503", "504", "509", "520"] {
            assert_eq!(rest(&format!("{status} X")), Rest::Origin(None), "{status}");
            let asked = rest(&format!("{status} X\r\nRetry-After: 3"));
            assert_eq!(asked, Rest::Origin(Some(Duration::from_secs(3))));
        }
        for status in ["400", "405", "414", "416", "418", "501", "505", "204", "304", "300", "999"]
        {
            assert_eq!(rest(&format!("{status} X")), Rest::File(Some(FILE_REST)), "{status}");
        }
        let redirect = judge(ASKED, "302 X\r\nLocation: /y?z");
        assert_eq!(redirect, Verdict::Redirect(b"/y?z".to_vec()));
        assert_eq!(judge(ASKED, "302 X"), Verdict::Odd(Oddity::NoLocation));
        assert!(judge(ASKED, "403 X").may_be_expiry() && !judge(ASKED, "503 X").may_be_expiry());
        assert!(judge(ASKED, "400 X").may_be_expiry());
        assert!(judge(ASKED, "200 X\r\nContent-Length: 7").may_be_expiry());
        assert_eq!(judge(ASKED, "429 X").words(429, 1), "429: it is busy");
    }
}
