//! What is said to an HTTP proxy: CONNECT (RFC 9110, 9.3.6). Its answer is read byte by byte, so
//! that nothing is taken of what comes behind it, and up to a limit. Not here: sockets.

use std::io;

use data_encoding::BASE64;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::policy::Remote;

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

/// Asks for a connection, with a name and password if there are any.
///
/// # Errors
/// What the proxy does not do.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    login: Option<(&str, &str)>,
    to: &Remote,
) -> Result<(), Error> {
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
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
    match status.ok_or(Error::Other)? {
        200..300 => Ok(()),
        status => Err(Error::Status(status)),
    }
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
}
