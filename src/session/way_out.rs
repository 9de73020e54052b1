//! Whether anything may leave: looked at for as long as the session lives, and told of when it
//! changes.

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::net::egress::{Egress, Standing, State};

/// The way out of a session.
pub(super) struct WayOut {
    around: watch::Receiver<Standing>,
    /// It ends with this.
    _looking: JoinSet<()>,
    /// Why nothing leaves, as it was told last.
    trouble: Option<String>,
}

impl WayOut {
    /// Looks from now on. Must run inside the runtime.
    pub(super) fn watched(egress: &Egress) -> Self {
        let mut looking = JoinSet::new();
        looking.spawn(egress.clone().look_around());
        let mut way = Self { around: egress.watch(), _looking: looking, trouble: None };
        way.tell();
        way
    }

    /// Waits until something has changed, and tells of it.
    pub(super) async fn changed(&mut self) {
        match self.around.changed().await {
            Ok(()) => self.tell(),
            Err(_) => std::future::pending().await,
        }
    }

    /// May anything leave?
    pub(super) fn is_open(&self) -> bool {
        self.around.borrow().state == State::Open
    }

    /// Is anybody new reached? A proxy that is not reached carries nobody; what it carried before
    /// may be as good as it was.
    pub(super) fn may_dial(&self) -> bool {
        self.is_open() && self.around.borrow().proxy_trouble.is_none()
    }

    fn tell(&mut self) {
        let trouble = self.around.borrow_and_update().trouble();
        match (&self.trouble, &trouble) {
            (before, now) if before == now => {}
            (_, Some(why)) => warn!("{why}"),
            (_, None) => info!("the way out is open again"),
        }
        self.trouble = trouble;
    }
}
