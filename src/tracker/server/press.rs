//! What many may ask for and one makes: a snapshot that is made when somebody asks and the last
//! one is older than a while, and that all share until then. So a thousand questions a second
//! cost the tracker's keeper one. Not here: what is made.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Something that was made, and when that began.
#[derive(Clone)]
struct Edition<T> {
    began_at: Instant,
    content: T,
}

/// Where editions of `T` are asked for; cheap to clone.
#[derive(Clone)]
pub(super) struct Press<T> {
    wanted: Arc<Notify>,
    latest: watch::Receiver<Option<Edition<T>>>,
    every: Duration,
}

impl<T: Clone + Send + Sync + 'static> Press<T> {
    /// Starts one that makes an edition with `make` when it is asked for and the last one is
    /// `every` old. `make` is given the last edition, and returns none when there can be no more.
    pub(super) fn start<F, M>(tasks: &mut JoinSet<()>, every: Duration, make: F) -> Self
    where
        F: Fn(Option<T>) -> M + Send + 'static,
        M: Future<Output = Option<T>> + Send,
    {
        let wanted = Arc::new(Notify::new());
        let (shown, latest) = watch::channel(None::<Edition<T>>);
        let asked = wanted.clone();
        tasks.spawn(async move {
            loop {
                asked.notified().await;
                let began_at = Instant::now();
                let last = shown.borrow().as_ref().map(|edition| edition.content.clone());
                let Some(content) = make(last).await else { return };
                // Who has asked meanwhile looks at this one first, and asks again if need be.
                let _ = std::pin::pin!(asked.notified()).enable();
                shown.send_replace(Some(Edition { began_at, content }));
            }
        });
        Self { wanted, latest, every }
    }

    /// An edition that is not older than a while and that `is_good`, or was made after this was
    /// asked; none at the end.
    pub(super) async fn get(&self, is_good: impl Fn(&T) -> bool) -> Option<T> {
        let asked_at = Instant::now();
        let mut latest = self.latest.clone();
        loop {
            let edition = latest.borrow_and_update().clone();
            let fits = |it: &Edition<T>| {
                let is_young = asked_at.saturating_duration_since(it.began_at) < self.every;
                it.began_at >= asked_at || (is_young && is_good(&it.content))
            };
            if let Some(edition) = edition.filter(fits) {
                return Some(edition.content);
            }
            self.wanted.notify_one();
            latest.changed().await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn counting(tasks: &mut JoinSet<()>, every: Duration) -> Press<u32> {
        let count = Arc::new(AtomicU32::new(0));
        Press::start(tasks, every, move |_| {
            let count = count.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some(count.fetch_add(1, Ordering::Relaxed) + 1)
            }
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_questions_in_a_second_cost_one_edition() {
        let mut tasks = JoinSet::new();
        let press = counting(&mut tasks, Duration::from_secs(1));
        let mut asking = JoinSet::new();
        for number in 0..1000 {
            let press = press.clone();
            asking.spawn(async move {
                tokio::time::sleep(Duration::from_micros(900 * number)).await;
                press.get(|_| true).await
            });
        }
        while let Some(answer) = asking.join_next().await {
            assert_eq!(answer.unwrap(), Some(1));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(press.get(|_| true).await, Some(2), "an older one is made again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_longer_good_is_made_again_at_once() {
        let mut tasks = JoinSet::new();
        let press = counting(&mut tasks, Duration::from_secs(1));
        assert_eq!(press.get(|_| true).await, Some(1));
        assert_eq!(press.get(|number| *number > 1).await, Some(2));
        tasks.shutdown().await;
        assert_eq!(press.get(|_| false).await, None);
    }
}
