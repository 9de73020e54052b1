//! Which job is next: a few run at once, fewer of one hook, the others wait in their order, and
//! those that failed come again later. A machine.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::errands::schedule::backoff;

/// Jobs that run at once.
pub const RUNNING_MAX: usize = 4;
/// Those of one hook: one that hangs does not hold up all others.
pub const RUNNING_OF_ONE_MAX: usize = 2;
/// Jobs of one hook that wait, those that come again among them; what comes then is dropped.
pub const WAITING_MAX: usize = 1000;
/// How often a job is tried.
pub const TRIES_MAX: u32 = 5;
/// The pause behind the first failure; it grows.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest one: also what a server may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// A job of a hook, and how often it was tried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job<H, T> {
    /// Whose it is.
    pub hook: H,
    /// What is to be done.
    pub what: T,
    tries: u32,
}

/// Jobs that wait and run, of hooks `H`.
#[derive(Debug)]
pub struct Queue<H, T> {
    /// Whose jobs run.
    running: Vec<H>,
    waiting: VecDeque<Job<H, T>>,
    /// Those that come again, and when.
    resting: Vec<(Instant, Job<H, T>)>,
}

impl<H: Clone + PartialEq, T> Queue<H, T> {
    /// Without any.
    pub fn new() -> Self {
        Self { running: Vec::new(), waiting: VecDeque::new(), resting: Vec::new() }
    }

    /// Takes a job, if there is room for it.
    pub fn push(&mut self, hook: H, what: T) -> bool {
        let has_room = self.waiting(&hook) < WAITING_MAX;
        if has_room {
            self.waiting.push_back(Job { hook, what, tries: 0 });
        }
        has_room
    }

    /// How many jobs of a hook wait.
    pub fn waiting(&self, hook: &H) -> usize {
        let resting = self.resting.iter().map(|(_, job)| job);
        self.waiting.iter().chain(resting).filter(|job| job.hook == *hook).count()
    }

    /// How many jobs of a hook run.
    pub fn running(&self, hook: &H) -> usize {
        self.running.iter().filter(|it| *it == hook).count()
    }

    /// The next one that is to run, if one may.
    pub fn next(&mut self, now: Instant) -> Option<Job<H, T>> {
        let due = self.resting.iter().position(|(at, job)| *at <= now && self.has_place(&job.hook));
        let mut job = match due {
            Some(at) => self.resting.remove(at).1,
            None => {
                let at = self.waiting.iter().position(|job| self.has_place(&job.hook))?;
                self.waiting.remove(at)?
            }
        };
        job.tries += 1;
        self.running.push(job.hook.clone());
        Some(job)
    }

    fn has_place(&self, hook: &H) -> bool {
        self.running.len() < RUNNING_MAX && self.running(hook) < RUNNING_OF_ONE_MAX
    }

    /// One of this hook has run to its end.
    pub fn on_done(&mut self, hook: &H) {
        if let Some(at) = self.running.iter().position(|it| it == hook) {
            self.running.swap_remove(at);
        }
    }

    /// One has failed, and may come again, not before `asked` for; does it?
    pub fn on_failed(&mut self, job: Job<H, T>, asked: Option<Duration>, now: Instant) -> bool {
        self.on_done(&job.hook);
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
        let with_place = self.resting.iter().filter(|(_, job)| self.has_place(&job.hook));
        with_place.map(|(at, _)| *at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin() -> (Queue<char, u32>, Instant) {
        (Queue::new(), Instant::now())
    }

    #[test]
    fn four_run_at_once_two_of_one_hook_and_the_others_in_their_order() {
        let (mut queue, now) = begin();
        let jobs = [('a', 0), ('a', 1), ('a', 2), ('b', 3), ('c', 4), ('b', 5)];
        assert!(jobs.into_iter().all(|(hook, what)| queue.push(hook, what)));
        let next = |queue: &mut Queue<char, u32>| queue.next(now).map(|job| job.what);
        let first: Vec<_> = (0..5).map(|_| next(&mut queue)).collect();
        assert_eq!(first, [Some(0), Some(1), Some(3), Some(4), None]);
        assert_eq!((queue.running(&'a'), queue.waiting(&'a'), queue.waiting(&'b')), (2, 1, 1));
        queue.on_done(&'c');
        assert_eq!((next(&mut queue), next(&mut queue)), (Some(5), None), "a has its share");
        queue.on_done(&'a');
        assert_eq!((next(&mut queue), next(&mut queue)), (Some(2), None));
    }

    #[test]
    fn one_that_comes_again_waits_for_a_place_of_its_hook() {
        let (mut queue, now) = begin();
        assert!((0..3).all(|what| queue.push('a', what)));
        let job = queue.next(now).unwrap();
        assert!(queue.on_failed(job, None, now));
        let later = now + Duration::from_secs(60);
        assert!(queue.next(now).is_some() && queue.next(now).is_some());
        assert_eq!((queue.next(later), queue.next_timeout()), (None, None));
        queue.on_done(&'a');
        assert!(queue.next_timeout().is_some());
        assert_eq!(queue.next(later).map(|job| job.what), Some(0));
    }

    #[test]
    fn what_comes_when_all_places_to_wait_are_taken_is_dropped() {
        let (mut queue, now) = begin();
        assert!((0..WAITING_MAX as u32).all(|what| queue.push('a', what)));
        assert!(!queue.push('a', 7));
        assert!(queue.push('b', 7), "another hook has places of its own");
        let job = queue.next(now).unwrap();
        assert!(queue.on_failed(job, None, now));
        assert!(!queue.push('a', 7), "one that comes again waits, too");
        queue.next(now).unwrap();
        assert!(queue.push('a', 7));
    }

    #[test]
    fn what_fails_comes_again_ever_later_and_five_times_in_all() {
        let (mut queue, start) = begin();
        queue.push('a', 7);
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
        assert_eq!((queue.waiting(&'a'), queue.next_timeout()), (0, None));
    }

    #[test]
    fn a_server_may_ask_for_more_time_but_not_for_all_of_it() {
        let (mut queue, now) = begin();
        for (asked, pause) in [(0, 1), (30, 30), (1_000_000, 600)] {
            queue.push('a', 7);
            let job = queue.next(now).unwrap();
            queue.on_failed(job, Some(Duration::from_secs(asked)), now);
            let at = queue.next_timeout().unwrap();
            assert_eq!(at, now + Duration::from_secs(pause), "{asked}");
            queue.next(at).unwrap();
            queue.on_done(&'a');
        }
    }
}
