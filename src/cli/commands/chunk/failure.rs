//! The exit code for each thing that can go wrong with a file and its chunks.

use crate::chunk::config;
use crate::chunk::tools::Error;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure};

/// The failure for what a tool gave up on.
pub(super) fn failure(error: Error) -> Failure {
    let exit = match &error {
        Error::ChunkLen(_) | Error::TooMany { .. } => Exit::Usage,
        Error::Config(config::Error::Write { .. }) | Error::Io { .. } | Error::Exists { .. } => {
            Exit::Disk
        }
        Error::Config(_) | Error::Input { .. } => Exit::BadInput,
        Error::NoChunk { .. } => Exit::Mismatch,
    };
    Failure::new(exit, escape(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_3_the_disk_is_5_and_wrong_chunks_are_6() {
        let io = || std::io::Error::other("x");
        let path = || "a\x07".into();
        let missing = config::Error::Missing { path: path(), hint: "" };
        let write = config::Error::Write { path: path(), error: io() };
        let hash = crate::chunk::wire::ChunkHash([0; 20]);
        for (error, exit) in [
            (Error::ChunkLen(0), Exit::Usage),
            (Error::Input { path: path(), problem: "x".to_owned() }, Exit::BadInput),
            (Error::Config(missing), Exit::BadInput),
            (Error::Config(write), Exit::Disk),
            (Error::Io { doing: "writing", path: path(), error: io() }, Exit::Disk),
            (Error::Exists { path: path() }, Exit::Disk),
            (Error::NoChunk { number: 0, hash, tried: Vec::new() }, Exit::Mismatch),
        ] {
            let failure = failure(error);
            assert_eq!(failure.exit, exit, "{failure}");
            assert!(!failure.message.contains('\x07'));
        }
    }
}
