//! Which job is next: a few run at once, the others wait in their order, and those that failed come
//! again later. A machine.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::errands::schedule::backoff;

/// Jobs that run at once.
pub const RUNNING_MAX: usize = 4;
/// Jobs that wait, those that come again among them; what comes then is dropped.
pub const WAITING_MAX: usize = 1000;
/// How often a job is tried.
pub const TRIES_MAX: u32 = 5;
/// The pause behind the first failure; it grows.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest one: also what a server may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// A job, and how often it was tried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job<T> {
    /// What is to be done.
    pub what: T,
    tries: u32,
}

/// Jobs that wait and run.
#[derive(Debug)]
pub struct Queue<T> {
    running: usize,
    waiting: VecDeque<Job<T>>,
    /// Those that come again, and when.
    resting: Vec<(Instant, Job<T>)>,
}

impl<T> Queue<T> {
    /// Without any.
    pub fn new() -> Self {
        Self { running: 0, waiting: VecDeque::new(), resting: Vec::new() }
    }

    /// Takes a job, if there is room for it.
    pub fn push(&mut self, what: T) -> bool {
        let has_room = self.waiting() < WAITING_MAX;
        if has_room {
            self.waiting.push_back(Job { what, tries: 0 });
        }
        has_room
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len() + self.resting.len()
    }

    /// The next one that is to run, if one may.
    pub fn next(&mut self, now: Instant) -> Option<Job<T>> {
        if self.running == RUNNING_MAX {
            return None;
        }
        let due = self.resting.iter().position(|(at, _)| *at <= now);
        let mut job = match due {
            Some(at) => self.resting.remove(at).1,
            None => self.waiting.pop_front()?,
        };
        job.tries += 1;
        self.running += 1;
        Some(job)
    }

    /// One has run to its end.
    pub fn on_done(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// One has failed, and may come again, not before `asked` for; does it?
    pub fn on_failed(&mut self, job: Job<T>, asked: Option<Duration>, now: Instant) -> bool {
        self.on_done();
        let comes_again = job.tries < TRIES_MAX;
        if comes_again {
            let pause = backoff(job.tries, PAUSE, PAUSE_MAX);
            let pause = asked.map_or(pause, |asked| asked.clamp(pause, PAUSE_MAX));
            self.resting.push((now + pause, job));
        }
        comes_again
    }

    /// When one comes again, where there is a place for it.
    pub fn next_timeout(&self) -> Option<Instant> {
        let has_place = self.running < RUNNING_MAX;
        self.resting.iter().map(|(at, _)| *at).min().filter(|_| has_place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin() -> (Queue<u32>, Instant) {
        (Queue::new(), Instant::now())
    }

    #[test]
    fn four_run_at_once_and_the_others_in_their_order() {
        let (mut queue, now) = begin();
        assert!((0..6).all(|what| queue.push(what)));
        let next = |queue: &mut Queue<u32>| queue.next(now).map(|job| job.what);
        let first: Vec<_> = (0..5).map(|_| next(&mut queue)).collect();
        assert_eq!(first, [Some(0), Some(1), Some(2), Some(3), None]);
        queue.on_done();
        assert_eq!((next(&mut queue), next(&mut queue)), (Some(4), None));
        assert_eq!(queue.waiting(), 1);
    }

    #[test]
    fn what_comes_when_all_places_to_wait_are_taken_is_dropped() {
        let (mut queue, now) = begin();
        assert!((0..WAITING_MAX as u32).all(|what| queue.push(what)));
        assert!(!queue.push(7));
        let job = queue.next(now).unwrap();
        assert!(queue.on_failed(job, None, now));
        assert!(!queue.push(7), "one that comes again waits, too");
        queue.next(now).unwrap();
        assert!(queue.push(7));
    }

    #[test]
    fn what_fails_comes_again_ever_later_and_five_times_in_all() {
        let (mut queue, start) = begin();
        queue.push(7);
        let mut now = start;
        for pause in [1, 4, 16, 64] {
            let job = queue.next(now).unwrap();
            assert!(queue.on_failed(job, None, now));
            assert_eq!(queue.next_timeout(), Some(now + Duration::from_secs(pause)));
            assert_eq!(queue.next(now), None, "it rests");
            now += Duration::from_secs(pause);
        }
        let job = queue.next(now).unwrap();
        assert!(!queue.on_failed(job, None, now));
        assert_eq!((queue.waiting(), queue.next_timeout()), (0, None));
    }

    #[test]
    fn a_server_may_ask_for_more_time_but_not_for_all_of_it() {
        let (mut queue, now) = begin();
        for (asked, pause) in [(0, 1), (30, 30), (1_000_000, 600)] {
            queue.push(7);
            let job = queue.next(now).unwrap();
            queue.on_failed(job, Some(Duration::from_secs(asked)), now);
            let at = queue.next_timeout().unwrap();
            assert_eq!(at, now + Duration::from_secs(pause), "{asked}");
            queue.next(at).unwrap();
            queue.on_done();
        }
    }
}
