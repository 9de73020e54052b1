//! Content computed from a seed and an offset, and the .torrent that describes it. The bencode
//! writer is written here once more, by hand, so that our own cannot agree with its bugs
//! (BEP 3).

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

/// Bytes handled at a time; a multiple of the 8 bytes that one step of the generator makes.
const CHUNK: usize = 1 << 20;

/// The files of one torrent, with content that nobody has to store.
pub struct Payload {
    seed: u64,
    name: String,
    piece_len: u32,
    files: Vec<(PathBuf, u64)>,
    /// The bencoded info dictionary.
    info: Vec<u8>,
}

impl Payload {
    /// A multi-file torrent named `name` with pieces of `piece_len` bytes.
    pub fn new(seed: u64, name: &str, piece_len: u32, files: &[(&str, u64)]) -> Self {
        let files = files.iter().map(|(path, len)| (PathBuf::from(path), *len)).collect();
        let mut payload = Self { seed, name: name.to_owned(), piece_len, files, info: Vec::new() };
        payload.info = payload.write_info();
        payload
    }

    /// The same as a private torrent (BEP 27).
    pub fn private(mut self) -> Self {
        // Keys are sorted, and none of ours comes after this one.
        self.info.pop();
        self.info.extend(b"7:privatei1ee");
        self
    }

    /// Bytes of all files together.
    pub fn len(&self) -> u64 {
        self.files.iter().map(|(_, len)| len).sum()
    }

    pub fn piece_len(&self) -> u32 {
        self.piece_len
    }

    pub fn piece_count(&self) -> usize {
        usize::try_from(self.len().div_ceil(u64::from(self.piece_len))).expect("fits")
    }

    /// Its files, each with its path below `/`, as servers have them. Names that need no care.
    pub fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let mut offset = 0;
        let file = |(path, len): &(PathBuf, u64)| {
            let mut bytes = vec![0; *len as usize];
            self.read(offset, &mut bytes);
            offset += len;
            (format!("/{}/{}", self.name, path.display()), bytes)
        };
        self.files.iter().map(file).collect()
    }

    /// Fills `into` with the content from `offset` on.
    pub fn read(&self, offset: u64, into: &mut [u8]) {
        let (mut word, mut skip) = (offset / 8, (offset % 8) as usize);
        let mut rest = into;
        while !rest.is_empty() {
            let bytes = scramble(self.seed ^ word).to_le_bytes();
            let count = rest.len().min(8 - skip);
            rest[..count].copy_from_slice(&bytes[skip..skip + count]);
            rest = &mut rest[count..];
            (word, skip) = (word + 1, 0);
        }
    }

    /// The whole .torrent file.
    pub fn torrent(&self, announce: Option<&str>) -> Vec<u8> {
        let mut out = b"d".to_vec();
        if let Some(url) = announce {
            string(&mut out, b"announce");
            string(&mut out, url.as_bytes());
        }
        string(&mut out, b"info");
        out.extend(&self.info);
        out.push(b'e');
        out
    }

    pub fn info_hash(&self) -> [u8; 20] {
        Sha1::digest(&self.info).into()
    }

    /// Writes every file below `dir`, the empty ones too.
    pub fn write_to(&self, dir: &Path) {
        self.each_file(|path, mut offset, mut left| {
            let path = dir.join(&self.name).join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
            let mut file = File::create(&path).expect("make a file of the payload");
            let mut buffer = vec![0; CHUNK];
            while left > 0 {
                let count = left.min(CHUNK as u64) as usize;
                self.read(offset, &mut buffer[..count]);
                file.write_all(&buffer[..count]).expect("write the payload");
                (offset, left) = (offset + count as u64, left - count as u64);
            }
        });
    }

    /// Makes the files that have no bytes, where they are missing.
    pub fn write_empty(&self, dir: &Path) {
        self.each_file(|path, _, len| {
            let path = dir.join(&self.name).join(path);
            if len == 0 && !path.exists() {
                File::create(path).expect("make a file without bytes");
            }
        });
    }

    /// Links every file of `from` into `to`, so that each seeder has a folder of its own.
    pub fn link_to(&self, from: &Path, to: &Path) {
        self.each_file(|path, _, _| {
            let target = to.join(&self.name).join(path);
            fs::create_dir_all(target.parent().expect("a folder")).expect("make a folder");
            fs::hard_link(from.join(&self.name).join(path), target).expect("link the payload");
        });
    }

    /// Writes every file in its full length, but only the bytes of these pieces, out of `from`.
    pub fn copy_part(&self, from: &Path, to: &Path, has: impl Fn(usize) -> bool) {
        let piece_len = u64::from(self.piece_len);
        self.each_file(|path, offset, len| {
            let target = to.join(&self.name).join(path);
            fs::create_dir_all(target.parent().expect("a folder")).expect("make a folder");
            let source = File::open(from.join(&self.name).join(path)).expect("open the payload");
            let target = File::create(target).expect("make a part of the payload");
            target.set_len(len).expect("give it its length");
            let pieces = offset / piece_len..(offset + len).div_ceil(piece_len);
            for piece in pieces.filter(|piece| has(*piece as usize)) {
                let begin = (piece * piece_len).max(offset) - offset;
                let end = ((piece + 1) * piece_len).min(offset + len) - offset;
                let mut bytes = vec![0; (end - begin) as usize];
                source.read_exact_at(&mut bytes, begin).expect("read the payload");
                target.write_all_at(&bytes, begin).expect("write a part of the payload");
            }
        });
    }

    /// Compares every byte of every file below `dir`, and their lengths.
    #[track_caller]
    pub fn assert_same(&self, dir: &Path) {
        let wrong = self.differences(dir);
        assert!(wrong.is_empty(), "the download differs from the payload: {wrong:#?}");
    }

    /// What is wrong with the files below `dir`, a line for each that differs.
    pub fn differences(&self, dir: &Path) -> Vec<String> {
        let mut wrong = Vec::new();
        self.each_file(|path, offset, len| {
            if let Some(what) = self.difference(&dir.join(&self.name).join(path), offset, len) {
                wrong.push(format!("{}: {what}", path.display()));
            }
        });
        wrong
    }

    fn difference(&self, path: &Path, mut offset: u64, len: u64) -> Option<String> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) => return Some(error.to_string()),
        };
        let found = file.metadata().map_or(0, |meta| meta.len());
        if found != len {
            return Some(format!("{found} bytes long, not {len}"));
        }
        let end = offset + len;
        let (mut have, mut want) = (vec![0; CHUNK], vec![0; CHUNK]);
        while offset < end {
            let count = (end - offset).min(CHUNK as u64) as usize;
            file.read_exact(&mut have[..count]).expect("read a downloaded file");
            self.read(offset, &mut want[..count]);
            if have[..count] != want[..count] {
                return Some(format!("wrong bytes near {} of the torrent", offset));
            }
            offset += count as u64;
        }
        None
    }

    /// Path, offset in the torrent and length of each file.
    fn each_file(&self, mut work: impl FnMut(&Path, u64, u64)) {
        let mut offset = 0;
        for (path, len) in &self.files {
            work(path, offset, *len);
            offset += len;
        }
    }

    fn write_info(&self) -> Vec<u8> {
        let mut out = b"d".to_vec();
        string(&mut out, b"files");
        out.push(b'l');
        for (path, len) in &self.files {
            out.push(b'd');
            string(&mut out, b"length");
            integer(&mut out, *len);
            string(&mut out, b"path");
            out.push(b'l');
            path.iter().for_each(|part| string(&mut out, part.as_encoded_bytes()));
            out.extend(b"ee");
        }
        out.push(b'e');
        string(&mut out, b"name");
        string(&mut out, self.name.as_bytes());
        string(&mut out, b"piece length");
        integer(&mut out, u64::from(self.piece_len));
        string(&mut out, b"pieces");
        string(&mut out, &self.piece_hashes());
        out.push(b'e');
        out
    }

    fn piece_hashes(&self) -> Vec<u8> {
        let mut buffer = vec![0; self.piece_len as usize];
        let mut hashes = Vec::new();
        let (mut offset, len) = (0, self.len());
        while offset < len {
            let count = (len - offset).min(u64::from(self.piece_len)) as usize;
            self.read(offset, &mut buffer[..count]);
            hashes.extend(Sha1::digest(&buffer[..count]));
            offset += count as u64;
        }
        hashes
    }
}

/// SplitMix64: far apart for neighbouring inputs, and quick without optimisation too.
pub fn scramble(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes.len().to_string().as_bytes());
    out.push(b':');
    out.extend(bytes);
}

fn integer(out: &mut Vec<u8>, value: u64) {
    out.extend(format!("i{value}e").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Payload {
        Payload::new(1, "small", 16 << 10, &[("a", 30_000), ("empty", 0), ("b/c", 7)])
    }

    #[test]
    fn content_does_not_depend_on_how_it_is_read() {
        let (mut whole, mut part) = (vec![0; 64], vec![0; 13]);
        small().read(100, &mut whole);
        small().read(103, &mut part);
        assert_eq!(part, whole[3..16]);
        assert_ne!(whole[..32], whole[32..]);
    }

    #[test]
    #[should_panic(expected = "wrong bytes near 30000 of the torrent")]
    fn a_wrong_byte_is_noticed() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        small().write_to(dir.path());
        small().assert_same(dir.path());
        fs::write(dir.path().join("small/b/c"), [0; 7]).expect("spoil a file");
        small().assert_same(dir.path());
    }

    #[test]
    #[should_panic(expected = "empty: No such file")]
    fn a_missing_empty_file_is_noticed() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        small().write_to(dir.path());
        fs::remove_file(dir.path().join("small/empty")).expect("remove a file");
        small().assert_same(dir.path());
    }
}
