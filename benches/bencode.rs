//! How fast torrents are read: the guard alone, and a whole torrent of 100,000 files and
//! 25 MB, which has to take less than 2 s.

use divan::Bencher;
use divan::counter::BytesCount;
use pigeon::bencode;
use pigeon::metainfo::Torrent;

const FILES: usize = 100_000;
const PIECE_LEN: usize = 16_384;
/// Bytes of each file, so that the piece hashes make the torrent 25 MB long.
const FILE_LEN: usize = 150_000;

fn main() {
    divan::main();
}

/// A v1 torrent of 100,000 files in 1,000 directories.
fn torrent() -> Vec<u8> {
    let mut bytes = b"d8:announce17:http://t/announce4:infod5:filesl".to_vec();
    for file in 0..FILES {
        let (directory, name) = (format!("directory {}", file / 100), format!("{file}.data"));
        bytes.extend(
            format!(
                "d6:lengthi{FILE_LEN}e4:pathl{}:{directory}{}:{name}ee",
                directory.len(),
                name.len()
            )
            .bytes(),
        );
    }
    let pieces = (FILES * FILE_LEN).div_ceil(PIECE_LEN);
    bytes.extend(
        format!("e4:name5:bench12:piece lengthi{PIECE_LEN}e6:pieces{}:", pieces * 20).bytes(),
    );
    bytes.extend((0..pieces * 20).map(|at| (at % 251) as u8));
    bytes.extend(b"ee");
    bytes
}

#[divan::bench]
fn guard(bencher: Bencher) {
    let bytes = torrent();
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench(|| bencode::scan(divan::black_box(&bytes), bencode::TORRENT).map(|scan| scan.len));
}

#[divan::bench(sample_count = 20)]
fn parse(bencher: Bencher) {
    let bytes = torrent();
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench(|| Torrent::parse(divan::black_box(&bytes)));
}
