//! `driver daemon`: a session without a prompt that outlives its runs, and is asked by HTTP and at
//! a Unix socket.

use std::io::IsTerminal as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream};
use std::path::{Path, PathBuf};

use sd_notify::NotifyState;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

use crate::api::{Api, ApiConfig, Request, Roots, SessionPatch, Waiting};
use crate::cli::args::{Common, DaemonArgs, Options};
use crate::cli::config::{Settings, state_dir};
use crate::cli::engine::failure;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome, from_io};
use crate::cli::job::in_runtime;
use crate::cli::live::End;
use crate::cli::logs::Unnamed;
use crate::cli::out;
use crate::cli::search::remote_why;
use crate::cli::stop::Stopper;
use crate::cli::values::Listen;
use crate::cli::why::{Among, why_words};
use crate::errands::{Errands, ErrandsConfig, Pace, Plan};
use crate::http::token::Token;
use crate::net::egress::Egress;
use crate::net::{self, tcp};
use crate::roster::rules::Book;
use crate::rpc::{Prefix, Rpc, Secret};
use crate::session::Session;

use super::download::{session_config, torrent_options};

/// Runs it until it is told to end.
///
/// # Errors
/// Another one has the state directory, a port or socket is taken, or the token cannot be read.
pub fn run(arguments: &DaemonArgs, common: &Common, book: &Book, plan: &Plan) -> Outcome {
    refuse_others(&arguments.options)?;
    let state_dir = state_dir()?;
    let own = state_dir.join("daemon");
    in_runtime(common, Unnamed::Service, &state_dir, async |stopper| {
        let dir = std::path::absolute(
            arguments.options.dir.first().map_or("downloads".as_ref(), PathBuf::as_path),
        )
        .map_err(|error| from_io("cannot tell where downloads go", &error))?;
        let rest = torrent_options(&arguments.options).waits_for_disk(true).checks_room(false);
        let config = session_config(&arguments.options, common)?
            .ledger(true)
            .believes_names(false)
            .restored(rest.clone())
            .rules(rules(arguments, book));
        let egress = config.egress.clone();
        let session = Session::start(config).await.map_err(failure)?;
        for trouble in session.troubles() {
            out::talk_wrapped(&format!("driver: {}", escape(&trouble.to_string())));
        }
        let mut roots = vec![dir.clone()];
        roots.extend(arguments.root.iter().cloned());
        let api = Api::new(
            session.clone(),
            ApiConfig {
                version: env!("CARGO_PKG_VERSION"),
                dir: dir.clone(),
                roots: Roots::new(roots),
                egress: egress.clone(),
                allows_local: arguments.options.allow_local_web_seeds,
                rest,
                speaker: speak,
            },
        );
        let errands = ErrandsConfig {
            api: api.clone(),
            home: own.join("errands"),
            egress,
            pace: Pace::default(),
            hook_limit: ErrandsConfig::HOOK_LIMIT,
        };
        let ran = match open(arguments, &own) {
            Ok(doors) => {
                let listed = session.changes(Default::default()).await;
                let known = listed.map_or(0, |it| it.changed.len());
                greet(&doors, &arguments.transmission_prefix, known, &dir);
                let errands = Errands::start(errands, plan.clone());
                serve(doors, arguments, errands, api, &stopper).await;
                Ok(End::Complete)
            }
            Err(failure) => Err(failure),
        };
        tell(&[NotifyState::Stopping]);
        session.stop().await;
        ran
    })
}

/// Answers whoever asks, and does what is to be done beside, until it is told to end.
async fn serve(
    doors: Doors,
    arguments: &DaemonArgs,
    errands: Errands,
    api: Api,
    stopper: &Stopper,
) {
    stopper.reload();
    let named = limits_of(arguments);
    let reload = reload_on_hangup(api.clone(), errands.clone(), stopper.clone(), named);
    let token = Token::new(doors.secret.text());
    let (told, asked) = (errands.clone(), errands.clone());
    let api = api.with_errands(move || told.standing(), move |chore| asked.chore(chore));
    let Doors { listeners, local, socket, .. } = doors;
    let transmission = arguments.transmission_prefix.clone();
    let hosts = arguments.host.iter().cloned().chain(own_name()).collect();
    let rpc = Rpc { listeners, local, token, hosts, transmission, api };
    tell(&[NotifyState::Ready]);
    rpc.run(stopper.asked()).await;
    reload.abort();
    errands.stop().await;
    if let Some(socket) = socket {
        // Who asks from now on is told that nobody is there.
        let _ = std::fs::remove_file(socket);
    }
}

/// How this machine is called by its own user.
fn own_name() -> Option<String> {
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    Some(name).filter(|name| !name.is_empty() && name != "(none)")
}

/// The rules of the file, and the room to stay free that an option says before it.
fn rules(arguments: &DaemonArgs, book: &Book) -> Book {
    let keep_free = arguments.keep_free.or(book.keep_free).filter(|keep| *keep > 0);
    Book { keep_free, ..book.clone() }
}

/// Options that are of a download that somebody waits for.
fn refuse_others(options: &Options) -> Result<(), Failure> {
    let others = [
        ("--select", options.select.is_some()),
        ("--exclude", options.exclude.is_some()),
        ("--save-torrent", options.save_torrent.is_some()),
        ("--peer", !options.peer.is_empty()),
        ("--web-seed", !options.web_seed.is_empty()),
        ("--chunk-tracker", options.chunk_tracker.is_some()),
        ("--chunk-config", options.chunk_config.is_some()),
        ("--timeout", options.timeout.is_some()),
        ("--repl", options.repl),
    ];
    match others.iter().find(|(_, is_given)| *is_given) {
        Some((name, _)) => Err(Failure::usage(format!(
            "{name} is of one download, and not of a daemon: leave it out (driver remote add \
             --help and select say what a torrent is given)"
        ))),
        None => Ok(()),
    }
}

/// What a torrent waits for, in words.
fn speak(waiting: &Waiting) -> String {
    if let Some(search) = &waiting.search {
        return remote_why(search, waiting.id.0);
    }
    why_words(waiting, waiting.id.0 as usize, Among::Daemon)
}

/// Where it is asked.
struct Doors {
    listeners: Vec<TcpListener>,
    local: Option<UnixListener>,
    /// The path of the socket.
    socket: Option<PathBuf>,
    secret: Secret,
    token_file: PathBuf,
}

fn open(arguments: &DaemonArgs, own: &Path) -> Result<Doors, Failure> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(own);
    made.map_err(|error| from_io(&format!("cannot make {}", shown(own)), &error))?;
    let token_file = arguments.token_file.clone().unwrap_or_else(|| own.join("token"));
    let secret = Secret::at(&token_file).map_err(|error| {
        Failure::bad_input(format!("the token file {}: {error}", shown(&token_file)))
    })?;
    let given = Given::take().map_err(|error| from_io("cannot take the sockets given", &error))?;
    let (listeners, local, socket) = match given {
        Some(Given { listeners, local }) => (listeners, local, None),
        None => {
            let listeners = if arguments.no_http { Vec::new() } else { listen(arguments.http)? };
            let socket = arguments.socket.clone().unwrap_or_else(|| own.join("socket"));
            (listeners, Some(bind(&socket)?), Some(socket))
        }
    };
    Ok(Doors { listeners, local, socket, secret, token_file })
}

/// Sockets that the service manager has opened (sd_listen_fds(3)).
struct Given {
    listeners: Vec<TcpListener>,
    local: Option<UnixListener>,
}

impl Given {
    /// None when it has opened none.
    fn take() -> std::io::Result<Option<Self>> {
        let mut all = listenfd::ListenFd::from_env();
        let mut given = Self { listeners: Vec::new(), local: None };
        for at in 0..all.len() {
            // What is of another kind stays where it is.
            if let Ok(Some(listener)) = all.take_tcp_listener(at) {
                listener.set_nonblocking(true)?;
                given.listeners.push(TcpListener::from_std(listener)?);
            } else if let Ok(Some(listener)) = all.take_unix_listener(at) {
                listener.set_nonblocking(true)?;
                given.local = Some(UnixListener::from_std(listener)?);
            }
        }
        let is_any = !given.listeners.is_empty() || given.local.is_some();
        Ok(is_any.then_some(given))
    }
}

fn listen(Listen { ip, port }: Listen) -> Result<Vec<TcpListener>, Failure> {
    let listening = tcp::listen(&Egress::from_address(ip), Some(port));
    let listening = listening.map_err(|error| match error {
        net::Error::PortTaken { port } => Failure::new(
            Exit::InUse,
            format!("TCP port {port} is taken: choose another one (--http), or none (--no-http)"),
        ),
        other => Failure::new(Exit::Network, escape(&other.to_string())),
    })?;
    Ok(listening.listeners)
}

/// Opens a Unix socket for its owner alone. One that nobody listens at any more is replaced.
fn bind(path: &Path) -> Result<UnixListener, Failure> {
    let is_socket = path.symlink_metadata().is_ok_and(|facts| facts.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_ok() {
        let why = format!("{} is in use: another daemon is asked there", shown(path));
        return Err(Failure::new(Exit::InUse, format!("{why} (--socket chooses another one)")));
    }
    if !is_socket && path.symlink_metadata().is_ok() {
        let why = format!("{} is there, and is no socket", shown(path));
        return Err(Failure::bad_input(format!("{why}: --socket chooses another path")));
    }
    if is_socket {
        // Where that fails, so does what follows.
        let _ = std::fs::remove_file(path);
    }
    let bound = bind_apart(path).and_then(|listener| {
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener)
    });
    bound.map_err(|error| from_io(&format!("cannot open the socket {}", shown(path)), &error))
}

/// Opens it where nobody else gets to, until it is for its owner alone: who connects before that
/// would be heard.
fn bind_apart(path: &Path) -> std::io::Result<StdUnixListener> {
    let apart = path.with_extension(format!("{}.new", std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&apart)?;
    let inside = apart.join("s");
    let bound = StdUnixListener::bind(&inside).and_then(|listener| {
        std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&inside, path)?;
        Ok(listener)
    });
    // Where it is not empty, something else is wrong, which is told.
    let _ = std::fs::remove_file(&inside);
    let _ = std::fs::remove_dir(&apart);
    bound
}

fn greet(doors: &Doors, transmission: &Prefix, torrents: usize, dir: &Path) {
    let are = if torrents == 1 { "1 torrent".to_owned() } else { format!("{torrents} torrents") };
    out::talk_wrapped(&format!("{are}; new ones go to {}", shown(dir)));
    for listener in &doors.listeners {
        let Ok(address) = listener.local_addr() else { continue };
        let token = shown(&doors.token_file);
        out::talk_wrapped(&format!(
            "A page to look at: http://{address}/, with the token in {token}"
        ));
        out::talk_wrapped(&format!("Asked at http://{address}/api/v1, with the same token"));
        out::talk_wrapped(&format!(
            "Tools for Transmission sign in at http://{address}{transmission}/rpc, those for \
             qBittorrent at http://{address}: any user, and that token as the password"
        ));
        if !address.ip().is_loopback() {
            out::talk_wrapped(
                "The token and all answers cross the network as they are: an HTTPS \
                               proxy or ssh before it hides them",
            );
        }
    }
    if let Some(socket) = &doors.socket {
        out::talk_wrapped(&format!("Asked at the socket {}: driver remote list", shown(socket)));
    }
    if std::io::stderr().is_terminal() {
        out::talk("Ctrl-C stops it.");
    }
}

/// Reads the limits, rules, schedules and errands of the settings again on SIGHUP; the end of the
/// terminal, which is told by it as well, is the end instead.
fn reload_on_hangup(
    api: Api,
    errands: Errands,
    stopper: Stopper,
    mut named: [Option<u64>; 2],
) -> tokio::task::AbortHandle {
    let hangups = signal(SignalKind::hangup()).ok();
    let task = tokio::spawn(async move {
        let Some(mut hangups) = hangups else { return };
        while hangups.recv().await.is_some() {
            if stopper.is_hung_up() {
                return;
            }
            match daemon_args() {
                Ok((arguments, book, plan)) => {
                    let before = std::mem::replace(&mut named, limits_of(&arguments));
                    let limit = |at: usize| limit_again(before[at], named[at]);
                    let (limit_down, limit_up) = (limit(0), limit(1));
                    let patch = SessionPatch { limit_down, limit_up, ..SessionPatch::default() };
                    // A session that ends sets nothing any more.
                    let _ = api.answer(Request::SetSession(patch)).await;
                    let _ = api.session().set_rules(rules(&arguments, &book)).await;
                    errands.follow(plan).await;
                    out::talk_wrapped(
                        "limits, rules, folders, feeds and hooks are as the settings have them; \
                         what else is changed there holds from the next start",
                    );
                }
                Err(why) => out::talk_wrapped(&format!("{why}; nothing is changed")),
            }
        }
    });
    task.abort_handle()
}

/// The limits that the settings name, down and up.
fn limits_of(arguments: &DaemonArgs) -> [Option<u64>; 2] {
    [arguments.options.download_limit.0, arguments.options.upload_limit.0]
}

/// What to set a limit to when the settings are read again; 0 is none. Nothing, where they never
/// named one: what was set elsewhere holds.
fn limit_again(before: Option<u64>, now: Option<u64>) -> Option<u64> {
    before.or(now).map(|_| now.unwrap_or(0))
}

/// The arguments of this run, the rules and the plan, with the config file as it is now.
fn daemon_args() -> Result<(Box<DaemonArgs>, Book, Plan), String> {
    use crate::cli::args::Command;
    use crate::cli::config::Refusal;
    match Settings::read(std::env::args_os().collect()) {
        Ok(Settings { cli, book, plan, .. }) => match cli.command {
            Some(Command::Daemon(arguments)) => Ok((arguments, book, plan)),
            _ => Err("the arguments are of another command".to_owned()),
        },
        Err(Refusal::Failure(failure)) => Err(failure.to_string()),
        Err(Refusal::Clap(error)) => Err(error.to_string()),
    }
}

/// Tells the service manager, if there is one.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "the service manager is not told");
    }
}

fn shown(path: &Path) -> String {
    escape(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn limits_are_read_again_where_the_settings_name_one_or_did() {
        assert_eq!(limit_again(None, None), None, "one that was set by hand stays");
        assert_eq!(limit_again(Some(7), None), Some(0), "it is lifted");
        assert_eq!((limit_again(None, Some(9)), limit_again(Some(7), Some(9))), (Some(9), Some(9)));
    }

    #[tokio::test]
    async fn the_socket_is_for_its_owner_and_nobody_takes_that_of_another() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("socket");
        let names = || std::fs::read_dir(home.path()).unwrap().count();
        let first = bind(&path).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!((mode & 0o777, names()), (0o600, 1), "nothing else is left there");
        let taken = bind(&path).unwrap_err();
        assert_eq!(taken.exit, Exit::InUse);
        assert!(taken.to_string().contains("another daemon is asked there"), "{taken}");
        assert!(UnixStream::connect(&path).is_ok(), "the first one is asked still");
        // One that was killed leaves its socket. A process that another test starts holds the
        // listener, too, until it is what it is to become.
        drop(first);
        let deadline = Instant::now() + Duration::from_secs(10);
        while UnixStream::connect(&path).is_ok() {
            assert!(Instant::now() < deadline, "somebody listens there for good");
            tokio::task::yield_now().await;
        }
        assert!(path.exists());
        let _second = bind(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok() && names() == 1);
        // What is no socket is whoever's made it.
        let file = home.path().join("file");
        std::fs::write(&file, "kept").unwrap();
        let refused = bind(&file).unwrap_err();
        assert!(refused.to_string().contains("is no socket"), "{refused}");
        assert_eq!((std::fs::read(&file).unwrap(), names()), (b"kept".to_vec(), 2));
    }
}
