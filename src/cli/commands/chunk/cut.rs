//! `driver chunk cut`.

use crate::base::units::size;
use crate::chunk::config::{self, FILE, PEERS};
use crate::chunk::tools::{self, Cut};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::out;
use crate::cli::print::counted;

use super::CutArgs;
use super::failure::failure;

/// Cuts the file, and writes a first `peers.ini` where there is none.
///
/// # Errors
/// When the file cannot be read or cut so, or the results cannot be written.
pub fn run(arguments: &CutArgs) -> Outcome {
    let places = arguments.places.borrowed();
    let there = places.config.join(FILE);
    if !arguments.overwrite && there.exists() {
        let there = escape(&there.display().to_string());
        let words = format!("{there} is there already: use --overwrite, or another --config");
        return Err(Failure::new(Exit::Disk, words));
    }
    let cut = tools::cut(&arguments.file, &places, arguments.chunk_size).map_err(failure)?;
    let path = |name| escape(&places.config.join(name).display().to_string());
    out::answer_wrapped(&format!("{}; {} written\n", line(&cut, arguments.chunk_size), path(FILE)));
    if config::write_first_peers(places.config).map_err(|error| failure(error.into()))? {
        let whom = "the tracker, alice and bob on this machine";
        out::answer_wrapped(&format!("{} written, with {whom}\n", path(PEERS)));
        return Ok(Exit::Done);
    }
    // The chunks are cut all the same; who misses the sections can add them.
    let listing =
        config::peers(places.config).map_err(|error| error.to_string()).and_then(|peers| {
            let unknown = |error| format!("{}: {error}", places.config.join(FILE).display());
            cut.description.listing(&peers).map_err(unknown)
        });
    if let Err(problem) = listing {
        out::talk(&format!("warning: {}", escape(&problem)));
    }
    Ok(Exit::Done)
}

fn line(cut: &Cut, chunk_len: u64) -> String {
    let chunks = counted(cut.description.chunks.len() as u64, "chunk");
    let of = match cut.len {
        0 => String::new(),
        len => format!(" of {}", size(len.min(chunk_len))),
    };
    let shares = cut.shares.iter().map(|(name, count)| format!("{count} for {name}"));
    let shares = shares.collect::<Vec<_>>().join(", ");
    format!("cut {} into {chunks}{of}: {shares}", escape(&cut.description.filename))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::ini::FileDescription;
    use crate::chunk::wire::ChunkHash;

    #[test]
    fn the_line_says_what_became_of_the_file() {
        let cut = |count, len| Cut {
            description: FileDescription {
                filename: "a\x07.txt".to_owned(),
                chunks: vec![ChunkHash([0; 20]); count],
                holders: Vec::new(),
            },
            len,
            shares: vec![("alice", 2), ("bob", 1)],
        };
        assert_eq!(
            line(&cut(3, 1_300_000), 512 << 10),
            "cut a\\x07.txt into 3 chunks of 512.0 KiB: 2 for alice, 1 for bob"
        );
        assert_eq!(
            line(&cut(1, 100), 512 << 10),
            "cut a\\x07.txt into 1 chunk of 100 B: 2 for alice, 1 for bob"
        );
        assert_eq!(
            line(&cut(0, 0), 512 << 10),
            "cut a\\x07.txt into 0 chunks: 2 for alice, 1 for bob"
        );
    }
}
