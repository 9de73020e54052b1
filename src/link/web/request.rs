//! The request for a file or a part of it (RFC 9110, RFC 9112). The same fields in each: some
//! servers refuse a client that does not say who it is, on any but the first. No cookie, no
//! referrer, nothing that names the torrent.

use data_encoding::BASE64;

use crate::base::url::Url;

/// Appends a GET; `range` as the field of that name has it.
pub(super) fn write_get(url: &Url, range: Option<&str>, out: &mut Vec<u8>) {
    let mut line = |parts: &[&str]| {
        parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
        out.extend_from_slice(b"\r\n");
    };
    line(&["GET ", url.target(), " HTTP/1.1"]);
    line(&["Host: ", &url.origin().authority()]);
    line(&["User-Agent: pigeon/", env!("CARGO_PKG_VERSION")]);
    line(&["Accept: */*"]);
    // What is packed on the way is of no use for ranges.
    line(&["Accept-Encoding: identity"]);
    if let Some(credentials) = url.credentials() {
        line(&["Authorization: Basic ", &BASE64.encode(&credentials)]);
    }
    if let Some(range) = range {
        line(&["Range: ", range]);
    }
    line(&[]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(url: &str, range: Option<&str>) -> String {
        let mut out = Vec::new();
        write_get(&Url::parse(url).unwrap(), range, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_request_says_what_it_must_and_no_more() {
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "GET /a%20b?x=1 HTTP/1.1\r\nHost: h:8080\r\nUser-Agent: pigeon/{version}\r\n\
             Accept: */*\r\nAccept-Encoding: identity\r\nRange: bytes=5-9\r\n\r\n"
        );
        assert_eq!(get("http://h:8080/a%20b?x=1#part", Some("bytes=5-9")), expected);
    }

    #[test]
    fn a_user_is_told_as_basic_credentials_and_not_in_the_url() {
        // RFC 7617: "Aladdin" and "open sesame".
        let text = get("https://Aladdin:open%20sesame@h/x", None);
        assert!(text.starts_with("GET /x HTTP/1.1\r\nHost: h\r\n"));
        assert!(text.contains("\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
        assert!(!text.contains("Range"));
    }
}
