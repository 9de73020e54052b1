//! What goes on whatever happens: work that a fault of ours, a panic, has ended is begun again
//! after a pause that grows. Nobody looks after a daemon all the time.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::error;

use super::schedule::backoff;

/// The pause behind the first fault.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// Who has run for so long begins with the first pause again.
const WELL: Duration = Duration::from_secs(2 * 3600);

/// Does the work that `begin` begins until that ends by itself; `what` is how the log calls it.
pub async fn lasting<F: Future<Output = ()>>(what: String, begin: impl Fn() -> F) {
    let mut faults = 0;
    loop {
        let begun = Instant::now();
        if caught(begin()).await.is_ok() {
            return;
        }
        faults = if begun.elapsed() >= WELL { 1 } else { faults + 1 };
        let pause = backoff(faults, PAUSE, PAUSE_MAX);
        error!(?what, ?pause, "a fault of the program has ended it: it begins again");
        sleep(pause).await;
    }
}

/// Waits for work; an error when it panics, which the runtime's hook tells.
async fn caught<F: Future<Output = ()>>(work: F) -> Result<(), ()> {
    let mut work = pin!(work);
    // It is dropped then, and what it has told others are values.
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => Poll::Ready(Err(())),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_fault_ends_begins_again_after_ever_longer_pauses() {
        let begun = RefCell::new(Vec::new());
        let first = Instant::now();
        let work = || async {
            begun.borrow_mut().push(first.elapsed().as_secs());
            let count = begun.borrow().len();
            match count {
                ..4 => {}
                // This time it has run well for long.
                4 => sleep(WELL).await,
                5 => {}
                _ => return,
            }
            panic!("a fault");
        };
        lasting("it".to_owned(), work).await;
        let well = WELL.as_secs();
        assert_eq!(begun.into_inner(), [0, 1, 5, 21, 21 + well + 1, 21 + well + 5]);
    }
}
