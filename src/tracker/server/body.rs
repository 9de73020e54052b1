//! Large bodies within a budget: uploads that are read, and answers that wait for their readers.
//! All of them together hold no more than [`BUDGET`].

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bytes of large bodies that are held at once.
const BUDGET: usize = 96 << 20;

/// Bytes that a permit stands for.
const PERMIT_LEN: usize = 16 << 10;

/// Time that a request waits for others to be done.
const WAIT: Duration = Duration::from_secs(10);

/// What is told to whom waited in vain.
pub(super) const BUSY: &str = "this tracker is busy with other torrents; try again later";

/// Bytes read and thrown away, for a client to get its refusal.
const DRAIN_LEN_MAX: usize = 64 << 20;
/// Time that this takes at most.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Gives out the budget.
#[derive(Clone)]
pub(super) struct Scales(Arc<Semaphore>);

/// A part of the budget, given back when dropped.
pub(super) struct Weight {
    _permit: OwnedSemaphorePermit,
}

/// The budget is given out, and nothing came back in time.
pub(super) struct Busy;

impl Scales {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(BUDGET / PERMIT_LEN)))
    }

    /// Takes `len` bytes out of the budget.
    pub(super) async fn weigh(&self, len: usize) -> Result<Weight, Busy> {
        let permits = u32::try_from(len.min(BUDGET) / PERMIT_LEN + 1).unwrap_or(u32::MAX);
        let permits = permits.min((BUDGET / PERMIT_LEN) as u32);
        let acquired = timeout(WAIT, self.0.clone().acquire_many_owned(permits)).await;
        match acquired {
            Ok(Ok(permit)) => Ok(Weight { _permit: permit }),
            // Too late; or closed, which it never is.
            _ => Err(Busy),
        }
    }
}

/// Bytes that give their part of the budget back when they are sent or given up.
struct Weighed {
    bytes: Vec<u8>,
    _weight: Weight,
}

impl AsRef<[u8]> for Weighed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Weight {
    /// A body that keeps this part of the budget as long as it is held.
    pub(super) fn body(self, bytes: Vec<u8>) -> Body {
        Body::from(Bytes::from_owner(Weighed { bytes, _weight: self }))
    }
}

/// Why a body was not read.
pub(super) enum BodyError {
    /// It is longer than it may be.
    TooLong,
    /// The client stopped sending.
    Broken,
}

/// Reads a body of at most `len_max` bytes; grows with what has arrived.
pub(super) async fn read(body: &mut Body, len_max: usize) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    while let Some(part) = next(body).await {
        let part = part?;
        if bytes.len() + part.len() > len_max {
            return Err(BodyError::TooLong);
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// Reads on for a while what is of no use, so that the client, who may first send and then
/// read, gets its answer.
pub(super) fn drain(mut body: Body) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(timeout(DRAIN_LIMIT, async move {
        let mut len = 0;
        while let Some(Ok(part)) = next(&mut body).await {
            len += part.len();
            if len > DRAIN_LEN_MAX {
                return;
            }
        }
    }));
}

async fn next(body: &mut Body) -> Option<Result<Bytes, BodyError>> {
    let frame = std::future::poll_fn(|context| pin!(&mut *body).poll_frame(context)).await?;
    // Trailers are no part of it.
    Some(frame.map_err(|_| BodyError::Broken).map(|frame| frame.into_data().unwrap_or_default()))
}
