//! `driver dht`: asks the DHT something, by a node that lives as long as that takes. It begins with
//! the nodes that downloads have met, and keeps those that it meets.

mod items;
mod reach;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Subcommand, ValueHint};
use serde_json::json;
use tokio::time::{interval, timeout};

use crate::base::ids::InfoHash;
use crate::cli::args::Common;
use crate::cli::catalogue::ask;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::out;
use crate::cli::print::{counted, dht_json, dht_screen, swarm_words};
use crate::cli::values;
use crate::dht::Tally;
use crate::dht::task::{Answer, Dht, Question};
use crate::metainfo::Magnet;
use crate::net;

use items::{Draft, item, put, target_of};
use reach::{Reach, add, digits, ended, enter, tell, with_node};

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
}
