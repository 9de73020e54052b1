//! What a form says: fields and files, from a query, from `application/x-www-form-urlencoded` and
//! from `multipart/form-data`. Pure. A field that is there twice has its last value. Braces and
//! brackets need no escape: programs send JSON as it is.
//! Source: WHATWG URL section 5.1, RFC 7578, RFC 2046 section 5.1.1.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// Fields and files of one form.
const PARTS_MAX: usize = 1000;
/// Bytes of the head of one part.
const HEAD_LEN_MAX: usize = 8 << 10;
/// Characters of a boundary (RFC 2046).
const BOUNDARY_LEN_MAX: usize = 70;

/// Why a form cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wrong {
    /// It is of another kind than those two.
    Kind,
    /// It is not as its kind says, or has too many parts.
    Form,
}

/// What a body is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Media {
    /// Nothing is said.
    Unsaid,
    /// `application/x-www-form-urlencoded`.
    Fields,
    /// `multipart/form-data` with this boundary.
    Parts(String),
}

impl Media {
    /// What a `Content-Type` says.
    ///
    /// # Errors
    /// [`Wrong::Kind`] for any other, [`Wrong::Form`] for parts without a boundary.
    pub fn of(content_type: Option<&str>) -> Result<Self, Wrong> {
        let Some(text) = content_type else { return Ok(Self::Unsaid) };
        let mut words = text.split(';');
        match words.next().unwrap_or_default().trim() {
            it if it.eq_ignore_ascii_case("application/x-www-form-urlencoded") => Ok(Self::Fields),
            it if it.eq_ignore_ascii_case("multipart/form-data") => {
                let named = words.filter_map(|word| word.split_once('='));
                let mut named = named.map(|(name, value)| (name.trim(), value.trim()));
                let boundary = named.find(|(name, _)| name.eq_ignore_ascii_case("boundary"));
                let boundary = boundary.map(|(_, value)| value.trim_matches('"'));
                let is_one = |it: &&str| (1..=BOUNDARY_LEN_MAX).contains(&it.len());
                boundary.filter(is_one).map(|it| Self::Parts(it.to_owned())).ok_or(Wrong::Form)
            }
            _ => Err(Wrong::Kind),
        }
    }
}

/// A file that was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sent {
    /// What its sender calls it.
    pub name: String,
    /// Where its bytes lie in the body.
    pub at: Range<usize>,
}

/// What a form says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Form {
    fields: BTreeMap<String, String>,
    files: Vec<Sent>,
}

impl Form {
    /// The fields of a query, or of a body of fields.
    ///
    /// # Errors
    /// There are too many.
    pub fn of_fields(text: &[u8]) -> Result<Self, Wrong> {
        let mut form = Self::default();
        let fields = text.split(|byte| *byte == b'&').filter(|field| !field.is_empty());
        for (nth, field) in fields.enumerate() {
            if nth >= PARTS_MAX {
                return Err(Wrong::Form);
            }
            let end = field.iter().position(|byte| *byte == b'=').unwrap_or(field.len());
            let value = field.get(end + 1..).unwrap_or_default();
            form.fields.insert(decoded(&field[..end]), decoded(value));
        }
        Ok(form)
    }

    /// The parts of a body. A part with a file name is a file.
    ///
    /// # Errors
    /// It has no parts, too many, or one that has no end.
    pub fn of_parts(boundary: &str, body: &[u8]) -> Result<Self, Wrong> {
        let (mut form, line) = (Self::default(), format!("--{boundary}"));
        let line = line.as_bytes();
        // What stands before the first boundary is nothing.
        let mut at = next(body, 0, line).ok_or(Wrong::Form)?.end;
        for _ in 0..PARTS_MAX {
            if body[at..].starts_with(b"--") {
                return Ok(form);
            }
            let begin = at + line_end(&body[at..]).ok_or(Wrong::Form)?;
            let found = next(body, begin, line).ok_or(Wrong::Form)?;
            form.take(body, begin..found.start)?;
            at = found.end;
        }
        Err(Wrong::Form)
    }

    fn take(&mut self, body: &[u8], part: Range<usize>) -> Result<(), Wrong> {
        let bytes = &body[part.clone()];
        let head = &bytes[..bytes.len().min(HEAD_LEN_MAX)];
        // A part may have no head at all.
        let len = match head.starts_with(b"\r\n") {
            true => 0,
            false => head.windows(4).position(|it| it == b"\r\n\r\n").ok_or(Wrong::Form)? + 2,
        };
        let (name, file) = disposition(&String::from_utf8_lossy(&head[..len]));
        let at = (part.start + len + 2).min(part.end)..part.end;
        match file {
            Some(name) => self.files.push(Sent { name, at }),
            None => {
                let value = String::from_utf8_lossy(&body[at]).into_owned();
                _ = self.fields.insert(name.unwrap_or_default(), value);
            }
        }
        Ok(())
    }

    /// The value of a field, if it is there.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// The same; empty where it is not there.
    pub fn text(&self, name: &str) -> &str {
        self.value(name).unwrap_or_default()
    }

    /// Whether it says so; none where it says nothing that is true or false.
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.value(name)?.trim() {
            it if it.eq_ignore_ascii_case("true") => Some(true),
            it if it.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// A number; none where it is none.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.value(name)?.trim().parse().ok()
    }

    /// The parts of a list, without empty ones.
    pub fn list(&self, name: &str, between: char) -> impl Iterator<Item = &str> {
        self.text(name).split(between).map(str::trim).filter(|it| !it.is_empty())
    }

    /// The files that were sent.
    pub fn files(&self) -> &[Sent] {
        &self.files
    }

    /// Does it say nothing at all?
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.files.is_empty()
    }
}

/// Where a boundary stands at the beginning of a line, from `from` on: with the line break before.
fn next(body: &[u8], from: usize, line: &[u8]) -> Option<Range<usize>> {
    let is_one = |rest: &[u8]| {
        let behind = rest.strip_prefix(line);
        behind.is_some_and(|behind| behind.starts_with(b"--") || line_end(behind).is_some())
    };
    if from == 0 && is_one(body) {
        return Some(0..line.len());
    }
    // The break that ends a head may be the one that begins the boundary of an empty part.
    let mut at = from.saturating_sub(2);
    loop {
        at += body.get(at..)?.iter().position(|byte| *byte == b'\r')?;
        let rest = body.get(at..)?.strip_prefix(b"\r\n");
        if rest.is_some_and(is_one) {
            return Some(at.max(from)..at + 2 + line.len());
        }
        at += 1;
    }
}

/// The bytes until behind the break of a line that holds nothing but blanks.
fn line_end(bytes: &[u8]) -> Option<usize> {
    let blanks = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    bytes[blanks..].starts_with(b"\r\n").then_some(blanks + 2)
}

/// What the head of a part calls its field, and its file.
fn disposition(head: &str) -> (Option<String>, Option<String>) {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut lines = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-disposition"));
    let Some((_, value)) = lines.next() else { return (None, None) };
    (quoted(value, "name"), quoted(value, "filename"))
}

/// The value of a word of a header, in quotes or without.
fn quoted(value: &str, word: &str) -> Option<String> {
    let mut rest = value;
    while let Some((_, behind)) = rest.split_once(';') {
        let behind = behind.trim_start();
        let (name, value) = behind.split_once('=')?;
        let Some(text) = value.trim_start().strip_prefix('"') else {
            let end = value.find(';').unwrap_or(value.len());
            if name.trim().eq_ignore_ascii_case(word) {
                return Some(value[..end].trim().to_owned());
            }
            rest = &value[end..];
            continue;
        };
        let (text, len) = unquoted(text);
        if name.trim().eq_ignore_ascii_case(word) {
            return Some(text);
        }
        rest = value.trim_start().get(len + 1..)?;
    }
    None
}

/// A text until its closing quote, and how long it was with that.
fn unquoted(text: &str) -> (String, usize) {
    let (mut plain, mut is_escaped) = (String::new(), false);
    for (at, letter) in text.char_indices() {
        match letter {
            '"' if !is_escaped => return (plain, at + 1),
            '\\' if !is_escaped => is_escaped = true,
            letter => {
                plain.push(letter);
                is_escaped = false;
            }
        }
    }
    (plain, text.len())
}

/// A text without its escapes; what is no UTF-8 in it is replaced.
fn decoded(bytes: &[u8]) -> String {
    let with_blanks: Cow<'_, [u8]> = match bytes.contains(&b'+') {
        true => bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect(),
        false => bytes.into(),
    };
    String::from_utf8_lossy(&urlencoding::decode_binary(&with_blanks)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_the_last_one_holds() {
        let form =
            Form::of_fields(b"a=1&b=x%20y+z&a=2&c&json={\"d\":1,\"e\":[2]}&%c3%bc=%ff").unwrap();
        assert_eq!((form.text("a"), form.text("b"), form.value("c")), ("2", "x y z", Some("")));
        assert_eq!(form.text("json"), "{\"d\":1,\"e\":[2]}");
        assert_eq!((form.text("ü"), form.value("A")), ("\u{fffd}", None));
        assert!(Form::of_fields(b"").unwrap().is_empty());
        let most = "a=1&".repeat(PARTS_MAX);
        assert!(Form::of_fields(most.as_bytes()).is_ok());
        assert_eq!(Form::of_fields(format!("{most}b=1").as_bytes()), Err(Wrong::Form));
    }

    #[test]
    fn words_are_true_false_or_nothing() {
        let form = Form::of_fields(b"a=True&b=FALSE&c=1&d=yes&n=-2&l=a|b||c&x= 7 ").unwrap();
        let flags = ["a", "b", "c", "d", "e"].map(|name| form.flag(name));
        assert_eq!(flags, [Some(true), Some(false), None, None, None]);
        assert_eq!((form.number::<i64>("n"), form.number::<u64>("n")), (Some(-2), None));
        assert_eq!((form.number::<u8>("x"), form.number::<u8>("a")), (Some(7), None));
        assert_eq!(form.list("l", '|').collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn parts_are_fields_and_files() {
        let body =
            b"preamble\r\n--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--X  \r\n\
            Content-Type: text/plain\r\ncontent-disposition: form-data; name=b; x=\"y;\\\"\"; \
            filename=\"c \\\"d\\\".torrent\"\r\n\r\n\r\n--Xy\r\n--\r\n--X\r\n\
            Content-Disposition: form-data; name=\"e\"\r\n\r\n\r\n--X--\r\nepilogue";
        let form = Form::of_parts("X", body).unwrap();
        assert_eq!((form.text("a"), form.value("e"), form.value("b")), ("1", Some(""), None));
        let [file] = form.files() else { panic!("{form:?}") };
        assert_eq!(file.name, "c \"d\".torrent");
        assert_eq!(body[file.at.clone()], b"\r\n--Xy\r\n--"[..], "another boundary is none");
    }

    #[test]
    fn bytes_of_files_are_as_they_were() {
        let bytes: Vec<u8> = (0..=255).chain(*b"\r\n--\r\n-X\r\r\n").collect();
        let head = b"--b\r\nContent-Disposition: form-data; name=\"t\"; filename=\"x\"\r\n\r\n";
        let body = [&head[..], &bytes, b"\r\n--b--"].concat();
        let form = Form::of_parts("b", &body).unwrap();
        assert_eq!(body[form.files()[0].at.clone()], bytes);
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for body in [
            &b""[..],
            b"x",
            b"--X",
            b"--X\r\n",
            b"--X\r\nno end of head",
            b"--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nno end",
            b"--Xjunk\r\n\r\n--Xjunk--",
        ] {
            assert_eq!(Form::of_parts("X", body), Err(Wrong::Form), "{body:?}");
        }
        assert!(Form::of_parts("X", b"--X--").unwrap().is_empty());
        let many =
            "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n".repeat(PARTS_MAX);
        assert_eq!(Form::of_parts("X", format!("{many}--X--").as_bytes()), Err(Wrong::Form));
    }

    #[test]
    fn no_bytes_are_too_strange() {
        let good = b"--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"x\"\r\n\r\n\
            \r\n--b\r\n\r\nc\r\n--b--";
        // Each cut and each changed byte, and some of both together.
        for at in 0..good.len() {
            let cut = [&good[..at], &good[good.len() - at.min(9)..]].concat();
            for bytes in [&good[..at], &good[at..], &cut] {
                check(Form::of_parts("b", bytes), bytes.len());
            }
            for byte in [0, b'\r', b'\n', b'-', b'"', b';', b'=', b'\\', 0xff] {
                let mut bytes = good.to_vec();
                bytes[at] = byte;
                check(Form::of_parts("b", &bytes), bytes.len());
                check(Form::of_fields(&bytes), bytes.len());
                _ = Media::of(std::str::from_utf8(&bytes).ok());
            }
        }
        assert!(Form::of_fields(b"%&%%&%4&=%zz&+=+").is_ok());
    }

    /// Files lie within the body.
    fn check(form: Result<Form, Wrong>, len: usize) {
        for file in form.iter().flat_map(Form::files) {
            assert!(file.at.start <= file.at.end && file.at.end <= len, "{file:?}");
        }
    }

    #[test]
    fn kinds_of_bodies_are_told_apart() {
        let of = |text| Media::of(Some(text));
        assert_eq!(of("application/x-www-form-urlencoded; charset=UTF-8"), Ok(Media::Fields));
        assert_eq!(of("multipart/form-data; boundary=\"a b\""), Ok(Media::Parts("a b".into())));
        assert_eq!(
            of("Multipart/Form-Data; charset=x; Boundary=ab"),
            Ok(Media::Parts("ab".into()))
        );
        assert_eq!(Media::of(None), Ok(Media::Unsaid));
        assert_eq!(of("multipart/form-data"), Err(Wrong::Form));
        for other in ["application/json", "text/plain", "", "x"] {
            assert_eq!(of(other), Err(Wrong::Kind), "{other}");
        }
    }
}
