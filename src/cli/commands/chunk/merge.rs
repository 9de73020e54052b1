//! `driver chunk merge`.

use crate::base::units::size;
use crate::chunk::tools::{self, Merged};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::out;
use crate::cli::print::counted;

use super::MergeArgs;
use super::failure::failure;

/// Puts the file together.
///
/// # Errors
/// When a chunk is missing or wrong everywhere, another file is in the way, or something
/// cannot be read or written.
pub fn run(arguments: &MergeArgs) -> Outcome {
    let places = arguments.places.borrowed();
    let merged = tools::merge(&places, &arguments.dir, arguments.overwrite).map_err(failure)?;
    out::answer_wrapped(&format!("{}\n", line(&merged)));
    Ok(Exit::Done)
}

fn line(merged: &Merged) -> String {
    let path = escape(&merged.path.display().to_string());
    let chunks = counted(merged.chunks as u64, "chunk");
    if merged.was_there {
        format!("{path} is there already, and is what its {chunks} make")
    } else {
        format!("{path} put together from {chunks}, {}", size(merged.len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_where_the_file_is() {
        let merged = |was_there| Merged { path: "d/a\n".into(), chunks: 3, len: 2048, was_there };
        assert_eq!(line(&merged(false)), "d/a\\n put together from 3 chunks, 2.0 KiB");
        assert_eq!(line(&merged(true)), "d/a\\n is there already, and is what its 3 chunks make");
    }
}
