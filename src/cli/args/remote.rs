//! `driver remote` and its arguments: where the daemon is, which torrents are meant, and what is to
//! be done. What they mean is in [`crate::cli::remote`].

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use crate::api::State;
use crate::cli::values::{self, Ranges, Rate};

pub(super) const NOTES: &str = "\
Torrents are named by their numbers (3, 1-3, 1,4), by their hashes or the first six digits of them,
by a part of their names that no other has, or by all. With --label, --state and --tracker those
that fit are meant, and no names are needed.

  driver remote add debian.torrent --label linux    files, URLs, magnet links, hashes, - for stdin
  driver remote list --state downloading            only those that download
  driver remote find debian iso                     by words in names, and in paths of files
  driver remote limit down 2MiB                     all together; limit 3 down 500K one alone
  driver remote limit alternative on                the alternative limits hold, until a schedule
                                                    switches them; off; alternative down 100K
  driver remote select 3 1-3,5                      only these files of torrent 3
  driver remote select 3 2 --priority high          file 2 before the others, which stay as they are
  driver remote order 3 sequential                  pieces in order; rarest for the rarest first
  driver remote label 3 linux iso                   instead of the labels that it had
  driver remote log -f                              what happens, as it happens
  driver remote                                     a prompt for all of these

With neither --url nor --socket it asks the daemon of this user by its socket in driver's state
directory, or at http://127.0.0.1:6880 with the token that lies there. With --json each answer is
printed as the API gives it, one line for each torrent.

Exit codes: 0 done, 2 no torrent fits or several do, 3 refused, or the token is wrong, 4 nobody
answers. Of several torrents the worst counts; one that fails does not stop the others.";

pub(super) const IMPORT_NOTES: &str = "\
Examples:
  driver import transmission ~/.config/transmission-daemon
  driver import qbittorrent ~/.local/share/qBittorrent --dry-run
  driver import rqbit ~/.local/share/session

End that client first, and start driver daemon with --root for each directory that files are in.
Nothing of that client is changed, and no file is moved. What it says of its files is not
believed: each is read and hashed before anything of it is sent, and only what lacks is fetched.

Taken over are places, labels (of qBittorrent the category and the tags), limits, ratio goals,
which files are wanted and how much, pauses, the order of the queue, and what was sent before; of
rqbit, which keeps no more, places, trackers, which files are wanted, pauses and the order. A
torrent whose files were renamed in that client, end in .part or .!qB, or are not in the folder that
it names, is left out, with the reason.

Exit codes: 0 all were taken over, or are there already; 3 some were not; 4 no daemon answers.";

/// How much a file may be wanted.
const PRIORITIES: [&str; 4] = ["off", "low", "normal", "high"];

/// Options of `remote`.
#[derive(Args, Clone, Debug, Default)]
pub struct RemoteArgs {
    /// Who is asked.
    #[command(flatten)]
    pub daemon: DaemonPlace,
    /// Print answers as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do; without it, a prompt for all of these
    #[command(subcommand)]
    pub command: Option<RemoteCommand>,
}

/// Where a daemon is, and what opens it.
#[derive(Args, Clone, Debug, Default)]
pub struct DaemonPlace {
    /// Ask the daemon there: http://HOST:6880
    #[arg(long, value_name = "URL", global = true, env = "DRIVER_URL", value_hint = ValueHint::Url)]
    pub url: Option<String>,
    /// Ask the daemon by this Unix socket
    #[arg(long, value_name = "PATH", global = true, env = "DRIVER_SOCKET",
          value_hint = ValueHint::FilePath)]
    pub socket: Option<PathBuf>,
    /// The daemon's token; others of this machine can see it here
    #[arg(
        long,
        value_name = "TOKEN",
        global = true,
        env = "DRIVER_REMOTE_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
    /// Read it from this file
    #[arg(long, value_name = "FILE", global = true, env = "DRIVER_REMOTE_TOKEN_FILE",
          value_hint = ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,
}

/// Options of `import`.
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// Who is asked.
    #[command(flatten)]
    pub daemon: DaemonPlace,
    /// What to take over.
    #[command(flatten)]
    pub what: Imported,
}

/// What another client has.
#[derive(Args, Clone, Debug)]
pub struct Imported {
    /// Whose state it is
    #[arg(value_name = "CLIENT")]
    pub client: OtherClient,
    /// Where that client keeps it: of Transmission, the directory with `torrents` and `resume`; of
    /// qBittorrent, the one with `BT_backup`, or that itself; of rqbit, the one with `session.json`
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// Tell what would be taken over, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Take them over paused, whatever they were
    #[arg(long)]
    pub paused: bool,
}

/// A client whose torrents can be taken over.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum OtherClient {
    /// Transmission: transmission-daemon, -gtk, -qt
    Transmission,
    /// qBittorrent, qbittorrent-nox
    Qbittorrent,
    /// rqbit, its desktop program
    Rqbit,
}

/// Only torrents that fit all of these.
#[derive(Args, Clone, PartialEq, Eq, Debug, Default)]
pub struct Filters {
    /// Those that are sorted under this
    #[arg(long, value_name = "LABEL")]
    pub label: Option<String>,
    /// Those in this state
    #[arg(long, value_name = "STATE", value_parser = State::ALL.map(State::name))]
    pub state: Option<String>,
    /// Those with a tracker on this host, or on one of its domain
    #[arg(long, value_name = "HOST")]
    pub tracker: Option<String>,
}

/// Which torrents, by name.
#[derive(Args, Clone, Debug)]
pub struct Which {
    /// Number, hash, part of the name; all
    #[arg(value_name = "TORRENT", required = true)]
    pub torrents: Vec<String>,
}

/// Which torrents, by name or by what they have in common.
#[derive(Args, Clone, Debug)]
pub struct Whom {
    /// Number, hash, part of the name; all
    #[arg(value_name = "TORRENT", required_unless_present_any = ["label", "state", "tracker"])]
    pub torrents: Vec<String>,
    /// Only those.
    #[command(flatten)]
    pub filters: Filters,
}

/// What is taken in, and how.
#[derive(Args, Clone, Debug)]
pub struct Added {
    /// .torrent files, their URLs, magnet links, info hashes; - reads a .torrent from stdin
    #[arg(value_name = "TORRENT", required = true, value_hint = ValueHint::FilePath)]
    pub torrents: Vec<String>,
    /// Directory that the files go under [default: as the daemon has it]
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<String>,
    /// Do not begin yet
    #[arg(long)]
    pub paused: bool,
    /// Sort it under this; may be given several times
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    pub label: Vec<String>,
    /// Fetch pieces in order
    #[arg(long)]
    pub sequential: bool,
    /// Receive at most so many bytes a second: 500K, 2MiB
    #[arg(short = 'D', long, value_name = "RATE", value_parser = values::rate)]
    pub download_limit: Option<Rate>,
    /// Send at most so many bytes a second
    #[arg(short = 'U', long, value_name = "RATE", value_parser = values::rate)]
    pub upload_limit: Option<Rate>,
    /// Only these files: 1-3,5
    #[arg(long, value_name = "RANGES", value_parser = values::ranges)]
    pub select: Option<Ranges>,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
pub enum RemoteCommand {
    /// All torrents, their numbers and how they stand
    List {
        /// Only those.
        #[command(flatten)]
        filters: Filters,
    },
    /// Torrents with these words in their names, or in the paths of their files
    Find {
        /// All of them, in any order and case
        #[arg(value_name = "WORD", required = true)]
        words: Vec<String>,
    },
    /// Take torrents in
    Add(Added),
    /// Take over the torrents of another client, where their files are
    Import(Imported),
    /// Facts of torrents
    #[command(visible_alias = "info")]
    Show(Which),
    /// Progress, speed and peers at a glance; of all together when none is named
    Status {
        /// Number, hash, part of the name; all
        #[arg(value_name = "TORRENT")]
        torrents: Vec<String>,
    },
    /// What a torrent waits for, and what to do about it
    Why {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Which rules are about it, what they do, and why the others do not match
        #[arg(long)]
        rules: bool,
    },
    /// Connected peers
    Peers {
        /// Of which.
        #[command(flatten)]
        which: Which,
        /// All known ones, with their errors
        #[arg(short, long)]
        all: bool,
    },
    /// Files, and how much of each is verified
    Files(Which),
    /// Trackers, and what they said last; others
    Trackers {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Ask this one, too, behind all others
        #[arg(long, value_name = "URL")]
        add: Vec<String>,
        /// Ask this one no more
        #[arg(long, value_name = "URL")]
        remove: Vec<String>,
    },
    /// Servers of files
    Sources(Which),
    /// Feeds, folders and hooks of the daemon's config file, and how they go
    Feeds,
    /// Stop transferring, keep everything
    Pause(Whom),
    /// Go on; a queued torrent starts at once
    Resume(Whom),
    /// Take torrents out; their data stays
    Remove {
        /// Which.
        #[command(flatten)]
        whom: Whom,
        /// Remove their data, too
        #[arg(long)]
        data: bool,
    },
    /// Set limits, or show those of all together
    #[command(
        override_usage = "driver remote limit [TORRENT|alternative]... [on|off] [down RATE] [up RATE]"
    )]
    Limit {
        /// Torrents, then down or up and a rate: down 2MiB, 3 down 500K up off
        #[arg(value_name = "WORDS")]
        words: Vec<String>,
        /// Only those.
        #[command(flatten)]
        filters: Filters,
    },
    /// Download only these files, or say how much they are wanted
    #[command(
        override_usage = "driver remote select [TORRENT]... RANGES|all [--priority PRIORITY]"
    )]
    Select {
        /// Torrents, then the numbers of files: 3 1-3,5
        #[arg(value_name = "WORDS", required = true)]
        words: Vec<String>,
        /// How much they are wanted, beside the others, which stay as they are
        #[arg(long, value_name = "PRIORITY", value_parser = PRIORITIES)]
        priority: Option<String>,
        /// Only those.
        #[command(flatten)]
        filters: Filters,
    },
    /// Say in which order pieces are fetched: rarest first, in order, or the ends of files first
    #[command(override_usage = "driver remote order [TORRENT]... rarest|sequential|ends-first...")]
    Order {
        /// Torrents, then the order: 3 sequential, 3 ends-first, all rarest
        #[arg(value_name = "WORDS", required = true)]
        words: Vec<String>,
        /// Only those.
        #[command(flatten)]
        filters: Filters,
    },
    /// Read and hash everything again: what is wrong is fetched again
    Verify(Whom),
    /// Sort torrents under labels, instead of those that they had
    #[command(override_usage = "driver remote label [TORRENT] LABEL...|--clear")]
    Label {
        /// A torrent or several in one word (3, 1-3, all), then the labels: 3 linux iso, or 3
        /// linux,iso
        #[arg(value_name = "WORDS")]
        words: Vec<String>,
        /// Take all labels away
        #[arg(long)]
        clear: bool,
        /// Only those.
        #[command(flatten)]
        filters: Filters,
    },
    /// Move their files to another directory, while they run
    #[command(override_usage = "driver remote move [TORRENT]... DIR")]
    Move {
        /// Torrents, then the directory
        #[arg(value_name = "WORDS", required = true, value_hint = ValueHint::DirPath)]
        words: Vec<String>,
        /// Only those.
        #[command(flatten)]
        filters: Filters,
    },
    /// Give a torrent, or one of its files, another name
    Rename {
        /// Number, hash, part of the name
        torrent: String,
        /// How it is called from then on
        name: String,
        /// The file of this number
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        file: Option<u32>,
    },
    /// Ask the trackers for peers now
    Announce(Whom),
    /// Try a peer that you know
    AddPeer {
        /// Number, hash, part of the name
        torrent: String,
        /// Its address and port: 192.0.2.1:6881, [2001:db8::1]:6881
        #[arg(value_name = "ADDR:PORT")]
        address: std::net::SocketAddr,
    },
    /// Use a server of its files, too
    AddWebSeed {
        /// Number, hash, part of the name
        torrent: String,
        /// Where its files are by HTTP. By an id of its own: `url` is where the daemon is.
        #[arg(id = "server", value_name = "URL", value_hint = ValueHint::Url)]
        url: String,
    },
    /// Put torrents before all others
    Top(Whom),
    /// Put torrents behind all others
    Bottom(Whom),
    /// Repaint the list each second, until q or Ctrl-C
    Watch {
        /// Only those.
        #[command(flatten)]
        filters: Filters,
    },
    /// What happened
    Log {
        /// Go on with what happens, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
    },
    /// How the daemon stands
    Session,
    /// What may stand for the last word of these, behind `remote`, for the completion of shells
    #[command(hide = true, long_flag = "complete")]
    Complete {
        /// As typed
        #[arg(value_name = "WORD", trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::args::{Cli, Command};

    use super::*;

    fn parse(line: &str) -> Result<RemoteArgs, clap::Error> {
        let cli = Cli::try_parse_from(line.split(' '))?;
        let Some(Command::Remote(arguments)) = cli.command else { panic!("{line}") };
        Ok(*arguments)
    }

    #[test]
    fn where_to_ask_may_stand_before_the_command_or_behind_it() {
        for line in [
            "driver remote --url http://nas:6880 --token-file t --json list",
            "driver remote list --json --token-file t --url http://nas:6880",
        ] {
            let asked = parse(line).unwrap();
            assert_eq!(asked.daemon.url.as_deref(), Some("http://nas:6880"), "{line}");
            assert!(asked.json && asked.daemon.token_file.is_some(), "{line}");
        }
    }

    /// Else the one is taken for the other, and the token goes to whoever was named.
    #[test]
    fn what_a_command_is_given_is_not_taken_for_where_the_daemon_is() {
        use clap::CommandFactory as _;
        let mut cli = Cli::command();
        let remote = cli.find_subcommand_mut("remote").unwrap();
        let is_global = |it: &&clap::Arg| it.is_global_set();
        let globals: Vec<_> =
            remote.get_arguments().filter(is_global).map(|it| it.get_id()).collect();
        assert!(globals.iter().any(|id| id.as_str() == "url"), "{globals:?}");
        for command in remote.get_subcommands() {
            for own in command.get_arguments() {
                assert!(!globals.contains(&own.get_id()), "{}: {own}", command.get_name());
            }
        }
        let asked = parse("driver remote add-web-seed 3 http://mirror.example/iso/").unwrap();
        assert_eq!(asked.daemon.url, None);
        let Some(RemoteCommand::AddWebSeed { url, .. }) = asked.command else { panic!() };
        assert_eq!(url, "http://mirror.example/iso/");
    }

    #[test]
    fn torrents_are_named_or_filtered() {
        for good in [
            "driver remote",
            "driver remote pause 1 debian",
            "driver remote pause --label linux",
            "driver remote remove --data --state finished",
            "driver remote label 3 linux iso",
            "driver remote label --clear --label old",
            "driver remote limit",
            "driver remote select 3 1-3,5",
            "driver remote select 3 2 --priority high",
            "driver remote order 3 sequential ends-first",
            "driver remote verify --state seeding",
            "driver remote rename 3 --file 2 film.mkv",
            "driver remote peers -a 3",
            "driver remote add-peer 3 [2001:db8::1]:6881",
            "driver remote add-web-seed 3 http://mirror.example/iso/",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "driver remote pause",
            "driver remote show",
            "driver remote list 3",
            "driver remote add",
            "driver remote rename 3",
            "driver remote rename 3 --file 0 x",
            "driver remote select 3 2 --priority highest",
            "driver remote order",
            "driver remote verify",
            "driver remote move",
            "driver remote add-peer 3 192.0.2.1",
        ] {
            assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }
}
