//! The sample that the demo swarm shares: made from a fixed seed, so that its info hash is
//! the same on every machine. Pieces cross the border of its two files.

use sha1::{Digest as _, Sha1};

/// Name of the torrent, and of the directory it goes into.
pub const NAME: &str = "driver-sample";
/// The files in it.
pub const FILES: [&str; 2] = ["data.bin", "README.txt"];
/// Bytes of a piece.
pub const PIECE_LEN: usize = 256 << 10;
/// So much of the text lies in the last piece but one, when the size is whole pieces.
const OVERLAP: u64 = 1024;

const README: &str = include_str!("sample.txt");

/// The sample's bytes and how they are cut.
pub struct Sample {
    bytes: Vec<u8>,
    data_len: usize,
    hashes: Vec<u8>,
}

impl Sample {
    /// A sample of about `size` bytes.
    pub fn new(size: u64) -> Self {
        let data_len = usize::try_from(size.saturating_sub(OVERLAP).max(1)).unwrap_or(usize::MAX);
        let words = (0..data_len.div_ceil(8) as u64).map(splitmix);
        let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        bytes.truncate(data_len);
        bytes.extend(README.as_bytes());
        let hashes = bytes.chunks(PIECE_LEN).flat_map(Sha1::digest).collect();
        Self { bytes, data_len, hashes }
    }

    /// How many pieces it has.
    pub fn piece_count(&self) -> usize {
        self.hashes.len() / 20
    }

    /// Its files by name, in the torrent's order.
    pub fn files(&self) -> [(&'static str, &[u8]); 2] {
        let (data, text) = self.bytes.split_at(self.data_len);
        let [data_name, text_name] = FILES;
        [(data_name, data), (text_name, text)]
    }

    /// The `.torrent` file, with one tracker.
    pub fn torrent(&self, announce: &str) -> Vec<u8> {
        let mut torrent = format!("d8:announce{}:{announce}4:info", announce.len()).into_bytes();
        torrent.extend(self.info());
        torrent.push(b'e');
        torrent
    }

    fn info(&self) -> Vec<u8> {
        let mut info = b"d5:filesl".to_vec();
        for (name, bytes) in self.files() {
            let file = format!("d6:lengthi{}e4:pathl{}:{name}ee", bytes.len(), name.len());
            info.extend(file.as_bytes());
        }
        let rest = format!(
            "e4:name{}:{NAME}12:piece lengthi{PIECE_LEN}e6:pieces{}:",
            NAME.len(),
            self.hashes.len()
        );
        info.extend(rest.as_bytes());
        info.extend(&self.hashes);
        info.push(b'e');
        info
    }
}

/// Word `number` of an endless, incompressible text (the SplitMix64 generator).
fn splitmix(number: u64) -> u64 {
    let mut word = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metainfo::Torrent;

    #[test]
    fn the_sample_is_the_same_everywhere() {
        let sample = Sample::new(48 << 20);
        assert_eq!(sample.piece_count(), 193);
        let torrent = Torrent::parse(&sample.torrent("http://127.0.0.1:1/announce")).unwrap();
        let hash = torrent.info_hash_v1.unwrap();
        assert_eq!(hash.to_string(), "dedd3a1fb0dfb299245ffe6d4c449254c727befd");
        assert_eq!(torrent.trackers, [["http://127.0.0.1:1/announce"]]);
    }
}
