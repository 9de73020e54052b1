//! What servers prove their names with. Not here: the connection on which they do.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls_platform_verifier::Verifier;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;

use crate::net::egress::authorities;

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
    ///
    /// # Errors
    /// Why there is no TLS, in words for people.
    pub(super) async fn connector(&self) -> Result<TlsConnector, String> {
        if let Some(made) = self.connector.get() {
            return made.clone();
        }
        let tls = self.clone();
        let made = spawn_blocking(move || {
            tls.connector.get_or_init(|| connector(&tls.authorities)).clone()
        });
        made.await.unwrap_or_else(|error| Err(error.to_string()))
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
