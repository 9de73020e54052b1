//! Large bodies within a budget: uploads that are read, and answers that wait for their readers.
//! All of them together hold no more than a budget.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bytes of uploads and torrents that are held at once.
pub(super) const BUDGET: usize = 96 << 20;

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

/// Gives out a budget.
#[derive(Clone)]
pub(super) struct Scales {
    left: Arc<Semaphore>,
    budget: usize,
}

/// A part of the budget, given back when dropped.
pub(super) struct Weight {
    _permit: OwnedSemaphorePermit,
}

/// The budget is given out, and nothing came back in time.
pub(super) struct Busy;

impl Scales {
    /// A budget of so many bytes.
    pub(super) fn new(budget: usize) -> Self {
        Self { left: Arc::new(Semaphore::new(budget / PERMIT_LEN)), budget }
    }

    /// Takes `len` bytes out of the budget.
    pub(super) async fn weigh(&self, len: usize) -> Result<Weight, Busy> {
        let acquired = self.left.clone().acquire_many_owned(self.permits(len));
        let acquired = timeout(WAIT, acquired).await;
        match acquired {
            Ok(Ok(permit)) => Ok(Weight { _permit: permit }),
            // Too late; or closed, which it never is.
            _ => Err(Busy),
        }
    }

    /// As [`Scales::weigh`], without waiting.
    pub(super) fn try_weigh(&self, len: usize) -> Option<Weight> {
        let acquired = self.left.clone().try_acquire_many_owned(self.permits(len));
        acquired.ok().map(|permit| Weight { _permit: permit })
    }

    fn permits(&self, len: usize) -> u32 {
        let permits = (len / PERMIT_LEN + 1).min(self.budget / PERMIT_LEN);
        u32::try_from(permits).unwrap_or(u32::MAX)
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
    /// Bytes that keep this part of the budget as long as anybody holds them.
    pub(super) fn bytes(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Weighed { bytes, _weight: self })
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
