//! What is said to a proxy byte by byte, as RFC 1928 and 1929 have it, and proxies that lie.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::*;

/// What a proxy says that does as it is asked.
static WHOLE: [u8; 12] = [5, 0, 5, 0, 0, 1, 192, 0, 2, 9, 0x1b, 0x39];

fn there() -> Remote {
    Remote::Name { host: "tracker.example".to_owned(), port: 6969 }
}

/// What came of it, and all that was said, when the proxy says `answers`, whoever asks.
async fn said(
    answers: &[u8],
    login: Option<(&str, &str)>,
    command: Command,
    to: &Remote,
) -> (Result<Option<SocketAddr>, Error>, Vec<u8>) {
    let (mut ours, mut proxy) = duplex(1024);
    proxy.write_all(answers).await.unwrap();
    let (mut theirs, mut writes) = tokio::io::split(proxy);
    let came = async {
        greet(&mut ours, login).await?;
        ask(&mut ours, command, to).await
    };
    let came = tokio::select! {
        came = came => came,
        // Nothing more is said.
        () = async { writes.shutdown().await.unwrap(); std::future::pending().await } => {
            unreachable!("never over")
        }
    };
    drop(ours);
    let mut heard = Vec::new();
    theirs.read_to_end(&mut heard).await.unwrap();
    (came, heard)
}

#[tokio::test]
async fn a_name_is_passed_on_as_a_name() {
    let (came, heard) = said(&WHOLE, None, Command::Connect, &there()).await;
    assert_eq!(came.unwrap(), "192.0.2.9:6969".parse().ok());
    let request = [&[5, 1, 0, 5, 1, 0, 3, 15][..], b"tracker.example", &[0x1b, 0x39]].concat();
    assert_eq!(heard, request);
}

#[tokio::test]
async fn addresses_of_both_families_are_passed_on() {
    let answers = [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let four: SocketAddr = "198.51.100.7:80".parse().unwrap();
    let (came, heard) = said(&answers, None, Command::Connect, &four.into()).await;
    assert_eq!(came.unwrap(), None, "0.0.0.0 is the proxy's own address");
    assert_eq!(heard[3..], [5, 1, 0, 1, 198, 51, 100, 7, 0, 80]);
    let six: SocketAddr = "[2001:db8::7]:80".parse().unwrap();
    let (_, heard) = said(&answers, None, Command::Associate, &six.into()).await;
    let mut request = vec![5, 3, 0, 4, 0x20, 1, 0x0d, 0xb8];
    request.extend([0; 11]);
    request.extend([7, 0, 80]);
    assert_eq!(heard[3..], request);
}

#[tokio::test]
async fn a_name_and_password_are_shown_to_who_asks() {
    let login = Some(("me", "secret"));
    let answers = [&[5, 2, 1, 0, 5, 0, 0, 4][..], &[0; 18]].concat();
    let (came, heard) = said(&answers, login, Command::Connect, &there()).await;
    assert!(came.is_ok());
    assert_eq!(heard[..4], [5, 2, 0, 2]);
    assert_eq!(heard[4..15], *b"\x01\x02me\x06secret");
    let (came, _) = said(&[5, 2, 1, 1], login, Command::Connect, &there()).await;
    assert!(matches!(came, Err(Error::Refused)));
    let (came, _) = said(&[5, 2], None, Command::Connect, &there()).await;
    assert!(matches!(came, Err(Error::Login)), "nobody told us any");
    let (came, _) = said(&[5, 0xff], login, Command::Connect, &there()).await;
    assert!(matches!(came, Err(Error::Login)));
}

#[tokio::test]
async fn a_relay_may_name_its_port_alone() {
    for kind in [&[1, 0, 0, 0, 0][..], &[3, 0], &[3, 3, b'a', b'.', b'b']] {
        let answers = [&[5, 0, 5, 0, 0][..], kind, &[0x10, 0]].concat();
        let (came, _) = said(&answers, None, Command::Associate, &there()).await;
        let address = came.unwrap().unwrap();
        assert!(address.ip().is_unspecified() && address.port() == 4096, "{kind:?}");
    }
}

#[tokio::test]
async fn who_is_no_proxy_or_breaks_off_is_told_apart() {
    let to = there();
    let came = |answers: &'static [u8]| {
        let to = to.clone();
        async move { said(answers, None, Command::Connect, &to).await.0 }
    };
    assert!(matches!(came(b"HTTP/1.1 400 Bad Request").await, Err(Error::Version(b'H'))));
    assert!(matches!(came(&[5, 0, 4, 0, 0, 1]).await, Err(Error::Version(4))));
    assert!(matches!(came(&[5, 0, 5, 0, 0, 9]).await, Err(Error::Kind(9))));
    assert!(matches!(came(&[5, 0, 5, 7, 0, 1]).await, Err(Error::Reply("it does not do that"))));
    for end in [0, 1, 2, 4, 7, 11] {
        assert!(matches!(came(&WHOLE[..end]).await, Err(Error::Lost(_))), "{end}");
    }
    let long = Remote::Name { host: "a".repeat(256), port: 1 };
    let (came, heard) = said(&[5, 0], None, Command::Connect, &long).await;
    assert!(matches!(came, Err(Error::Name(256))));
    assert_eq!(heard, [5, 1, 0], "it is greeted, and asked for nothing");
}

#[test]
fn datagrams_are_wrapped_and_what_is_none_is_dropped() {
    let four: SocketAddr = "198.51.100.7:6881".parse().unwrap();
    let six: SocketAddr = "[2001:db8::7]:6881".parse().unwrap();
    assert_eq!(wrap(four, b"d1:"), [0, 0, 0, 1, 198, 51, 100, 7, 0x1a, 0xe1, b'd', b'1', b':']);
    for to in [four, six] {
        let wrapped = wrap(to, b"hello");
        assert_eq!(unwrap(&wrapped), Some((to, &b"hello"[..])));
        for end in 0..wrapped.len() - b"hello".len() {
            assert_eq!(unwrap(&wrapped[..end]), None, "{end}");
        }
    }
    assert_eq!(unwrap(&[0, 0, 1, 1, 198, 51, 100, 7, 0, 1, b'x']), None, "a fragment");
    assert_eq!(unwrap(&[0, 0, 0, 3, 1, b'a', 0, 1, b'x']), None, "a name");
}
