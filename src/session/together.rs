//! What is set of all torrents of a session together: its limits, others that hold for a while
//! instead, and how many download at once. Values only; the ledger keeps them, where there is one.

use crate::ledger::{Limits, SessionSpec};

use super::config::SessionConfig;

/// Something that can be set of all torrents together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SessionSetting {
    /// The limits of all together.
    Limits(Limits),
    /// Those that hold instead while that is wanted.
    Alternative(Limits),
    /// Whether they hold.
    UsesAlternative(bool),
    /// How many check and download at once; as many as the session begins with when none.
    ActiveMax(Option<u32>),
}

/// What a session begins with: what was kept, but for what `config` says.
pub(super) fn begun(kept: SessionSpec, config: &SessionConfig) -> SessionSpec {
    let SessionConfig { download_limit: down, upload_limit: up, max_active, .. } = config;
    let are_given = down.is_some() || up.is_some();
    SessionSpec {
        limits: Limits { down: down.or(kept.limits.down), up: up.or(kept.limits.up) },
        uses_alternative: kept.uses_alternative && !are_given,
        active_max: kept.active_max.filter(|_| *max_active == SessionConfig::MAX_ACTIVE),
        ..kept
    }
}

/// How many check and download at once, where that was not set.
pub(super) fn active_max(spec: &SessionSpec, usual: usize) -> usize {
    spec.active_max.map_or(usual, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_config_says_goes_before_what_was_kept() {
        let (day, night) = (Limits { down: Some(9), up: None }, Limits { down: None, up: Some(1) });
        let kept = SessionSpec {
            limits: day,
            alternative: night,
            uses_alternative: true,
            active_max: Some(3),
        };
        let config = SessionConfig::default();
        assert_eq!(begun(kept, &config), kept);
        assert_eq!(begun(kept, &config).limits_now(), night);
        let given = begun(kept, &config.clone().upload_limit(7).max_active(2));
        assert_eq!(given.limits_now(), Limits { down: Some(9), up: Some(7) });
        assert_eq!((given.alternative, given.active_max), (night, None));
        assert_eq!((active_max(&kept, 5), active_max(&given, 2)), (3, 2));
    }
}
