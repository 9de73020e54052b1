//! The head of a response of HTTP/1.0 or 1.1 as its bytes arrive (RFC 9112): status, how long the
//! body is, what of its fields matters to us. Interim answers are skipped; HTTP/0.9 is refused.
//! Not here: what an answer means for what was asked (`range`), and bodies (`chunked`).

use std::time::{Duration, SystemTime};

use httparse::{Header, ParserConfig, Response, Status};

use super::range::ContentRange;

/// Bytes of a head, those of the interim answers before it counted: more than any server sends.
pub const HEAD_LEN_MAX: usize = 32 << 10;
/// Fields of a head.
pub const FIELDS_MAX: usize = 128;

/// The shortest and the longest time that a `Retry-After` is obeyed: none may make us ask in a
/// loop, or lose a source for a day by a slip.
pub const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// Characters kept of a coding's name.
const CODING_LEN_MAX: usize = 40;

/// How a response begins that is one of a version we know.
const BEGIN: &[u8] = b"HTTP/1.";

/// Why bytes are no response. Always the fault of the server, and the end of its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Flaw {
    /// Bytes without a status line, as of HTTP/0.9 or of another protocol.
    #[error("it does not answer with HTTP/1")]
    NotHttp,
    /// More bytes than [`HEAD_LEN_MAX`].
    #[error("it answers with a head of more than {} KiB", HEAD_LEN_MAX >> 10)]
    TooLong,
    /// More fields than [`FIELDS_MAX`].
    #[error("it answers with more than {FIELDS_MAX} header fields")]
    TooManyFields,
    /// A status line or field that cannot be read.
    #[error("it answers with a malformed head")]
    Malformed,
    /// Two lengths that differ, or one that is no number.
    #[error("it contradicts itself about the length of its answer")]
    Length,
    /// An upgrade that nobody asked for.
    #[error("it switches to another protocol")]
    Switched,
}

/// Where the body ends (RFC 9112 §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyLen {
    /// After so many bytes.
    Known(u64),
    /// Where its chunks say so.
    Chunked,
    /// With the connection.
    ToEnd,
}

/// When a busy server wants to be asked again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetryAfter {
    /// So long after its answer.
    In(Duration),
    /// At this time by its own clock.
    At(SystemTime),
}

/// How long an answer may be kept, as far as it says so (RFC 9111).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Freshness {
    /// `Cache-Control: no-store` or `no-cache`.
    pub is_forbidden: bool,
    /// `Cache-Control: max-age`.
    pub max_age: Option<Duration>,
    /// `Age`: how long a cache has had it.
    pub age: Option<Duration>,
    /// `Expires`; the beginning of time when it is no date, which means at once.
    pub expires: Option<SystemTime>,
}

/// What a response says before its body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The status, 200 to 999.
    pub status: u16,
    /// The connection can be asked again after the body.
    pub keeps_alive: bool,
    /// It speaks HTTP/1.1, so that a second request may be sent ahead.
    pub is_http_11: bool,
    /// Where the body ends.
    pub body: BodyLen,
    /// Codings of the content or of its transfer that change its bytes.
    pub coding: Option<String>,
    /// The body is several parts (`multipart/byteranges`).
    pub is_multipart: bool,
    /// The body is a page for people (`text/html`).
    pub is_page: bool,
    /// Which part of the file the body is.
    pub content_range: Option<ContentRange>,
    /// Where a redirect leads, as it is written.
    pub location: Option<Vec<u8>>,
    /// See [`Head::retry_after`].
    pub retry_after: Option<RetryAfter>,
    /// The time by the server's clock.
    pub date: Option<SystemTime>,
    /// How long a redirect may be kept.
    pub freshness: Freshness,
}

impl Head {
    /// How long to wait before asking again, if the server says so, within [`RETRY_AFTER`]. A date
    /// counts from the server's own, else from `now`.
    pub fn retry_after(&self, now: SystemTime) -> Option<Duration> {
        let wait = match self.retry_after? {
            RetryAfter::In(wait) => wait,
            RetryAfter::At(date) => {
                date.duration_since(self.date.unwrap_or(now)).unwrap_or_default()
            }
        };
        Some(wait.clamp(RETRY_AFTER.0, RETRY_AFTER.1))
    }
}

/// Collects the bytes of a head, at most [`HEAD_LEN_MAX`]; one for each answer.
#[derive(Debug, Default)]
pub struct HeadReader {
    bytes: Vec<u8>,
    /// Bytes of the answer that were taken, interim answers included.
    taken: usize,
    /// Bytes of the line that is being read, `\r` not counted.
    line_len: usize,
}

impl HeadReader {
    /// A reader that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether an answer has begun.
    pub fn has_begun(&self) -> bool {
        self.taken > 0
    }

    /// Takes what arrived: how many of the bytes belong to the head, and the head when it is
    /// whole; the body begins behind them. After that, or a flaw, the reader is of no more use.
    ///
    /// # Errors
    /// See [`Flaw`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(usize, Option<Head>), Flaw> {
        for (at, byte) in bytes.iter().enumerate() {
            if self.taken == HEAD_LEN_MAX {
                return Err(Flaw::TooLong);
            }
            self.taken += 1;
            // Empty lines before an answer belong to none (RFC 9112 §2.2).
            if self.bytes.is_empty() && matches!(byte, b'\r' | b'\n') {
                continue;
            }
            self.bytes.push(*byte);
            if let Some(wanted) = BEGIN.get(self.bytes.len() - 1)
                && wanted != byte
            {
                return Err(Flaw::NotHttp);
            }
            match byte {
                b'\n' if self.line_len == 0 => {
                    if let Some(head) = read(&self.bytes)? {
                        return Ok((at + 1, Some(head)));
                    }
                    // An interim answer.
                    self.bytes.clear();
                }
                b'\n' => self.line_len = 0,
                b'\r' => {}
                _ => self.line_len += 1,
            }
        }
        Ok((bytes.len(), None))
    }
}

/// Reads a whole head; none for an interim answer.
fn read(bytes: &[u8]) -> Result<Option<Head>, Flaw> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = Response::new(&mut fields);
    // What is odd about a field that we do not look at is nothing to fail for.
    let mut parser = ParserConfig::default();
    parser
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    match parser.parse_response(&mut response, bytes) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) => return Err(Flaw::Malformed),
        Err(httparse::Error::TooManyHeaders) => return Err(Flaw::TooManyFields),
        Err(httparse::Error::Version) => return Err(Flaw::NotHttp),
        Err(_) => return Err(Flaw::Malformed),
    }
    let status = response.code.ok_or(Flaw::Malformed)?;
    let is_http_11 = response.version == Some(1);
    let fields = Fields(response.headers);
    match status {
        101 => return Err(Flaw::Switched),
        100..=199 => return Ok(None),
        0..=99 => return Err(Flaw::Malformed),
        _ => {}
    }
    let (body, is_sure) = body_len(status, is_http_11, &fields)?;
    let says = |word: &str| fields.list("connection").any(|said| said.eq_ignore_ascii_case(word));
    let wants_more = if is_http_11 { !says("close") } else { says("keep-alive") && !says("close") };
    let date = fields.one("date").and_then(date);
    let content_type = fields.one("content-type").unwrap_or_default();
    Ok(Some(Head {
        status,
        keeps_alive: wants_more && is_sure && body != BodyLen::ToEnd,
        is_http_11,
        body,
        coding: coding(&fields),
        is_multipart: begins_with(content_type, b"multipart/"),
        is_page: [&b"text/html"[..], b"application/xhtml"]
            .iter()
            .any(|it| begins_with(content_type, it)),
        content_range: content_range(&fields),
        location: fields.one("location").map(<[u8]>::to_vec),
        retry_after: fields.one("retry-after").and_then(retry_after),
        date,
        freshness: freshness(&fields),
    }))
}

/// Where the body ends, and whether that is so sure that another answer may follow.
fn body_len(status: u16, is_http_11: bool, fields: &Fields<'_>) -> Result<(BodyLen, bool), Flaw> {
    let mut known = None;
    // Some send one length twice, as two fields or as a list (RFC 9110 §8.6).
    for text in fields.list("content-length") {
        let len = number(text.as_bytes()).ok_or(Flaw::Length)?;
        if known.is_some_and(|known| known != len) {
            return Err(Flaw::Length);
        }
        known = Some(len);
    }
    let last_coding = fields.list("transfer-encoding").last();
    Ok(match (last_coding, known) {
        _ if matches!(status, 204 | 304) => (BodyLen::Known(0), true),
        // "Transfer-Encoding overrides the Content-Length", and such an answer is fishy, as is
        // one of HTTP/1.0: nothing behind it is believed.
        (Some(coding), known) if coding.eq_ignore_ascii_case("chunked") => {
            (BodyLen::Chunked, is_http_11 && known.is_none())
        }
        (Some(_), _) => (BodyLen::ToEnd, false),
        (None, Some(len)) => (BodyLen::Known(len), true),
        (None, None) => (BodyLen::ToEnd, false),
    })
}

/// What changes the bytes of the body, in small letters.
fn coding(fields: &Fields<'_>) -> Option<String> {
    let content = fields.list("content-encoding");
    let transfer =
        fields.list("transfer-encoding").filter(|it| !it.eq_ignore_ascii_case("chunked"));
    let mut codings = content.chain(transfer);
    let coding = codings.find(|coding| !coding.eq_ignore_ascii_case("identity"))?;
    let plain = coding.chars().filter(|letter| letter.is_ascii_graphic());
    Some(plain.take(CODING_LEN_MAX).collect::<String>().to_ascii_lowercase())
}

/// Whether a media type begins so.
fn begins_with(content_type: &[u8], kind: &[u8]) -> bool {
    content_type.get(..kind.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(kind))
}

/// The one range that all fields of that name mean.
fn content_range(fields: &Fields<'_>) -> Option<ContentRange> {
    let mut ranges = fields.all("content-range").map(ContentRange::parse);
    let first = ranges.next()?;
    Some(if ranges.all(|range| range == first) { first } else { ContentRange::Odd })
}

fn retry_after(text: &[u8]) -> Option<RetryAfter> {
    match number(text) {
        Some(seconds) => Some(RetryAfter::In(Duration::from_secs(seconds))),
        None => date(text).map(RetryAfter::At),
    }
}

fn freshness(fields: &Fields<'_>) -> Freshness {
    let mut freshness = Freshness::default();
    for directive in fields.list("cache-control") {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => freshness.is_forbidden = true,
            "max-age" => {
                let seconds = number(value.trim().trim_matches('"').as_bytes());
                freshness.max_age = Some(Duration::from_secs(seconds.unwrap_or(0)));
            }
            _ => {}
        }
    }
    freshness.age = fields.one("age").and_then(number).map(Duration::from_secs);
    let expires = fields.one("expires");
    freshness.expires = expires.map(|text| date(text).unwrap_or(SystemTime::UNIX_EPOCH));
    freshness
}

fn date(text: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()
}

/// Digits and nothing else, as a number of 64 bits; what is larger is none.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// The fields of a head, whose names have no case.
struct Fields<'a>(&'a [Header<'a>]);

impl<'a> Fields<'a> {
    /// The values of a field, trimmed, in their order.
    fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let fields = self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        fields.map(|field| field.value.trim_ascii())
    }

    /// The first of them.
    fn one(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// What they list, separated by commas. A part that is no text is an odd one.
    fn list(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let text = |value| std::str::from_utf8(value).unwrap_or("?");
        let parts = self.all(name).flat_map(move |value| text(value).split(','));
        parts.map(str::trim).filter(|part| !part.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Head, Flaw> {
        let (taken, head) = HeadReader::new().feed(text.as_bytes())?;
        assert_eq!(taken, text.len());
        Ok(head.expect("a whole head"))
    }

    fn head(fields: &str) -> Head {
        read(&format!("HTTP/1.1 206 Partial Content\r\n{fields}\r\n")).expect("a good head")
    }

    fn flaw(fields: &str) -> Flaw {
        read(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).expect_err("a flaw")
    }

    fn seconds(since_1970: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(since_1970)
    }

    #[test]
    fn a_head_of_nginx() {
        let head = head(
            "Server: nginx/1.22.1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: 16384\r\n\
             Connection: keep-alive\r\nETag: \"5f-1\"\r\nContent-Range: bytes 0-16383/783000000\r\n",
        );
        let range = ContentRange::Part { first: 0, last: 16_383, total: Some(783_000_000) };
        let expected = Head {
            status: 206,
            keeps_alive: true,
            is_http_11: true,
            body: BodyLen::Known(16_384),
            coding: None,
            is_multipart: false,
            is_page: false,
            content_range: Some(range),
            location: None,
            retry_after: None,
            date: Some(seconds(784_111_777)),
            freshness: Freshness::default(),
        };
        assert_eq!(head, expected);
    }

    // "If a message is received with both a Transfer-Encoding and a Content-Length header field,
    // the Transfer-Encoding overrides" (RFC 9112 §6.3).
    #[test]
    fn the_end_of_a_body_is_found_as_rfc_9112_says() {
        let body = |fields: &str| (head(fields).body, head(fields).keeps_alive);
        assert_eq!(body("Content-Length: 5\r\n"), (BodyLen::Known(5), true));
        assert_eq!(
            body("Content-Length: 5, 5\r\nContent-Length: 5\r\n"),
            (BodyLen::Known(5), true)
        );
        assert_eq!(body("Transfer-Encoding: Chunked\r\n"), (BodyLen::Chunked, true));
        let both = "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n";
        assert_eq!(body(both), (BodyLen::Chunked, false));
        assert_eq!(body("Transfer-Encoding : gzip, chunked\r\n"), (BodyLen::Chunked, true));
        assert_eq!(body("Transfer-Encoding: chunked, gzip\r\n"), (BodyLen::ToEnd, false));
        assert_eq!(body(""), (BodyLen::ToEnd, false));
        for length in ["5, 6", "5\r\nContent-Length: 6", "-5", "+5", "5 5", "0x5", "5.0", "\u{665}"]
        {
            assert_eq!(flaw(&format!("Content-Length: {length}\r\n")), Flaw::Length, "{length}");
        }
        assert_eq!(flaw("Content-Length: 18446744073709551616\r\n"), Flaw::Length);
        assert_eq!(read("HTTP/1.1 204 No\r\n\r\n").unwrap().body, BodyLen::Known(0));
    }

    #[test]
    fn a_connection_is_kept_as_both_versions_say() {
        let keeps = |version: &str, fields: &str| {
            let text = format!("HTTP/{version} 200 OK\r\nContent-Length: 1\r\n{fields}\r\n");
            read(&text).unwrap().keeps_alive
        };
        assert!(keeps("1.1", "") && keeps("1.1", "Connection: x, Keep-Alive\r\n"));
        assert!(!keeps("1.1", "Connection: x, CLOSE\r\n"));
        assert!(!keeps("1.0", "") && keeps("1.0", "connection: keep-alive\r\n"));
        assert!(!keeps("1.0", "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n"));
        assert!(!read("HTTP/1.0 200 OK\r\n\r\n").unwrap().is_http_11);
    }

    #[test]
    fn what_is_no_response_is_refused_at_its_first_byte() {
        for text in ["<html>", "HTTP/2 200", "HTTP/0.9 200 OK", "ICY 200 OK", "hTTP/1.1", "\0"] {
            assert_eq!(HeadReader::new().feed(text.as_bytes()), Err(Flaw::NotHttp), "{text}");
        }
        assert_eq!(HeadReader::new().feed(b"HTTP/1.2 200 OK\r\n\r\n"), Err(Flaw::NotHttp));
        assert_eq!(HeadReader::new().feed(b"HTTP/1.1 2x0 OK\r\n\r\n"), Err(Flaw::Malformed));
        assert_eq!(HeadReader::new().feed(b"HTTP/1.1 101 S\r\n\r\n"), Err(Flaw::Switched));
        assert_eq!(read("HTTP/1.1 099 S\r\n\r\n"), Err(Flaw::Malformed));
        assert_eq!(HeadReader::new().feed(b"HTTP/1.1 20"), Ok((11, None)), "not yet");
    }

    #[test]
    fn interim_answers_and_empty_lines_before_it_are_skipped() {
        let text = "\r\n\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                    HTTP/1.1 404 Not Found\nContent-Length: 0\n\n";
        assert_eq!(read(text).unwrap().status, 404);
        let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(2000);
        assert_eq!(HeadReader::new().feed(endless.as_bytes()), Err(Flaw::TooLong));
        assert_eq!(HeadReader::new().feed(&[b'\n'; HEAD_LEN_MAX + 1]), Err(Flaw::TooLong));
    }

    #[test]
    fn heads_are_limited() {
        let field = |number: usize| format!("X-{number}: y\r\n");
        let fields: String = (0..FIELDS_MAX).map(field).collect();
        assert_eq!(head(&fields).body, BodyLen::ToEnd);
        assert_eq!(flaw(&(fields + &field(0))), Flaw::TooManyFields);
        let begin = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(HEAD_LEN_MAX));
        assert_eq!(HeadReader::new().feed(begin.as_bytes()), Err(Flaw::TooLong));
    }

    #[test]
    fn codings_that_change_bytes_are_told() {
        let coding = |fields: &str| head(fields).coding;
        assert_eq!(coding("Content-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"), None);
        assert_eq!(coding("Content-Encoding: X-GZIP\r\n"), Some("x-gzip".to_owned()));
        assert_eq!(coding("Transfer-Encoding: gzip, chunked\r\n"), Some("gzip".to_owned()));
        let long = format!("Content-Encoding: {}\r\n", "z".repeat(200));
        assert_eq!(coding(&long).map(|name| name.len()), Some(CODING_LEN_MAX));
        assert!(head("Content-Type: Multipart/byteranges; boundary=x\r\n").is_multipart);
        let is_page = |kind: &str| head(&format!("Content-Type: {kind}\r\n")).is_page;
        assert!(is_page("Text/HTML; charset=utf-8") && is_page("application/xhtml+xml"));
        assert!(!is_page("text/plain") && !is_page("application/octet-stream") && !is_page(""));
    }

    #[test]
    fn two_ranges_that_differ_are_none() {
        let range = |fields: &str| head(fields).content_range;
        assert_eq!(range(""), None);
        let twice = "Content-Range: bytes 0-1/2\r\n".repeat(2);
        assert!(matches!(range(&twice), Some(ContentRange::Part { .. })));
        let both = format!("{twice}Content-Range: bytes 1-1/2\r\n");
        assert_eq!(range(&both), Some(ContentRange::Odd));
    }

    #[test]
    fn a_busy_server_is_waited_for_within_limits() {
        let now = seconds(784_111_777);
        let wait = |fields: &str| head(fields).retry_after(now).map(|wait| wait.as_secs());
        assert_eq!(wait("Retry-After: 3\r\n"), Some(3));
        assert_eq!(wait("Retry-After: 0\r\n"), Some(1));
        assert_eq!(wait("Retry-After: 86400\r\n"), Some(3600));
        assert_eq!(wait("Retry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\n"), Some(60));
        assert_eq!(wait("Retry-After: Sun, 06 Nov 1994 08:48:37 GMT\r\n"), Some(1));
        // By the server's own clock, which may be a day off.
        let dated =
            "Date: Sat, 05 Nov 1994 08:49:37 GMT\r\nRetry-After: Sat, 05 Nov 1994 08:49:47 GMT\r\n";
        assert_eq!(wait(dated), Some(10));
        assert_eq!(wait("Retry-After: soon\r\n"), None);
        assert_eq!(wait("Retry-After: 18446744073709551616\r\n"), None);
    }

    #[test]
    fn how_long_an_answer_may_be_kept_is_read() {
        let freshness = |fields: &str| head(fields).freshness;
        let public = freshness("Cache-Control: public, Max-Age=\"60\"\r\nAge: 5\r\n");
        assert_eq!(public.max_age, Some(Duration::from_secs(60)));
        assert_eq!((public.age, public.is_forbidden), (Some(Duration::from_secs(5)), false));
        assert!(freshness("Cache-Control: max-age=60, no-store\r\n").is_forbidden);
        assert_eq!(freshness("Cache-Control: max-age=x\r\n").max_age, Some(Duration::ZERO));
        let expires = freshness("Expires: Sun, 06 Nov 1994 08:49:37 GMT\r\n").expires;
        assert_eq!(expires, Some(seconds(784_111_777)));
        assert_eq!(freshness("Expires: -1\r\n").expires, Some(SystemTime::UNIX_EPOCH));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_bytes_are_split(
            cuts in proptest::collection::vec(0usize..400, 0..8),
        ) {
            let text = "\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 206 P\r\nContent-Length: 7\r\nServer:  x \r\n\
                        Folded: a\r\n b\r\nBad Name: x\r\nContent-Range: bytes 1-7/9\r\n\r\nbody...";
            let whole = HeadReader::new().feed(text.as_bytes());
            let head_len = text.len() - "body...".len();
            prop_assert_eq!(whole.as_ref().map(|(taken, _)| *taken), Ok(head_len));
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % text.len()).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let (mut reader, mut taken) = (HeadReader::new(), 0);
            for pair in cuts.windows(2) {
                let (more, head) = reader.feed(&text.as_bytes()[pair[0]..pair[1]]).unwrap();
                taken += more;
                if head.is_some() {
                    prop_assert_eq!(&head, &whole.as_ref().unwrap().1);
                    break;
                }
            }
            prop_assert_eq!(taken, head_len);
        }
    }
}
