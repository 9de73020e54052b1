//! Waiting for a descriptor: strangers may hold them all until their handshakes are overdue, or
//! many torrents start at once. That there is none says nothing of any file.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::error::Error;
use super::handles::is_out_of_descriptors;

const PAUSE: Duration = Duration::from_millis(20);
/// A stranger's handshake is overdue after ten seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// A failure that may be one for lack of descriptors.
pub(super) trait Failure {
    /// Is it?
    fn is_out_of_descriptors(&self) -> bool;
}

impl Failure for io::Error {
    fn is_out_of_descriptors(&self) -> bool {
        is_out_of_descriptors(self)
    }
}

impl Failure for Error {
    fn is_out_of_descriptors(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_out_of_descriptors(source))
    }
}

/// Does it again while there is no descriptor, and it is worth it.
pub(super) fn patiently<T, E: Failure>(work: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    patiently_unless(|| false, work)
}

/// The same, until it is over.
pub(super) fn patiently_unless<T, E: Failure>(
    is_over: impl Fn() -> bool,
    mut work: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut since = None;
    loop {
        match work() {
            Err(error) if error.is_out_of_descriptors() && !is_over() => {
                if since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                    return Err(error);
                }
                sleep(PAUSE);
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn what_lacks_a_descriptor_is_done_when_there_is_one_and_nothing_else_is_tried_again() {
        let mut tries = 0;
        let done = patiently(|| {
            tries += 1;
            if tries < 3 { Err(Error::io("opening", "x", Errno::MFILE)) } else { Ok(tries) }
        });
        assert_eq!(done.unwrap(), 3);
        let mut tries = 0;
        let failed: io::Result<()> = patiently(|| {
            tries += 1;
            Err(Errno::NOENT.into())
        });
        assert!(failed.is_err() && tries == 1);
        let over: io::Result<()> = patiently_unless(|| true, || Err(Errno::NFILE.into()));
        assert!(over.is_err());
    }
}
