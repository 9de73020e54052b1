//! The tree of buckets: its arithmetic by hand, and rates and shares among many simulated
//! links in virtual time.

use super::*;
use tokio::task::JoinSet;
use tokio::time::{self, sleep};

const MB: u64 = 1_000_000;
const WINDOW: Duration = Duration::from_secs(10);

#[test]
fn without_a_limit_everything_passes() {
    let limiter = Limiter::under(Arc::new(Limiter::new(None)), None);
    assert_eq!(limiter.spend(u64::MAX, Instant::now()), Duration::ZERO);
    assert_eq!((limiter.rate(), limiter.turn_bytes()), (None, None));
    assert!(!limiter.holds_back(Instant::now()));
}

#[test]
fn the_lowest_limit_of_all_levels_is_in_force() {
    let session = Arc::new(Limiter::new(Some(1_000)));
    let torrent = Limiter::under(session.clone(), Some(5_000));
    assert_eq!((torrent.rate(), torrent.own_rate()), (Some(1_000), Some(5_000)));
    session.set_rate(None);
    assert_eq!(torrent.rate(), Some(5_000));
}

#[test]
fn bytes_of_one_kind_count_for_a_limit_beside_the_tree() {
    let session = Arc::new(Limiter::new(None));
    let web = Arc::new(Limiter::beside(&session, Some(200_000)));
    let torrent = |rate| Arc::new(Limiter::under(session.clone(), rate));
    let (one, other) = (torrent(None), torrent(Some(100_000)));
    let joint = |torrent: &Arc<Limiter>| Limiter::joint(torrent.clone(), web.clone());
    assert_eq!((joint(&one).rate(), joint(&other).rate()), (Some(200_000), Some(100_000)));
    assert_eq!(one.rate(), None, "peers are not held back");
    let now = Instant::now() + Duration::from_secs(1);
    assert_eq!(joint(&one).spend(1_024, now), Duration::from_nanos(5_120_000));
    assert!(web.holds_back(now) && !one.holds_back(now));
    // What another torrent's servers send is paid by the same.
    assert!(joint(&other).spend(1_024, now) > Duration::from_nanos(10_200_000));
}

#[test]
fn what_was_spent_too_much_is_waited_for() {
    let session = Arc::new(Limiter::new(Some(200_000)));
    let torrent = Limiter::under(session.clone(), Some(400_000));
    // A while after both began, so that there is no credit left from that.
    let now = Instant::now() + Duration::from_secs(1);
    assert!(!torrent.holds_back(now));
    // A turn of the session is 1024 bytes at this rate, one of the torrent 2000.
    assert_eq!(torrent.spend(2_000, now), Duration::from_millis(10));
    assert!(torrent.holds_back(now));
    // Bytes of one torrent are paid by the others of the session too, a half turn by half.
    let other = Limiter::under(session, None);
    assert_eq!(other.spend(2_000, now), Duration::from_millis(20));
    assert_eq!(other.spend(512, now), Duration::from_nanos((20_000_000 + 2_560_000) / 2));
    assert!(!other.holds_back(now + Duration::from_secs(1)));
}

#[test]
fn a_late_wake_up_loses_nothing_and_a_silence_earns_nothing() {
    let limiter = Limiter::new(Some(1_000_000));
    let begin = Instant::now() + Duration::from_secs(1);
    let after = |ms| begin + Duration::from_millis(ms);
    assert_eq!(limiter.spend(5_000, begin), Duration::from_millis(5));
    // 195 ms too late: 195,000 bytes may pass at once.
    assert_eq!(limiter.spend(195_000, after(200)), Duration::ZERO);
    assert_eq!(limiter.spend(5_000, after(200)), Duration::from_millis(5));
    assert_eq!(limiter.spend(5_000, after(1_000)), Duration::from_millis(5));
}

#[test]
fn absurd_numbers_saturate() {
    let limiter = Limiter::new(Some(0));
    let now = Instant::now();
    assert!(limiter.spend(u64::MAX, now) > Duration::from_secs(1));
    limiter.set_rate(Some(u64::MAX));
    assert!(limiter.spend(u64::MAX, now) <= Duration::from_secs(1));
}

/// When how many bytes passed on one link.
type Passed = Vec<(time::Instant, u64)>;

/// Runs a link on each limiter for `lasting`. A link with a demand has only so many bytes a
/// second to move, others have any number.
async fn run(links: Vec<(Arc<Limiter>, Option<u64>)>, lasting: Duration) -> Vec<Passed> {
    let end = time::Instant::now() + lasting;
    let mut tasks = JoinSet::new();
    for (number, (limiter, demand)) in links.into_iter().enumerate() {
        tasks.spawn(async move {
            let moving = link(&limiter, demand, end);
            (number, moving.await)
        });
    }
    let mut passed = tasks.join_all().await;
    passed.sort_by_key(|(number, _)| *number);
    passed.into_iter().map(|(_, passed)| passed).collect()
}

/// Does what the halves of a link do: move a turn, pay, wait.
async fn link(limiter: &Limiter, demand: Option<u64>, end: time::Instant) -> Passed {
    let begin = time::Instant::now();
    let (mut passed, mut sum) = (Vec::new(), 0);
    while time::Instant::now() < end {
        let now = time::Instant::now();
        let ready = demand.map_or(u64::MAX, |demand| {
            (now.duration_since(begin).as_nanos() * u128::from(demand) / 1_000_000_000) as u64 - sum
        });
        if ready == 0 {
            sleep(Duration::from_millis(7)).await;
            continue;
        }
        let rate = limiter.rate();
        let bytes = limiter.turn_bytes().unwrap_or(TURN_MAX).min(ready);
        passed.push((now, bytes));
        sum += bytes;
        let wait = limiter.spend(bytes, now.into_std());
        match rate {
            Some(_) => limiter.wait_until((now + wait).min(end), rate).await,
            // What a processor could do at most.
            None => sleep(Duration::from_millis(1)).await,
        }
    }
    passed
}

fn sums(passed: &[Passed]) -> Vec<u64> {
    passed.iter().map(|passed| passed.iter().map(|(_, bytes)| bytes).sum()).collect()
}

/// Least and most bytes of all links together in any 10 s.
fn windows(passed: &[Passed]) -> (u64, u64) {
    let mut all: Passed = passed.concat();
    all.sort();
    let last = all.last().unwrap().0;
    let (mut least, mut most) = (u64::MAX, 0);
    let (mut sum, mut next) = (0, 0);
    for (begin, bytes) in &all {
        while next < all.len() && all[next].0 < *begin + WINDOW {
            sum += all[next].1;
            next += 1;
        }
        most = most.max(sum);
        if *begin + WINDOW <= last {
            least = least.min(sum);
        }
        sum -= bytes;
    }
    (least, most)
}

fn assert_within_5_percent(passed: &[Passed], rate: u64) {
    let (least, most) = windows(passed);
    let ideal = rate * WINDOW.as_secs();
    assert!(most * 100 <= ideal * 105, "at {rate}: {most} in a window");
    assert!(least * 100 >= ideal * 95, "at {rate}: {least} in a window");
}

fn spread(sums: &[u64]) -> f64 {
    *sums.iter().max().unwrap() as f64 / *sums.iter().min().unwrap() as f64
}

#[tokio::test(start_paused = true)]
async fn any_ten_seconds_bring_the_rate_with_one_and_with_twenty_links() {
    for rate in [MB, 10 * MB, 100 * MB] {
        for count in [1, 20, 80] {
            let limiter = Arc::new(Limiter::new(Some(rate)));
            let passed = run(vec![(limiter, None); count], Duration::from_secs(25)).await;
            assert_within_5_percent(&passed, rate);
            let spread = spread(&sums(&passed));
            assert!(spread <= 1.05, "{count} links at {rate}: {spread}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_wants_less_gets_it_and_the_others_share_the_rest() {
    for rate in [MB, 10 * MB, 100 * MB] {
        let limiter = Arc::new(Limiter::new(Some(rate)));
        // Ten links could take 2 % of the rate each, where 5 % would be a fair share.
        let demand = |number| (number < 10).then_some(rate / 50);
        let links = (0..20).map(|number| (limiter.clone(), demand(number))).collect();
        let passed = run(links, Duration::from_secs(20)).await;
        assert_within_5_percent(&passed, rate);
        let sums = sums(&passed);
        let (modest, greedy) = sums.split_at(10);
        assert!(spread(greedy) <= 1.05, "{greedy:?}");
        // All they wanted, but for what waits for its turn at the end.
        let wanted = rate * 20 / 50;
        assert!(modest.iter().all(|sum| sum * 100 >= wanted * 95), "{modest:?} of {wanted}");
    }
}

#[tokio::test(start_paused = true)]
async fn links_of_several_torrents_share_the_limit_of_the_session() {
    let session = Arc::new(Limiter::new(Some(10 * MB)));
    let open = Arc::new(Limiter::under(session.clone(), None));
    let also_open = Arc::new(Limiter::under(session.clone(), Some(50 * MB)));
    let bounded = Arc::new(Limiter::under(session, Some(MB)));
    let torrents = [(open, 8), (also_open, 2), (bounded, 10)];
    let links = torrents.iter().flat_map(|(limiter, count)| vec![(limiter.clone(), None); *count]);
    let passed = run(links.collect(), Duration::from_secs(25)).await;
    assert_within_5_percent(&passed, 10 * MB);
    assert_within_5_percent(&passed[10..], MB);
    let sums = sums(&passed);
    assert!(spread(&sums[..10]) <= 1.05, "{sums:?}");
    assert!(spread(&sums[10..]) <= 1.05, "{sums:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_on_either_level_holds_at_once() {
    let session = Arc::new(Limiter::new(None));
    let torrent = Arc::new(Limiter::under(session.clone(), Some(1)));
    let running = tokio::spawn(run(vec![(torrent.clone(), None); 20], Duration::from_secs(46)));
    // A second's worth is a single byte: who waits, waits for a quarter of an hour.
    sleep(Duration::from_secs(1)).await;
    let begin = time::Instant::now();
    torrent.set_rate(Some(10 * MB));
    sleep(Duration::from_secs(15)).await;
    session.set_rate(Some(MB));
    sleep(Duration::from_secs(15)).await;
    session.set_rate(None);
    torrent.set_rate(Some(100 * MB));
    let passed = running.await.unwrap();
    for (from, rate) in [(0, 10 * MB), (15, MB), (30, 100 * MB)] {
        let (from, to) =
            (begin + Duration::from_secs(from), begin + Duration::from_secs(from + 15));
        let part = |passed: &Passed| -> Passed {
            passed.iter().copied().filter(|(at, _)| (from..to).contains(at)).collect()
        };
        let part: Vec<_> = passed.iter().map(part).collect();
        assert_within_5_percent(&part, rate);
        let first = part.iter().filter_map(|passed| passed.first()).map(|(at, _)| *at).max();
        let late = first.unwrap() - from;
        assert!(late <= Duration::from_millis(300), "first turn of the last link after {late:?}");
    }
}
