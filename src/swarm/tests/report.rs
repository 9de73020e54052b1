//! Numbers for people: what moves, what has moved, and how long it took.

use super::*;

impl Bench {
    /// Received and sent a second.
    fn rates(&self) -> (u64, u64) {
        let numbers = self.swarm.snapshot(self.now);
        (numbers.down_rate, numbers.up_rate)
    }

    /// A seed that has sent three blocks, a second after another.
    fn flowing(&mut self) {
        self.seed(1);
        for name in ["0.0", "0.1", "0.2"] {
            self.deliver(1, name);
            self.wait(1.0);
        }
    }
}

#[test]
fn nothing_moves_in_what_is_paused_alone_troubled_or_complete() {
    let ends: [fn(&mut Bench); 5] = [
        |bench| drop(bench.handle(Input::Pause(true))),
        |bench| drop(bench.down(1)),
        |bench| drop(bench.handle(Input::DiskFailed("no space".into()))),
        |bench| {
            bench.handle(Input::Wanted(Bitfield::none(2)));
        },
        |bench| drop(bench.wait(8.0)),
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let mut bench = Bench::new(2);
        bench.flowing();
        assert!(bench.rates().0 > 10_000, "{:?}", bench.rates());
        assert_eq!(bench.swarm.snapshot(bench.now).sending, 1);
        assert!(bench.swarm.down_meter().is_some());
        end(&mut bench);
        assert_eq!(bench.rates(), (0, 0), "end {number}");
        assert!(bench.swarm.links(bench.now).iter().all(|it| it.down_rate == 0 || number < 4));
    }
}

#[test]
fn what_goes_on_after_a_pause_begins_with_new_rates() {
    let mut bench = Bench::new(2);
    bench.flowing();
    bench.handle(Input::Pause(true));
    bench.handle(Input::Pause(false));
    bench.seed(2);
    assert_eq!(bench.rates(), (0, 0));
}

/// The remote has the bytes, whoever ended the link since.
#[test]
fn what_a_link_sent_before_it_was_closed_counts() {
    let mut bench = Bench::with(2, 4, |config| config.have = set(2, &[0]));
    bench.up(1);
    bench.event(1, LinkEvent::Interested);
    bench.handle(Input::Pause(true));
    bench.event(1, LinkEvent::Sent(16_384));
    assert_eq!(bench.swarm.snapshot(bench.now).uploaded_bytes, 16_384);
    assert_eq!(bench.rates(), (0, 0));
}

#[test]
fn the_time_of_a_transfer_is_from_request_to_payload_without_pauses() {
    let took = |bench: &Bench| bench.swarm.transferred_for().as_secs();
    let mut bench = Bench::new(2);
    bench.wait(10.0);
    bench.seed(1);
    bench.wait(2.0);
    assert_eq!(took(&bench), 0, "nothing came yet");
    bench.deliver(1, "0.0 0.1");
    assert_eq!(took(&bench), 2);
    bench.wait(1.0);
    assert_eq!(took(&bench), 2, "what is waited for may never come");
    bench.handle(Input::Pause(true));
    bench.wait(100.0);
    assert_eq!(took(&bench), 2, "nothing came in the last second");
    bench.handle(Input::Pause(false));
    bench.seed(2);
    bench.wait(1.0);
    bench.deliver(2, "0.2 0.3");
    bench.good(0);
    bench.deliver(2, "1.0 1.1 1.2 1.3");
    bench.good(1);
    bench.wait(1000.0);
    assert_eq!(took(&bench), 3, "it is complete");
}
