//! `driver TORRENT...`: checks what was asked for and makes of it the job that downloads it.

use std::path::Path;
use std::sync::Arc;

use crate::cli::args::{self, Common, Options};
use crate::cli::attempts::is_here;
use crate::cli::catalogue::ask;
use crate::cli::config::state_dir;
use crate::cli::escape::{escape, json};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::given::{Given, Hints, Input, Loaded, address_of, save};
use crate::cli::job::{Job, Telling, failed, in_runtime, unnamed};
use crate::cli::live::Ending;
use crate::cli::memory::memory_for;
use crate::cli::metalinked::{Meant, meant};
use crate::cli::out;
use crate::cli::place::{followed, may_be_directory};
use crate::cli::print::{counted, info_screen};
use crate::cli::repl::Talk;
use crate::cli::repl::desk::{Chosen, Wanted};
use crate::cli::search::Wish;
use crate::cli::selection::wanted_files;
use crate::dht::task::ROUTERS;
use crate::metainfo::{Magnet, Torrent};
use crate::net::egress::Egress;
use crate::session::{
    Allocate, CheckMode, DhtOptions, SeedLimits, SessionConfig, TorrentOptions, WebSeed,
};
use crate::torrent::course::{Listing, ListingSource};

use super::load;

/// Downloads the torrents named on the command line.
///
/// # Errors
/// When an option cannot be honoured, the only torrent cannot be used, or its download fails.
pub fn run(torrents: &[String], options: &Options, common: &Common) -> Outcome {
    start(torrents, options, common, false)
}

/// Runs the torrents named, to download or only to seed them.
///
/// # Errors
/// As [`run`].
pub fn start(
    torrents: &[String],
    options: &Options,
    common: &Common,
    is_seed_only: bool,
) -> Outcome {
    let egress = common.ways.egress();
    start_found(torrents, options, common, is_seed_only, &mut |name| found(name, &egress))
}

/// What a word of the command line means: the torrent, fetched where it is elsewhere, or a link.
///
/// # Errors
/// As [`Given::open`].
pub fn found(name: &str, egress: &Egress) -> Result<Found, Failure> {
    let input = match Given::of(Path::new(name))? {
        // Nobody is asked yet.
        Given::Link(link) => Input::Link(link),
        Given::File(path) => Input::of_file(&path)?,
        given => ask(given.open(egress))?,
    };
    Ok(match input {
        Input::Torrent(loaded) => Found::loaded(*loaded),
        Input::Link(link) => Found::Link(link),
        Input::Metalink(metalink) => {
            let mut told = Vec::new();
            let files = ask(async { Ok(meant(&metalink, egress, &mut told).await) })?;
            told.iter().for_each(|words| out::talk_wrapped(&format!("driver: {words}")));
            let found = |meant| match meant {
                Meant::Torrent(loaded) => Found::loaded(*loaded),
                Meant::Link(link) => Found::Link(link),
            };
            let files = files.into_iter().map(|(name, meant)| (name, meant.map(found)));
            Found::Several(files.collect())
        }
    })
}

/// What a name led to.
pub enum Found {
    /// A torrent.
    Torrent(Box<FoundTorrent>),
    /// A link whose torrent only its peers have.
    Link(Box<Magnet>),
    /// The files of a metalink, by their names.
    Several(Vec<(String, Result<Found, Failure>)>),
}

impl Found {
    /// A torrent that was read or fetched.
    fn loaded(Loaded { torrent, bytes, hints }: Loaded) -> Self {
        Self::torrent(FoundTorrent { torrent, bytes: Some(bytes), trackers: None, hints })
    }

    /// A torrent.
    pub fn torrent(torrent: FoundTorrent) -> Self {
        Self::Torrent(Box::new(torrent))
    }
}

/// A torrent that a name led to.
pub struct FoundTorrent {
    /// The torrent.
    pub torrent: Torrent,
    /// Its .torrent file, where there is one.
    pub bytes: Option<Vec<u8>>,
    /// Trackers to ask beside its own, instead of those of the command line.
    pub trackers: Option<Vec<String>>,
    /// What the link says that led to it.
    pub hints: Hints,
}

/// Runs what `find` makes of the names.
///
/// # Errors
/// As [`run`], and as `find`.
pub fn start_found(
    torrents: &[String],
    options: &Options,
    common: &Common,
    is_seed_only: bool,
    find: &mut dyn FnMut(&str) -> Result<Found, Failure>,
) -> Outcome {
    start_and_tell(torrents, options, common, is_seed_only, find, &mut || None)
}

/// The same, and then what `tell` gives: it is awaited when everything that may fail at the start
/// has not.
///
/// # Errors
/// As [`run`], as `find`, and as what `tell` gives.
pub fn start_and_tell(
    torrents: &[String],
    options: &Options,
    common: &Common,
    is_seed_only: bool,
    find: &mut dyn FnMut(&str) -> Result<Found, Failure>,
    tell: &mut dyn FnMut() -> Option<Telling>,
) -> Outcome {
    options.dir.iter().try_for_each(|dir| may_be_directory(dir))?;
    let is_several = torrents.len() > 1;
    let dirs = options.dir.len();
    if dirs > 1 && dirs != torrents.len() {
        let torrents = counted(torrents.len() as u64, "torrent");
        return Err(Failure::usage(format!(
            "--dir is given once for all torrents or once for each, not {dirs} times for {torrents}"
        )));
    }
    if is_choosy(options) && (is_several || is_seed_only) {
        let why = "--select and --exclude are for the download of one torrent (but --select all)";
        return Err(Failure::usage(why));
    }
    if options.save_torrent.is_some() && is_several {
        return Err(Failure::usage("--save-torrent is for one torrent"));
    }
    if let Some(dir) = &options.chunk_config {
        // It is read again when the download runs; what is wrong with it is said now.
        let listing = Listing::of_config(dir);
        listing.map_err(|error| Failure::bad_input(escape(&error.to_string())))?;
    }
    let talk = match Talk::choose(options.repl, options.no_repl) {
        // Events and a prompt do not go together; commands of a pipe do.
        Talk::Prompt | Talk::Watched if options.json && options.repl => Talk::Pipe,
        Talk::Prompt | Talk::Watched if options.json => Talk::Progress,
        talk => talk,
    };
    let exit_when_complete = !is_seed_only && exits_when_complete(options, talk);
    let template = torrent_options(options)
        .seed_only(is_seed_only)
        // A script, or who asked for one torrent alone, is told at once.
        .waits_for_disk(is_several && !exit_when_complete);
    let (chosen, refused) = choose(torrents, options, &template, find)?;
    if chosen.is_empty() {
        // Whole files are here already.
        return Ok(refused);
    }
    let is_several = is_several || chosen.len() > 1;
    let job = Job {
        torrents: chosen,
        template: template.seed_only(false).waits_for_disk(true),
        refused,
        is_several,
        session: session_config(options, common)?,
        ending: Ending { exit_when_complete, timeout: options.timeout, providers: None },
        open: Vec::new(),
        chunks_from: chunks_from(options, &common.ways.egress())?,
        talk,
        json: options.json,
        script: Vec::new(),
        telling: tell(),
    };
    let state_dir = job.session.state_dir.clone();
    in_runtime(common, unnamed(talk, &state_dir), &state_dir, async |stopper| {
        job.run(common, stopper).await
    })
}

/// Where the course listing is that these options name, if any.
fn chunks_from(options: &Options, egress: &Egress) -> Result<Option<ListingSource>, Failure> {
    Ok(match (&options.chunk_tracker, &options.chunk_config) {
        (Some(tracker), _) => Some(ListingSource::Tracker(ask(address_of(tracker, egress))?)),
        (None, Some(dir)) => Some(ListingSource::Config(dir.clone())),
        (None, None) => None,
    })
}

/// Reads the torrents. Of several, those that cannot be used are
/// told and left out; the code says what was wrong with the worst.
fn choose(
    names: &[String],
    options: &Options,
    template: &TorrentOptions,
    find: &mut dyn FnMut(&str) -> Result<Found, Failure>,
) -> Result<(Vec<Wanted>, Exit), Failure> {
    let mut chosen = Vec::new();
    let mut refused = Exit::Done;
    for (number, name) in names.iter().enumerate() {
        // The only directory, or the one of this torrent.
        let dir = options.dir.get(number).unwrap_or(&template.dir).clone();
        let template = template.clone().dir(dir);
        let several = match find(name) {
            Ok(Found::Several(files)) => files,
            one => vec![(name.clone(), one)],
        };
        let is_only = names.len() == 1 && several.len() == 1;
        for (name, found) in several {
            let template = template.clone();
            match found.and_then(|found| choose_any(&name, found, options, template)) {
                Ok(one) => chosen.extend(one),
                Err(failure) => {
                    if options.json {
                        out::answer(&(json(&failed(&failure)) + "\n"));
                    }
                    if is_only {
                        return Err(failure);
                    }
                    out::talk_wrapped(&format!("driver: {failure}"));
                    refused = refused.worst(failure.exit);
                }
            }
        }
    }
    Ok((chosen, refused))
}

fn choose_any(
    name: &str,
    found: Found,
    options: &Options,
    template: TorrentOptions,
) -> Result<Option<Wanted>, Failure> {
    let wanted = match found {
        Found::Torrent(found) => {
            refuse_unjudged(name, &found.torrent, options, &template)?;
            let (sums, dir) = (&found.hints.sums, &template.dir);
            if is_here(&found.torrent, dir, sums) {
                let name = escape(name);
                out::talk_wrapped(&format!("{name}: here already, and its hash is right"));
                return Ok(None);
            }
            Wanted::Torrent(Box::new(choose_one(name, *found, options, &template)?))
        }
        Found::Link(_) if options.chunk_tracker.is_some() || options.chunk_config.is_some() => {
            let why = "--chunk-tracker and --chunk-config are for torrents whose metadata is here";
            return Err(Failure::usage(why));
        }
        Found::Link(link) => Wanted::Link(Box::new(Wish {
            select: options.select.clone(),
            exclude: options.exclude.clone(),
            save_torrent: options.save_torrent.clone(),
            ..Wish::new(name.to_owned(), *link, template)
        })),
        Found::Several(_) => return Err(Failure::bad_input("a metalink in a metalink")),
    };
    Ok(Some(wanted))
}

/// A file of which nothing tells the pieces is for its mirrors alone.
fn refuse_unjudged(
    name: &str,
    torrent: &Torrent,
    options: &Options,
    template: &TorrentOptions,
) -> Result<(), Failure> {
    let why = match () {
        () if torrent.is_judged() => return Ok(()),
        () if template.seed_only || options.no_web_seeds => {
            "only its mirrors have it, and nothing is to be fetched from those"
        }
        () if options.save_torrent.is_some() => {
            "nothing tells its pieces, so there is no .torrent of it"
        }
        () => return Ok(()),
    };
    Err(Failure::usage(format!("{}: {why}", escape(name))))
}

fn choose_one(
    name: &str,
    FoundTorrent { torrent, bytes, trackers, mut hints }: FoundTorrent,
    options: &Options,
    template: &TorrentOptions,
) -> Result<Chosen, Failure> {
    match (&options.save_torrent, &bytes) {
        (Some(path), Some(bytes)) => save(bytes, path)?,
        (Some(_), None) => {
            let why = "--save-torrent is for URLs and files, not for names of a catalogue";
            return Err(Failure::usage(why));
        }
        (None, _) => {}
    }
    if torrent.layout.is_none() {
        out::answer(&info_screen(&torrent, out::line_columns()));
    }
    load::check_downloadable(&torrent)?;
    refuse_strangers(&torrent, options)?;
    let wanted_files = chosen_files(&torrent, options)?;
    let extra_trackers = trackers.unwrap_or_else(|| template.extra_trackers.clone());
    let dir = match template.seed_only {
        true => followed(&torrent, &template.dir)?,
        false => template.dir.clone(),
    };
    let options =
        template.clone().dir(dir).wanted_files(wanted_files).extra_trackers(extra_trackers);
    let sums = std::mem::take(&mut hints.sums);
    let options = hints.add_to(options, &torrent)?;
    Ok(Chosen { named: name.to_owned(), torrent: Arc::new(torrent), options, sums })
}

/// BEP 27: of a private torrent only its trackers name peers.
fn refuse_strangers(torrent: &Torrent, options: &Options) -> Result<(), Failure> {
    let named = [
        ("--peer", !options.peer.is_empty()),
        ("--chunk-tracker", options.chunk_tracker.is_some()),
        ("--chunk-config", options.chunk_config.is_some()),
    ];
    // One that has no peers at all needs no word about them.
    let is_private = torrent.private && torrent.is_judged();
    match named.iter().find(|(_, is_given)| is_private && *is_given) {
        Some((option, _)) => Err(Failure::usage(format!(
            "the torrent is private: only its trackers may name peers; leave {option} out"
        ))),
        None => Ok(()),
    }
}

/// Does the run end as soon as everything is complete? A limit to seeding ends it later.
fn exits_when_complete(options: &Options, talk: Talk) -> bool {
    let has_end = seed_limits(options) != SeedLimits::default();
    let stays = options.seed.is_some() || talk == Talk::Prompt;
    !has_end && (options.exit_on_finish || !stays)
}

fn seed_limits(options: &Options) -> SeedLimits {
    let ratio = options.seed.filter(|ratio| ratio.is_finite());
    SeedLimits { ratio, time: options.seed_time }
}

/// How the session runs that these options ask for.
///
/// # Errors
/// When there is no home directory, or more memory is asked for than there is.
pub fn session_config(options: &Options, common: &Common) -> Result<SessionConfig, Failure> {
    Ok(SessionConfig::default()
        .port(options.port)
        .egress(common.ways.egress())
        .blocklists(options.blocklists.lists())
        .encryption(options.encryption.into())
        .state_dir(state_dir()?)
        .memory(memory_for(common)?)
        .download_limit(options.download_limit.0)
        .upload_limit(options.upload_limit.0)
        .max_active(options.max_active.into())
        // Whoever binds an address does not want to be seen elsewhere.
        .local_discovery(!options.no_lsd && common.ways.bind.is_none())
        .port_mapping(!options.no_portmap)
        .allow_local_sources(options.allow_local_web_seeds)
        .web_connections(options.web_connections.into())
        .web_limit(options.web_limit.0)
        .dht(dht_options(options.no_dht, &options.dht_bootstrap)))
}

/// How to take part in the DHT, if at all.
pub fn dht_options(is_off: bool, bootstrap: &[String]) -> Option<DhtOptions> {
    (!is_off).then(|| DhtOptions::with_routers(routers(bootstrap)))
}

/// The public nodes to ask where nobody else answers: those that are named, none where an empty
/// name stands among them, and the usual ones where nothing is said.
pub fn routers(named: &[String]) -> Vec<String> {
    match named {
        [] => ROUTERS.map(str::to_owned).to_vec(),
        named if named.iter().any(String::is_empty) => Vec::new(),
        named => named.to_vec(),
    }
}

/// Is a part of the files chosen? To end an earlier choice, all are named, of any torrent.
fn is_choosy(options: &Options) -> bool {
    options.exclude.is_some() || options.select.as_ref().is_some_and(|select| !select.is_all())
}

fn chosen_files(torrent: &Torrent, options: &Options) -> Result<Option<Vec<bool>>, Failure> {
    if options.select.is_none() && options.exclude.is_none() {
        return Ok(None);
    }
    let wanted = wanted_files(torrent, options.select.as_ref(), options.exclude.as_ref());
    wanted.map(Some).map_err(Failure::usage)
}

/// How each torrent runs that these options are for.
pub fn torrent_options(options: &Options) -> TorrentOptions {
    TorrentOptions::default()
        // There is a default.
        .dir(options.dir.first().cloned().unwrap_or_default())
        .peers(options.peer.clone())
        .extra_trackers(options.tracker.clone())
        .use_trackers(!options.no_trackers)
        .web_seeds(options.web_seed.iter().map(WebSeed::of_user).collect())
        .use_web_seeds(!options.no_web_seeds)
        .check(match (options.check, options.no_resume) {
            (true, _) => CheckMode::Force,
            (_, true) => CheckMode::NoResume,
            _ => CheckMode::Resume,
        })
        .overwrite(options.overwrite)
        // Who speaks to the program waits for what it says.
        .checks_room(!options.repl)
        .allocate(match options.allocate {
            args::Allocate::None => Allocate::None,
            args::Allocate::Sparse => Allocate::Sparse,
            args::Allocate::Full => Allocate::Full,
        })
        .sequential(options.sequential)
        .max_peers(options.max_peers.into())
        .exchange_peers(!options.no_pex)
        .seeding(seed_limits(options))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn options(line: &str) -> Options {
        args::Cli::try_parse_from(format!("driver {line} t").split(' ')).unwrap().options
    }

    #[test]
    fn servers_that_the_user_names_are_asked_whatever_is_said_of_others() {
        let both = torrent_options(&options("--no-web-seeds -w http://m/x --web-seed https://n/"));
        let named = ["http://m/x", "https://n/"].map(WebSeed::of_user);
        assert_eq!((both.web_seeds, both.use_web_seeds), (named.to_vec(), false));
        assert!(torrent_options(&options("")).use_web_seeds);
    }

    #[test]
    fn all_files_are_no_choice_among_them() {
        for (line, expected) in [
            ("--select all", false),
            ("--select 1-", false),
            ("--select 2", true),
            ("--select all --exclude 1", true),
            ("-p 0", false),
        ] {
            assert_eq!(is_choosy(&options(line)), expected, "{line}");
        }
    }

    #[test]
    fn seeding_without_a_number_has_no_limit() {
        assert_eq!(seed_limits(&options("--seed")), SeedLimits::default());
        let limits = seed_limits(&options("--seed=1.5 --seed-time 5m"));
        assert_eq!((limits.ratio, limits.time.map(|time| time.as_secs())), (Some(1.5), Some(300)));
    }

    #[test]
    fn only_a_prompt_or_seeding_keeps_a_complete_download_running() {
        assert!(exits_when_complete(&options("-p 0"), Talk::Progress));
        assert!(!exits_when_complete(&options("-p 0"), Talk::Prompt));
        assert!(exits_when_complete(&options("-e"), Talk::Prompt));
        assert!(!exits_when_complete(&options("--seed"), Talk::Pipe));
        assert!(!exits_when_complete(&options("--seed-time 5m"), Talk::Pipe));
        assert!(!exits_when_complete(&options("--seed=2 -e"), Talk::Progress));
        assert!(exits_when_complete(&options("--seed -e"), Talk::Prompt));
    }
}
