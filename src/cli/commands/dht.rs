//! `driver dht`: asks the DHT something, by a node that lives as long as that takes. It begins with
//! the nodes that downloads have met, and keeps those that it meets.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand, ValueHint};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};

use crate::base::digest::sha1;
use crate::base::ids::InfoHash;
use crate::base::units::duration;
use crate::cli::args::{Blocklists, Common, ConfigChoice};
use crate::cli::catalogue::ask;
use crate::cli::config::state_dir;
use crate::cli::engine::blocklist_failure;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome, from_io};
use crate::cli::out;
use crate::cli::print::{counted, dht_json, dht_screen, swarm_words};
use crate::cli::values;
use crate::dht::items::{Item, SALT_LEN_MAX, Signed, VALUE_LEN_MAX, text_to_sign};
use crate::dht::task::{Answer, Dht, DhtConfig, Question};
use crate::dht::{NodeId, Tally};
use crate::metainfo::Magnet;
use crate::net;
use crate::net::blocklist;
use crate::net::egress::{Egress, Purpose};
use crate::net::udp::Udp;
use crate::session::DHT_FILE;

use super::download::routers;

/// How long the first node may take to answer, if nothing else is said.
const ENTER_MAX: &str = "20s";
/// How long it is waited in silence for the first node, how often it is looked how that stands
/// after, and how long a resolver has to say why a name means nothing to it.
const QUIET: Duration = Duration::from_millis(1500);
const SAY_EVERY: Duration = Duration::from_secs(5);
const RESOLVE_MAX: Duration = Duration::from_secs(2);
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
        #[arg(value_name = "NODE", value_parser = values::node_to_ask)]
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
        /// It is a text, though it looks like the name of a file
        #[arg(long = "text")]
        is_text: bool,
        /// Sign it with the key in this file, which is made when missing; it can be changed then
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        key: Option<PathBuf>,
        /// Tells several items of one key apart
        #[arg(long, value_name = "TEXT", requires = "key", default_value = "")]
        salt: String,
        /// The higher one replaces the lower [default: the time in seconds, or the next]
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
    /// Whom nobody asks.
    #[command(flatten)]
    pub blocklists: Blocklists,
}

/// Asks it.
///
/// # Errors
/// When what was named makes no sense, no node can be reached, or nothing was found.
pub fn run(command: &DhtCommand, common: &Common) -> Outcome {
    let egress = &common.ways.egress();
    match command {
        DhtCommand::Get { hash, reach } => {
            let hash = hash_of(hash)?;
            ask(with_node(egress, reach, async |dht| get(dht, hash, reach).await))
        }
        DhtCommand::Ping { node, reach } => {
            ask(with_node(egress, reach, async |dht| ping(dht, node, reach).await))
        }
        DhtCommand::Nodes { reach } => {
            ask(with_node(egress, reach, async |dht| nodes(dht, reach).await))
        }
        DhtCommand::Put { text, is_text, key, salt, seq, reach } => {
            let draft = Draft::of(text, *is_text, key.as_deref(), salt, *seq)?;
            ask(with_node(egress, reach, async |dht| put(dht, draft, reach).await))
        }
        DhtCommand::Item { target, salt, reach } => {
            let target = target_of(target, salt)?;
            let salt = salt.clone().into_bytes();
            ask(with_node(egress, reach, async |dht| item(dht, target, salt, reach).await))
        }
    }
}

/// Runs a node for as long as the work takes.
async fn with_node(
    egress: &Egress,
    reach: &Reach,
    work: impl AsyncFnOnce(&Dht) -> Outcome,
) -> Outcome {
    if let Some(why) = egress.off(Purpose::Dht) {
        return Err(Failure::usage(format!("the DHT is off: {why}")));
    }
    // Where nothing was ever kept, nothing is.
    let kept = state_dir().ok().filter(|dir| dir.is_dir());
    let lists = reach.blocklists.lists();
    let keeper = blocklist::start(lists, egress, kept.as_deref()).await;
    let _keeper = keeper.map_err(|error| blocklist_failure(&error))?;
    let opened = Udp::open(egress, 0);
    let (udp, mail) = opened.map_err(|error| Failure::new(Exit::Network, error.to_string()))?;
    let file = kept.map(|dir| dir.join(DHT_FILE));
    let routers = routers(&reach.dht_bootstrap);
    let dht = Dht::start(DhtConfig {
        egress: egress.clone(),
        udp,
        mail: mail.dht,
        file,
        routers,
        read_only: true,
    });
    let came = work(&dht).await;
    dht.stop().await;
    came
}

/// Waits until some node answers, and says after a moment what it waits for.
async fn enter(dht: &Dht, reach: &Reach) -> Result<(), Failure> {
    let (begin, routers) = (Instant::now(), routers(&reach.dht_bootstrap));
    let (mut pause, mut known, mut said) = (QUIET, 0, String::new());
    loop {
        let left = reach.wait.saturating_sub(begin.elapsed());
        if dht.reached(pause.min(left)).await {
            return Ok(());
        }
        let standing = dht.standing();
        known = known.max(standing.both().map(|health| health.known + health.hints).sum());
        if known == 0 && routers.is_empty() || begin.elapsed() >= reach.wait {
            let unresolved = if known == 0 { unresolved(dht, &routers).await } else { Vec::new() };
            let why = unreached(known, &routers, &unresolved, reach.wait);
            return Err(Failure::new(Exit::Network, why));
        }
        let words = waiting(known, standing.both().map(|health| health.asked).sum());
        if words != said {
            out::talk(&format!("{words} (at most {})", duration(reach.wait)));
            said = words;
        }
        pause = SAY_EVERY;
    }
}

/// What it is waited for, with so many nodes that were heard of and so many being asked.
fn waiting(known: usize, asked: usize) -> String {
    match known {
        0 => "looking for a first node of the DHT: none is known yet".to_owned(),
        known => format!(
            "waiting for a first node of the DHT: {} known, {asked} being asked, none has answered",
            counted(known as u64, "node")
        ),
    }
}

/// Why nobody was reached, though so many nodes were heard of.
fn unreached(
    known: usize,
    routers: &[String],
    unresolved: &[(String, String)],
    wait: Duration,
) -> String {
    let named = "--dht-bootstrap HOST:PORT names one";
    match (known, routers.first(), unresolved.first()) {
        (0, None, _) => {
            format!("no node of the DHT is known: none is kept from earlier runs ({named})")
        }
        (0, _, Some((name, why))) if unresolved.len() == routers.len() => format!(
            "no node of the DHT is known: cannot resolve {}: {} ({named})",
            escape(name),
            escape(why)
        ),
        (0, Some(router), _) => format!(
            "no node of the DHT has answered for {}: {} was asked; is it one, and does it run?",
            duration(wait),
            escape(router)
        ),
        (known, ..) => format!(
            "none of {} of the DHT has answered for {}: they are away, or datagrams (UDP) do not \
             get through ({named})",
            counted(known as u64, "known node"),
            duration(wait)
        ),
    }
}

/// Names that mean nothing to the resolver, and why.
async fn unresolved(dht: &Dht, names: &[String]) -> Vec<(String, String)> {
    let mut unresolved = Vec::new();
    for name in names {
        match dht.resolve(name, RESOLVE_MAX).await {
            Ok(_) => {}
            Err(net::Error::Lookup { cause, .. }) => unresolved.push((name.clone(), cause)),
            Err(error) => unresolved.push((name.clone(), error.to_string())),
        }
    }
    unresolved
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
    let found = dht.resolve(node, reach.wait).await;
    let told = |error: net::Error| Failure::new(Exit::Network, escape(&error.to_string()));
    for address in found.map_err(told)? {
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

async fn put(dht: &Dht, draft: Draft, reach: &Reach) -> Outcome {
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

/// What is to be put, before it is known which number it gets.
struct Draft {
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
    fn of(
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

    #[test]
    fn why_nobody_was_reached_is_the_true_reason() {
        let wait = Duration::from_secs(20);
        let router = ["127.0.0.1:1".to_owned()];
        let words = |known, routers: &[String], unresolved: &[(String, String)]| {
            unreached(known, routers, unresolved, wait)
        };
        assert!(words(0, &[], &[]).contains("none is kept from earlier runs"));
        let unresolved = [(router[0].clone(), "unknown name".to_owned())];
        assert!(
            words(0, &router, &unresolved).contains("cannot resolve 127.0.0.1:1: unknown name")
        );
        assert!(words(0, &router, &[]).contains("127.0.0.1:1 was asked"));
        let words = words(3, &router, &[]);
        assert!(
            words.starts_with("none of 3 known nodes of the DHT has answered for 20s"),
            "{words}"
        );
        assert_eq!(
            waiting(3, 2),
            "waiting for a first node of the DHT: 3 nodes known, 2 being asked, none has answered"
        );
    }
}
