//! Large bodies within a budget: uploads that are read, and answers that wait for their readers.
//! All of them together hold no more than a budget. Not here: what the bytes mean, and how a
//! refusal is worded.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bytes that a permit stands for.
const PERMIT_LEN: usize = 16 << 10;

/// Time that a request waits for others to be done.
const WAIT: Duration = Duration::from_secs(10);

/// Bytes read and thrown away, for a client to get its refusal.
const DRAIN_LEN_MAX: usize = 64 << 20;
/// Time that this takes at most.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Gives out a budget; cheap to clone.
#[derive(Clone, Debug)]
pub struct Scales {
    left: Arc<Semaphore>,
    budget: usize,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Weight {
    _permit: OwnedSemaphorePermit,
}

/// The budget is given out, and nothing came back in time.
#[derive(Debug)]
pub struct Busy;

/// What an upload may be.
#[derive(Clone, Copy, Debug)]
pub struct Upload {
    /// Its bytes at most.
    pub len_max: usize,
    /// Time for all of it to arrive.
    pub within: Duration,
}

/// Why a body was not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyError {
    /// It is longer than it may be, or says so.
    TooLong,
    /// Others hold the budget.
    Busy,
    /// The client stopped sending.
    Broken,
    /// It did not arrive in time.
    Late,
}

impl Scales {
    /// A budget of so many bytes.
    pub fn new(budget: usize) -> Self {
        Self { left: Arc::new(Semaphore::new(budget / PERMIT_LEN)), budget }
    }

    /// Takes `len` bytes out of the budget, or all of it where that is less; waits ten seconds for
    /// others to give theirs back.
    ///
    /// # Errors
    /// When they did not.
    pub async fn weigh(&self, len: usize) -> Result<Weight, Busy> {
        let acquired = self.left.clone().acquire_many_owned(self.permits(len));
        let acquired = timeout(WAIT, acquired).await;
        match acquired {
            Ok(Ok(permit)) => Ok(Weight { _permit: permit }),
            // Too late; or closed, which it never is.
            _ => Err(Busy),
        }
    }

    /// As [`Scales::weigh`], without waiting.
    pub fn try_weigh(&self, len: usize) -> Option<Weight> {
        let acquired = self.left.clone().try_acquire_many_owned(self.permits(len));
        acquired.ok().map(|permit| Weight { _permit: permit })
    }

    /// Reads an upload: one that says that it is too long is refused before a byte of it, and
    /// nothing is held before there is room for all that it says it has, or for the longest that
    /// may come.
    ///
    /// # Errors
    /// When it is not all there. Who wants his refusal to be heard lets the rest [`drain`].
    pub async fn receive(
        &self,
        body: &mut Body,
        upload: Upload,
    ) -> Result<(Vec<u8>, Weight), BodyError> {
        if body.size_hint().lower() > upload.len_max as u64 {
            return Err(BodyError::TooLong);
        }
        // One that says its length does not get longer than that.
        let told = body.size_hint().upper().and_then(|len| usize::try_from(len).ok());
        let most = told.map_or(upload.len_max, |len| len.min(upload.len_max));
        let weight = self.weigh(most).await.map_err(|Busy| BodyError::Busy)?;
        let read = timeout(upload.within, read(body, most)).await;
        Ok((read.map_err(|_| BodyError::Late)??, weight))
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
    pub fn bytes(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Weighed { bytes, _weight: self })
    }
}

/// Reads a body of at most `len_max` bytes; grows with what has arrived.
async fn read(body: &mut Body, len_max: usize) -> Result<Vec<u8>, BodyError> {
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
/// read, gets its answer: closed with bytes unread, the system would take it back.
pub fn drain(mut body: Body) {
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
