//! Which engine hashes how many waiting messages: those that are through first by what a step
//! of each engine costs. The rules only; `measure` finds the costs.

use std::fmt;
use std::time::Duration;

use super::Engine;

/// The most messages that a plan tells apart: as many as the widest engine has lanes.
const MOST: usize = 16;

/// What part of a time may be chance: from one measurement to the next, engines differ by one or
/// two in a hundred on a busy machine.
const NOISE: u32 = 50;

/// What part of a message's cost is not worth to wait for others.
const NEARLY: u32 = 10;

/// What it takes an engine to hash a message of [`Cost::BYTES`] in each of its lanes. It takes
/// as long when some lanes are empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) engine: Engine,
    pub(super) time: Duration,
}

impl Cost {
    /// Bytes of each message of the measurement. Long enough that a clock of some tens of
    /// nanoseconds tells engines apart, short enough that all are measured in a millisecond.
    pub(super) const BYTES: usize = 8 * 1024;

    /// Bytes that go through full lanes in a second.
    fn rate_bytes_per_s(self) -> f64 {
        (self.engine.lanes() * Self::BYTES) as f64 / self.time.as_secs_f64()
    }
}

/// The engine for each number of messages that wait.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The engine for one message, for two and so on; the last one is for all numbers above.
    choices: [Engine; MOST],
    /// What it was made from; nothing when nothing was measured.
    costs: Vec<Cost>,
}

impl Plan {
    /// The engine for so many messages, those included that are half done.
    pub fn engine(&self, waiting: usize) -> Engine {
        self.choices[waiting.clamp(1, MOST) - 1]
    }

    /// The fewest messages of one length, of at most so many, that cost each hardly more than the
    /// cheapest number would: what is worth to be waited for.
    pub fn best(&self, most: usize) -> usize {
        let most = most.clamp(1, MOST);
        let each = |count: &usize| self.time(*count).map(|time| time / *count as u32);
        match (1..=most).filter_map(|count| each(&count)).min() {
            Some(least) => {
                let is_near = |count: &usize| each(count) <= Some(least + least / NEARLY);
                (1..=most).find(is_near).unwrap_or(most)
            }
            // As many as fill lanes.
            None => self.engine(most).lanes().min(most),
        }
    }

    /// How long so many messages of the measurement's length take; none when that was not
    /// measured.
    fn time(&self, mut waiting: usize) -> Option<Duration> {
        let mut time = Duration::ZERO;
        while waiting > 0 {
            let engine = self.engine(waiting);
            time += self.costs.iter().find(|cost| cost.engine == engine)?.time;
            waiting = waiting.saturating_sub(engine.lanes());
        }
        Some(time)
    }

    /// One engine for any number of messages.
    pub(super) fn only(engine: Engine) -> Self {
        Self::by([engine; MOST])
    }

    /// The engines for one message, for two and so on.
    pub(super) fn by(choices: [Engine; MOST]) -> Self {
        Self { choices, costs: Vec::new() }
    }

    /// The engines by which so many messages of one length are through first, of those whose
    /// costs are known, the widest first. The engine for fewer stays if none is much better. A
    /// clock that stands still tells nothing: then engines are chosen by [`Plan::filling`].
    pub(super) fn fastest(costs: Vec<Cost>) -> Self {
        if costs.is_empty() || costs.iter().any(|cost| cost.time.is_zero()) {
            return Self::filling(costs.iter().map(|cost| cost.engine));
        }
        let mut choices = [Engine::Single; MOST];
        // The least time until none is left of so many messages.
        let mut totals = [Duration::ZERO; MOST + 1];
        let mut before: Option<&Cost> = None;
        for waiting in 1..=MOST {
            let total =
                |cost: &Cost| cost.time + totals[waiting.saturating_sub(cost.engine.lanes())];
            // Of equals it is the first.
            let best = costs.iter().min_by_key(|cost| total(cost)).expect("there are costs");
            let least = total(best);
            let stays = before.filter(|cost| total(cost) <= least + least / NOISE);
            let chosen = stays.unwrap_or(best);
            choices[waiting - 1] = chosen.engine;
            totals[waiting] = least;
            before = Some(chosen);
        }
        Self { choices, costs }
    }

    /// One engine wherever it fills its lanes, whatever that costs; fewer messages as by
    /// [`Plan::fastest`].
    pub(super) fn forced(engine: Engine, costs: Vec<Cost>) -> Self {
        let mut plan = Self::fastest(costs);
        plan.choices[engine.lanes() - 1..].fill(engine);
        plan
    }

    /// Always the first engine whose lanes are all full, of engines that come the widest first.
    fn filling(engines: impl Iterator<Item = Engine> + Clone) -> Self {
        Self::by(std::array::from_fn(|at| {
            let full = |engine: &Engine| engine.lanes() <= at + 1;
            engines.clone().find(full).unwrap_or(Engine::Single)
        }))
    }
}

/// In words: the engine for many messages with the rate that it had when it was measured, then
/// the others with the numbers they are for, from many to few.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = self.engine(MOST);
        write!(f, "{}", many.name())?;
        match self.costs.iter().find(|cost| cost.engine == many) {
            Some(cost) => write!(f, " (measured: {:.1} GB/s)", cost.rate_bytes_per_s() / 1e9)?,
            None => write!(f, " (not measured)")?,
        }
        let mut end = MOST;
        for same in self.choices.chunk_by(PartialEq::eq).rev() {
            let first = end - same.len() + 1;
            match end - first {
                _ if end == MOST => {}
                0 => write!(f, ", {} for {first}", same[0].name())?,
                _ => write!(f, ", {} for {first} to {end}", same[0].name())?,
            }
            end -= same.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Engine::{Avx2, Avx512, Avx512Half, ShaNi2, ShaNi3, Single};
    use super::*;

    /// A plan by costs in nanoseconds.
    fn fastest(costs: &[(Engine, u64)]) -> Plan {
        let cost = |(engine, nanos): &(Engine, u64)| {
            let time = Duration::from_nanos(*nanos);
            Cost { engine: *engine, time }
        };
        Plan::fastest(costs.iter().map(cost).collect())
    }

    /// The engines that hash so many messages of one length, in their order.
    fn steps(plan: &Plan, mut waiting: usize) -> Vec<Engine> {
        let mut steps = Vec::new();
        while waiting > 0 {
            steps.push(plan.engine(waiting));
            waiting = waiting.saturating_sub(plan.engine(waiting).lanes());
        }
        steps
    }

    /// SHA-1 of a processor with everything, in which a step of sixteen lanes costs as much as
    /// 4.1 messages one by one.
    const XEON: [(Engine, u64); 6] = [
        (Avx512, 4100),
        (Avx512Half, 2600),
        (Avx2, 4400),
        (ShaNi3, 2400),
        (ShaNi2, 1600),
        (Single, 1000),
    ];

    #[test]
    fn as_many_messages_as_pay_a_step() {
        let plan = fastest(&XEON);
        assert_eq!(steps(&plan, 1), [Single]);
        assert_eq!(steps(&plan, 2), [ShaNi2]);
        assert_eq!(steps(&plan, 3), [ShaNi3]);
        assert_eq!(steps(&plan, 4), [Avx512Half]);
        assert_eq!(steps(&plan, 8), [Avx512Half]);
        assert_eq!(steps(&plan, 9), [Avx512Half, Single]);
        // Eight lanes and two messages in turn cost 4200.
        assert_eq!(steps(&plan, 10), [Avx512]);
        assert_eq!(steps(&plan, 16), [Avx512]);
        assert_eq!(steps(&plan, 33), [Avx512, Avx512, Single]);
    }

    #[test]
    fn without_avx512_few_messages_go_in_turn_and_many_in_avx2() {
        let plan = fastest(&[(Avx2, 3700), (ShaNi3, 2100), (ShaNi2, 1400), (Single, 1000)]);
        assert_eq!(steps(&plan, 3), [ShaNi3]);
        assert_eq!(steps(&plan, 4), [ShaNi2, ShaNi2]);
        assert_eq!(steps(&plan, 5), [ShaNi2, ShaNi3]);
        assert_eq!(steps(&plan, 6), [Avx2]);
        assert_eq!(steps(&plan, 10), [Avx2, ShaNi2]);
        assert_eq!(steps(&plan, 16), [Avx2, Avx2]);
    }

    #[test]
    fn an_engine_that_pays_for_no_number_is_never_chosen() {
        let plan = fastest(&[(Avx2, 8900), (ShaNi2, 2100), (Single, 1000)]);
        assert!((0..40).all(|waiting| plan.engine(waiting) == Single), "{plan}");
    }

    #[test]
    fn lanes_that_cost_less_than_one_message_are_for_one_too() {
        assert_eq!(fastest(&[(Avx512Half, 900), (Single, 1000)]).engine(1), Avx512Half);
    }

    #[test]
    fn the_engine_for_fewer_stays_if_none_is_much_better() {
        // Seven go in two and two and three as well as in three and two and two.
        let plan = fastest(&[(ShaNi3, 2400), (ShaNi2, 1600), (Single, 1000)]);
        assert_eq!(steps(&plan, 7), [ShaNi2, ShaNi2, ShaNi3]);
        assert_eq!(fastest(&[(Avx512, 1980), (Avx2, 1000), (Single, 900)]).engine(16), Avx2);
        assert_eq!(fastest(&[(Avx512, 1950), (Avx2, 1000), (Single, 900)]).engine(16), Avx512);
    }

    #[test]
    fn a_clock_that_stands_still_leaves_full_lanes() {
        let plan = fastest(&XEON.map(|(engine, _)| (engine, 0)));
        let chosen = [1, 2, 3, 7, 8, 15, 16, 40].map(|waiting| plan.engine(waiting));
        let widest = [Single, ShaNi2, ShaNi3, ShaNi3, Avx512Half, Avx512Half, Avx512, Avx512];
        assert_eq!(chosen, widest);
        // One that stood still once is not to be believed either.
        let mut once = XEON;
        once[2].1 = 0;
        assert_eq!(fastest(&once).engine(4), ShaNi3);
        assert_eq!(fastest(&[]).engine(4), Single);
    }

    #[test]
    fn a_forced_engine_has_all_that_fill_its_lanes_and_what_pays() {
        let cost = |engine, nanos| Cost { engine, time: Duration::from_nanos(nanos) };
        let dear = Plan::forced(Avx2, vec![cost(Avx2, 9500), cost(Single, 1000)]);
        assert_eq!([7, 8, 16, 40].map(|waiting| dear.engine(waiting)), [Single, Avx2, Avx2, Avx2]);
        let cheap = Plan::forced(Avx2, vec![cost(Avx2, 3500), cost(Single, 1000)]);
        assert_eq!([3, 4, 8, 40].map(|waiting| cheap.engine(waiting)), [Single, Avx2, Avx2, Avx2]);
    }

    #[test]
    fn so_many_are_worth_waiting_for() {
        let plan = fastest(&XEON);
        let best = |most| plan.best(most);
        assert_eq!([0, 1, 2, 4, 6, 8].map(best), [1, 1, 2, 4, 6, 8]);
        // Three in turn cost each no less than two do, and nine more than eight.
        assert_eq!([3, 9, 11].map(best), [2, 8, 8]);
        // Fourteen cost each hardly more than sixteen.
        assert_eq!([15, 16, 40].map(best), [14, 15, 15]);
        let alone = fastest(&[(Avx2, 8900), (ShaNi2, 2100), (Single, 1000)]);
        assert!((0..40).all(|most| alone.best(most) == 1));
        // What was not measured.
        assert_eq!([1, 7, 40].map(|most| Plan::only(Single).best(most)), [1, 1, 1]);
        assert_eq!([1, 4, 40].map(|most| Plan::only(Avx2).best(most)), [1, 4, 8]);
    }

    #[test]
    fn a_plan_in_words() {
        let told = "avx512 x16 (measured: 32.0 GB/s), avx512 x8 for 4 to 9, sha-ni x3 for 3, \
                    sha-ni x2 for 2, one by one for 1";
        assert_eq!(fastest(&XEON).to_string(), told);
        assert_eq!(Plan::only(Single).to_string(), "one by one (not measured)");
    }
}
