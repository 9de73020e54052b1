//! The time that the announcer goes by.

use std::time::Instant;

use tokio::time::sleep_until;

/// The runtime's clock, which tests can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Ends at that time; at once when there is none.
pub(super) async fn sleep_to(wake: Option<Instant>) {
    if let Some(wake) = wake {
        sleep_until(wake.into()).await;
    }
}
