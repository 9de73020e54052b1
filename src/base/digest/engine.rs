//! The engines: what they are called, which of them the machine has, and the way to their
//! kernels. Not their choice: that is the plan's, or whoever starts the program makes it.

use super::algorithm::Algorithm;
#[cfg(target_arch = "x86_64")]
use super::lanes;
use super::message::Job;
use super::queue::Queue;

/// The environment variable that names the only engine to be used beside [`Engine::Single`],
/// which keeps what that is too wide for. For tests, and for comparing processors.
pub const FORCED_BY: &str = "PIGEON_DIGEST";

/// A way to hash many messages. All give the same digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Sixteen messages side by side in AVX-512 registers.
    Avx512,
    /// Eight messages side by side in the half registers of AVX-512.
    Avx512Half,
    /// Eight messages side by side in AVX2 registers.
    Avx2,
    /// Three messages in turn with the SHA instructions of x86.
    ShaNi3,
    /// Two messages in turn with the SHA instructions of x86.
    ShaNi2,
    /// One message after another through the crates, which use the processor's SHA
    /// instructions where it has them (SHA-NI, or SHA2 of ARMv8).
    Single,
}

impl Engine {
    const ALL: [Engine; 6] = [
        Engine::Avx512,
        Engine::Avx512Half,
        Engine::Avx2,
        Engine::ShaNi3,
        Engine::ShaNi2,
        Engine::Single,
    ];

    /// The engines this machine runs, the one for most messages first.
    pub fn available() -> Vec<Engine> {
        Self::ALL.into_iter().filter(|engine| engine.is_available()).collect()
    }

    /// Whether this machine has the instructions.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512 | Engine::Avx512Half => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Engine::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Engine::ShaNi3 | Engine::ShaNi2 => {
                is_x86_feature_detected!("sha")
                    && is_x86_feature_detected!("sse4.1")
                    && is_x86_feature_detected!("ssse3")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Engine::Avx512
            | Engine::Avx512Half
            | Engine::Avx2
            | Engine::ShaNi3
            | Engine::ShaNi2 => false,
            Engine::Single => true,
        }
    }

    /// The name people see, with the number of lanes.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Avx512 => "avx512 x16",
            Engine::Avx512Half => "avx512 x8",
            Engine::Avx2 => "avx2 x8",
            Engine::ShaNi3 => "sha-ni x3",
            Engine::ShaNi2 => "sha-ni x2",
            Engine::Single => "one by one",
        }
    }

    /// The name people write, in [`FORCED_BY`].
    pub fn key(self) -> &'static str {
        match self {
            Engine::Avx512 => "avx512x16",
            Engine::Avx512Half => "avx512x8",
            Engine::Avx2 => "avx2x8",
            Engine::ShaNi3 => "shani3",
            Engine::ShaNi2 => "shani2",
            Engine::Single => "single",
        }
    }

    /// How many messages it hashes at once.
    pub(super) fn lanes(self) -> usize {
        match self {
            Engine::Avx512 => 16,
            Engine::Avx512Half | Engine::Avx2 => 8,
            Engine::ShaNi3 => 3,
            Engine::ShaNi2 => 2,
            Engine::Single => 1,
        }
    }

    /// Hashes jobs while it `is_for` so many as are left, one by one when the machine lacks the
    /// instructions.
    pub(super) fn run<'a, const WORDS: usize>(
        self,
        algorithm: &Algorithm<WORDS>,
        queue: &mut Queue<'a, WORDS, impl ExactSizeIterator<Item = Job<'a, WORDS>>>,
        hashes: &mut [[u32; WORDS]],
        is_for: impl Fn(usize) -> bool,
    ) {
        /// Keeps the lanes of a kernel filled.
        #[cfg(target_arch = "x86_64")]
        macro_rules! lanes {
            ($kernel:ident) => {
                lanes::run(queue, hashes, is_for, |state, runs| {
                    // SAFETY: the processor has the instructions: the match asked for them.
                    unsafe { (algorithm.$kernel)(state, runs) }
                })
            };
        }
        match self {
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512 if self.is_available() => lanes!(avx512_x16),
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512Half if self.is_available() => lanes!(avx512_x8),
            #[cfg(target_arch = "x86_64")]
            Engine::Avx2 if self.is_available() => lanes!(avx2_x8),
            #[cfg(target_arch = "x86_64")]
            Engine::ShaNi3 if self.is_available() => lanes!(sha_x3),
            #[cfg(target_arch = "x86_64")]
            Engine::ShaNi2 if self.is_available() => lanes!(sha_x2),
            _ => {
                while is_for(queue.len())
                    && let Some(job) = queue.next()
                {
                    job.finish(hashes, algorithm.single);
                }
            }
        }
    }
}

/// Why a name stands for no engine of this machine.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEngine {
    /// Nothing has that name.
    #[error("{FORCED_BY}: there is no engine {key:?}; this processor has {}", known())]
    Unknown {
        /// The name as given.
        key: String,
    },
    /// The machine lacks the instructions.
    #[error("{FORCED_BY}: this processor lacks the instructions of {key}; it has {}", known())]
    Lacking {
        /// The name as given.
        key: String,
    },
}

/// What can be named instead.
fn known() -> String {
    let keys: Vec<_> = Engine::available().into_iter().map(Engine::key).collect();
    keys.join(", ")
}

/// The engine that the environment asks for by [`FORCED_BY`]; none when that is unset or empty.
///
/// # Errors
/// When there is no such engine here. Hashing then goes on as if nothing had been asked for;
/// who runs a program tells the user.
pub fn forced() -> Result<Option<Engine>, NoEngine> {
    let value = std::env::var_os(FORCED_BY);
    let value = value.as_ref().map(|value| value.to_string_lossy());
    asked_for(value.as_deref(), &Engine::available())
}

/// The engine of a [key](Engine::key), if it is one of those that are `available`.
fn asked_for(value: Option<&str>, available: &[Engine]) -> Result<Option<Engine>, NoEngine> {
    let Some(key) = value.filter(|key| !key.is_empty()) else { return Ok(None) };
    match Engine::ALL.into_iter().find(|engine| engine.key() == key) {
        Some(engine) if available.contains(&engine) => Ok(Some(engine)),
        Some(_) => Err(NoEngine::Lacking { key: key.to_owned() }),
        None => Err(NoEngine::Unknown { key: key.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_named_and_asked_for_by_their_keys() {
        let engines = Engine::available();
        assert_eq!(engines.last(), Some(&Engine::Single));
        assert!(engines.is_sorted_by_key(|engine| std::cmp::Reverse(engine.lanes())));
        for engine in Engine::ALL {
            assert_eq!(asked_for(Some(engine.key()), &Engine::ALL), Ok(Some(engine)));
            let same_name = Engine::ALL.iter().filter(|other| other.name() == engine.name());
            assert_eq!(same_name.count(), 1, "{engine:?}");
        }
    }

    #[test]
    fn nothing_is_asked_for_by_nothing() {
        assert_eq!(asked_for(None, &Engine::ALL), Ok(None));
        assert_eq!(asked_for(Some(""), &Engine::ALL), Ok(None));
    }

    #[test]
    fn what_the_machine_has_not_is_refused_by_name() {
        let unknown = asked_for(Some("avx3"), &Engine::ALL).unwrap_err();
        assert_eq!(unknown, NoEngine::Unknown { key: "avx3".to_owned() });
        let told = unknown.to_string();
        let start = "PIGEON_DIGEST: there is no engine \"avx3\"; this processor has ";
        assert!(told.starts_with(start) && told.ends_with("single"), "{told}");
        let lacking = asked_for(Some("avx2x8"), &[Engine::ShaNi2, Engine::Single]);
        assert_eq!(lacking, Err(NoEngine::Lacking { key: "avx2x8".to_owned() }));
    }
}
