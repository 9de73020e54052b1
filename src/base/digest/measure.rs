//! The costs of the engines on the processor that runs, found once, when first they are needed.
//! The only clock of the ground floor: what it tells changes how soon digests come, never
//! which. Not the choice: `plan` makes that from the costs.

use std::time::{Duration, Instant};

use super::algorithm::Algorithm;
use super::message::Job;
use super::plan::{Cost, Plan};
use super::{Engine, states};

/// How often each engine is timed: whoever is interrupted has other chances.
const ROUNDS: usize = 6;

/// After so long no further round is begun, once there were two: a slow machine is not to wait
/// for the last digit. All rounds take 0.6 ms for SHA-1 and 0.9 ms for SHA-256 on a Sapphire
/// Rapids Xeon.
const ENOUGH: Duration = Duration::from_millis(1);

/// The plan by what the engines of this machine cost, or by what the one that is `forced`
/// does beside [`Engine::Single`]. Measured only if there is a choice.
pub(super) fn plan<const WORDS: usize>(
    algorithm: &Algorithm<WORDS>,
    forced: Option<Engine>,
) -> Plan {
    match forced {
        Some(Engine::Single) => Plan::only(Engine::Single),
        Some(engine) => Plan::forced(engine, costs(algorithm, &[engine, Engine::Single])),
        None => match Engine::available()[..] {
            [engine] => Plan::only(engine),
            ref engines => Plan::fastest(costs(algorithm, engines)),
        },
    }
}

/// The least time that each engine took. They are timed in turn, so that a processor that is
/// still getting faster, or that AVX-512 slows down, does so for all of them. The messages lie in
/// caches: from memory all engines are slower, the narrow ones most, but by how much depends on
/// what else uses it, and such costs differ from one measurement to the next.
fn costs<const WORDS: usize>(algorithm: &Algorithm<WORDS>, engines: &[Engine]) -> Vec<Cost> {
    let widest = engines.iter().map(|engine| engine.lanes()).max().unwrap_or(0);
    let bytes = vec![0x5a; widest * Cost::BYTES];
    let messages: Vec<&[u8]> = bytes.chunks(Cost::BYTES).collect();
    let mut costs: Vec<Cost> =
        engines.iter().map(|engine| Cost { engine: *engine, time: Duration::MAX }).collect();
    // Wakes the wide registers, which the first cycles of use run without.
    for engine in engines {
        time(algorithm, *engine, &messages);
    }
    let begun = Instant::now();
    for round in 0..ROUNDS {
        for cost in &mut costs {
            cost.time = cost.time.min(time(algorithm, cost.engine, &messages));
        }
        if round > 0 && begun.elapsed() > ENOUGH {
            break;
        }
    }
    costs
}

/// How long an engine takes for a message in each of its lanes.
fn time<const WORDS: usize>(
    algorithm: &Algorithm<WORDS>,
    engine: Engine,
    messages: &[&[u8]],
) -> Duration {
    let plan = Plan::only(engine);
    let jobs = messages[..engine.lanes()].iter().enumerate();
    let jobs = jobs
        .map(|(index, message)| Job::new(index, algorithm.start, std::slice::from_ref(message)));
    let begun = Instant::now();
    std::hint::black_box(states(algorithm, &plan, jobs));
    begun.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::algorithm::{SHA1, SHA256};

    #[test]
    fn every_engine_has_a_cost() {
        let engines = Engine::available();
        for costs in [costs(&SHA1, &engines), costs(&SHA256, &engines)] {
            let named: Vec<_> = costs.iter().map(|cost| cost.engine).collect();
            assert_eq!(named, engines);
            assert!(costs.iter().all(|cost| cost.time < Duration::MAX), "{costs:?}");
        }
    }

    #[test]
    fn a_forced_engine_has_no_company_but_single() {
        for engine in Engine::available() {
            for plan in [plan(&SHA1, Some(engine)), plan(&SHA256, Some(engine))] {
                for waiting in 1..40 {
                    let chosen = plan.engine(waiting);
                    let full = waiting >= engine.lanes();
                    assert!(chosen == engine || (!full && chosen == Engine::Single), "{plan}");
                }
            }
        }
    }
}
