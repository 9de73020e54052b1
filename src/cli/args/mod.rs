//! The command line as clap reads it: every option with its alias, environment variable and
//! default. What options mean together is checked in [`super::config`] and the commands.

mod catalogue;
mod conduct;
mod daemon;
mod options;
mod remote;
mod resume;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueHint};

use super::commands::chunk::ChunkCommand;
use super::commands::create::CreateArgs;
use super::commands::dht::DhtCommand;
use super::commands::info::InfoArgs;
use super::commands::magnet::MagnetArgs;
use super::values::{self, Listen};
use crate::tracker::find::FIND_PORT;

pub use catalogue::{CatalogueCommand, ShareArgs, TrackerChoice};
pub use conduct::{Blocklists, Common, ConfigChoice};
pub use daemon::DaemonArgs;
pub use options::{Allocate, Encryption, Options};
pub use remote::{
    Added, DaemonPlace, Filters, ImportArgs, Imported, OtherClient, RemoteArgs, RemoteCommand, Whom,
};
pub use resume::ResumeCommand;

const EXAMPLES: &str = "\
Examples:
  driver debian.iso.torrent              download into ./downloads, with a prompt
  driver -d /srv -e debian.iso.torrent   download into /srv, exit when complete
  driver --select 1-3,5 album.torrent    only these files (numbers: driver info --files)
  driver -D 2MiB debian.iso.torrent      at most 2 MiB a second
  driver --seed=2 a.torrent b.torrent    two at once, each uploaded twice over
  driver https://host/debian.torrent     fetch the torrent, then download
  driver -w https://mirror/iso/ x.torrent   from this server, too
  driver https://host/debian.meta4       from the mirrors of a metalink
  driver 'magnet:?xt=urn:btih:...'       get the torrent from its peers, then download
  driver seed album.torrent /srv         upload what is in /srv
  driver info debian.iso.torrent         look into a torrent, or a magnet link
  driver magnet --no-trackers a.torrent  its link
  driver create -a URL album             make album.torrent of the directory album
  driver catalogue share album           share it by name, with the tracker of the network
  driver catalogue list                  what is shared by name
  driver catalogue get album             download it
  driver dht get 6f84758b...             peers of a torrent, by its info hash
  driver remote list                     the torrents of the daemon
  driver demo                            a whole swarm on this machine, to try it out

A switch that the config file turns on is turned off by --SWITCH=false.

Sizes and rates: K, M, G are powers of 1000 and KiB, MiB, GiB of 1024; 0 means no limit.

With --json a download prints one JSON object a line, each with an \"event\":
  searching     name (of the link, or null), info_hash
  metadata      info_hash, seconds, pieces (0 while nobody told), have, holders, peers,
                dialling, candidates (every second)
  metadata_found  name, info_hash, info_hash_v2, size, kept (from an earlier run)
  started       name, info_hash, total_size, files, files_chosen, port, dir
  checked       pieces, by_record (of them, not read), changed (path, gone, pieces, bytes),
                lacks_room (message, or null), ignored (what the record says that is ignored)
  first_peer    address
  progress      seconds, done, wanted, downloaded, uploaded, down_rate, up_rate, peers,
                sources (of the web), pieces_verified, unsynced (not yet on the device),
                counted (the second at which the bytes were counted); every second
  hash_failed   piece, blamed (address, host of a web source, or null)
  reassigned    piece, address and name (who failed to bring it), message
  banned        address
  piece_lost    piece, message
  file_changed  message, pieces, bytes, fetched (true or false), fetched_in (seconds, or null)
  file_back     message, pieces, bytes (a lost file that is served again)
  tracker       message
  dht_announced  nodes (that took it)
  course        message (of course providers)
  web_source    source, url (without query), state (up, down, waits, off or file_off), path (of
                the file that is off), message, seconds (until it is asked again)
  disk_trouble  message        disk_recovered
  moved         dir            not_moved  message
  completed     downloaded, seconds
  file_hash     path, kind, right (true, false or null), message (of files of a metalink)
  again         message, sources (the host of the mirror that all of it comes from now)
  finished      uploaded, ratio (seeded as long as was asked for)
  failed        message (also when it cannot begin)
  stopped       complete (true or false), downloaded, seconds
  answer        command, text (of a command that came through a pipe)
  net           open (true or false), message (nothing leaves any more, or it does again; with
                --proxy-peers it is open without the proxy, too)
  port_mapping  family, protocol, router, address, tcp and udp (ports outside), lifetime (or
                null), behind (cgnat, double_nat or null); else family, message
  blocklist     list, ranges, bad (lines that cannot be read), dials, connections (refused so
                far), message (why it stays as it was, or null); when it was read, or was not
Each has the info_hash of its torrent, but for answers, net, port_mapping, blocklist and torrents
that could not be read.
Numbers are bytes, bytes a second and seconds. When nobody reads the events any more the run ends
(exit code 7).

Files, where XDG_CONFIG_HOME and XDG_STATE_HOME are not set (driver config prints them):
  ~/.config/driver/config.toml      settings: long options as keys, DRIVER_* and flags go first
  ~/.local/state/driver/            what is verified of each torrent, driver.log, history,
                                    nodes of the DHT, blocklists that were fetched

Exit codes: 0 complete, 1 unexpected, 2 usage, 3 bad input, 4 network, 5 disk,
6 data does not match its hashes, 7 stopped before complete (progress is saved), 8 in use,
130/143 second Ctrl-C / SIGTERM.";

/// `driver` and its arguments.
#[derive(Parser, Debug)]
#[command(
    name = "driver",
    version,
    about = "A BitTorrent client",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    after_long_help = EXAMPLES,
    mut_subcommand("list", |command| command.hide(true)),
    mut_subcommand("get", |command| command.hide(true)),
    mut_subcommand("share", |command| command.hide(true)),
    mut_subcommand("unshare", |command| command.hide(true))
)]
pub struct Cli {
    /// What to do instead of downloading.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to download: .torrent files, their URLs, magnet links, info hashes
    #[arg(value_name = "TORRENT", required = true, value_hint = ValueHint::FilePath)]
    pub torrents: Vec<String>,
    /// How to download.
    #[command(flatten)]
    pub options: Options,
    /// For every command.
    #[command(flatten)]
    pub common: Common,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Download torrents; the same as naming them without a command
    Download {
        /// The .torrent file, or its URL.
        #[arg(value_name = "TORRENT", required = true, value_hint = ValueHint::FilePath)]
        torrents: Vec<String>,
        /// How to download.
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Files shared by name with a tracker: list, get, share, unshare
    #[command(alias = "catalog", after_long_help = catalogue::NOTES)]
    Catalogue {
        /// What to do.
        #[command(subcommand)]
        command: CatalogueCommand,
    },
    /// The words of `catalogue` without it, for habit.
    #[command(flatten)]
    Alone(CatalogueCommand),
    /// Share, download and list by a menu; the same as no arguments on a terminal
    Menu {
        /// How to download and upload.
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Try it out: a tracker, three seeders and a download, all on this machine
    Demo(DemoArgs),
    /// Run without a prompt, keep the torrents between runs, and be asked by driver remote and HTTP
    #[command(after_long_help = daemon::DAEMON_NOTES)]
    Daemon(Box<DaemonArgs>),
    /// Show what a .torrent contains, or what a magnet link says
    Info(InfoArgs),
    /// Make a .torrent of a file or directory
    Create(Box<CreateArgs>),
    /// Check data on disk, then upload it until told to stop
    #[command(mut_arg("dir", |arg| arg.help("Where the data lies; nothing is written there")))]
    Seed {
        /// The .torrent files or URLs; a directory behind them is where their data lies, as --dir
        #[arg(value_name = "FILE", required = true, num_args = 1..,
              value_hint = ValueHint::AnyPath)]
        paths: Vec<String>,
        /// How to upload.
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Check data on disk against a .torrent: which files and bytes are wrong
    #[command(after_long_help = VERIFY_NOTES)]
    Verify {
        /// The .torrent file, or its URL.
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Where the data lies [default: as --dir says]
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        place: Option<PathBuf>,
        /// Where data lies in general, as for a download
        #[arg(short, long, value_name = "DIR", default_value = "downloads", env = "DRIVER_DIR",
              value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        /// Compare with a list of sha256sum, too, which names files within the torrent's folder
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        sha256sums: Option<PathBuf>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Which settings.
        #[command(flatten)]
        config: ConfigChoice,
    },
    /// Ask the DHT: peers of a torrent, nodes, items
    Dht {
        /// What to ask.
        #[command(subcommand)]
        command: DhtCommand,
    },
    /// The course chunk protocol: get, provide, tracker, cut, merge, check
    Chunk {
        /// Which role or tool.
        #[command(subcommand)]
        command: ChunkCommand,
    },
    /// Run a tracker, with a catalogue of torrents by name
    #[command(after_long_help = TRACKER_NOTES)]
    Tracker(TrackerArgs),
    /// Ask a daemon, or tell it what to do: torrents, limits, what happens
    #[command(after_long_help = remote::NOTES)]
    Remote(Box<RemoteArgs>),
    /// Have a daemon take over the torrents of another client, where their files are
    #[command(after_long_help = remote::IMPORT_NOTES)]
    Import(Box<ImportArgs>),
    /// Print the magnet link of a torrent
    Magnet(MagnetArgs),
    /// List or clear what is kept of earlier downloads, never their data
    Resume {
        /// Which of both.
        #[command(subcommand)]
        command: ResumeCommand,
    },
    /// Print the effective settings, where each comes from, and which files are used
    Config {
        /// As if these were given.
        #[command(flatten)]
        options: Box<Options>,
        /// Print the rules of the file as they are understood, and what they would do to the
        /// torrents of the daemon of this user, if one runs
        #[arg(long)]
        rules: bool,
    },
    /// Print the completion script for a shell
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print a manual page, or write all of them
    #[command(after_long_help = MAN_NOTES)]
    Man {
        /// Of which command: info, chunk get [default: of driver itself]
        #[arg(value_name = "COMMAND", conflicts_with = "dir")]
        about: Vec<String>,
        /// Write the pages of all commands into this directory
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
    /// Explain a command and its options
    Help {
        /// Which one: info, chunk get [default: driver itself]
        #[arg(value_name = "COMMAND")]
        about: Vec<String>,
    },
}

const MAN_NOTES: &str = "\
driver man | man -l -            read the page
driver man info | man -l -       that of a command
driver man --dir ~/.local/share/man/man1    install all: man driver-info";

const VERIFY_NOTES: &str = "\
Names the files that are wrong, and how many are right; -v names all, -q only the wrong ones.
Changes nothing and leaves no trace, so one that was stopped begins anew. Bytes are numbered in
their file, from 0; a piece is right or wrong as a whole, with its bytes in all files that it
spans. With --json ranges are pairs: the first byte, and the one behind the last.
--sha256sums makes the sums from the same reading. What the list names beside the torrent's files
is ignored.";

/// Options of `demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Keep ./driver-demo afterwards
    #[arg(long)]
    pub keep: bool,
    /// Seeders send as fast as they can
    #[arg(long)]
    pub fast: bool,
    /// Bytes of data.bin, at most 1GiB
    #[arg(long, value_name = "SIZE", default_value = "48MiB", value_parser = values::size)]
    pub size: u64,
    /// How many seeders
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u8).range(1..=50))]
    pub peers: u8,
}

const TRACKER_NOTES: &str = "\
The tracker answers at /announce and /scrape, shows people what it tracks at /, numbers at
/stats (JSON) and /metrics (Prometheus), and keeps torrents by name at /catalogue.

Everybody who reaches it may read and announce. To register torrents a token is needed, unless
it listens on this machine only and none was given; without --token one is made and printed.
SIGHUP reads the file of --allow again, unless it comes from a terminal that closes.";

/// Options of `tracker`.
#[derive(Args, Clone, Debug)]
pub struct TrackerArgs {
    /// Listen here; a port alone is every address of both families
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:6969",
          env = "DRIVER_LISTEN", value_parser = values::listen)]
    pub listen: Listen,
    /// Answer over UDP too, on the same port
    #[arg(long, env = "DRIVER_UDP", value_parser = BoolishValueParser::new())]
    pub udp: bool,
    /// Time between announces that clients are told; who misses two is gone
    #[arg(long, value_name = "DUR", default_value = "30m", env = "DRIVER_INTERVAL",
          value_parser = values::duration)]
    pub interval: Duration,
    /// What to know to register torrents; others of this machine can see it here
    #[arg(long, value_name = "TOKEN", env = "DRIVER_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Read it from this file
    #[arg(long, value_name = "FILE", env = "DRIVER_TOKEN_FILE", value_hint = ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,
    /// Track only the info-hashes in this file, one a line
    #[arg(long, value_name = "FILE", env = "DRIVER_ALLOW", value_hint = ValueHint::FilePath)]
    pub allow: Option<PathBuf>,
    /// Track only registered torrents (and those of --allow)
    #[arg(long, env = "DRIVER_ALLOW_CATALOGUE", value_parser = BoolishValueParser::new())]
    pub allow_catalogue: bool,
    /// Keep the catalogue here [default: catalogue, in driver's state directory]
    #[arg(long, value_name = "DIR", env = "DRIVER_STATE", value_hint = ValueHint::DirPath)]
    pub state: Option<PathBuf>,
    /// Keep no catalogue
    #[arg(long, env = "DRIVER_NO_CATALOGUE", value_parser = BoolishValueParser::new())]
    pub no_catalogue: bool,
    /// Do not tell those who look for a tracker on the network
    #[arg(long, env = "DRIVER_NO_FIND", value_parser = BoolishValueParser::new())]
    pub no_find: bool,
    /// UDP port to be found at
    #[arg(long, value_name = "PORT", default_value_t = FIND_PORT, env = "DRIVER_FIND_PORT",
          hide = true)]
    pub find_port: u16,
    /// Which settings.
    #[command(flatten)]
    pub config: ConfigChoice,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::repl::words::WORDS;
    use super::super::values::Rate;
    use super::conduct::When;
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_torrent_needs_no_command() {
        let cli = parse("driver -d /srv -p 0 -D 2MiB -e --select 1-3,5 a.torrent").unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.torrents, ["a.torrent"]);
        assert_eq!(cli.options.dir, [PathBuf::from("/srv")]);
        assert_eq!(cli.options.port, Some(0));
        assert_eq!(cli.options.download_limit, Rate(Some(2 << 20)));
        assert!(cli.options.exit_on_finish);
        assert!(cli.options.select.unwrap().contains(5));
    }

    /// Files of the sources, without their tests.
    fn sources(dir: &std::path::Path, texts: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name().into_string().unwrap();
            match path.is_dir() {
                true if name != "tests" => sources(&path, texts),
                false if name.ends_with(".rs") && name != "tests.rs" => {
                    let text = std::fs::read_to_string(&path).unwrap();
                    texts.push(text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned());
                }
                _ => {}
            }
        }
    }

    /// The words that stand behind `mark` in text that people may read: not in plain comments.
    fn named(texts: &[String], mark: &str) -> std::collections::BTreeSet<String> {
        let lines = texts.iter().flat_map(|text| text.lines());
        let is_read =
            |line: &&str| line.trim().starts_with("///") || !line.trim().starts_with("//");
        let words = lines.filter(is_read).flat_map(|line| {
            line.match_indices(mark).filter_map(move |(at, _)| {
                let is_begin = !line[..at].ends_with(|it: char| it.is_alphanumeric() || it == '-');
                let rest = &line[at + mark.len()..];
                let is_letter =
                    |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
                let end = rest.find(|it: char| !is_letter(it)).unwrap_or(rest.len());
                let word = rest[..end].trim_end_matches('-');
                let is_word = word.starts_with(|it: char| it.is_ascii_lowercase());
                (is_begin && is_word).then(|| word.to_owned())
            })
        });
        words.collect()
    }

    fn all_commands(command: &clap::Command) -> Vec<&clap::Command> {
        let below = command.get_subcommands().flat_map(all_commands);
        std::iter::once(command).chain(below).collect()
    }

    /// What advice names can be typed: each option and command of our texts is one that the help
    /// lists.
    #[test]
    fn what_is_named_in_words_for_people_exists() {
        let mut texts = Vec::new();
        sources(std::path::Path::new(env!("CARGO_MANIFEST_DIR")), &mut texts);
        let command = Cli::command();
        let all = all_commands(&command);
        let options = named(&texts, "--");
        assert!(options.len() > 40, "{options:?}");
        let listed = |option: &str| {
            all.iter().any(|it| it.get_arguments().any(|arg| arg.get_long() == Some(option)))
        };
        // `peers --all` is of the prompt; the help has an option of its own.
        for option in options.iter().filter(|it| !["all", "help"].contains(&it.as_str())) {
            assert!(listed(option), "--{option} is named, and there is none");
        }
        let commands = named(&texts, "driver ");
        assert!(commands.len() > 12, "{commands:?}");
        // The names of torrents in examples, and plain English.
        let others = ["debian", "https", "itself", "some", "cannot"];
        for word in commands.iter().filter(|it| !others.contains(&it.as_str())) {
            assert!(command.find_subcommand(word).is_some(), "driver {word}: no such command");
        }
        for rest in named(&texts, "add-") {
            let is_there = WORDS.iter().any(|word| word.name == format!("add-{rest}"));
            assert!(is_there, "add-{rest}: no such command at the prompt");
        }
    }

    #[test]
    fn habits_from_elsewhere_work() {
        let cli = parse(
            "driver --output-folder x --listen-port 7000 --limit-rate 1M --select-file 2 t \
             --file-allocation none --max-upload-limit 5K",
        )
        .unwrap();
        assert_eq!(cli.options.dir, [PathBuf::from("x")]);
        assert_eq!(cli.options.port, Some(7000));
        assert_eq!(cli.options.download_limit, Rate(Some(1_000_000)));
        assert_eq!(cli.options.allocate, Allocate::None);
    }

    #[test]
    fn commands_and_common_options_go_together() {
        let cli = parse("driver info --color never --json x.torrent").unwrap();
        assert_eq!(cli.common.color, When::Never);
        assert!(matches!(cli.command, Some(Command::Info(it)) if it.json && !it.files));
        let cli = parse("driver catalogue get --seed=2.5 a b").unwrap();
        let Some(Command::Catalogue { command: CatalogueCommand::Get { names, options } }) =
            cli.command
        else {
            panic!()
        };
        assert_eq!((names.len(), options.seed), (2, Some(2.5)));
        let cli = parse("driver share -p 1MiB --port 7000 x").unwrap();
        let Some(Command::Alone(CatalogueCommand::Share(share))) = cli.command else { panic!() };
        assert_eq!((share.piece_length, share.options.port), (Some(1 << 20), Some(7000)));
        // The ratio needs its equals sign, or it would swallow the torrent.
        assert_eq!(parse("driver --seed a.torrent").unwrap().torrents, ["a.torrent"]);
    }

    #[test]
    fn nonsense_is_a_usage_error() {
        for bad in ["driver", "driver --sed x", "driver --port x t", "driver info --json --raw t"] {
            assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
        let suggestion = parse("driver --sequental t").unwrap_err().to_string();
        assert!(suggestion.contains("'--sequential'"), "{suggestion}");
    }
}
