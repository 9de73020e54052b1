//! How `driver dht` reaches the DHT: a node that lives as long as a question takes, and why none
//! other answers it.

use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::BoolishValueParser;
use data_encoding::HEXLOWER_PERMISSIVE;
use tokio::sync::mpsc;

use crate::base::units::duration;
use crate::cli::args::{Blocklists, ConfigChoice};
use crate::cli::commands::download::routers;
use crate::cli::config::state_dir;
use crate::cli::engine::blocklist_failure;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::out;
use crate::cli::print::counted;
use crate::cli::values;
use crate::dht::Tally;
use crate::dht::task::{Answer, Dht, DhtConfig};
use crate::net;
use crate::net::blocklist;
use crate::net::egress::{Egress, Purpose};
use crate::net::udp::Udp;
use crate::session::DHT_FILE;

/// How long the first node may take to answer, if nothing else is said.
const ENTER_MAX: &str = "20s";
/// How long it is waited in silence for the first node, how often it is looked how that stands
/// after, and how long a resolver has to say why a name means nothing to it.
const QUIET: Duration = Duration::from_millis(1500);
const SAY_EVERY: Duration = Duration::from_secs(5);
const RESOLVE_MAX: Duration = Duration::from_secs(2);

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

/// Runs a node for as long as the work takes.
pub(super) async fn with_node(
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
pub(super) async fn enter(dht: &Dht, reach: &Reach) -> Result<(), Failure> {
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

/// What all families together came to.
pub(super) async fn ended(mut answers: mpsc::Receiver<Answer>) -> Tally {
    let mut tally = Tally::default();
    while let Some(answer) = answers.recv().await {
        if let Answer::Ended(of_one) = answer {
            add(&mut tally, of_one);
        }
    }
    tally
}

pub(super) fn add(all: &mut Tally, one: Tally) {
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
pub(super) fn tell(
    reach: &Reach,
    event: &serde_json::Value,
    line: impl FnOnce() -> String,
) -> Result<(), Failure> {
    match reach.json {
        true => out::deliver_json(event),
        false => out::deliver(&(line() + "\n")),
    }
}

pub(super) fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
