//! An answer over HTTP, as routers give it: short, and read whole. Not here: connections.

use super::xml::XML_LEN_MAX;

const HEADERS_MAX: usize = 64;
/// Bytes of a head.
const HEAD_LEN_MAX: usize = 16 << 10;
/// Bytes of all: head, body, and the lengths of its chunks.
const RAW_LEN_MAX: usize = 2 * XML_LEN_MAX;

/// Why an answer is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// It has more bytes than any honest one.
    #[error("its answer is longer than {XML_LEN_MAX} bytes")]
    TooLong,
    /// It is no HTTP.
    #[error("it does not speak HTTP")]
    Other,
    /// It ends early.
    #[error("its answer breaks off")]
    Cut,
}

/// Reads an answer as far as it has come; none when more is needed. With `has_ended` nothing
/// follows.
///
/// # Errors
/// When it never will be one.
pub fn read(raw: &[u8], has_ended: bool) -> Result<Option<(u16, Vec<u8>)>, Error> {
    let more = || if has_ended { Err(Error::Cut) } else { Ok(None) };
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head_len = match response.parse(raw).map_err(|_| Error::Other)? {
        httparse::Status::Complete(len) => len,
        httparse::Status::Partial if raw.len() > HEAD_LEN_MAX => return Err(Error::TooLong),
        httparse::Status::Partial => return more(),
    };
    let status = response.code.ok_or(Error::Other)?;
    let value = |name: &str| {
        let header = response.headers.iter().find(|it| it.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok().map(str::trim)
    };
    let body = raw.get(head_len..).unwrap_or_default();
    if value("Transfer-Encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked")) {
        return match joined(body)? {
            Some(body) => Ok(Some((status, body))),
            None if raw.len() > RAW_LEN_MAX => Err(Error::TooLong),
            None => more(),
        };
    }
    let len = match value("Content-Length") {
        Some(told) => Some(told.parse::<usize>().map_err(|_| Error::Other)?),
        None => None,
    };
    if len.unwrap_or(0) > XML_LEN_MAX || (len.is_none() && body.len() > XML_LEN_MAX) {
        return Err(Error::TooLong);
    }
    match len {
        Some(len) => match body.get(..len) {
            Some(body) => Ok(Some((status, body.to_vec()))),
            None => more(),
        },
        // As long as the connection lasts.
        None => Ok(has_ended.then(|| (status, body.to_vec()))),
    }
}

/// A body without the lengths of its chunks (RFC 9112, 7.1); none while the last is missing.
fn joined(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let mut body = Vec::new();
    loop {
        let (begin, len) = match httparse::parse_chunk_size(bytes).map_err(|_| Error::Other)? {
            httparse::Status::Complete(found) => found,
            httparse::Status::Partial => return Ok(None),
        };
        let len = usize::try_from(len).map_err(|_| Error::TooLong)?;
        if len == 0 {
            return Ok(Some(body));
        }
        if len > XML_LEN_MAX || body.len() + len > XML_LEN_MAX {
            return Err(Error::TooLong);
        }
        let Some(chunk) = bytes.get(begin..begin + len) else { return Ok(None) };
        body.extend_from_slice(chunk);
        let Some(rest) = bytes.get(begin + len + 2..) else { return Ok(None) };
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, has_ended: bool) -> Result<Option<(u16, String)>, Error> {
        let read = read(text.as_bytes(), has_ended)?;
        Ok(read.map(|(status, body)| (status, String::from_utf8(body).unwrap())))
    }

    #[test]
    fn the_body_ends_where_it_says() {
        let whole = Ok(Some((200, "<a/>".to_owned())));
        let by_length = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n<a/>";
        assert_eq!(told(by_length, false), whole);
        assert_eq!(told(&by_length[..by_length.len() - 1], false), Ok(None));
        assert_eq!(told(&by_length[..by_length.len() - 1], true), Err(Error::Cut));
        let by_end = "HTTP/1.0 200 OK\r\n\r\n<a/>";
        assert_eq!((told(by_end, false), told(by_end, true)), (Ok(None), whole.clone()));
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                      1\r\n<\r\n3;x=y\r\na/>\r\n0\r\n\r\n";
        assert_eq!(told(chunks, false), whole);
        for len in 0..chunks.len() - 5 {
            assert_eq!(told(&chunks[..len], false), Ok(None), "{len}");
        }
    }

    #[test]
    fn what_is_too_long_is_known_before_it_has_come() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 2097152\r\n\r\n";
        assert_eq!(told(head, false), Err(Error::TooLong));
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(XML_LEN_MAX + 1));
        assert_eq!(told(&endless, false), Err(Error::TooLong));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(told(&format!("{chunked}fffffff\r\n"), false), Err(Error::TooLong));
        let many = format!("{chunked}{}", "1\r\nx\r\n".repeat(90_000));
        assert_eq!(told(&many, false), Err(Error::TooLong));
        let head = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(20_000));
        assert_eq!(told(&head, false), Err(Error::TooLong));
        for other in ["SSH-2.0-x\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"] {
            assert_eq!(told(other, false), Err(Error::Other), "{other}");
        }
        assert_eq!(told("", true), Err(Error::Cut));
    }
}
