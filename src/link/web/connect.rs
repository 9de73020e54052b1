//! To a server of files: resolve, judge every address, connect to one of those and, where the URL
//! says so, speak TLS. The name is resolved once, so that nobody can answer otherwise in between.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::base::addr::without_brackets;
use crate::base::url::Origin;
use crate::link::stream::Stream;
use crate::net::egress::{Egress, Purpose, Remote};
use crate::net::reach::{self, Hop};

use super::lease::Connection;
use super::tls::Tls;

/// To resolve a host name.
const LOOKUP: Duration = Duration::from_secs(5);
/// To connect, and again for TLS (as Rain does).
const CONNECT: Duration = Duration::from_secs(10);
/// One address is tried so long after the one before it (RFC 8305, "Connection Attempt Delay").
const STAGGER: Duration = Duration::from_millis(250);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The URL leads where it must not, or to no address.
    #[error(transparent)]
    Reach(reach::Error),
    /// Nothing leaves at present, whoever was to be reached.
    #[error("{0}")]
    Held(String),
    /// Nobody takes the connection.
    #[error("{0}")]
    Refused(String),
    /// Somebody does, but is not who the URL says, or does not speak TLS as we do.
    #[error("no TLS with it: {0}")]
    Tls(String),
}

impl From<reach::Error> for Error {
    fn from(error: reach::Error) -> Self {
        match error {
            reach::Error::Held(why) => Self::Held(why),
            other => Self::Reach(other),
        }
    }
}

/// Connects to a server. Of one that a proxy connects to only the name is known.
pub(super) async fn connect(
    origin: Origin,
    hop: Hop,
    egress: &Egress,
    tls: &Tls,
) -> Result<Connection, Error> {
    reach::check_port(origin.port())?;
    let addresses = reach::resolve(egress, origin.host(), origin.port(), LOOKUP).await?;
    let addresses = reach::to_try(addresses, egress.policy().bind);
    for address in &addresses {
        hop.check(address.ip())?;
    }
    // What is spoken over it belongs to that place, whatever has changed since.
    let place = egress.standing().place;
    let (stream, address) = connect_to_one(&origin, &addresses, egress).await?;
    let stream = match origin.is_tls() {
        false => Stream::Tcp(stream),
        true => shake_hands(stream, origin.host(), tls).await?,
    };
    let (read, write) = stream.split();
    Ok(Connection { origin, address, place, read, write, clean: 0 })
}

/// The first address that answers, each tried a moment after the one before or as soon as that one
/// has failed.
async fn connect_to_one(
    origin: &Origin,
    addresses: &[SocketAddr],
    egress: &Egress,
) -> Result<(TcpStream, SocketAddr), Error> {
    let mut left = addresses.iter().copied();
    let mut attempts = JoinSet::new();
    let mut why = Error::Refused("the host has no address".to_owned());
    loop {
        let next = left.next();
        if let Some(address) = next {
            let egress = egress.clone();
            let to = match egress.is_proxied(Purpose::WebSeed) {
                true => Remote::of(origin.host(), origin.port()),
                false => address.into(),
            };
            attempts.spawn(async move {
                let stream = egress.connect(&to, Purpose::WebSeed, CONNECT).await;
                stream.map(|stream| (stream, address))
            });
        }
        let pause = async {
            match next {
                Some(_) => sleep(STAGGER).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            attempt = attempts.join_next() => match attempt {
                Some(Ok(Ok(connected))) => return Ok(connected),
                Some(Ok(Err(error))) if error.is_held() => why = Error::Held(error.to_string()),
                Some(Ok(Err(error))) => why = Error::Refused(error.to_string()),
                Some(Err(error)) => why = Error::Refused(error.to_string()),
                None => return Err(why),
            },
            () = pause => {}
        }
    }
}

async fn shake_hands(stream: TcpStream, host: &str, tls: &Tls) -> Result<Stream, Error> {
    let name = ServerName::try_from(without_brackets(host).to_owned());
    let name = name.map_err(|error| Error::Tls(error.to_string()))?;
    let connector = tls.connector().await.map_err(Error::Tls)?;
    match timeout(CONNECT, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
        Ok(Err(error)) => Err(Error::Tls(error.to_string())),
        Err(_) => Err(Error::Tls(format!("no answer in {} s", CONNECT.as_secs()))),
    }
}
