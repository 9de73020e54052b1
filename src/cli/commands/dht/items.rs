//! What is kept in the DHT (BEP 44): a text or a short file is put there, signed where there is a
//! key, and fetched again.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use data_encoding::HEXLOWER;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;

use crate::base::digest::sha1;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome, from_io};
use crate::cli::out;
use crate::cli::print::counted;
use crate::dht::items::{Item, SALT_LEN_MAX, Signed, VALUE_LEN_MAX, text_to_sign};
use crate::dht::task::{Answer, Dht, Question};
use crate::dht::{NodeId, Tally};

use super::reach::{Reach, add, digits, ended, enter, tell};

pub(super) async fn put(dht: &Dht, draft: Draft, reach: &Reach) -> Outcome {
    enter(dht, reach).await?;
    out::talk(&draft.words);
    let stands = match draft.asks_what_stands() {
        Some((target, salt)) => stands(dht, target, salt).await,
        None => None,
    };
    let item = draft.item(stands)?;
    let target = item.target();
    let (key, seq) = match &item.signed {
        Some(signed) => (Some(HEXLOWER.encode(&signed.key)), Some(signed.seq)),
        None => (None, None),
    };
    let tally = ended(dht.ask(Question::Put(item)).await).await;
    if tally.stored == 0 {
        let stale = if seq.is_some() { "; a higher --seq may stand there" } else { "" };
        let (answered, asked) = (tally.answered, tally.asked);
        let why = format!("no node keeps it; {answered} of {asked} answered{stale}");
        return Err(Failure::new(Exit::Network, why));
    }
    let event = json!({
        "event": "stored", "target": target.to_string(), "key": key, "seq": seq,
        "nodes": tally.stored,
    });
    tell(reach, &event, || target.to_string())?;
    let number = seq.map(|seq| format!("signed, number {seq}; ")).unwrap_or_default();
    out::talk(&format!("{number}kept by {}", counted(tally.stored as u64, "node")));
    Ok(Exit::Done)
}

/// The number of the item that stands under this name, if there is any.
async fn stands(dht: &Dht, target: NodeId, salt: Vec<u8>) -> Option<i64> {
    let mut answers = dht.ask(Question::Get { target, salt }).await;
    let mut highest = None;
    while let Some(answer) = answers.recv().await {
        if let Answer::Found(Item { signed: Some(signed), .. }) = answer {
            highest = highest.max(Some(signed.seq));
        }
    }
    highest
}

pub(super) async fn item(dht: &Dht, target: NodeId, salt: Vec<u8>, reach: &Reach) -> Outcome {
    enter(dht, reach).await?;
    let mut answers = dht.ask(Question::Get { target, salt }).await;
    let (mut latest, mut tally) = (None, Tally::default());
    while let Some(answer) = answers.recv().await {
        match answer {
            Answer::Found(item) => {
                let seq = |item: &Item| item.signed.as_ref().map(|signed| signed.seq);
                if latest.as_ref().is_none_or(|known| seq(known) < seq(&item)) {
                    latest = Some(item);
                }
            }
            Answer::Ended(of_one) => add(&mut tally, of_one),
            Answer::Peers(_) => {}
        }
    }
    let Some(found) = latest else {
        let why = format!("nobody has it; {} of {} answered", tally.answered, tally.asked);
        return Err(Failure::new(Exit::Network, why));
    };
    let value = text_of(&found.value);
    let seq = found.signed.as_ref().map(|signed| signed.seq);
    if reach.json {
        let text = String::from_utf8_lossy(value);
        let event = json!({
            "event": "item", "target": target.to_string(), "value": text, "seq": seq,
        });
        out::deliver_json(&event)?;
    } else {
        // Byte for byte to a file or pipe; a terminal gets no control characters.
        out::deliver_by(|to| match std::io::IsTerminal::is_terminal(&std::io::stdout()) {
            true => writeln!(to, "{}", escape(&String::from_utf8_lossy(value))),
            false => to.write_all(value),
        })?;
    }
    if let Some(seq) = seq {
        out::talk(&format!("signed, number {seq}"));
    }
    Ok(Exit::Done)
}

/// What an item is found by: its own hash, or that of its key and salt.
pub(super) fn target_of(text: &str, salt: &str) -> Result<NodeId, Failure> {
    let by_key = |key: [u8; 32]| NodeId(sha1(&[&key, salt.as_bytes()]));
    let target = digits::<20>(text).map(NodeId).or_else(|| digits::<32>(text).map(by_key));
    target.ok_or_else(|| Failure::usage("not a target: write the 40 digits of put, or 64 of a key"))
}

/// What is to be put, before it is known which number it gets.
pub(super) struct Draft {
    value: Vec<u8>,
    /// What it is, in words for people.
    words: String,
    signer: Option<Signer>,
}

struct Signer {
    pair: Ed25519KeyPair,
    key: [u8; 32],
    salt: Vec<u8>,
    /// The number that its user chose.
    seq: Option<u32>,
}

impl Draft {
    /// A text or the content of a file, to be signed where there is a key.
    pub fn of(
        text: &str,
        is_text: bool,
        key: Option<&Path>,
        salt: &str,
        seq: Option<u32>,
    ) -> Result<Self, Failure> {
        let (shown, path) = (escape(text), Path::new(text));
        let (content, what) = match path.metadata() {
            Ok(found) if !is_text && found.is_dir() => {
                return Err(Failure::usage(format!("{shown} is a directory{TAKE_AS_TEXT}")));
            }
            Ok(_) if !is_text => (read_short(path)?, "the content of the file"),
            Err(_) if !is_text && looks_like_a_path(text) => {
                return Err(Failure::usage(format!("{shown}: no such file{TAKE_AS_TEXT}")));
            }
            _ => (text.as_bytes().to_vec(), "the text"),
        };
        let value = [format!("{}:", content.len()).as_bytes(), &content].concat();
        if value.len() > VALUE_LEN_MAX {
            let why = format!("too long: nodes keep at most {VALUE_LEN_MAX} bytes");
            return Err(Failure::bad_input(why));
        }
        if salt.len() > SALT_LEN_MAX {
            return Err(Failure::usage(format!("the salt is longer than {SALT_LEN_MAX} bytes")));
        }
        let words = format!("putting {what} {shown:?}, {}", counted(content.len() as u64, "byte"));
        let signer = key.map(|path| Signer::of(path, salt, seq)).transpose()?;
        Ok(Self { value, words, signer })
    }

    /// Under which name, and with which salt, something may stand whose number matters.
    fn asks_what_stands(&self) -> Option<(NodeId, Vec<u8>)> {
        let signer = self.signer.as_ref().filter(|signer| signer.seq.is_none())?;
        Some((NodeId(sha1(&[&signer.key, &signer.salt])), signer.salt.clone()))
    }

    /// The item, with a number above that which stands: two changes in a second are two numbers.
    fn item(self, stands: Option<i64>) -> Result<Item, Failure> {
        let Self { value, signer, .. } = self;
        let Some(Signer { pair, key, salt, seq }) = signer else {
            return Ok(Item { value, signed: None });
        };
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seconds = i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
        let next = stands.map_or(seconds, |stands| seconds.max(stands.saturating_add(1)));
        let seq = seq.map_or(next, i64::from);
        let signature = pair.sign(&text_to_sign(&salt, seq, &value));
        let signature = signature.as_ref().try_into().map_err(|_| odd_key())?;
        Ok(Item { value, signed: Some(Signed { key, salt, seq, signature }) })
    }
}

impl Signer {
    fn of(path: &Path, salt: &str, seq: Option<u32>) -> Result<Self, Failure> {
        let pair = key_pair(path)?;
        let key = pair.public_key().as_ref().try_into().map_err(|_| odd_key())?;
        Ok(Self { pair, key, salt: salt.as_bytes().to_vec(), seq })
    }
}

fn odd_key() -> Failure {
    Failure::new(Exit::Unexpected, "the key signs in an unknown way")
}

/// What to do with a text that is taken for the name of a file.
const TAKE_AS_TEXT: &str = ": give another name, or --text to put these letters themselves";

/// Is this rather a name of a file than a text: one word with a folder, or an ending as files have?
fn looks_like_a_path(text: &str) -> bool {
    let is_ending = |ending: &str| {
        (1..=8).contains(&ending.len())
            && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && ending.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    let has_ending = text.rsplit_once('.').is_some_and(|(_, ending)| is_ending(ending));
    let is_url = text.contains("://");
    !is_url && !text.contains(char::is_whitespace) && (text.contains('/') || has_ending)
}

/// The content of a file, and a byte more than may be kept if it is longer.
fn read_short(path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = escape(&path.display().to_string());
    let read = || {
        let mut content = Vec::new();
        std::fs::File::open(path)?.take(VALUE_LEN_MAX as u64 + 1).read_to_end(&mut content)?;
        Ok(content)
    };
    read().map_err(|error| from_io(&format!("cannot read {shown}"), &error))
}

/// The key in a file: 64 digits, the seed of an Ed25519 key. Made when missing, for its owner
/// alone.
fn key_pair(path: &Path) -> Result<Ed25519KeyPair, Failure> {
    let shown = escape(&path.display().to_string());
    let seed: [u8; 32] = match std::fs::read_to_string(path) {
        Ok(text) => digits(&text).ok_or_else(|| {
            Failure::bad_input(format!("{shown} holds no key: that is 64 hexadecimal digits"))
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let seed: [u8; 32] = rand::random();
            let make = || {
                let mut file =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
                writeln!(file, "{}", HEXLOWER.encode(&seed))
            };
            make().map_err(|error| from_io(&format!("cannot make {shown}"), &error))?;
            out::talk(&format!("made the key {shown}; whoever has it can change the item"));
            seed
        }
        Err(error) => return Err(from_io(&format!("cannot read {shown}"), &error)),
    };
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
    pair.map_err(|_| Failure::bad_input(format!("{shown} holds no usable key")))
}

/// The bytes of a bencoded string; of anything else the bencoding.
fn text_of(value: &[u8]) -> &[u8] {
    let scan = crate::bencode::scan(value, crate::bencode::MESSAGE).ok();
    scan.and_then(|scan| scan.root().bytes()).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_files_become_items_and_keys_stay_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("note");
        std::fs::write(&file, "Hello World!").unwrap();
        let item = |text: &str, key, salt, seq| Draft::of(text, false, key, salt, seq)?.item(None);
        let plain = item("Hello World!", None, "", None).unwrap();
        assert_eq!(plain, item(file.to_str().unwrap(), None, "", None).unwrap());
        // BEP 44, test 3.
        assert_eq!(plain.target().to_string(), "e5f96f6f38320f0f33959cb4d3d656452117aadb");
        assert_eq!(text_of(&plain.value), b"Hello World!");
        assert_eq!(text_of(b"li1ee"), b"li1ee");
        let key = dir.path().join("key");
        let signed = |seq| item("x", Some(key.as_path()), "s", Some(seq)).unwrap();
        let (one, two) = (signed(1), signed(2));
        assert_eq!(one.target(), two.target());
        assert!(one.view().is_signed_well() && two.view().is_signed_well());
        std::fs::write(&file, vec![b'x'; 2000]).unwrap();
        let long = item(file.to_str().unwrap(), None, "", None).unwrap_err();
        assert_eq!(long.exit, Exit::BadInput);
        std::fs::write(&key, "nonsense").unwrap();
        let bad = item("x", Some(key.as_path()), "", None).unwrap_err();
        assert!(bad.message.contains("holds no key"));
    }

    #[test]
    fn an_item_gets_a_number_above_the_one_that_stands() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        let draft = |seq| Draft::of("x", false, Some(&key), "s", seq).unwrap();
        let seq = |draft: Draft, stands| draft.item(stands).unwrap().signed.unwrap().seq;
        let now = seq(draft(None), None);
        assert_eq!(seq(draft(None), Some(now + 100)), now + 101);
        assert!(seq(draft(None), Some(5)) >= now);
        assert_eq!(seq(draft(Some(3)), Some(now)), 3, "its user chose");
        assert!(draft(Some(3)).asks_what_stands().is_none());
        let (target, salt) = draft(None).asks_what_stands().unwrap();
        let item = draft(None).item(None).unwrap();
        assert_eq!((target, salt), (item.target(), b"s".to_vec()));
    }

    #[test]
    fn a_mistyped_name_of_a_file_is_not_put_as_a_text() {
        let dir = tempfile::tempdir().unwrap();
        let of = |text: &str, is_text| Draft::of(text, is_text, None, "", None);
        let refused = |text: &str| of(text, false).err().unwrap();
        for text in ["notes.tx", "./notes", "dir/notes", "a.torrent"] {
            let failure = refused(text);
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains("no such file"), "{}", failure.message);
        }
        assert!(refused(dir.path().to_str().unwrap()).message.contains("is a directory"));
        for text in ["a short text", "hello", "3.14", "https://example.org/x", "It ends."] {
            assert_eq!(text_of(&of(text, false).unwrap().value), text.as_bytes(), "{text}");
        }
        let draft = of("notes.tx", true).unwrap();
        assert_eq!(text_of(&draft.value), b"notes.tx");
        assert_eq!(draft.words, "putting the text \"notes.tx\", 8 bytes");
    }
}
