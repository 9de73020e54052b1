//! Content computed from (seed, offset), and torrents of it written as bencode by hand, so
//! that no test stores data or trusts the encoder it tests.

use sha1::{Digest, Sha1};

/// Fills `buffer` with the bytes at `offset` of the content with this seed. Any range can
/// be had without the ones before it.
pub fn content(seed: u64, offset: u64, buffer: &mut [u8]) {
    let mut at = offset;
    let mut rest = buffer;
    while !rest.is_empty() {
        let word = mix(seed ^ mix(at / 8)).to_le_bytes();
        let begin = (at % 8) as usize;
        let len = rest.len().min(8 - begin);
        let (now, later) = rest.split_at_mut(len);
        now.copy_from_slice(&word[begin..begin + len]);
        at += len as u64;
        rest = later;
    }
}

/// The bytes `begin..begin + len` of the content.
pub fn bytes(seed: u64, begin: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    content(seed, begin, &mut bytes);
    bytes
}

/// The finalizer of splitmix64.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What a torrent of computed content consists of.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Chooses the content.
    pub seed: u64,
    /// `name`.
    pub name: String,
    /// Bytes of a piece.
    pub piece_len: u32,
    /// Path and length of each file; empty for a torrent of one file called `name`.
    pub files: Vec<(Vec<String>, u64)>,
    /// Length of the one file; ignored when there are `files`.
    pub single_len: u64,
    /// `announce`.
    pub announce: Option<String>,
}

impl Spec {
    /// One file of `len` bytes.
    pub fn single(seed: u64, name: &str, len: u64, piece_len: u32) -> Self {
        Self {
            seed,
            name: name.to_owned(),
            piece_len,
            files: Vec::new(),
            single_len: len,
            announce: None,
        }
    }

    /// Several files; paths are written with `/`.
    pub fn multi(seed: u64, name: &str, files: &[(&str, u64)], piece_len: u32) -> Self {
        let split = |path: &str| path.split('/').map(str::to_owned).collect();
        let files = files.iter().map(|(path, len)| (split(path), *len)).collect();
        Self { files, ..Self::single(seed, name, 0, piece_len) }
    }

    /// The same with this tracker.
    pub fn with_tracker(self, url: &str) -> Self {
        Self { announce: Some(url.to_owned()), ..self }
    }

    /// All bytes of the content.
    pub fn total_len(&self) -> u64 {
        match &self.files[..] {
            [] => self.single_len,
            files => files.iter().map(|(_, len)| len).sum(),
        }
    }

    /// How many pieces there are.
    pub fn piece_count(&self) -> u32 {
        self.total_len().div_ceil(u64::from(self.piece_len)) as u32
    }

    /// Bytes of the piece.
    pub fn len_of(&self, piece: u32) -> u32 {
        let begin = u64::from(piece) * u64::from(self.piece_len);
        (self.total_len() - begin).min(u64::from(self.piece_len)) as u32
    }

    /// A part of a piece, as an honest peer sends it.
    pub fn block(&self, piece: u32, begin: u32, len: u32) -> Vec<u8> {
        let offset = u64::from(piece) * u64::from(self.piece_len) + u64::from(begin);
        self.read(offset, len as usize)
    }

    /// Any part of the content. Files below `.pad` are padding, zeros (BEP 47).
    fn read(&self, begin: u64, len: usize) -> Vec<u8> {
        let mut data = bytes(self.seed, begin, len);
        let mut file_begin = 0;
        for (path, file_len) in &self.files {
            if path[0] == ".pad" {
                let inside = |offset: u64| (offset.max(begin) - begin).min(len as u64) as usize;
                data[inside(file_begin)..inside(file_begin + file_len)].fill(0);
            }
            file_begin += file_len;
        }
        data
    }

    /// The bytes of file number `index`.
    pub fn file(&self, index: usize) -> Vec<u8> {
        if self.files.is_empty() {
            return bytes(self.seed, 0, self.single_len as usize);
        }
        let begin = self.files[..index].iter().map(|(_, len)| len).sum();
        self.read(begin, self.files[index].1 as usize)
    }

    /// SHA-1 of each piece, one after the other.
    pub fn piece_hashes(&self) -> Vec<u8> {
        let hash = |piece| Sha1::digest(self.block(piece, 0, self.len_of(piece)));
        (0..self.piece_count()).flat_map(hash).collect()
    }

    /// The `info` dictionary.
    pub fn info(&self) -> Vec<u8> {
        let mut info = b"d".to_vec();
        if self.files.is_empty() {
            info.extend(format!("6:lengthi{}e", self.single_len).into_bytes());
        } else {
            info.extend(b"5:filesl");
            for (path, len) in &self.files {
                // BEP 47: padding is what the attribute says.
                let attribute = if path[0] == ".pad" { "4:attr1:p" } else { "" };
                info.extend(format!("d{attribute}6:lengthi{len}e4:pathl").into_bytes());
                path.iter().for_each(|element| string(&mut info, element.as_bytes()));
                info.extend(b"ee");
            }
            info.extend(b"e");
        }
        info.extend(b"4:name");
        string(&mut info, self.name.as_bytes());
        info.extend(format!("12:piece lengthi{}e6:pieces", self.piece_len).into_bytes());
        string(&mut info, &self.piece_hashes());
        info.extend(b"e");
        info
    }

    /// The bytes of the `.torrent` file.
    pub fn torrent(&self) -> Vec<u8> {
        let mut torrent = b"d".to_vec();
        if let Some(url) = &self.announce {
            torrent.extend(b"8:announce");
            string(&mut torrent, url.as_bytes());
        }
        torrent.extend(b"4:info");
        torrent.extend(self.info());
        torrent.extend(b"e");
        torrent
    }

    /// SHA-1 of `info`.
    pub fn info_hash(&self) -> [u8; 20] {
        Sha1::digest(self.info()).into()
    }
}

fn string(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend(format!("{}:", bytes.len()).into_bytes());
    into.extend_from_slice(bytes);
}
