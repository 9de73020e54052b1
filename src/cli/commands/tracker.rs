//! `driver tracker`: runs the embedded tracker until it is told to end.

use std::collections::HashSet;
use std::io::IsTerminal as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::base::ids::InfoHash;
use crate::cli::args::{Common, TrackerArgs};
use crate::cli::config::state_dir;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome, from_io};
use crate::cli::logs::Unnamed;
use crate::cli::values::Listen;
use crate::cli::{logs, out};
use crate::http::token::spell;
use crate::net::egress::{Egress, address_towards};
use crate::net::{self, tcp};
use crate::tracker::catalogue::CatalogueLimits;
use crate::tracker::find::{self, Beacon};
use crate::tracker::server::{Library, Server, ServerConfig, ShelfError};
use crate::tracker::table::TableLimits;

use super::chunk::until_told;

/// Longest token file that makes sense.
const TOKEN_LEN_MAX: u64 = 4096;
/// Characters of a token below which it can be guessed: whoever has heard one proof can try
/// tokens without asking.
const TOKEN_LEN_SAFE: usize = 16;
/// What an announce may be late.
const GRACE: Duration = Duration::from_secs(60);
/// How soon a client may tell again how much it has, for those who look at who holds what.
const PROGRESS_S: u32 = 60;
/// Longest list of info-hashes: a million of them.
const ALLOW_LEN_MAX: u64 = 64 << 20;

/// Runs it.
///
/// # Errors
/// When a port or the state directory is taken, or a file named cannot be used.
pub fn run(arguments: &TrackerArgs, common: &Common) -> Outcome {
    logs::start(common, Unnamed::Errors)?;
    let token = token(arguments)?;
    let allowed = arguments.allow.as_deref().map(read_allowed).transpose()?;
    until_told(async |stopper| {
        let Listening { http, udp, addresses } = listen(arguments.listen, arguments.udp)?;
        let is_public = addresses.iter().any(|address| !address.ip().is_loopback());
        let token = match token {
            None if is_public && !arguments.no_catalogue => Some(spell(rand::random())),
            given => given,
        };
        let is_short = token.as_ref().is_some_and(|token| token.len() < TOKEN_LEN_SAFE);
        if is_public && is_short && !arguments.no_catalogue {
            out::talk_wrapped("short tokens can be guessed by whoever reaches this tracker");
        }
        let library = library(arguments, token.clone())?;
        let interval_s = u32::try_from(arguments.interval.as_secs()).unwrap_or(u32::MAX).max(1);
        let config = ServerConfig {
            // Twice missed, and a little more, means gone.
            limits: TableLimits {
                peer_life: arguments.interval.saturating_mul(2).saturating_add(GRACE),
                ..TableLimits::default()
            },
            interval_s,
            min_interval_s: Some(interval_s.min(PROGRESS_S)),
            allowed: allowed.map(|allowed| watch_allowed(allowed, arguments.allow.clone())),
            allow_catalogue: arguments.allow_catalogue,
            ..ServerConfig::default()
        };
        greet(arguments, &addresses, library.as_ref(), token.as_deref());
        if !arguments.no_find {
            let instance = library.as_ref().map_or_else(rand::random, Library::instance);
            start_beacon(&addresses, arguments.find_port, instance);
        }
        let server = Server { http, udp, config, library };
        let ran = server.run(stopper.asked()).await;
        ran.map_err(|error| from_io("cannot run the tracker", &error))?;
        Ok(Exit::Done)
    })
}

/// The token that was given, if any.
fn token(arguments: &TrackerArgs) -> Result<Option<String>, Failure> {
    let token = match (&arguments.token, &arguments.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(path)) => read_text(path, TOKEN_LEN_MAX)?.trim().to_owned(),
        (None, None) => return Ok(None),
    };
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let why = "a token has to be letters, digits and signs without spaces, and not empty";
        return Err(Failure::usage(why));
    }
    Ok(Some(token))
}

fn read_text(path: &Path, len_max: u64) -> Result<String, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(len_max).read_to_string(&mut text));
    let shown = escape(&path.display().to_string());
    read.map_err(|error| Failure::bad_input(format!("cannot read {shown}: {error}")))?;
    Ok(text)
}

/// Info-hashes, 40 hex digits a line; empty lines and those after `#` do not count.
fn read_allowed(path: &Path) -> Result<HashSet<InfoHash>, Failure> {
    let text = read_text(path, ALLOW_LEN_MAX)?;
    let mut allowed = HashSet::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split_once('#').map_or(line, |(before, _)| before).trim();
        if line.is_empty() {
            continue;
        }
        let decoded = data_encoding::HEXLOWER_PERMISSIVE.decode(line.as_bytes()).ok();
        let hash = decoded.and_then(|bytes| <[u8; 20]>::try_from(bytes).ok());
        let hash = hash.ok_or_else(|| {
            let shown = escape(&path.display().to_string());
            let why = format!("{shown}: line {} is not an info-hash (40 hex digits)", number + 1);
            Failure::bad_input(why)
        })?;
        allowed.insert(InfoHash(hash));
    }
    Ok(allowed)
}

/// The list as it is, read again on SIGHUP; a terminal's SIGHUP means the end instead.
fn watch_allowed(
    allowed: HashSet<InfoHash>,
    path: Option<PathBuf>,
) -> watch::Receiver<Arc<HashSet<InfoHash>>> {
    let (shown, latest) = watch::channel(Arc::new(allowed));
    let hangups = signal(SignalKind::hangup()).ok().filter(|_| !std::io::stdin().is_terminal());
    if let (Some(mut hangups), Some(path)) = (hangups, path) {
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                match read_allowed(&path) {
                    Ok(allowed) => {
                        out::talk(&format!("{} torrents are allowed now", allowed.len()));
                        shown.send_replace(Arc::new(allowed));
                    }
                    Err(failure) => out::talk(&format!("{failure}; the list stays as it was")),
                }
            }
        });
    }
    latest
}

/// Opens the catalogue, unless there is to be none.
fn library(arguments: &TrackerArgs, token: Option<String>) -> Result<Option<Library>, Failure> {
    if arguments.no_catalogue {
        return Ok(None);
    }
    let dir = match &arguments.state {
        Some(dir) => dir.clone(),
        None => state_dir()?.join("catalogue"),
    };
    let opened = Library::open(&dir, CatalogueLimits::default(), token);
    let (library, damaged) = opened.map_err(|error| {
        let text = escape(&error.to_string());
        match &error {
            ShelfError::InUse { .. } => {
                let hint = "choose another directory with --state, or --no-catalogue";
                Failure::new(Exit::InUse, format!("{text}; {hint}"))
            }
            ShelfError::Index { .. } => Failure::bad_input(text),
            ShelfError::Io { .. } => Failure::new(Exit::Disk, text),
        }
    })?;
    for line in damaged {
        out::talk_wrapped(&format!("left out of the catalogue: {}", escape(&line)));
    }
    Ok(Some(library))
}

struct Listening {
    http: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
    addresses: Vec<SocketAddr>,
}

fn listen(listen: Listen, with_udp: bool) -> Result<Listening, Failure> {
    let Listen { ip, port } = listen;
    let listening =
        tcp::listen(&Egress::from_address(ip), Some(port)).map_err(|error| match error {
            net::Error::PortTaken { port } => taken(port, "TCP"),
            other => Failure::new(Exit::Network, other.to_string()),
        })?;
    let addresses = listening.listeners.iter().map(TcpListener::local_addr);
    let addresses: Result<Vec<SocketAddr>, _> = addresses.collect();
    let addresses = addresses.map_err(|error| from_io("cannot open a port", &error))?;
    let mut udp = Vec::new();
    for address in addresses.iter().filter(|_| with_udp) {
        udp.push(bind_udp(*address).map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => taken(address.port(), "UDP"),
            _ => Failure::new(Exit::Network, format!("cannot open UDP {address}: {error}")),
        })?);
    }
    Ok(Listening { http: listening.listeners, udp, addresses })
}

fn taken(port: u16, protocol: &str) -> Failure {
    let why = format!(
        "{protocol} port {port} is in use by another program; end it, or choose another port \
         with --listen ADDR:PORT"
    );
    Failure::new(Exit::InUse, why)
}

fn bind_udp(address: SocketAddr) -> std::io::Result<UdpSocket> {
    // Announces come in bursts.
    Egress::default().served(address, 4 << 20)
}

/// Says where the tracker is and how to use it.
fn greet(
    arguments: &TrackerArgs,
    addresses: &[SocketAddr],
    library: Option<&Library>,
    token: Option<&str>,
) {
    let hosts: Vec<String> = addresses.iter().filter_map(|address| reachable(*address)).collect();
    let mut text = String::new();
    for address in addresses {
        text.push_str(&format!("tracker on {address}\n"));
    }
    for host in &hosts {
        text.push_str(&format!("  announce  http://{host}/announce\n"));
        if arguments.udp {
            text.push_str(&format!("            udp://{host}/announce\n"));
        }
    }
    if let (Some(library), Some(host)) = (library, hosts.first()) {
        let count = match library.len() {
            1 => "1 torrent".to_owned(),
            count => format!("{count} torrents"),
        };
        text.push_str(&format!("  catalogue http://{host}/catalogue ({count})\n"));
    }
    match token.filter(|_| library.is_some()) {
        // A token that somebody chose is known to him, and need not be on a screen.
        Some(token) if arguments.token.is_none() && arguments.token_file.is_none() => {
            text.push_str(&format!("  token     {token} (to share with this tracker)\n"));
        }
        Some(_) => text.push_str("  token     as given (to share with this tracker)\n"),
        None => {}
    }
    out::answer(&text);
}

/// Address and port to tell others. A tracker on every address names the one on the way out or
/// into the first network, or else, with IPv4, the machine; none with IPv6.
fn reachable(address: SocketAddr) -> Option<String> {
    if !address.ip().is_unspecified() {
        return Some(address.to_string());
    }
    let port = address.port();
    // The first addresses are those of documents.
    let way =
        |far: SocketAddr| address_towards(far).map(|own| SocketAddr::new(own, port).to_string());
    if address.is_ipv6() {
        return way(SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9)));
    }
    let neighbours = find::local_networks()
        .into_iter()
        .map(|network| SocketAddr::from((Ipv4Addr::from_bits(network.first.to_bits() | 1), 9)));
    let mut far = std::iter::once(SocketAddr::from(([192, 0, 2, 1], 9))).chain(neighbours);
    far.find_map(way).or_else(|| Some(format!("{}:{port}", escape(&name()))))
}

/// Lets others on the network find the tracker. Where that cannot be, it runs without.
fn start_beacon(addresses: &[SocketAddr], find_port: u16, instance: [u8; 8]) {
    let four = addresses.iter().find_map(|address| match address {
        SocketAddr::V4(address) => Some(*address),
        // Only askers of IPv4 are heard, and one address of IPv6 is no use to them.
        SocketAddr::V6(_) => None,
    });
    let Some(http) = four else { return };
    match find::bind(find_port) {
        Ok(socket) => {
            let http = SocketAddrV4::new(*http.ip(), http.port());
            let beacon = Beacon { http, name: name(), instance };
            tokio::spawn(find::be_found(socket, beacon));
        }
        Err(error) => {
            let why = format!("cannot be found on the network at UDP port {find_port}: {error}");
            out::talk_wrapped(&format!("{why}; others have to be told the address"));
        }
    }
}

/// What this machine calls itself.
fn name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "tracker".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_info_hashes_tell_the_wrong_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("allow");
        let hash = "ab".repeat(20);
        std::fs::write(&path, format!("# ours\n\n{hash}\n  {} # b\n", hash.to_uppercase()))
            .unwrap();
        assert_eq!(read_allowed(&path).unwrap(), HashSet::from([InfoHash([0xab; 20])]));
        std::fs::write(&path, format!("{hash}\n{hash}0\n")).unwrap();
        let failure = read_allowed(&path).unwrap_err();
        assert_eq!(failure.exit, Exit::BadInput);
        assert!(
            failure.message.ends_with("line 2 is not an info-hash (40 hex digits)"),
            "{failure}"
        );
    }
}
