//! What is said to an HTTP proxy: CONNECT (RFC 9110, 9.3.6), and OPTIONS, which says that it is
//! there (9.3.7). Its answer is read byte by byte, so
//! that nothing is taken of what comes behind it, and up to a limit. Not here: sockets.

use std::io;

use data_encoding::BASE64;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::remote::Remote;

/// "Proxy Authentication Required".
const NO_LOGIN: u16 = 407;
/// The longest head of an answer that is read.
const HEAD_LEN_MAX: usize = 16 << 10;

/// Why the proxy does not connect.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The connection to it broke.
    #[error("the connection to it broke: {0}")]
    Lost(#[from] io::Error),
    /// It is no HTTP proxy.
    #[error("it does not speak HTTP")]
    Other,
    /// The head of its answer does not end.
    #[error("its answer has a head of over {HEAD_LEN_MAX} bytes")]
    TooLong,
    /// It says no.
    #[error("it says no: {0}")]
    Status(u16),
}

impl Error {
    /// Is it the proxy itself that is of no use, whoever it was to connect to?
    pub(super) fn is_of_proxy(&self) -> bool {
        matches!(self, Self::Other | Self::TooLong | Self::Status(NO_LOGIN))
    }
}

/// Asks for a connection, with a name and password if there are any.
///
/// # Errors
/// What the proxy does not do.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    login: Option<(&str, &str)>,
    to: &Remote,
) -> Result<(), Error> {
    match answer(stream, &format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n"), login).await? {
        200..300 => Ok(()),
        status => Err(Error::Status(status)),
    }
}

/// Asks whether it is there, and takes us. What it makes of the question is its own: one that only
/// connects may refuse, or leave.
///
/// # Errors
/// When it speaks otherwise, or does not know us.
pub(super) async fn probe<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    login: Option<(&str, &str)>,
    host: &str,
) -> Result<(), Error> {
    let head = format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\nMax-Forwards: 0\r\n");
    match answer(stream, &head, login).await {
        Ok(NO_LOGIN) => Err(Error::Status(NO_LOGIN)),
        Ok(_) | Err(Error::Lost(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The status of the answer to a request that begins so.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &str,
    login: Option<(&str, &str)>,
) -> Result<u16, Error> {
    let mut request = request.to_owned();
    if let Some((user, password)) = login {
        let shown = BASE64.encode(format!("{user}:{password}").as_bytes());
        request += &format!("Proxy-Authorization: Basic {shown}\r\n");
    }
    request += "\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_LEN_MAX {
            return Err(Error::TooLong);
        }
        head.push(stream.read_u8().await?);
        // Who speaks another protocol is not listened to.
        if !head.starts_with(b"HTTP/1.") && !b"HTTP/1.".starts_with(head.as_slice()) {
            return Err(Error::Other);
        }
    }
    let status = head.get(9..12).and_then(|it| std::str::from_utf8(it).ok()?.parse().ok());
    status.ok_or(Error::Other)
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    async fn said(
        answer: &[u8],
        login: Option<(&str, &str)>,
    ) -> (Result<(), Error>, String, Vec<u8>) {
        let (mut ours, mut proxy) = duplex(64 << 10);
        proxy.write_all(answer).await.unwrap();
        proxy.shutdown().await.unwrap();
        let to = Remote::Name { host: "peer.example".to_owned(), port: 6881 };
        let came = ask(&mut ours, login, &to).await;
        let mut behind = Vec::new();
        ours.read_to_end(&mut behind).await.unwrap();
        drop(ours);
        let mut heard = String::new();
        proxy.read_to_string(&mut heard).await.unwrap();
        (came, heard, behind)
    }

    #[tokio::test]
    async fn what_comes_behind_the_head_is_left_there() {
        let (came, heard, behind) = said(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n\x13Bit", None).await;
        assert!(came.is_ok());
        assert_eq!(behind, b"\x13Bit");
        assert_eq!(heard, "CONNECT peer.example:6881 HTTP/1.1\r\nHost: peer.example:6881\r\n\r\n");
        let (came, heard, _) = said(b"HTTP/1.0 200 \r\n\r\n", Some(("me", "a:b"))).await;
        assert!(came.is_ok());
        assert!(heard.contains("\r\nProxy-Authorization: Basic bWU6YTpi\r\n"), "{heard}");
    }

    #[tokio::test]
    async fn proxies_that_refuse_lie_or_never_end_are_told_apart() {
        let came = |answer: Vec<u8>| async move { said(&answer, None).await.0 };
        let no = came(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".to_vec()).await;
        assert!(matches!(no, Err(Error::Status(407))));
        assert!(matches!(came(b"SSH-2.0-OpenSSH\r\n".to_vec()).await, Err(Error::Other)));
        assert!(matches!(came(b"HTTP/1.1 twohundred\r\n\r\n".to_vec()).await, Err(Error::Other)));
        assert!(matches!(came(b"HTTP/1.1 200 OK\r\n".to_vec()).await, Err(Error::Lost(_))));
        assert!(matches!(came(Vec::new()).await, Err(Error::Lost(_))));
        let endless = [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'a'; 20 << 10]].concat();
        assert!(matches!(came(endless).await, Err(Error::TooLong)));
    }

    #[tokio::test]
    async fn a_proxy_is_there_whatever_it_makes_of_the_question_unless_it_does_not_know_us() {
        let probed = |answer: &'static [u8]| async move {
            let (mut ours, mut proxy) = duplex(1024);
            proxy.write_all(answer).await.unwrap();
            proxy.shutdown().await.unwrap();
            let came = probe(&mut ours, None, "192.0.2.1:3128").await;
            drop(ours);
            let mut heard = String::new();
            proxy.read_to_string(&mut heard).await.unwrap();
            let asked = "OPTIONS * HTTP/1.1\r\nHost: 192.0.2.1:3128\r\nMax-Forwards: 0\r\n\r\n";
            assert_eq!(heard, asked);
            came
        };
        for good in [&b"HTTP/1.1 200 OK\r\n\r\n"[..], b"HTTP/1.0 405 No\r\n\r\n", b""] {
            assert!(probed(good).await.is_ok());
        }
        let unknown = probed(b"HTTP/1.1 407 Who\r\n\r\n").await.unwrap_err();
        assert!(unknown.is_of_proxy() && matches!(unknown, Error::Status(407)));
        assert!(probed(b"SSH-2.0-OpenSSH\r\n").await.unwrap_err().is_of_proxy());
        assert!(!Error::Status(503).is_of_proxy());
    }
}
