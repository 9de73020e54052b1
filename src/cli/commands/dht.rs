//! `driver dht`: asks the DHT something, by a node that lives as long as that takes. It begins with
//! the nodes that downloads have met, and keeps those that it meets.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand, ValueHint};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};

use crate::base::digest::sha1;
use crate::base::ids::InfoHash;
use crate::base::units::duration;
use crate::cli::args::ConfigChoice;
use crate::cli::catalogue::ask;
use crate::cli::config::state_dir;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome, from_io};
use crate::cli::out;
use crate::cli::print::{counted, dht_json, dht_screen, swarm_words};
use crate::cli::values;
use crate::dht::items::{Item, SALT_LEN_MAX, Signed, VALUE_LEN_MAX, text_to_sign};
use crate::dht::task::{Answer, Dht, DhtConfig, Question};
use crate::dht::{NodeId, Tally};
use crate::metainfo::Magnet;
use crate::net::udp::Udp;
use crate::session::DHT_FILE;

use super::download::routers;

/// How long the first node may take to answer, if nothing else is said.
const ENTER_MAX: &str = "20s";
/// How long a table is filled that is to be shown.
const FILL: Duration = Duration::from_secs(5);
/// How often it is looked whether it grows.
const LOOK: Duration = Duration::from_millis(500);

/// What to ask the DHT.
#[derive(Subcommand, Clone, Debug)]
pub enum DhtCommand {
    /// Find peers of a torrent, and estimate how many there are
    Get {
        /// Its info hash, or a magnet link.
        #[arg(value_name = "HASH")]
        hash: String,
        /// How to ask.
        #[command(flatten)]
        reach: Reach,
    },
    /// Ask one node for its id
    Ping {
        /// The node: HOST:PORT
        #[arg(value_name = "NODE", value_parser = values::node)]
        node: String,
        /// How to ask.
        #[command(flatten)]
        reach: Reach,
    },
    /// Show the nodes that answer
    Nodes {
        /// How to ask.
        #[command(flatten)]
        reach: Reach,
    },
    /// Keep a text or a short file in the DHT, for two hours; prints what to find it by
    Put {
        /// The text, or the file that holds it; at most 996 bytes.
        #[arg(value_name = "TEXT|FILE")]
        text: String,
        /// Sign it with the key in this file, which is made when missing; it can be changed then
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        key: Option<PathBuf>,
        /// Tells several items of one key apart
        #[arg(long, value_name = "TEXT", requires = "key", default_value = "")]
        salt: String,
        /// The higher one replaces the lower [default: the time in seconds]
        #[arg(long, value_name = "N", requires = "key")]
        seq: Option<u32>,
        /// How to ask.
        #[command(flatten)]
        reach: Reach,
    },
    /// Fetch what is kept in the DHT
    Item {
        /// What `put` printed: 40 digits, or 64 of a key.
        #[arg(value_name = "TARGET")]
        target: String,
        /// The salt that it was put with
        #[arg(long, value_name = "TEXT", default_value = "")]
        salt: String,
        /// How to ask.
        #[command(flatten)]
        reach: Reach,
    },
}

/// How the DHT is reached.
#[derive(Args, Clone, Debug)]
pub struct Reach {
    /// Speak from this address [default: all, both families]
    #[arg(long, value_name = "ADDR", env = "DRIVER_BIND")]
    pub bind: Option<IpAddr>,
    /// Enter the DHT here when no other node answers: HOST:PORT; '' is nowhere [default: three
    /// public routers]
    #[arg(long, value_name = "ADDR", env = "DRIVER_DHT_BOOTSTRAP", value_delimiter = ',',
          value_parser = values::node)]
    pub dht_bootstrap: Vec<String>,
    /// Give up when no node has answered for so long: 10s
    #[arg(long, value_name = "DUR", default_value = ENTER_MAX, value_parser = values::duration)]
    pub wait: Duration,
    /// Print JSON
    #[arg(long, env = "DRIVER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Which settings.
    #[command(flatten)]
    pub config: ConfigChoice,
}

/// Asks it.
///
/// # Errors
/// When what was named makes no sense, no node can be reached, or nothing was found.
pub fn run(command: &DhtCommand) -> Outcome {
    match command {
        DhtCommand::Get { hash, reach } => {
            let hash = hash_of(hash)?;
            ask(with_node(reach, async |dht| get(dht, hash, reach).await))
        }
        DhtCommand::Ping { node, reach } => {
            ask(with_node(reach, async |dht| ping(dht, node, reach).await))
        }
        DhtCommand::Nodes { reach } => ask(with_node(reach, async |dht| nodes(dht, reach).await)),
        DhtCommand::Put { text, key, salt, seq, reach } => {
            let item = item_of(text, key.as_deref(), salt, *seq)?;
            ask(with_node(reach, async |dht| put(dht, item, reach).await))
        }
        DhtCommand::Item { target, salt, reach } => {
            let target = target_of(target, salt)?;
            let salt = salt.clone().into_bytes();
            ask(with_node(reach, async |dht| item(dht, target, salt, reach).await))
        }
    }
}

/// Runs a node for as long as the work takes.
async fn with_node(reach: &Reach, work: impl AsyncFnOnce(&Dht) -> Outcome) -> Outcome {
    let opened = Udp::open(reach.bind, 0);
    let (udp, mail) = opened.map_err(|error| Failure::new(Exit::Network, error.to_string()))?;
    // Where nothing was ever kept, nothing is.
    let file = state_dir().ok().filter(|dir| dir.is_dir()).map(|dir| dir.join(DHT_FILE));
    let routers = routers(&reach.dht_bootstrap);
    let dht = Dht::start(DhtConfig { udp, mail: mail.dht, file, routers, read_only: true });
    let came = work(&dht).await;
    dht.stop().await;
    came
}

/// Waits until some node answers.
async fn enter(dht: &Dht, reach: &Reach) -> Result<(), Failure> {
    match dht.reached(reach.wait).await {
        true => Ok(()),
        false => Err(unreached(reach.wait)),
    }
}

fn unreached(wait: Duration) -> Failure {
    let why = format!(
        "no node of the DHT has answered for {} (--dht-bootstrap HOST:PORT names one)",
        duration(wait)
    );
    Failure::new(Exit::Network, why)
}

async fn get(dht: &Dht, hash: InfoHash, reach: &Reach) -> Outcome {
    enter(dht, reach).await?;
    let mut answers = dht.ask(Question::Find(hash)).await;
    // Asked apart, since peers and filters of one reply may not fit a datagram.
    let counting = dht.ask(Question::Scrape(hash)).await;
    let (mut found, mut tally) = (Vec::new(), Tally::default());
    while let Some(answer) = answers.recv().await {
        match answer {
            Answer::Peers(peers) => {
                for peer in peers {
                    if !found.contains(&peer) {
                        found.push(peer);
                        tell(
                            reach,
                            &json!({ "event": "peer", "address": peer.to_string() }),
                            || peer.to_string(),
                        )?;
                    }
                }
            }
            Answer::Ended(of_one) => add(&mut tally, of_one),
            Answer::Found(_) => {}
        }
    }
    let swarm = ended(counting).await.swarm;
    if let Some((seeds, leechers)) = swarm.filter(|_| reach.json) {
        out::deliver_json(&json!({ "event": "swarm", "seeds": seeds, "leechers": leechers }))?;
    }
    let summary = format!(
        "{} found{}; {} of {} asked nodes answered",
        counted(found.len() as u64, "peer"),
        swarm.map(|swarm| format!(", {}", swarm_words(swarm))).unwrap_or_default(),
        tally.answered,
        tally.asked
    );
    match found.is_empty() {
        true => Err(Failure::new(Exit::Network, summary)),
        false => {
            out::talk(&summary);
            Ok(Exit::Done)
        }
    }
}

async fn ping(dht: &Dht, node: &str, reach: &Reach) -> Outcome {
    let looked_up = timeout(reach.wait, lookup_host(node)).await;
    let addresses: Vec<SocketAddr> = match looked_up {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => {
            let why = format!("cannot resolve {}: {error}", escape(node));
            return Err(Failure::new(Exit::Network, why));
        }
        Err(_) => Vec::new(),
    };
    for address in addresses {
        let mut answers = dht.ask(Question::Ping(address)).await;
        while let Ok(Some(answer)) = timeout(reach.wait, answers.recv()).await {
            let Answer::Ended(Tally { round_trip: Some(time), .. }) = answer else { continue };
            let id = dht.look().await.contacts.into_iter().find(|it| it.address == address);
            let id = id.map(|contact| contact.id.to_string());
            let event = json!({
                "event": "pong", "address": address.to_string(), "id": id,
                "round_trip": time.as_secs_f64(),
            });
            let shown = id.clone().unwrap_or_else(|| "a node".to_owned());
            let milliseconds = time.as_secs_f64() * 1000.0;
            tell(reach, &event, || format!("{address}  {shown}  {milliseconds:.1} ms"))?;
            return Ok(Exit::Done);
        }
    }
    Err(Failure::new(Exit::Network, format!("{} does not answer", escape(node))))
}

async fn nodes(dht: &Dht, reach: &Reach) -> Outcome {
    enter(dht, reach).await?;
    let begin = Instant::now();
    let (mut look, mut grown_at, mut count) = (interval(LOOK), begin, 0);
    // As long as it grows, but not for ever.
    while begin.elapsed() < FILL && grown_at.elapsed() < LOOK * 3 {
        look.tick().await;
        let now_good = dht.standing().good();
        if now_good > count {
            (count, grown_at) = (now_good, Instant::now());
        }
    }
    let (standing, mut look) = (dht.standing(), dht.look().await);
    look.lookups.clear();
    if reach.json {
        out::deliver_json(&dht_json(&standing, &look))?;
        return Ok(Exit::Done);
    }
    let mut screen = dht_screen(&standing, &look, out::columns());
    for contact in &look.contacts {
        let time = contact.round_trip.map(|time| format!("{} ms", time.as_millis()));
        let address = contact.address.to_string();
        screen += &format!("{}  {address:<24} {}\n", contact.id, time.unwrap_or_default());
    }
    out::deliver(&screen)?;
    Ok(Exit::Done)
}

async fn put(dht: &Dht, item: Item, reach: &Reach) -> Outcome {
    enter(dht, reach).await?;
    let target = item.target();
    let key = item.signed.as_ref().map(|signed| HEXLOWER.encode(&signed.key));
    let tally = ended(dht.ask(Question::Put(item)).await).await;
    if tally.stored == 0 {
        let why = format!("no node keeps it; {} of {} answered", tally.answered, tally.asked);
        return Err(Failure::new(Exit::Network, why));
    }
    let event = json!({
        "event": "stored", "target": target.to_string(), "key": key, "nodes": tally.stored,
    });
    tell(reach, &event, || target.to_string())?;
    out::talk(&format!("kept by {}", counted(tally.stored as u64, "node")));
    Ok(Exit::Done)
}

async fn item(dht: &Dht, target: NodeId, salt: Vec<u8>, reach: &Reach) -> Outcome {
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

/// What all families together came to.
async fn ended(mut answers: mpsc::Receiver<Answer>) -> Tally {
    let mut tally = Tally::default();
    while let Some(answer) = answers.recv().await {
        if let Answer::Ended(of_one) = answer {
            add(&mut tally, of_one);
        }
    }
    tally
}

fn add(all: &mut Tally, one: Tally) {
    all.asked += one.asked;
    all.answered += one.answered;
    all.peers += one.peers;
    all.stored += one.stored;
    let add = |(seeds, leechers), (more, others)| (seeds + more, leechers + others);
    all.swarm = match (all.swarm, one.swarm) {
        (Some(known), Some(more)) => Some(add(known, more)),
        (known, more) => known.or(more),
    };
}

/// A line for people, or the event for programs.
fn tell(
    reach: &Reach,
    event: &serde_json::Value,
    line: impl FnOnce() -> String,
) -> Result<(), Failure> {
    match reach.json {
        true => out::deliver_json(event),
        false => out::deliver(&(line() + "\n")),
    }
}

/// The hash of a torrent, from its digits or a link.
fn hash_of(text: &str) -> Result<InfoHash, Failure> {
    let bare = digits::<20>(text).map(InfoHash);
    let linked = || {
        let link = Magnet::parse(text).ok()?;
        let cut =
            |hash: crate::base::ids::InfoHashV2| InfoHash(std::array::from_fn(|at| hash.0[at]));
        link.info_hash_v1.or(link.info_hash_v2.map(cut))
    };
    let refused = || Failure::usage("not an info hash: write 40 digits, or a magnet link");
    bare.or_else(linked).ok_or_else(refused)
}

fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok()?.try_into().ok()
}

/// What an item is found by: its own hash, or that of its key and salt.
fn target_of(text: &str, salt: &str) -> Result<NodeId, Failure> {
    let by_key = |key: [u8; 32]| NodeId(sha1(&[&key, salt.as_bytes()]));
    let target = digits::<20>(text).map(NodeId).or_else(|| digits::<32>(text).map(by_key));
    target.ok_or_else(|| Failure::usage("not a target: write the 40 digits of put, or 64 of a key"))
}

/// The item of a text or file, signed where there is a key.
fn item_of(text: &str, key: Option<&Path>, salt: &str, seq: Option<u32>) -> Result<Item, Failure> {
    let content = match Path::new(text).is_file() {
        true => read_short(Path::new(text))?,
        false => text.as_bytes().to_vec(),
    };
    let value = [format!("{}:", content.len()).as_bytes(), &content].concat();
    if value.len() > VALUE_LEN_MAX {
        let why = format!("too long: nodes keep at most {VALUE_LEN_MAX} bytes");
        return Err(Failure::bad_input(why));
    }
    if salt.len() > SALT_LEN_MAX {
        return Err(Failure::usage(format!("the salt is longer than {SALT_LEN_MAX} bytes")));
    }
    let Some(path) = key else { return Ok(Item { value, signed: None }) };
    let pair = key_pair(path)?;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
    let seq = seq.map_or(seconds, i64::from);
    let signature = pair.sign(&text_to_sign(salt.as_bytes(), seq, &value));
    let odd = || Failure::new(Exit::Unexpected, "the key signs in an unknown way");
    let signed = Signed {
        key: pair.public_key().as_ref().try_into().map_err(|_| odd())?,
        salt: salt.as_bytes().to_vec(),
        seq,
        signature: signature.as_ref().try_into().map_err(|_| odd())?,
    };
    Ok(Item { value, signed: Some(signed) })
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

    const HASH: &str = "6f84758b0ddd8dc05840bf932a77935d8b5b8b93";

    #[test]
    fn hashes_and_targets_are_read() {
        assert_eq!(hash_of(HASH).unwrap().to_string(), HASH);
        assert_eq!(hash_of(&format!("magnet:?xt=urn:btih:{HASH}")).unwrap().to_string(), HASH);
        assert_eq!(hash_of("6f84").unwrap_err().exit, Exit::Usage);
        assert_eq!(target_of(HASH, "").unwrap().to_string(), HASH);
        // "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548" (BEP 44, test 1).
        let key = "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548";
        let targets = ["4a533d47ec9c7d95b1ad75f576cffc641853b750"];
        assert_eq!([target_of(key, "").unwrap().to_string()], targets);
        let salted = target_of(key, "foobar").unwrap().to_string();
        assert_eq!(salted, "411eba73b6f087ca51a3795d9c8c938d365e32c1");
        assert_eq!(target_of("xyz", "").unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn texts_and_files_become_items_and_keys_stay_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("note");
        std::fs::write(&file, "Hello World!").unwrap();
        let plain = item_of("Hello World!", None, "", None).unwrap();
        assert_eq!(plain, item_of(file.to_str().unwrap(), None, "", None).unwrap());
        // BEP 44, test 3.
        assert_eq!(plain.target().to_string(), "e5f96f6f38320f0f33959cb4d3d656452117aadb");
        assert_eq!(text_of(&plain.value), b"Hello World!");
        assert_eq!(text_of(b"li1ee"), b"li1ee");
        let key = dir.path().join("key");
        let signed = |seq| item_of("x", Some(&key), "s", Some(seq)).unwrap();
        let (one, two) = (signed(1), signed(2));
        assert_eq!(one.target(), two.target());
        assert!(one.view().is_signed_well() && two.view().is_signed_well());
        std::fs::write(&file, vec![b'x'; 2000]).unwrap();
        let long = item_of(file.to_str().unwrap(), None, "", None).unwrap_err();
        assert_eq!(long.exit, Exit::BadInput);
        std::fs::write(&key, "nonsense").unwrap();
        assert!(item_of("x", Some(&key), "", None).unwrap_err().message.contains("holds no key"));
    }
}
