//! That a device does not answer, as it is told to its torrents and to people. Not here: how that
//! is seen (`watchdog`).

use std::path::PathBuf;
use std::time::Instant;

use crate::base::units::duration;

use super::error::SILENT;

/// A device does not answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Silence {
    /// The torrent's directory, as its user spelled it.
    pub dir: PathBuf,
    /// When the call began that has not returned.
    pub since: Instant,
}

impl Silence {
    /// What to tell people, with how long it is by now.
    pub fn words(&self, now: Instant) -> String {
        let time = now.saturating_duration_since(self.since);
        let time = match time.as_secs() {
            seconds @ 0..60 => format!("{seconds} s"),
            _ => duration(time),
        };
        let dir = self.dir.display();
        format!("{dir} has not answered for {time}{SILENT}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_words_count_the_seconds() {
        let since = Instant::now();
        let silence = Silence { dir: "/mnt/x".into(), since };
        assert_eq!(
            silence.words(since + Duration::from_millis(12_900)),
            "/mnt/x has not answered for 12 s: it goes on by itself when it does"
        );
        let words = silence.words(since + Duration::from_secs(90));
        assert!(words.contains("for 1m 30s:"), "{words}");
    }
}
