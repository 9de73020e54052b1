//! How a torrent comes in: as bytes, by a URL, or by a link whose metadata peers have.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use tokio::task::spawn_blocking;

use crate::base::addr::{Locality, Teller};
use crate::metainfo::{Magnet, Torrent};
use crate::net::egress::Egress;
use crate::net::reach;
use crate::session::{SeedLimits, TorrentOptions, WebSeed};
use crate::web::{self, Fetched};

use super::answer::{Kind, Refusal};
use super::request::Addition;
use super::view::seen_files;

/// Base64 of the largest `.torrent` that is taken.
const TORRENT_TEXT_MAX: usize = (16 << 20) / 3 * 4 + 4;

/// The largest number of a file of a torrent whose files are not known.
const CHOSEN_MAX: usize = 100_000;

/// What an addition came to.
pub(super) enum Given {
    /// A torrent, with the bytes of its file.
    Torrent(Arc<Torrent>, Arc<[u8]>),
    /// A link whose torrent only its peers have.
    Link(Box<Magnet>),
}

/// Makes of an addition what it is. Waits for the network, in which a URL may lead to our own one
/// only where that is allowed.
///
/// # Errors
/// It is no torrent, or cannot be fetched.
pub(super) async fn open(
    addition: &mut Addition,
    egress: &Egress,
    allows_local: bool,
) -> Result<Given, Refusal> {
    match (addition.torrent.take(), &addition.link, &addition.url) {
        (Some(text), None, None) => {
            if text.len() > TORRENT_TEXT_MAX {
                return Err(Refusal::invalid("the torrent is longer than 16 MiB"));
            }
            let bytes = BASE64.decode(text.as_bytes());
            read(bytes.map_err(|_| Refusal::invalid("the torrent is not base64"))?).await
        }
        (None, Some(link), None) => {
            let link = match Magnet::from_hash(link) {
                Some(link) => link,
                None => Magnet::parse(link).map_err(Refusal::invalid)?,
            };
            Ok(Given::Link(Box::new(link)))
        }
        (None, None, Some(url)) => {
            // Whoever may ask us is not for that one who may ask everybody in our network.
            let from = if allows_local { Teller::User } else { Teller::Remote(Locality::Public) };
            let limits =
                web::Limits { believes_strangers: false, ..web::Limits::by(egress.clone()) };
            let fetched = web::fetch(url, from, &limits).await;
            match fetched {
                Ok(Fetched::Torrent(bytes)) => read(bytes).await,
                Ok(Fetched::Link(link)) => Ok(Given::Link(link)),
                Ok(Fetched::Metalink(_)) => Err(Refusal::invalid("a metalink is no torrent")),
                // What is there is for nobody to read by our eyes.
                Err(web::Error::Other(_)) => Err(Refusal::invalid("what is there is no torrent")),
                Err(error @ web::Error::Reach(reach::Error::Forbidden(..))) => {
                    let why = format!("{error}: fetch it yourself, or see --allow-local-web-seeds");
                    Err(Refusal::invalid(why))
                }
                Err(error) if error.is_of_network() => Err(Refusal::new(Kind::Failed, error)),
                Err(error) => Err(Refusal::invalid(error)),
            }
        }
        _ => Err(Refusal::invalid("a torrent is added by one of: torrent, link, url")),
    }
}

async fn read(bytes: Vec<u8>) -> Result<Given, Refusal> {
    let bytes: Arc<[u8]> = bytes.into();
    let file = bytes.clone();
    // Millions of files take their time.
    let torrent = spawn_blocking(move || Torrent::parse(&file)).await;
    let torrent = torrent.map_err(|_| Refusal::invalid("the torrent cannot be read"))?;
    Ok(Given::Torrent(Arc::new(torrent.map_err(Refusal::invalid)?), bytes))
}

/// How a torrent is run that is added so, with its files below `dir`; the rest is as for all.
///
/// # Errors
/// The addition asks for what no torrent can have.
pub(super) fn options(
    rest: &TorrentOptions,
    addition: &Addition,
    dir: PathBuf,
) -> Result<TorrentOptions, Refusal> {
    let ratio = addition.seed_ratio.filter(|ratio| *ratio > 0.0);
    if addition.seed_ratio.is_some_and(|ratio| !ratio.is_finite() || ratio < 0.0) {
        return Err(Refusal::invalid("a ratio is a number from 0 on"));
    }
    let web_seeds = addition.web_seeds.iter();
    let web_seeds = web_seeds.map(WebSeed::of_user).collect();
    let time = addition.seed_time_s.filter(|time| *time > 0).map(Duration::from_secs);
    let seeding = match (addition.seed_ratio, addition.seed_time_s) {
        (None, None) => rest.seeding,
        _ => SeedLimits { ratio, time },
    };
    let trackers = [rest.extra_trackers.clone(), addition.trackers.clone()].concat();
    Ok({ rest.clone() }
        .dir(dir)
        .paused(addition.paused)
        .labels(addition.labels.clone())
        .sequential(addition.sequential || rest.sequential)
        .download_limit(addition.limit_down.filter(|limit| *limit > 0))
        .upload_limit(addition.limit_up.filter(|limit| *limit > 0))
        .seeding(seeding)
        .extra_trackers(trackers)
        .web_seeds(web_seeds)
        .sent_before(addition.sent_before.unwrap_or(0))
        .waits_for_disk(true)
        .begins_in_dir(true))
}

/// With these files alone, by their numbers; all when none are named.
///
/// # Errors
/// There is no file of such a number.
pub(super) fn choose(
    options: TorrentOptions,
    numbers: Option<&[u32]>,
    torrent: &Torrent,
) -> Result<TorrentOptions, Refusal> {
    let Some(numbers) = numbers else { return Ok(options) };
    let seen = seen_files(torrent);
    let mut wanted = vec![false; torrent.files.len()];
    for number in numbers {
        let at = (*number as usize).checked_sub(1).and_then(|at| seen.get(at));
        let at = at.ok_or_else(|| no_file(*number, seen.len()))?;
        wanted[*at] = true;
    }
    if seen.iter().all(|at| wanted[*at]) {
        // Padding is wanted with everything else alone: it would have the last piece of a file
        // fetched that nobody wants.
        wanted.fill(true);
    }
    Ok(options.wanted_files(wanted))
}

/// That there is no file of this number.
pub(super) fn no_file(number: u32, count: usize) -> Refusal {
    Refusal::invalid(format!("there is no file {number}: they are numbered from 1 to {count}"))
}

/// The files of these numbers, of a torrent whose files are not known; all when none are named.
///
/// # Errors
/// There is no file 0, nor one of a number that no torrent has.
pub(super) fn choose_unseen(
    options: TorrentOptions,
    numbers: Option<&[u32]>,
) -> Result<TorrentOptions, Refusal> {
    let Some(numbers) = numbers else { return Ok(options) };
    let last = numbers.iter().max().map_or(0, |last| *last as usize);
    if last > CHOSEN_MAX || numbers.contains(&0) {
        let words = format!("files that are not known yet are numbered from 1 to {CHOSEN_MAX}");
        return Err(Refusal::invalid(words));
    }
    let mut wanted = vec![false; last];
    let positions = numbers.iter().filter_map(|number| (*number as usize).checked_sub(1));
    positions.for_each(|at| wanted[at] = true);
    Ok(options.wanted_files(wanted))
}

/// The hashes of a link in hex, the one that it is known by first.
pub(super) fn hashes_of(link: &Magnet) -> Vec<String> {
    let v1 = link.info_hash_v1.map(|hash| HEXLOWER.encode(&hash.0));
    v1.into_iter().chain(link.info_hash_v2.map(|hash| HEXLOWER.encode(&hash.0))).collect()
}
