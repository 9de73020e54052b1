//! How the program ends: the table of exit codes, and the one line on stderr that says why.
//! Nothing here decides which of them fits.

use std::fmt;

/// An exit code with its meaning; 0 only when everything asked for is complete and verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// All complete, or the command succeeded.
    Done = 0,
    /// An unexpected error.
    Unexpected = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Unreadable or invalid torrent or config file.
    BadInput = 3,
    /// No tracker or peer reachable in the time allowed.
    Network = 4,
    /// Cannot write: no space, no permission.
    Disk = 5,
    /// Data does not match its hashes.
    Mismatch = 6,
    /// Stopped before complete, progress saved.
    Incomplete = 7,
    /// Another instance owns this torrent or port.
    InUse = 8,
}

impl Exit {
    /// The code for a run of several torrents, of which some came to `self` and some to `other`.
    /// 0 only when all are complete. An error weighs more than being stopped, which was asked
    /// for; among errors the rarer one, since it says more: our own first, then those of this
    /// machine, then those of the network, then those of the input.
    pub fn worst(self, other: Self) -> Self {
        const BY_WEIGHT: [Exit; 9] = [
            Exit::Done,
            Exit::Incomplete,
            Exit::BadInput,
            Exit::Usage,
            Exit::InUse,
            Exit::Network,
            Exit::Mismatch,
            Exit::Disk,
            Exit::Unexpected,
        ];
        let weight = |exit: Self| BY_WEIGHT.iter().position(|it| *it == exit);
        if weight(self) < weight(other) { other } else { self }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed: the code and the words for stderr, without the program's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The code to end with.
    pub exit: Exit,
    /// One line, already escaped.
    pub message: String,
}

impl Failure {
    /// A failure in words for people. Text of strangers inside must be escaped before.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// The command line makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The input cannot be used.
    pub fn bad_input(message: impl Into<String>) -> Self {
        Self::new(Exit::BadInput, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let message = super::escape::escape(&format!("{error:#}"));
        Self::new(Exit::Unexpected, message)
    }
}

/// What a command comes to.
pub type Outcome = Result<Exit, Failure>;

/// The failure for an error of the system, by whose fault it is.
pub fn from_io(what: &str, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind;
    let exit = match error.kind() {
        ErrorKind::StorageFull
        | ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::QuotaExceeded
        | ErrorKind::FileTooLarge => Exit::Disk,
        ErrorKind::AddrInUse => Exit::InUse,
        _ => Exit::Unexpected,
    };
    Failure::new(exit, format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_told() {
        use Exit::{BadInput, Disk, Done, Incomplete, Network, Unexpected};
        let worst = |exits: &[Exit]| exits.iter().fold(Done, |worst, exit| worst.worst(*exit));
        assert_eq!(worst(&[]), Done);
        assert_eq!(worst(&[Done, Incomplete, Done]), Incomplete);
        assert_eq!(worst(&[BadInput, Incomplete]), BadInput);
        assert_eq!(worst(&[BadInput, Disk, Network]), Disk);
        assert_eq!(worst(&[Unexpected, Disk]), Unexpected);
    }

    #[test]
    fn full_disks_and_taken_ports_have_codes_of_their_own() {
        use std::io::{Error, ErrorKind};
        let full = from_io("write x", &Error::from(ErrorKind::StorageFull));
        assert_eq!((full.exit, full.message.as_str()), (Exit::Disk, "write x: no storage space"));
        assert_eq!(from_io("listen", &Error::from(ErrorKind::AddrInUse)).exit, Exit::InUse);
        assert_eq!(Exit::InUse as u8, 8);
    }
}
