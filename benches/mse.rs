//! What encrypted connections cost: the keystream, keys and secrets, and a whole handshake as a
//! machine, without a socket.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use pigeon::base::ids::InfoHash;
use pigeon::wire::mse::{Encryption, Machine, PrivateKey, Rc4, Step};

const TORRENT: InfoHash = InfoHash([7; 20]);

fn main() {
    divan::main();
}

/// 64 KiB, as links encrypt it.
#[divan::bench]
fn rc4(bencher: Bencher<'_, '_>) {
    let mut turn = vec![0; 64 * 1024];
    let mut cipher = Rc4::of_mse(b"any key");
    bencher.counter(BytesCount::new(turn.len())).bench_local(|| cipher.apply(black_box(&mut turn)));
}

#[divan::bench]
fn rc4_setup() -> Rc4 {
    Rc4::of_mse(black_box(b"twenty bytes of key."))
}

#[divan::bench]
fn public_key(bencher: Bencher<'_, '_>) {
    let key = PrivateKey::new([0xA5; 20]);
    key.public();
    bencher.bench_local(|| black_box(&key).public());
}

#[divan::bench]
fn secret(bencher: Bencher<'_, '_>) {
    let key = PrivateKey::new([0xA5; 20]);
    let theirs = PrivateKey::new([0x5A; 20]).public();
    bencher.bench_local(|| black_box(&key).agree(&theirs));
}

/// What it takes to let one stranger in: a key, a secret, and the bytes both ways.
#[divan::bench]
fn handshake_of_a_responder(bencher: Bencher<'_, '_>) {
    let theirs = PrivateKey::new([0x5A; 20]);
    let ours = PrivateKey::new([0xA5; 20]);
    let mut initiator =
        Machine::initiate(Encryption::Prefer, &theirs.public(), &[1; 256], TORRENT, vec![0; 68]);
    let first = initiator.take_output();
    initiator.hear(&ours.public().0).expect("a key");
    initiator.agreed(theirs.agree(&ours.public())).expect("a sound one");
    let second = initiator.take_output();
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let ours = PrivateKey::new([0xA5; 20]);
        let mut machine = Machine::respond(Encryption::Prefer, &ours.public(), &[2; 256]);
        for mut bytes in [&first[..], &second] {
            loop {
                match machine.step() {
                    Step::Hear(_) if bytes.is_empty() => break,
                    Step::Hear(_) => bytes = &bytes[machine.hear(bytes).expect("sound bytes")..],
                    Step::Agree(theirs) => machine.agreed(ours.agree(&theirs)).expect("a key"),
                    Step::Find(_) => machine.found(Some(TORRENT)).expect("a torrent"),
                    Step::Done => break,
                }
            }
        }
        assert_eq!(machine.step(), Step::Done);
        machine
    });
}
