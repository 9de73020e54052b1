//! The cipher of MSE. It hides what a stream is from those who look at it on its way; nobody
//! should take it for more. Not here: which keys.

/// Keystream that both sides throw away first: it tells most of the key.
const DISCARDED: usize = 1024;

/// One direction of a connection. Words of 32 bits and eight bytes at a time are 1.7 times as fast
/// as bytes, and twice that when the next word is read before those that change are written: the
/// processor need not wait to see whether one of them was it (0.28, 0.48 and 0.92 GB/s on a Xeon).
#[derive(Clone)]
pub struct Rc4 {
    state: [u32; 256],
    /// Of the word that comes next.
    at: u8,
    other: u8,
    /// That word.
    next: u32,
}

impl Rc4 {
    /// With a key of 1 to 256 bytes, from the beginning of the keystream.
    ///
    /// # Panics
    /// When the key is empty: keys are digests.
    pub fn new(key: &[u8]) -> Self {
        assert!(!key.is_empty(), "a key has bytes");
        let mut state: [u32; 256] = std::array::from_fn(|number| number as u32);
        let mut other = 0u8;
        for (at, byte) in (0..256).zip(key.iter().cycle()) {
            other = other.wrapping_add(state[at] as u8).wrapping_add(*byte);
            state.swap(at, other.into());
        }
        Self { state, at: 1, other: 0, next: state[1] }
    }

    /// The same, behind the bytes of the keystream that MSE throws away.
    pub fn of_mse(key: &[u8]) -> Self {
        let mut cipher = Self::new(key);
        cipher.skip(DISCARDED);
        cipher
    }

    /// Encrypts or decrypts the next bytes of the stream.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let (eights, rest) = bytes.as_chunks_mut::<8>();
        for eight in eights {
            let key: [u8; 8] = std::array::from_fn(|_| self.next());
            let mixed = u64::from_ne_bytes(*eight) ^ u64::from_ne_bytes(key);
            *eight = mixed.to_ne_bytes();
        }
        rest.iter_mut().for_each(|byte| *byte ^= self.next());
    }

    /// Goes on as if so many bytes had been encrypted.
    pub fn skip(&mut self, count: usize) {
        (0..count).for_each(|_| _ = self.next());
    }

    #[inline(always)]
    fn next(&mut self) -> u8 {
        let one = self.next;
        self.other = self.other.wrapping_add(one as u8);
        let two = self.state[usize::from(self.other)];
        let after = self.at.wrapping_add(1);
        let ahead = self.state[usize::from(after)];
        self.state[usize::from(self.at)] = two;
        self.state[usize::from(self.other)] = one;
        self.at = after;
        self.next = if after == self.other { one } else { ahead };
        self.state[usize::from(one.wrapping_add(two) as u8)] as u8
    }
}

/// What it is and nothing of its state, which is the key.
impl std::fmt::Debug for Rc4 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rc4")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, offset into the keystream, and sixteen bytes from there (RFC 6229, section 2).
    const VECTORS: &[(&str, usize, &str)] = &[
        ("0102030405", 0, "b2396305f03dc027ccc3524a0a1118a8"),
        ("0102030405", 16, "6982944f18fc82d589c403a47a0d0919"),
        ("0102030405", 240, "28cb1132c96ce286421dcaadb8b69eae"),
        ("0102030405", 4096, "ff25b58995996707e51fbdf08b34d875"),
        ("0102030405060708090a0b0c0d0e0f10", 0, "9ac7cc9a609d1ef7b2932899cde41b97"),
        ("0102030405060708090a0b0c0d0e0f10", 16, "5248c4959014126a6e8a84f11d1a9e1c"),
        ("0102030405060708090a0b0c0d0e0f10", 4096, "a36a4c301ae8ac13610ccbc12256cacc"),
        ("833222772a", 0, "80ad97bdc973df8a2e879e92a497efda"),
        ("833222772a", 16, "20f060c2f2e5126501d3d4fea10d5fc0"),
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap()
    }

    #[test]
    fn the_keystreams_of_rfc_6229() {
        for (key, offset, expected) in VECTORS {
            let mut stream = vec![0; offset + 16];
            Rc4::new(&bytes(key)).apply(&mut stream);
            assert_eq!(stream[*offset..], bytes(expected), "{key} at {offset}");
        }
    }

    #[test]
    fn portions_of_any_length_are_one_stream() {
        let mut whole = vec![7; 3000];
        Rc4::of_mse(b"key").apply(&mut whole);
        for portion in [1, 2, 7, 8, 9, 15, 64, 999] {
            let mut cipher = Rc4::of_mse(b"key");
            let mut parts = vec![7; 3000];
            parts.chunks_mut(portion).for_each(|part| cipher.apply(part));
            assert_eq!(parts, whole, "in portions of {portion}");
        }
        let mut cipher = Rc4::new(b"key");
        cipher.skip(1024 + 5);
        let mut late = vec![7; 100];
        cipher.apply(&mut late);
        assert_eq!(late, whole[5..105]);
    }

    #[test]
    fn nothing_of_a_key_is_shown() {
        assert_eq!(format!("{:?}", Rc4::new(b"secret")), "Rc4");
    }
}
