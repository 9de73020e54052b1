//! BEP 44: its vectors, and what is kept of whom.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::*;

const KEY: &str = "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548";
const HELLO: &[u8] = b"12:Hello World!";

fn hex<const LEN: usize>(text: &str) -> [u8; LEN] {
    HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
}

fn start() -> (Items, Instant) {
    let now = Instant::now();
    (Items::new(NodeId([0; 20]), now), now)
}

fn host(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    [9, 9, high, low].into()
}

/// A signed item of a key made of a seed.
fn signed(seed: u8, salt: &[u8], seq: i64, value: &[u8]) -> Item {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let signature = pair.sign(&text_to_sign(salt, seq, value));
    let signed = Signed {
        key: pair.public_key().as_ref().try_into().unwrap(),
        salt: salt.to_vec(),
        seq,
        signature: signature.as_ref().try_into().unwrap(),
    };
    Item { value: value.to_vec(), signed: Some(signed) }
}

fn plain(value: &[u8]) -> Item {
    Item { value: value.to_vec(), signed: None }
}

/// BEP 44, "Test Vectors".
#[test]
fn the_vectors_of_bep_44() {
    let first = "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff\
        1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01";
    let second = "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17d\
        df9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08";
    assert_eq!(text_to_sign(b"", 1, HELLO), b"3:seqi1e1:v12:Hello World!");
    assert_eq!(text_to_sign(b"foobar", 1, HELLO), b"4:salt6:foobar3:seqi1e1:v12:Hello World!");
    for (salt, target, signature) in [
        (&b""[..], "4a533d47ec9c7d95b1ad75f576cffc641853b750", first),
        (b"foobar", "411eba73b6f087ca51a3795d9c8c938d365e32c1", second),
    ] {
        let signed =
            Signed { key: hex(KEY), salt: salt.to_vec(), seq: 1, signature: hex(signature) };
        let item = Item { value: HELLO.to_vec(), signed: Some(signed) };
        let target = NodeId(hex(target));
        assert_eq!(item.target(), target);
        assert!(item.view().is_signed_well());
        assert_eq!(Item::checked(&item.view(), &target, salt), Some(item.clone()));
        assert_eq!(Item::checked(&item.view(), &target, b"other"), None);
        assert_eq!(Item::checked(&item.view(), &NodeId([1; 20]), salt), None);
        for change in 0..3 {
            let mut item = item.clone();
            let signed = item.signed.as_mut().unwrap();
            match change {
                0 => signed.seq = 2,
                1 => signed.signature[5] ^= 1,
                _ => item.value[4] ^= 1,
            }
            assert!(!item.view().is_signed_well());
            assert_eq!(Item::checked(&item.view(), &target, salt), None);
        }
    }
    let immutable = plain(HELLO);
    let target = NodeId(hex("e5f96f6f38320f0f33959cb4d3d656452117aadb"));
    assert_eq!(immutable.target(), target);
    assert_eq!(Item::checked(&immutable.view(), &target, b""), Some(immutable));
}

#[test]
fn what_is_put_is_found() {
    let (mut items, now) = start();
    let immutable = plain(b"li1e2:xxe");
    items.put(&immutable.view(), None, host(1), now).unwrap();
    assert_eq!(items.find(&immutable.target()), Some(immutable.view()));
    let mutable = signed(1, b"salt", 4, HELLO);
    items.put(&mutable.view(), None, host(2), now).unwrap();
    let found = items.find(&mutable.target()).unwrap();
    assert_eq!(Item::checked(&found, &mutable.target(), b"salt"), Some(mutable));
    assert_eq!(items.find(&NodeId([3; 20])), None);
    assert_eq!(items.count(), 2);
}

#[test]
fn the_cheap_checks_come_first_with_their_codes() {
    let (mut items, now) = start();
    let mut refuse = |item: &Item, expected: i64| {
        let unkept = items.put(&item.view(), None, host(1), now).unwrap_err();
        assert_eq!(unkept.code(), expected, "{unkept:?}");
        assert_eq!(items.count(), 0);
    };
    let long = |len: usize| format!("{len}:{}", "x".repeat(len)).into_bytes();
    assert_eq!(long(996).len(), 1_000);
    refuse(&plain(&long(997)), 205);
    refuse(&signed(1, &[7; 65], 1, HELLO), 207);
    refuse(&signed(1, b"", -1, HELLO), 302);
    for bad in [
        "d1:bi1e1:ai1ee",
        "d1:ai1e1:ai1ee",
        "i01e",
        "i-0e",
        "01:x",
        "1:xx",
        "x",
        "",
        "ld1:bi1e1:ai1eee",
    ] {
        refuse(&plain(bad.as_bytes()), 203);
    }
    let mut forged = signed(1, b"", 1, HELLO);
    forged.signed.as_mut().unwrap().signature[0] ^= 1;
    refuse(&forged, 206);
    // What is just allowed.
    assert_eq!(items.put(&plain(&long(996)).view(), None, host(2), now), Ok(()));
    assert_eq!(items.put(&signed(1, &[7; 64], 0, HELLO).view(), None, host(3), now), Ok(()));
}

#[test]
fn a_later_one_replaces_and_an_earlier_one_does_not() {
    let (mut items, now) = start();
    let mut n = 0;
    let mut put = |item: &Item, cas| {
        n += 1;
        items.put(&item.view(), cas, host(n), now).map_err(Unkept::code)
    };
    let five = signed(1, b"", 5, b"1:a");
    assert_eq!(put(&five, Some(3)), Ok(()), "cas is ignored where nothing is");
    assert_eq!(put(&signed(1, b"", 4, b"1:b"), None), Err(302));
    assert_eq!(put(&signed(1, b"", 5, b"1:b"), None), Err(302), "the same number");
    assert_eq!(put(&five, None), Ok(()), "the same item");
    assert_eq!(put(&signed(1, b"", 6, b"1:b"), Some(4)), Err(301));
    assert_eq!(put(&signed(1, b"", 4, b"1:b"), Some(4)), Err(301));
    assert_eq!(put(&signed(1, b"", 6, b"1:b"), Some(5)), Ok(()));
    // A forged one of a higher number replaces nothing.
    let mut forged = signed(2, b"", 9, b"1:c");
    forged.signed.as_mut().unwrap().key = five.signed.as_ref().unwrap().key;
    assert_eq!(put(&forged, None), Err(206));
    let found = items.find(&five.target()).unwrap();
    assert_eq!((found.value, found.signed.unwrap().seq), (&b"1:b"[..], 6));
}

#[test]
fn an_item_is_kept_for_two_hours_and_as_long_again_when_it_is_put_again() {
    let (mut items, start) = start();
    let item = signed(1, b"", 1, HELLO);
    let minute = Duration::from_secs(60);
    items.put(&item.view(), None, host(1), start).unwrap();
    items.sweep(start + 119 * minute);
    assert_eq!(items.count(), 1);
    items.put(&item.view(), None, host(1), start + 119 * minute).unwrap();
    items.sweep(start + 238 * minute);
    assert_eq!(items.count(), 1);
    items.sweep(start + 240 * minute);
    assert_eq!(items.count(), 0);
}

#[test]
fn a_host_puts_once_a_second_and_all_together_make_fifty_signatures() {
    let (mut items, now) = start();
    let item = |n: i64| plain(format!("i{n}e").as_bytes());
    let put = (0..100).filter(|n| items.put(&item(*n).view(), None, host(1), now).is_ok());
    assert_eq!(put.count(), 1);
    let second = Duration::from_secs(1);
    assert_eq!(items.put(&item(200).view(), None, host(1), now + second), Ok(()));
    let home: IpAddr = [127, 0, 0, 1].into();
    assert_eq!(items.put(&item(201).view(), None, home, now), Ok(()));
    assert_eq!(items.put(&item(202).view(), None, home, now), Ok(()), "a net of tests");
    // Forged ones, from everywhere.
    let mut forged = signed(1, b"", 1, HELLO);
    forged.signed.as_mut().unwrap().signature[0] ^= 1;
    let mut checked = 0;
    for n in 0..1_000_u16 {
        let now = now + second * 2 + Duration::from_millis(n.into());
        let unkept = items.put(&forged.view(), None, host(1_000 + n), now).unwrap_err();
        checked += usize::from(unkept == Unkept::BadSignature);
    }
    assert!((90..=100).contains(&checked), "{checked} in the first second");
}

#[test]
fn the_far_and_old_leave_for_the_near() {
    let (mut items, now) = start();
    // A loopback address has no limit, and no signature is needed.
    let home: IpAddr = [127, 0, 0, 1].into();
    let second = Duration::from_secs(1);
    for n in 0..3_000_i64 {
        let item = plain(format!("i{n}e").as_bytes());
        let _ = items.put(&item.view(), None, home, now + second * (n as u32));
        assert!(items.count() <= 700);
    }
    let own = NodeId([0; 20]);
    let kept: Vec<usize> = (0..3_000_i64)
        .map(|n| plain(format!("i{n}e").as_bytes()).target())
        .filter(|target| items.find(target).is_some())
        .map(|target| own.common_bits(&target))
        .collect();
    assert_eq!(kept.len(), 700);
    assert!(kept.iter().filter(|bits| **bits == 0).count() == 0, "half of the space is too far");
    assert!(!items.has_room(&NodeId([0xff; 20])) && items.has_room(&own));
}
