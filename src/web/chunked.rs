//! Bodies in chunks (RFC 9112 §7.1): tells which of the bytes that arrive are the body's, so that
//! nothing is copied and nothing is kept. Extensions and trailers are skipped, in bounds.

/// Bytes of a line with the size of a chunk, extensions included.
pub const LINE_LEN_MAX: usize = 1 << 10;
/// Bytes of all trailers.
pub const TRAILERS_LEN_MAX: usize = 8 << 10;

/// Why bytes are no body in chunks. Always the fault of the server, and the end of its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Flaw {
    /// No size where one must stand, or one of more than 64 bits.
    #[error("it sends a chunk without a size")]
    Size,
    /// A line of more than [`LINE_LEN_MAX`].
    #[error("it sends a chunk with a line of more than {LINE_LEN_MAX} bytes")]
    LineTooLong,
    /// Something else where a chunk must end.
    #[error("it sends a chunk that is longer than it says")]
    End,
    /// Trailers of more than [`TRAILERS_LEN_MAX`].
    #[error("it sends more than {} KiB behind the last chunk", TRAILERS_LEN_MAX >> 10)]
    TrailersTooLong,
}

/// What the bytes begin with that were looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// So many bytes that are not the body's.
    pub framing: usize,
    /// Then so many that are. They are taken: the next call begins behind them.
    pub data: usize,
    /// The body is whole: what follows is the next answer.
    pub is_end: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// In the digits of a size; none yet when there is no sum.
    Size(Option<u64>),
    /// Behind them, up to the end of the line.
    Extension(u64),
    /// In the data of a chunk, with so much of it to come.
    Data(u64),
    /// Where the line behind the data ends.
    DataEnd,
    /// In a trailer, of which so many bytes came, `\r` not counted.
    Trailer(usize),
    Done,
}

/// The place in a body in chunks; one for each body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunked {
    state: State,
    /// Bytes of the line, or of all trailers.
    len: usize,
}

impl Default for Chunked {
    fn default() -> Self {
        Self { state: State::Size(None), len: 0 }
    }
}

impl Chunked {
    /// At the beginning of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at what arrived up to the end of the next piece of the body, which is at most
    /// `data_max` bytes long. To be called again with what is behind it, as long as there is any
    /// and the body has not ended.
    ///
    /// # Errors
    /// See [`Flaw`]. Then the body is of no more use.
    pub fn advance(&mut self, bytes: &[u8], data_max: usize) -> Result<Span, Flaw> {
        for (at, byte) in bytes.iter().enumerate() {
            if let State::Data(left) = self.state {
                let here = (bytes.len() - at).min(data_max);
                // What does not fit into an address is more than what is here.
                let data = usize::try_from(left).map_or(here, |left| left.min(here));
                let left = left - data as u64;
                self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                return Ok(Span { framing: at, data, is_end: false });
            }
            self.take(*byte)?;
            if self.state == State::Done {
                return Ok(Span { framing: at + 1, data: 0, is_end: true });
            }
        }
        Ok(Span { framing: bytes.len(), data: 0, is_end: self.state == State::Done })
    }

    /// Takes a byte that is not the body's.
    fn take(&mut self, byte: u8) -> Result<(), Flaw> {
        self.len += 1;
        let (most, flaw) = match self.state {
            State::Trailer(_) => (TRAILERS_LEN_MAX, Flaw::TrailersTooLong),
            _ => (LINE_LEN_MAX, Flaw::LineTooLong),
        };
        if self.len > most {
            return Err(flaw);
        }
        let digit = char::from(byte).to_digit(16).map(u64::from);
        self.state = match (self.state, byte) {
            (State::Size(size), _) if digit.is_some() => {
                let size = size.unwrap_or(0).checked_mul(16).ok_or(Flaw::Size)?;
                State::Size(Some(size + digit.unwrap_or(0)))
            }
            (State::Size(Some(size)) | State::Extension(size), b'\n') => self.on_line(size),
            // Some put spaces behind the size.
            (State::Size(Some(size)), b';' | b' ' | b'\t' | b'\r') => State::Extension(size),
            (State::Size(_), _) => return Err(Flaw::Size),
            (State::Extension(size), _) => State::Extension(size),
            (State::DataEnd, b'\n') => {
                self.len = 0;
                State::Size(None)
            }
            (State::DataEnd, b'\r') if self.len == 1 => State::DataEnd,
            (State::DataEnd, _) => return Err(Flaw::End),
            (State::Trailer(0), b'\n') => State::Done,
            (State::Trailer(_), b'\n') => State::Trailer(0),
            (State::Trailer(len), b'\r') => State::Trailer(len),
            (State::Trailer(len), _) => State::Trailer(len + 1),
            (state @ (State::Data(_) | State::Done), _) => state,
        };
        Ok(())
    }

    /// What comes behind the line with a size.
    fn on_line(&mut self, size: u64) -> State {
        self.len = 0;
        if size == 0 { State::Trailer(0) } else { State::Data(size) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is in a body that arrives in these parts, and what is left behind it.
    fn read(parts: &[&[u8]], data_max: usize) -> Result<(Vec<u8>, Option<Vec<u8>>), Flaw> {
        let (mut chunked, mut body, mut left) = (Chunked::new(), Vec::new(), None);
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() && left.is_none() {
                let span = chunked.advance(rest, data_max)?;
                body.extend(&rest[span.framing..span.framing + span.data]);
                assert!(span.data <= data_max);
                rest = &rest[span.framing + span.data..];
                left = span.is_end.then(Vec::new);
            }
            if let Some(left) = &mut left {
                left.extend(rest);
            }
        }
        Ok((body, left))
    }

    fn whole(text: &str) -> Result<(Vec<u8>, Option<Vec<u8>>), Flaw> {
        read(&[text.as_bytes()], usize::MAX)
    }

    // RFC 9112 §7.1: sizes in hexadecimal digits of any case, extensions behind a semicolon,
    // trailers behind the last chunk.
    #[test]
    fn chunks_are_put_together() {
        let text =
            "5\r\nhello\r\n006;a=\"b\"\r\n world\r\nA \r\n0123456789\r\n0;x\r\nT: y\r\n\r\nHTTP";
        let (body, left) = whole(text).unwrap();
        assert_eq!(
            (body.as_slice(), left),
            (b"hello world0123456789".as_slice(), Some(b"HTTP".to_vec()))
        );
        let (body, left) = whole("3\nabc\n0\n\n").unwrap();
        assert_eq!(
            (body.as_slice(), left),
            (b"abc".as_slice(), Some(vec![])),
            "ends of lines alone"
        );
        assert_eq!(whole("0\r\n\r\n").unwrap(), (vec![], Some(vec![])));
        assert_eq!(whole("5\r\nhel").unwrap(), (b"hel".to_vec(), None), "not all is here");
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for text in ["\r\n", ";x\r\n", "-1\r\n", "x", " 5\r\n", "+5\r\n", "5x\r\n", "1\0"] {
            assert_eq!(whole(text), Err(Flaw::Size), "{text:?}");
        }
        assert_eq!(whole("10000000000000000\r\n"), Err(Flaw::Size), "2^64");
        assert_eq!(whole("fFfFfFfFfFfFfFfF\r\nx").unwrap().0, b"x");
        assert_eq!(whole("00000000000000000001\r\nx\r\n").unwrap().0, b"x");
        assert_eq!(whole("1\r\nxy"), Err(Flaw::End));
        assert_eq!(whole("1\r\nx\r\r\n"), Err(Flaw::End));
        assert_eq!(whole(&format!("1;{}", "x".repeat(LINE_LEN_MAX))), Err(Flaw::LineTooLong));
        assert_eq!(whole(&"0".repeat(LINE_LEN_MAX + 1)), Err(Flaw::LineTooLong));
        let trailers = "T: y\r\n".repeat(TRAILERS_LEN_MAX / 6 + 1);
        assert_eq!(whole(&format!("0\r\n{trailers}")), Err(Flaw::TrailersTooLong));
    }

    #[test]
    fn lines_are_limited_one_by_one() {
        let text = format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(10_000));
        assert_eq!(whole(&text).unwrap().0.len(), 10_000);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_bytes_are_split(
            lens in proptest::collection::vec(1usize..40, 0..8),
            cuts in proptest::collection::vec(any::<usize>(), 0..8),
            data_max in 1usize..50,
        ) {
            let chunk = |len: usize| (0..len).map(|at| (at * 13) as u8).collect::<Vec<u8>>();
            let chunks: Vec<Vec<u8>> = lens.into_iter().map(chunk).collect();
            let mut bytes = Vec::new();
            for chunk in &chunks {
                bytes.extend(format!("{:x};e=1\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\nTrailer: x\r\n\r\nnext");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % bytes.len()).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let (body, left) = read(&parts, data_max).unwrap();
            prop_assert_eq!(body, chunks.concat());
            prop_assert_eq!(left, Some(b"next".to_vec()));
        }
    }
}
