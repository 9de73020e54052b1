//! To a server of files: resolve, judge every address, connect to one of those and, where the URL
//! says so, speak TLS. The name is resolved once, so that nobody can answer otherwise in between.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::base::addr::without_brackets;
use crate::base::url::Origin;
use crate::link::Stream;
use crate::net::egress::{Egress, Purpose, Remote, authorities};
use crate::net::reach::{self, Hop};

use super::lease::Connection;

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

/// What servers prove their names with: the certificates of the system, and those that the user
/// names. They are read when the first server is connected to; without any only plain HTTP works.
#[derive(Clone, Default)]
pub struct Tls {
    authorities: Arc<[PathBuf]>,
    connector: Arc<OnceLock<Result<TlsConnector, String>>>,
}

impl Tls {
    /// With certificates of authorities (PEM) in these files, besides those of the system.
    pub fn new(authorities: Vec<PathBuf>) -> Self {
        Self { authorities: authorities.into(), connector: Arc::default() }
    }

    /// Reads the certificates at the first call, which takes a moment.
    async fn connector(&self) -> Result<TlsConnector, Error> {
        if let Some(made) = self.connector.get() {
            return made.clone().map_err(Error::Tls);
        }
        let tls = self.clone();
        let made = spawn_blocking(move || {
            tls.connector.get_or_init(|| connector(&tls.authorities)).clone()
        });
        made.await.unwrap_or_else(|error| Err(error.to_string())).map_err(Error::Tls)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("authorities", &self.authorities).finish_non_exhaustive()
    }
}

fn connector(files: &[PathBuf]) -> Result<TlsConnector, String> {
    let extra = authorities(files)?;
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new_with_extra_roots(extra, provider.clone());
    let verifier = verifier.map_err(|error| error.to_string())?;
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    // One answer after the other, over as many connections as are worth it: in HTTP/2 all streams
    // share one congestion window.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
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
    let connector = tls.connector().await?;
    match timeout(CONNECT, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
        Ok(Err(error)) => Err(Error::Tls(error.to_string())),
        Err(_) => Err(Error::Tls(format!("no answer in {} s", CONNECT.as_secs()))),
    }
}
