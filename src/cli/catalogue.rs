//! A tracker's catalogue as the command line meets it: which tracker, a question from outside a
//! runtime, and what went wrong as exit codes. Whoever answers on the local network may be
//! anybody: one that has shown that it knows the token, or that it was trusted before, wins, and
//! nothing that others say changes that. Not here: HTTP, and the table.

use std::future::Future;
use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::net::egress::{Egress, Purpose};
use crate::tracker::catalogue_client::{CatalogueClient, Error, Listed, Listing};
use crate::tracker::find::{FoundTracker, find_at};
use crate::tracker::proof::TrackerKey;

use super::args::Common;
use super::escape::escape;
use super::exit::{Exit, Failure, from_io};
use super::out;
use super::print::nearest;
use super::trusted::Trusted;

/// How long a tracker of the local network has to answer.
const PATIENCE: Duration = Duration::from_millis(1000);
/// How long one that answered has to say which one it is; all of them together have thrice that.
const MEET_LIMIT: Duration = Duration::from_secs(2);
/// Trackers that are asked at once: addresses of those that answer may be forged.
const MEET_AT_ONCE: usize = 64;

/// What is said of one that [`is_replacement`].
pub const REPLACED: &str =
    "none of the trackers that you used before answers; this one is not known";

/// Runs a question to the network to its end.
///
/// # Errors
/// As the question, or when there can be no runtime.
pub fn ask<T>(question: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| from_io("cannot start the runtime", &error))?;
    let answer = runtime.block_on(question);
    // A resolver that was given up may take long to notice.
    runtime.shutdown_background();
    answer
}

/// A tracker of the local network that answered.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What it answered.
    pub tracker: FoundTracker,
    /// What it has shown.
    pub standing: Standing,
}

/// What a tracker has shown; the more, the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Standing {
    /// It does not speak HTTP with us.
    Silent,
    /// Nothing: it may be an older one of ours.
    Nobody,
    /// Which one it is; we do not know it.
    Stranger(TrackerKey),
    /// That it is one that was trusted before.
    Known(TrackerKey),
    /// That it knows the token.
    Proven(TrackerKey),
}

impl Standing {
    /// Whether there is reason to trust it.
    pub fn is_trusted(self) -> bool {
        matches!(self, Self::Known(_) | Self::Proven(_))
    }

    /// Which one it has shown itself to be.
    pub fn key(self) -> Option<TrackerKey> {
        match self {
            Self::Silent | Self::Nobody => None,
            Self::Stranger(key) | Self::Known(key) | Self::Proven(key) => Some(key),
        }
    }
}

/// What there is to choose from.
#[derive(Clone, Debug)]
pub enum Choice {
    /// Nobody was looked for: why.
    Off(&'static str),
    /// Nobody answers.
    Nobody,
    /// This one; others may have answered, and count less.
    One(Candidate),
    /// As good as each other.
    Several(Vec<Candidate>),
    /// None of these knows the token.
    Unproven(Vec<Candidate>),
}

/// Looks for trackers of the local network, and has each say which one it is, and whether it
/// knows `token`. Those trusted before are asked where they were last, whoever else answers.
pub async fn look(
    egress: &Egress,
    find_port: u16,
    token: Option<&str>,
    trusted: &Trusted,
) -> Choice {
    let mut meeting = JoinSet::new();
    if egress.is_proxied(Purpose::Catalogue) {
        return Choice::Off("trackers of this network cannot be looked for through a proxy");
    }
    let remembered = trusted.at_hand(egress);
    for tracker in &remembered {
        meeting.spawn(meet(egress, tracker.clone(), token, trusted));
    }
    let mut found = find_at(egress, find_port, PATIENCE).await;
    // Who says that it is a known one is asked before those who are too many.
    found.sort_by_key(|tracker| !trusted.may_have(tracker.instance));
    let end = Instant::now() + MEET_LIMIT * 3;
    let is_new = |tracker: &&FoundTracker| !remembered.iter().any(|it| it.url == tracker.url);
    let new = found.iter().filter(is_new);
    let mut waiting = new.map(|tracker| meet(egress, tracker.clone(), token, trusted));
    let mut met = Vec::new();
    loop {
        while meeting.len() < MEET_AT_ONCE
            && let Some(next) = waiting.next()
        {
            meeting.spawn(next);
        }
        match timeout_at(end, meeting.join_next()).await {
            Ok(Some(Ok(candidate))) => met.push(candidate),
            // A panic in there is our own, and costs that one.
            Ok(Some(Err(_))) => {}
            Ok(None) | Err(_) => break,
        }
    }
    decide(here(met, &found), token.is_some())
}

/// Those that answered, under the names that they gave, and of those only remembered the ones
/// that are still who they were.
fn here(mut met: Vec<Candidate>, found: &[FoundTracker]) -> Vec<Candidate> {
    met.retain_mut(|it| match found.iter().find(|found| found.url == it.tracker.url) {
        Some(found) => {
            it.tracker = found.clone();
            true
        }
        None => it.standing.is_trusted(),
    });
    met
}

fn meet(
    egress: &Egress,
    tracker: FoundTracker,
    token: Option<&str>,
    trusted: &Trusted,
) -> impl Future<Output = Candidate> + Send + 'static {
    let (token, trusted, egress) = (token.map(str::to_owned), trusted.clone(), egress.clone());
    async move {
        let introduced = async {
            let client = CatalogueClient::found(&tracker.url, &egress)?;
            client.introduce(token.as_deref()).await
        };
        let standing = match timeout(MEET_LIMIT, introduced).await {
            Ok(Ok(Some(met))) if met.knows_token() => Standing::Proven(met.key()),
            Ok(Ok(Some(met))) if trusted.has(&met.key()) => Standing::Known(met.key()),
            Ok(Ok(Some(met))) => Standing::Stranger(met.key()),
            Ok(Ok(None) | Err(Error::Refused { .. } | Error::Malformed { .. })) => Standing::Nobody,
            Ok(Err(_)) | Err(_) => Standing::Silent,
        };
        Candidate { tracker, standing }
    }
}

/// The best of those who were met. One that was met at several addresses counts once, at one
/// that others reach it at as well.
fn decide(mut met: Vec<Candidate>, has_token: bool) -> Choice {
    let is_loopback = |it: &Candidate| it.tracker.url.starts_with("http://127.");
    met.sort_by_key(|it| (std::cmp::Reverse(it.standing), is_loopback(it), it.tracker.url.clone()));
    let mut keys = Vec::new();
    met.retain(|it| match it.standing.key() {
        Some(key) if keys.contains(&key) => false,
        key => {
            keys.extend(key);
            true
        }
    });
    let is_proven = |it: &Candidate| matches!(it.standing, Standing::Proven(_));
    let is_known = |it: &Candidate| matches!(it.standing, Standing::Known(_));
    let best: Vec<Candidate> = match has_token {
        true => met.iter().filter(|it| is_proven(it)).cloned().collect(),
        false => met.iter().filter(|it| is_known(it)).cloned().collect(),
    };
    match best.as_slice() {
        [only] => return Choice::One(only.clone()),
        [] if has_token && !met.is_empty() => return Choice::Unproven(met),
        [] => {}
        _ => return Choice::Several(best),
    }
    if met.iter().any(|it| it.standing != Standing::Silent) {
        met.retain(|it| it.standing != Standing::Silent);
    }
    match met.as_slice() {
        [] => Choice::Nobody,
        [only] => Choice::One(only.clone()),
        _ => Choice::Several(met),
    }
}

/// The catalogue of the first tracker given that is asked over HTTP, or of the one on the local
/// network, which is told: the one that knows `token` or was trusted before, or the only one.
///
/// # Errors
/// When what was given is no address; when none is found (code 4), none of those found knows the
/// token (code 3), or several are as good (code 2); they are told then. Without a terminal also
/// when the only one is not known and others were trusted before (code 2).
pub async fn choose(
    given: &[String],
    find_port: u16,
    token: Option<&str>,
    common: &Common,
) -> Result<CatalogueClient, Failure> {
    let egress = common.ways.egress();
    if let Some(url) = first_of(given) {
        return CatalogueClient::new(url, &egress).map_err(|error| failure(&error));
    }
    let mut trusted = Trusted::load();
    let tell = |candidates: &[Candidate]| {
        candidates.iter().for_each(|it| out::talk(&format!("  {}", title(&it.tracker))));
    };
    match look(&egress, find_port, token, &trusted).await {
        Choice::Off(why) => Err(Failure::usage(format!("{why}: name one with --tracker URL"))),
        Choice::Nobody => Err(Failure::new(
            Exit::Network,
            "no tracker answers on this network: name one with --tracker URL, or start one with \
             driver tracker --listen 6969",
        )),
        Choice::One(only) => {
            if is_replacement(&only, &trusted) {
                let words = format!("{REPLACED}: {}", title(&only.tracker));
                if !std::io::stderr().is_terminal() {
                    return Err(Failure::usage(words + "; name it with --tracker URL"));
                }
                out::talk(&words);
            }
            if !common.quiet {
                out::talk(&format!("Using the tracker {}", title(&only.tracker)));
            }
            if let Standing::Proven(key) = only.standing {
                trusted.remember(key, &only.tracker.url);
            }
            CatalogueClient::found(&only.tracker.url, &egress).map_err(|error| failure(&error))
        }
        Choice::Several(several) => {
            tell(&several);
            Err(Failure::usage("several trackers answer: choose one with --tracker URL"))
        }
        Choice::Unproven(unproven) => {
            tell(&unproven);
            Err(Failure::bad_input(
                "no tracker that answers has shown that it knows the token, and nothing was sent: \
                 check the token, or name the tracker with --tracker URL",
            ))
        }
    }
}

/// Whether one that nobody knows stands where those were that the user trusted.
pub fn is_replacement(only: &Candidate, trusted: &Trusted) -> bool {
    !trusted.is_empty() && !only.standing.is_trusted()
}

/// The tracker whose catalogue is meant: those of UDP keep none, and are there for announces.
pub fn first_of(given: &[String]) -> Option<&String> {
    let is_other = |url: &&String| url.to_ascii_lowercase().starts_with("udp://");
    given.iter().find(|url| !is_other(url)).or(given.first())
}

/// `http://10.0.0.2:6969 (lab)`.
pub fn title(tracker: &FoundTracker) -> String {
    match tracker.name.as_str() {
        "" => escape(&tracker.url),
        name => format!("{} ({})", escape(&tracker.url), escape(name)),
    }
}

/// What is listed under `name`.
///
/// # Errors
/// When there is none, with the nearest name as a hint.
pub fn find<'a>(listing: &'a Listing, name: &str, base: &str) -> Result<&'a Listed, Failure> {
    listing.find(name).ok_or_else(|| {
        let near = nearest(name, listing.torrents.iter().map(|listed| listed.name.as_str()));
        let hint = match near {
            Some(near) => format!("did you mean \"{}\"?", escape(near)),
            None => "driver catalogue list shows what there is".to_owned(),
        };
        let name = escape(name);
        Failure::bad_input(format!("nobody shares \"{name}\" with the tracker at {base}: {hint}"))
    })
}

/// The exit code and words for each thing that can go wrong.
pub fn failure(error: &Error) -> Failure {
    let (exit, hint) = match error {
        Error::Url(_) | Error::Token => (Exit::Usage, ""),
        Error::Name(_) => (Exit::BadInput, ""),
        Error::Setup(_) => (Exit::Unexpected, ""),
        Error::Network { .. } => (Exit::Network, "; is it running, and the address right?"),
        Error::Refused { status: 401, .. } | Error::Unproven { .. } => {
            (Exit::BadInput, "; give it with --token or DRIVER_TOKEN")
        }
        Error::CannotProve { .. } => (Exit::BadInput, "; it is older than this program"),
        Error::Refused { status: 409, .. } => {
            (Exit::BadInput, " (--name, driver catalogue unshare)")
        }
        Error::Refused { status: 500.., .. } => (Exit::Network, "; try again later"),
        Error::Refused { .. } => (Exit::BadInput, ""),
        Error::TooLong { .. } | Error::Malformed { .. } => {
            (Exit::Network, "; is that the address of a driver tracker?")
        }
    };
    Failure::new(exit, escape(&error.to_string()) + hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::InfoHash;

    fn candidate(url: &str, standing: Standing) -> Candidate {
        let tracker =
            FoundTracker { url: url.to_owned(), name: "lab".to_owned(), instance: [1; 8] };
        Candidate { tracker, standing }
    }

    /// What is chosen, by its URL; `several` and the like otherwise.
    fn chosen(met: &[(&str, Standing)], has_token: bool) -> String {
        let met = met.iter().map(|(url, standing)| candidate(url, *standing)).collect();
        match decide(met, has_token) {
            Choice::Nobody | Choice::Off(_) => "nobody".to_owned(),
            Choice::One(only) => only.tracker.url,
            Choice::Several(several) => format!("several {}", several.len()),
            Choice::Unproven(unproven) => format!("unproven {}", unproven.len()),
        }
    }

    #[tokio::test]
    async fn nobody_is_looked_for_beside_a_proxy() {
        let proxy = "socks5://192.0.2.1:1080".parse().ok();
        let egress = Egress::new(crate::net::egress::Policy { proxy, ..Default::default() });
        let choice = look(&egress, 9, None, &Trusted::default()).await;
        assert!(matches!(choice, Choice::Off(why) if why.contains("through a proxy")));
    }

    const KEY: TrackerKey = TrackerKey([1; 32]);
    const OTHER: TrackerKey = TrackerKey([2; 32]);

    #[test]
    fn whoever_has_shown_something_is_neither_silenced_nor_replaced() {
        let (real, copy) = ("http://10.0.0.2:6969", "http://10.0.0.9:6969");
        for stranger in [Standing::Silent, Standing::Nobody, Standing::Stranger(OTHER)] {
            let proven = [(copy, stranger), (real, Standing::Proven(KEY))];
            assert_eq!(chosen(&proven, true), real);
            let known = [(copy, stranger), (real, Standing::Known(KEY))];
            assert_eq!(chosen(&known, false), real);
            assert_eq!(chosen(&[(copy, stranger)], true), "unproven 1");
        }
        let known = [(real, Standing::Known(KEY)), (copy, Standing::Proven(OTHER))];
        assert_eq!(chosen(&known, true), copy, "the token says more");
    }

    #[test]
    fn strangers_are_all_told_and_one_that_has_two_addresses_is_one() {
        let (real, copy) = ("http://10.0.0.2:6969", "http://10.0.0.9:6969");
        let strangers = [(real, Standing::Stranger(KEY)), (copy, Standing::Stranger(OTHER))];
        assert_eq!(chosen(&strangers, false), "several 2");
        assert_eq!(
            chosen(&[(real, Standing::Nobody), (copy, Standing::Nobody)], false),
            "several 2"
        );
        let local = "http://127.0.0.1:6969";
        let twice = [(local, Standing::Stranger(KEY)), (real, Standing::Stranger(KEY))];
        assert_eq!(chosen(&twice, false), real);
        assert_eq!(chosen(&[(real, Standing::Silent), (copy, Standing::Nobody)], false), copy);
        assert_eq!(chosen(&[(real, Standing::Silent)], false), real, "to be told what is wrong");
        assert_eq!(chosen(&[], true), "nobody");
    }

    #[test]
    fn one_that_is_remembered_needs_no_answer_and_has_to_be_itself() {
        let (real, copy) = ("http://10.0.0.2:6969", "http://10.0.0.9:6969");
        let nameless = |url: &str, standing| {
            let tracker = FoundTracker { name: String::new(), ..candidate(url, standing).tracker };
            Candidate { tracker, standing }
        };
        let found = [candidate(copy, Standing::Nobody).tracker];
        let met = |standing| vec![nameless(real, standing), nameless(copy, Standing::Nobody)];
        let urls = |met| -> Vec<String> {
            here(met, &found).iter().map(|it| title(&it.tracker)).collect()
        };
        assert_eq!(urls(met(Standing::Known(KEY))), [real, "http://10.0.0.9:6969 (lab)"]);
        for other in [Standing::Silent, Standing::Nobody, Standing::Stranger(OTHER)] {
            assert_eq!(urls(met(other)), ["http://10.0.0.9:6969 (lab)"]);
        }
    }

    #[test]
    fn one_stranger_does_not_replace_those_that_were_trusted_unsaid() {
        let url = "http://10.0.0.9:6969";
        let trusted = Trusted::of(KEY, url);
        for (standing, expected) in [
            (Standing::Silent, true),
            (Standing::Nobody, true),
            (Standing::Stranger(OTHER), true),
            (Standing::Known(KEY), false),
            (Standing::Proven(OTHER), false),
        ] {
            assert_eq!(is_replacement(&candidate(url, standing), &trusted), expected);
            assert!(!is_replacement(&candidate(url, standing), &Trusted::default()));
        }
    }

    #[test]
    fn a_name_that_is_almost_right_brings_the_right_one() {
        let listed = |name: &str| Listed {
            name: name.to_owned(),
            info_hash: InfoHash([1; 20]),
            size: 1,
            files: 1,
            pieces: 1,
            seeds: 0,
            leeches: 0,
            holders: Vec::new(),
        };
        let listing = Listing { torrents: vec![listed("lecture"), listed("music")], left_out: 0 };
        assert!(find(&listing, "lecture", "x").is_ok());
        let said = |name: &str| find(&listing, name, "http://x").unwrap_err();
        let expected =
            "nobody shares \"lecutre\" with the tracker at http://x: did you mean \"lecture\"?";
        assert_eq!(said("lecutre").message, expected);
        assert_eq!(said("lecutre").exit, Exit::BadInput);
        assert!(said("zzzzz").message.ends_with(": driver catalogue list shows what there is"));
    }
}
