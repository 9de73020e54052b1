//! Why a connection did not become a link, or is none any more, in words for people.

use std::io;

use crate::net;
use crate::swarm::event::DownReason;

/// Why a connection did not become a link. Always the remote's doing, but for `Busy`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It sent something else than a handshake.
    #[error(transparent)]
    Wire(#[from] crate::wire::Error),
    /// It sent an encrypted handshake that came to nothing.
    #[error(transparent)]
    Mse(#[from] crate::wire::mse::Error),
    /// We compute no more secrets for strangers at present.
    #[error("there are too many encrypted handshakes at once")]
    Busy,
    /// It sent nothing for too long.
    #[error("it sent no handshake in time")]
    Silent,
    /// The connection broke.
    #[error("the connection broke during the handshake: {0}")]
    Lost(#[from] io::Error),
}

impl From<Error> for DownReason {
    fn from(error: Error) -> Self {
        Self::HandshakeFailed(match error {
            error @ (Error::Wire(_) | Error::Mse(_) | Error::Busy | Error::Silent) => {
                error.to_string()
            }
            Error::Lost(error) => lost(&error).to_string(),
        })
    }
}

/// Why a link has ended whose device is gone.
pub(super) fn device_lost() -> DownReason {
    DownReason::Held("our network device is gone, or has another address".to_owned())
}

/// Why there is no connection to a peer.
pub(super) fn not_dialled(error: net::Error) -> DownReason {
    match error.is_held() {
        true => DownReason::Held(error.to_string()),
        false => DownReason::DialFailed(error.to_string()),
    }
}

/// The words for a connection that broke.
pub(super) fn lost(error: &io::Error) -> DownReason {
    DownReason::Lost(match error.kind() {
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "it reset the connection".to_owned()
        }
        _ => format!("the connection broke: {error}"),
    })
}
