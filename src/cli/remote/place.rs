//! Where the daemon is that is asked, and what opens it.

use std::path::Path;

use crate::cli::args::DaemonPlace;
use crate::cli::config::state_dir;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure};
use crate::rpc::{Secret, Target};

/// Where a daemon listens when nothing else is said.
const USUAL: &str = "http://127.0.0.1:6880";

/// Where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// What is asked.
    pub target: Target,
    /// How it is called on a screen.
    pub shown: String,
    /// It is on this machine: paths mean there what they mean here.
    pub is_here: bool,
}

/// Where the daemon is that the arguments mean.
///
/// # Errors
/// They name none that could be asked, its token cannot be read, or nobody is there.
pub(super) fn find(arguments: &DaemonPlace) -> Result<Place, Failure> {
    if let Some(path) = &arguments.socket {
        return Ok(by_socket(path));
    }
    let own = state_dir().map(|state| state.join("daemon"));
    match &arguments.url {
        Some(url) => by_url(url, arguments, own.as_deref().ok()),
        None => by_state(arguments, &own?),
    }
}

fn by_socket(path: &Path) -> Place {
    let shown = escape(&path.display().to_string());
    Place { target: Target::Socket(path.to_owned()), shown, is_here: true }
}

/// The daemon of this user, whose socket and token are in this directory.
fn by_state(arguments: &DaemonPlace, own: &Path) -> Result<Place, Failure> {
    let socket = own.join("socket");
    if socket.exists() {
        return Ok(by_socket(&socket));
    }
    if said_token(arguments)?.is_none() && !own.join("token").exists() {
        let why = "no daemon runs here: start one with driver daemon, or name one with \
                   --url http://HOST:6880";
        return Err(Failure::new(Exit::Network, why));
    }
    by_url(USUAL, arguments, Some(own))
}

fn by_url(url: &str, arguments: &DaemonPlace, own: Option<&Path>) -> Result<Place, Failure> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let host = rest.map(|rest| rest.trim_end_matches('/'));
    let Some(host) = host.filter(|it| !it.is_empty() && !it.contains(['/', '?', '#', '@'])) else {
        let why = "is not where a daemon is; write http://HOST:6880";
        return Err(Failure::usage(format!("--url {} {why}", escape(url))));
    };
    let is_here = is_loopback(host);
    let token = match said_token(arguments)? {
        Some(token) => token,
        // The token of this machine is not shown to another one.
        None => match own.map(|own| own.join("token")).filter(|file| is_here && file.exists()) {
            Some(file) => read(&file)?,
            None => {
                let why = "wants a token: --token-file FILE, or DRIVER_REMOTE_TOKEN; the daemon keeps it \
                           in daemon/token of its state directory";
                return Err(Failure::usage(format!("{} {why}", escape(url))));
            }
        },
    };
    Ok(Place { target: Target::Url { url: url.to_owned(), token }, shown: escape(url), is_here })
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let is_address = |ip: std::net::IpAddr| ip.is_loopback();
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_address)
}

fn said_token(arguments: &DaemonPlace) -> Result<Option<String>, Failure> {
    match (&arguments.token, &arguments.token_file) {
        (Some(token), _) => match token.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Some(token.clone())),
            false => Err(Failure::bad_input("--token: no token has such characters")),
        },
        (None, Some(file)) => read(file).map(Some),
        (None, None) => Ok(None),
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    let secret = Secret::read(file).map_err(|error| {
        Failure::bad_input(format!("the token in {}: {error}", escape(&file.display().to_string())))
    });
    secret.map(|secret| secret.text().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(url: Option<&str>, token: Option<&str>) -> DaemonPlace {
        DaemonPlace {
            url: url.map(str::to_owned),
            socket: None,
            token: token.map(str::to_owned),
            token_file: None,
        }
    }

    fn token_of(place: &Place) -> &str {
        match &place.target {
            Target::Url { token, .. } => token,
            Target::Socket(_) => "",
        }
    }

    #[test]
    fn the_socket_of_this_user_goes_first_then_the_token_that_lies_there() {
        let home = tempfile::tempdir().unwrap();
        let own = home.path();
        let plain = arguments(None, None);
        let nobody = by_state(&plain, own).unwrap_err();
        assert_eq!(nobody.exit, Exit::Network);
        assert!(nobody.message.contains("start one with driver daemon"), "{nobody}");
        let said = by_state(&arguments(None, Some("t0ken")), own).unwrap();
        assert_eq!((said.shown.as_str(), token_of(&said)), (USUAL, "t0ken"));
        let made = Secret::at(&own.join("token")).unwrap();
        let place = by_state(&plain, own).unwrap();
        assert_eq!((token_of(&place), place.is_here), (made.text(), true));
        std::fs::write(own.join("socket"), "").unwrap();
        assert_eq!(by_state(&plain, own).unwrap().target, Target::Socket(own.join("socket")));
    }

    #[test]
    fn the_token_of_this_machine_stays_on_it() {
        let home = tempfile::tempdir().unwrap();
        let made = Secret::at(&home.path().join("token")).unwrap();
        let ask = |url: &str| by_url(url, &arguments(None, None), Some(home.path()));
        for here in ["http://127.0.0.1:6880", "http://localhost:1/", "http://[::1]:6880"] {
            assert_eq!(token_of(&ask(here).unwrap()), made.text(), "{here}");
        }
        for elsewhere in ["http://nas:6880", "http://127.0.0.1.example", "http://[2001:db8::1]"] {
            let refused = ask(elsewhere).unwrap_err();
            assert_eq!(refused.exit, Exit::Usage, "{elsewhere}");
            assert!(!refused.message.contains(made.text()), "{refused}");
        }
        let said = by_url("http://nas:6880", &arguments(None, Some("x")), None).unwrap();
        assert!(!said.is_here);
        for bad in ["nas:6880", "ftp://nas", "http://", "http://a/api", "http://u@nas"] {
            let refused = by_url(bad, &arguments(None, Some("x")), None).unwrap_err();
            assert_eq!(refused.exit, Exit::Usage, "{bad}");
        }
        assert_eq!(said_token(&arguments(None, Some("a\nb"))).unwrap_err().exit, Exit::BadInput);
    }
}
