//! Strangers that open with an encrypted handshake: what they say first may be all of their hello,
//! a part, or nothing; and when they are left.

use tokio::sync::oneshot;

use super::*;
use crate::net::budget::Budget;
use crate::wire::mse::{
    self, Ciphers, KEY_LEN, Machine, Method, Outcome, PrivateKey, Step, torrent_key,
};

const FROM: &str = "198.51.100.7:5000";

/// Who answers the questions of a door: whether a handshake may begin, and that it knows `HASH`.
fn door(secrecy: Secrecy, may_begin: bool) -> Door {
    let (asking, mut questions) = mpsc::channel(4);
    let from: SocketAddr = FROM.parse().unwrap();
    tokio::spawn(async move {
        while let Some((asked_from, question)) = questions.recv().await {
            assert_eq!(asked_from, from);
            // Whoever asked may have given up.
            let _ = match question {
                Question::Begin(answer) => answer.send(may_begin).map_err(drop),
                Question::Find(key, answer) => {
                    answer.send((key == torrent_key(HASH)).then_some(HASH)).map_err(drop)
                }
            };
        }
    });
    Door::new(secrecy, from, asking)
}

/// Runs a stranger's side up to the end of the encrypted handshake.
async fn open(
    peer: &mut DuplexStream,
    policy: Encryption,
    initial: &[u8],
) -> Option<(Method, Option<Box<Ciphers>>)> {
    let key = PrivateKey::new([3; 20]);
    let (public, initial) = (key.public(), initial.to_vec());
    let mut machine = Machine::initiate(policy, &public, &[1; 77], HASH, initial);
    loop {
        peer.write_all(&machine.take_output()).await.ok()?;
        match machine.step() {
            Step::Hear(count) => {
                let mut bytes = vec![0; count.min(KEY_LEN)];
                let len = peer.read(&mut bytes).await.ok().filter(|len| *len > 0)?;
                machine.hear(&bytes[..len]).ok()?;
            }
            Step::Agree(theirs) => machine.agreed(key.agree(&theirs)).ok()?,
            Step::Find(_) => unreachable!("who opens knows its torrent"),
            Step::Done => match machine.outcome()? {
                Outcome::Agreed { method, ciphers, .. } => return Some((method, ciphers)),
                Outcome::Plain => return None,
            },
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hello_is_heard_however_much_of_it_comes_within_the_handshake() {
    let any = Secrecy::new(Encryption::Prefer);
    for (policy, method) in
        [(Encryption::Prefer, Method::Plaintext), (Encryption::Require, Method::Rc4)]
    {
        for len in [0, 1, 20, 47, 48, 60, 68] {
            let (mut peer, ours) = tokio::io::duplex(4096);
            let (answered, answer) = oneshot::channel();
            tokio::spawn(async move {
                let (method, mut ciphers) =
                    open(&mut peer, policy, &HELLO_ALL[..len]).await.unwrap();
                let mut rest = HELLO_ALL[len..].to_vec();
                if let Some(ciphers) = &mut ciphers {
                    ciphers.outgoing.apply(&mut rest);
                }
                peer.write_all(&rest).await.unwrap();
                let mut bytes = [0; 68];
                peer.read_exact(&mut bytes).await.unwrap();
                if let Some(ciphers) = &mut ciphers {
                    ciphers.incoming.apply(&mut bytes);
                }
                let _ = answered.send((method, bytes, peer));
            });
            let door = door(any.clone(), true);
            let heard = read_hello(ours.into(), Duration::from_secs(10), &door);
            let (hello, stream) = heard.await.unwrap();
            assert_eq!((hello.info_hash, hello.mse), (HASH, Some(method)), "{len} bytes");
            let (reports, mut news) = mpsc::channel(8);
            let address = FROM.parse().unwrap();
            let config = Arc::new(config(32));
            let _handle = accept(config, LinkId(1), address, stream, hello, reports);
            let (theirs, bytes, _peer) = answer.await.unwrap();
            assert_eq!((theirs, &bytes), (method, OURS), "{len} bytes");
            let LinkNews::Up { peer_id, caps, .. } = news.recv().await.unwrap().news else {
                panic!("not up");
            };
            assert_eq!((&peer_id.0[..], caps.mse), (&HELLO_ALL[48..], Some(method)));
        }
    }
}

/// How a stranger fares at this door, and how many bytes it was told.
async fn fate(door: &Door) -> (Error, usize) {
    let (mut peer, ours) = tokio::io::duplex(4096);
    let told = tokio::spawn(async move {
        let key = PrivateKey::new([3; 20]).public();
        peer.write_all(&[&key.0[..], &[0; 600]].concat()).await.unwrap();
        let mut told = Vec::new();
        peer.read_to_end(&mut told).await.unwrap();
        told.len()
    });
    let heard = read_hello(ours.into(), Duration::from_secs(10), door).await;
    (heard.unwrap_err(), told.await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn strangers_beyond_what_may_be_spent_are_left_before_it_is() {
    let secrecy = Secrecy::new(Encryption::Prefer);
    let (error, told) = fate(&door(secrecy.clone(), false)).await;
    assert!(matches!(error, Error::Busy) && told == 0, "{error:?}, {told} bytes");
    let dear = Secrecy { budget: Arc::new(Budget::per_second(1)), ..secrecy };
    let door = door(dear, true);
    let (error, told) = fate(&door).await;
    assert!(matches!(error, Error::Mse(mse::Error::Pad)), "{error:?}");
    assert!((KEY_LEN..=KEY_LEN + 512).contains(&told));
    let (error, told) = fate(&door).await;
    // Who has heard a key does not try to come plainly.
    assert!(matches!(error, Error::Busy) && told == 0, "no turn was left: {error:?}, {told} bytes");
    sleep(Duration::from_secs(1)).await;
    let (error, _) = fate(&door).await;
    assert!(matches!(error, Error::Mse(mse::Error::Pad)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn by_a_policy_that_requires_it_plain_hellos_are_left() {
    let (mut peer, ours) = tokio::io::duplex(4096);
    peer.write_all(HELLO_ALL).await.unwrap();
    let door = door(Secrecy::new(Encryption::Require), true);
    let error = read_hello(ours.into(), Duration::from_secs(10), &door).await.unwrap_err();
    assert!(matches!(error, Error::Mse(mse::Error::Plain)), "{error:?}");
}

#[tokio::test]
async fn who_hangs_up_where_one_way_alone_is_tried_may_take_the_other() {
    for (policy, guess) in [
        (Encryption::Off, "; it may require encryption, which is off here"),
        (Encryption::Require, "; it may not know encryption, which is required here"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut peer, _) = listener.accept().await.unwrap();
            // All of it, or the end would be a reset.
            let mut first = [0; 68];
            peer.read_exact(&mut first).await.unwrap();
        });
        let config = Arc::new(LinkConfig { secrecy: Secrecy::new(policy), ..config(32) });
        let (reports, mut news) = mpsc::channel(8);
        let _handle = dial(config, LinkId(1), address, mse::Ways::default(), reports);
        let LinkNews::Down(DownReason::HandshakeFailed(why)) = news.recv().await.unwrap().news
        else {
            panic!("not down");
        };
        assert!(why.starts_with("it ") && why.ends_with(guess), "{why}");
    }
}

/// What comes of a dial to a peer of two connections: how it fares with the first one, whether it
/// takes a plain handshake on the second, and how long that took.
async fn dialled(
    is_first_closed: bool,
    answers: bool,
    timeouts: LinkTimeouts,
) -> (LinkNews, Duration) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        let mut key = [0; KEY_LEN + 512];
        let _ = first.read(&mut key).await.unwrap();
        let _kept = (!is_first_closed).then_some(first);
        let (mut second, _) = listener.accept().await.unwrap();
        second.read_exact(&mut [0; 68]).await.unwrap();
        if answers {
            second.write_all(HELLO_ALL).await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    let secrecy = Secrecy::new(Encryption::Prefer);
    let config = Arc::new(LinkConfig { secrecy, timeouts, ..config(32) });
    let begin = tokio::time::Instant::now();
    let (reports, mut news) = mpsc::channel(8);
    let _handle = dial(config, LinkId(1), address, mse::Ways::default(), reports);
    (news.recv().await.unwrap().news, begin.elapsed())
}

/// A handshake that gets no answer may have been lost; whoever hangs up at it does not want it.
#[tokio::test(start_paused = true)]
async fn that_encryption_is_not_taken_is_known_by_an_end_and_not_by_silence() {
    for is_closed in [true, false] {
        let (news, _) = dialled(is_closed, true, LinkTimeouts::default()).await;
        let LinkNews::Up { caps, .. } = news else { panic!("not up") };
        assert_eq!((caps.mse, caps.is_way_unsure), (None, !is_closed));
    }
}

#[tokio::test(start_paused = true)]
async fn both_ways_together_take_no_longer_than_a_connection_and_a_handshake() {
    // The first way is waited for five seconds, and the second one would be for six.
    let (connect, handshake) = (Duration::from_secs(1), Duration::from_secs(6));
    let timeouts = LinkTimeouts { connect, handshake, ..LinkTimeouts::default() };
    let (news, took) = dialled(false, false, timeouts).await;
    assert!(matches!(news, LinkNews::Down(DownReason::HandshakeFailed(_))));
    assert!(took <= connect + handshake, "{took:?}");
}
