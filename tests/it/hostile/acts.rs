//! What hostile peers do, one act each (limits and threats: peers). An act gets a connection
//! and drives it until the driver closes it; what it must not achieve is checked elsewhere.

use std::io::{self, Write};
use std::time::Duration;

use super::peer::{Asked, Connection};
use crate::mock_peer::{BITS_ALL, message, piece_message};

/// Drives one connection.
pub type Act = fn(&mut Connection) -> io::Result<()>;

const SECOND: Duration = Duration::from_secs(1);
/// Ids and body lengths that no message of a fixed length has.
const WRONG_LENGTHS: [(u8, usize); 16] = [
    (0, 1),
    (1, 1),
    (2, 1),
    (3, 9),
    (4, 3),
    (4, 5),
    (6, 11),
    (6, 13),
    (7, 7),
    (8, 11),
    (9, 1),
    (13, 3),
    (14, 1),
    (15, 1),
    (16, 11),
    (17, 5),
];

/// Every act with its name.
pub const ACTS: &[(&str, Act)] = &[
    ("speaks another protocol", |it| {
        it.greeted()?;
        it.send(&b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".repeat(3))?;
        it.idle()
    }),
    ("answers for another torrent", |it| {
        it.hello_as(BITS_ALL, [9; 20], it.peer_id())?;
        it.idle()
    }),
    ("answers with our own peer id", |it| {
        let theirs = it.greeted()?;
        it.send(&theirs)?;
        it.idle()
    }),
    ("shares its peer id with others", |it| {
        it.hello_as(BITS_ALL, it.payload.info_hash(), *b"-EV0001-the-same-one")?;
        it.send(&[message(14, &[]), message(1, &[])].concat())?;
        it.idle()
    }),
    ("stops inside the handshake", |it| {
        it.greeted()?;
        it.send(b"\x13BitTorrent protocol\0\0")?;
        it.idle()
    }),
    ("drips its handshake", |it| {
        it.greeted()?;
        it.drip(b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0", SECOND / 2)
    }),
    ("announces a message of 4 GiB", |it| {
        it.open()?;
        it.send(&[0xFF; 4])?;
        it.flood(&[0; 1024])
    }),
    ("announces a message of 1 MiB", |it| {
        it.open()?;
        it.send(&[0, 0x10, 0, 1, 7])?;
        it.flood(&[0; 1024])
    }),
    ("sends fixed-length messages of another length", |it| {
        it.open()?;
        let (id, len) = WRONG_LENGTHS[(it.index + it.visit * 4) % WRONG_LENGTHS.len()];
        it.send(&message(id, &vec![0; len]))?;
        it.idle()
    }),
    ("cuts every kind of message short", |it| {
        it.open()?;
        let (id, len) = WRONG_LENGTHS[(it.index * 4 + it.visit) % WRONG_LENGTHS.len()];
        let whole = message(id, &vec![0; len]);
        it.send(&whole[..whole.len() - 1])?;
        it.idle()
    }),
    ("sends messages of unknown kinds", |it| {
        it.open()?;
        for id in 21..=255 {
            it.send(&message(id, &vec![id; usize::from(id) * 300]))?;
        }
        it.idle()
    }),
    ("sends a bit field of another length", |it| {
        it.hello()?;
        let len = [0, 1, it.bits().len() - 1, it.bits().len() + 1][it.index % 4];
        it.send(&message(5, &vec![0xFF; len]))?;
        it.idle()
    }),
    ("sets spare bits", |it| {
        it.hello()?;
        it.send(&message(5, &vec![0xFF; it.bits().len()]))?;
        it.send(&message(1, &[]))?;
        it.serve(honest)
    }),
    ("sends bit fields for ever", |it| {
        it.open()?;
        let twins = [message(5, &it.bits()), message(5, &vec![0; it.bits().len()])];
        it.flood(&twins.concat())
    }),
    ("has everything, then nothing, for ever", |it| {
        it.open()?;
        it.flood(&[message(15, &[]), message(14, &[])].concat())
    }),
    ("has a piece that does not exist", |it| {
        it.open()?;
        it.send(&message(4, &u32::MAX.to_be_bytes()))?;
        it.idle()
    }),
    ("has the same piece for ever", |it| {
        it.hello()?;
        it.flood(&message(4, &[0; 4]))
    }),
    ("sends keep-alives for ever", |it| {
        it.open()?;
        it.flood(&[0; 4])
    }),
    ("chokes and unchokes for ever", |it| {
        it.open()?;
        it.flood(&[message(0, &[]), message(1, &[])].concat())
    }),
    ("is interested and not for ever", |it| {
        it.open()?;
        it.flood(&[message(2, &[]), message(3, &[])].concat())
    }),
    ("asks for ever while choked", |it| {
        it.open()?;
        it.flood(&message(6, &words([0, 0, 16_384])))
    }),
    ("cancels for ever", |it| {
        it.open()?;
        it.flood(&message(8, &words([0, 0, 16_384])))
    }),
    ("asks outside the piece", |it| {
        it.open()?;
        let outside = [[0, 65_536, 1], [0, u32::MAX, u32::MAX], [48, 0, 1], [u32::MAX, 0, 1]];
        it.send(&message(6, &words(outside[it.index % 4])))?;
        it.idle()
    }),
    ("asks for nothing", |it| {
        it.open()?;
        it.send(&message(6, &words([0, 0, 0])))?;
        it.idle()
    }),
    ("asks for a whole piece at once", |it| {
        it.open()?;
        it.flood(&message(6, &words([0, 0, 65_536])))
    }),
    ("asks and never reads", |it| {
        it.open()?;
        for piece in 0..40 {
            it.send(&message(2, &[]))?;
            it.send(&message(6, &words([piece, 0, 16_384])).repeat(100))?;
            std::thread::sleep(SECOND / 10);
        }
        std::thread::sleep(SECOND * 5);
        it.idle()
    }),
    ("sends wrong blocks that nobody asked for", |it| {
        it.open()?;
        for piece in 0..40 {
            it.send(&piece_message(piece, 0, &[7; 16_384]))?;
        }
        it.flood(&piece_message(1, 16_384, &[7; 16_384]))
    }),
    ("sends blocks at odd offsets", |it| {
        it.open()?;
        it.serve(|it, [piece, begin, len]| {
            it.send(&piece_message(piece, begin + 1, &vec![7; len as usize]))
        })
    }),
    ("sends blocks of pieces that do not exist", |it| {
        it.open()?;
        it.serve(|it, [_, begin, len]| {
            it.send(&piece_message(u32::MAX, begin, &vec![7; len as usize]))
        })
    }),
    ("sends blocks at offsets past the piece", |it| {
        it.open()?;
        it.serve(|it, [piece, _, len]| {
            it.send(&piece_message(piece, u32::MAX - 1, &vec![7; len as usize]))
        })
    }),
    ("sends a byte less than asked", |it| {
        it.open()?;
        it.serve(|it, asked| {
            let data = it.block(asked);
            it.send(&piece_message(asked[0], asked[1], &data[1..]))
        })
    }),
    ("sends empty blocks", |it| {
        it.open()?;
        it.serve(|it, [piece, begin, _]| it.send(&piece_message(piece, begin, &[])))
    }),
    ("sends every block twice", |it| {
        it.open()?;
        it.serve(|it, asked| {
            honest(it, asked)?;
            honest(it, asked)
        })
    }),
    ("corrupts all blocks", |it| {
        it.open()?;
        it.serve(corrupt)
    }),
    ("corrupts some blocks", |it| {
        it.open()?;
        let mut count = 0;
        it.serve(|it, asked| {
            count += 1;
            if count % 5 == 0 { corrupt(it, asked) } else { honest(it, asked) }
        })
    }),
    ("corrupts all blocks without extensions", |it| {
        it.open_plain()?;
        it.serve(corrupt)
    }),
    ("claims all and serves nothing", |it| {
        it.open()?;
        it.idle()
    }),
    ("never unchokes", |it| {
        it.hello()?;
        it.send(&message(14, &[]))?;
        it.idle()
    }),
    ("stalls inside a block", |it| {
        it.open()?;
        it.serve(|it, asked| {
            let whole = piece_message(asked[0], asked[1], &it.block(asked));
            it.send(&whole[..whole.len() / 2])?;
            it.idle()
        })
    }),
    ("drips a block", |it| {
        it.open()?;
        it.serve(|it, asked| {
            let whole = piece_message(asked[0], asked[1], &it.block(asked));
            it.drip(&whole, SECOND)
        })
    }),
    ("rejects everything", |it| {
        it.open()?;
        it.serve(|it, asked| it.send(&message(16, &words(asked))))
    }),
    ("rejects what nobody asked", |it| {
        it.open()?;
        it.flood(&message(16, &words([1, 0, 16_384])))
    }),
    ("rejects what does not exist", |it| {
        it.open()?;
        it.flood(&message(16, &words([u32::MAX, 1, 2])))
    }),
    ("allows fast for ever", |it| {
        it.hello()?;
        it.flood(&message(17, &[0, 0, 0, 3]))
    }),
    ("suggests for ever", |it| {
        it.open()?;
        it.flood(&message(13, &[0, 0, 0, 3]))
    }),
    ("suggests what does not exist", |it| {
        it.open()?;
        it.send(&message([13, 17][it.index % 2], &u32::MAX.to_be_bytes()))?;
        it.idle()
    }),
    ("sends fast messages without the bit", |it| {
        it.open_plain()?;
        let sent = [(13, 4), (14, 0), (15, 0), (16, 12), (17, 4)];
        let (id, len) = sent[(it.index + it.visit) % sent.len()];
        it.send(&message(id, &vec![0; len]))?;
        it.idle()
    }),
    ("nests its extension handshake deeply", |it| {
        it.open()?;
        let nested = [b"d1:m".as_slice(), &b"l".repeat(100_000), &b"e".repeat(100_001)].concat();
        it.send(&extended(&nested))?;
        it.serve(honest)
    }),
    ("sends a huge extension handshake", |it| {
        it.open()?;
        let name = [b"d1:v200000:".as_slice(), &[b'x'; 200_000], b"e"].concat();
        it.send(&extended(&name))?;
        let empty = [b"d1:md".as_slice(), &b"0:i1e".repeat(40_000), b"ee"].concat();
        it.send(&extended(&empty))?;
        it.serve(honest)
    }),
    ("sends garbage as extension handshake", |it| {
        it.open()?;
        it.send(&extended(b"\xFF\0garbage"))?;
        it.send(&extended(b""))?;
        it.send(&extended(b"d1:v99999999999999999999:x"))?;
        it.serve(honest)
    }),
    ("repeats its extension handshake", |it| {
        it.open()?;
        it.send(&extended(b"d1:md6:ut_pexi1ee4:reqqi9ee").repeat(1000))?;
        it.idle()
    }),
    ("has a negative or tiny queue", |it| {
        it.hello()?;
        let queue = ["-1", "0", "1", "99999999999999999999"][it.index % 4];
        it.send(&extended(format!("d4:reqqi{queue}ee").as_bytes()))?;
        it.send(&[message(14, &[]), message(1, &[])].concat())?;
        it.serve(honest)
    }),
    ("says wrong types in its extension handshake", |it| {
        it.open()?;
        let odd = b"d1:mi1e1:pi-99999e4:reqq1:x1:vle6:yourip3:abc13:metadata_sizei-1ee";
        it.send(&extended(odd))?;
        it.send(&extended(b"i1e"))?;
        it.serve(honest)
    }),
    ("sends extension messages we never named", |it| {
        it.open()?;
        let sent = [&[3_u8][..], b"d8:msg_typei0e5:piecei-1ee"].concat();
        it.flood(&message(20, &sent))
    }),
    ("sends odd port messages", |it| {
        it.open()?;
        it.send(&[message(9, &[0, 0]), message(9, &[255, 255])].concat())?;
        it.flood(&message(9, &[0, 1]))
    }),
    ("connects and disconnects in a loop", |it| {
        it.greeted()?;
        Ok(())
    }),
    ("leaves after its handshake", |it| it.open()),
    ("leaves after the first request", |it| {
        it.open()?;
        it.serve(|_, _| Err(io::Error::other("gone")))
    }),
    ("resets at an odd byte", |it| {
        it.open()?;
        let mut left = 1 + (it.index * 7919 + it.visit * 104_729) % 100_000;
        it.serve(|it, asked| {
            let whole = piece_message(asked[0], asked[1], &it.block(asked));
            it.stream.write_all(&whole[..whole.len().min(left)])?;
            left = left.saturating_sub(whole.len());
            if left == 0 { Err(io::Error::other("reset")) } else { Ok(()) }
        })
    }),
];

fn words(words: Asked) -> Vec<u8> {
    words.map(u32::to_be_bytes).concat()
}

fn extended(payload: &[u8]) -> Vec<u8> {
    message(20, &[&[0], payload].concat())
}

fn honest(it: &mut Connection, asked: Asked) -> io::Result<()> {
    let data = it.block(asked);
    it.send(&piece_message(asked[0], asked[1], &data))
}

fn corrupt(it: &mut Connection, asked: Asked) -> io::Result<()> {
    let data: Vec<u8> = it.block(asked).iter().map(|byte| !byte).collect();
    it.send(&piece_message(asked[0], asked[1], &data))
}
