//! `driver chunk check`.

use crate::base::units::size;
use crate::chunk::tools::{self, Checked, Fault, FaultKind};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::out;
use crate::cli::print::counted;

use super::CheckArgs;
use super::failure::failure;

/// Checks all copies; 0 when all are there and right, else 6.
///
/// # Errors
/// When `file.ini` cannot be used.
pub fn run(arguments: &CheckArgs) -> Outcome {
    let checked = tools::check(&arguments.places.borrowed()).map_err(failure)?;
    out::answer_wrapped(&screen(&checked));
    Ok(if checked.faults.is_empty() { Exit::Done } else { Exit::Mismatch })
}

/// A line for each fault, and one about all of them.
fn screen(checked: &Checked) -> String {
    let mut screen: String = checked.faults.iter().map(|fault| line(fault) + "\n").collect();
    screen += &format!(
        "{}: {}{}, {} {} at {}: ",
        escape(&checked.filename),
        counted(checked.chunks as u64, "chunk"),
        checked.chunk_len.map(|len| format!(" of {}", size(len))).unwrap_or_default(),
        checked.copies,
        if checked.copies == 1 { "copy" } else { "copies" },
        counted(checked.providers as u64, "provider"),
    );
    screen += &match checked.faults.len() {
        0 => "all right".to_owned(),
        count => counted(count as u64, "fault"),
    };
    screen + "\n"
}

fn line(fault: &Fault) -> String {
    let problem = match &fault.kind {
        FaultKind::Nobody => "no provider is said to have it".to_owned(),
        FaultKind::Missing(name) => format!("{} does not have it", escape(name)),
        FaultKind::Wrong(name) => format!("the copy of {} is wrong", escape(name)),
        FaultKind::Unreadable(name, error) => {
            format!("the copy of {} cannot be read: {error}", escape(name))
        }
        FaultKind::Length { is, others } => {
            format!("it has {}, and the others have {}", size(*is), size(*others))
        }
    };
    format!("chunk {} ({}): {problem}", fault.number, fault.hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::wire::ChunkHash;

    #[test]
    fn every_fault_has_its_line() {
        let fault = |number, kind| Fault { number, hash: ChunkHash([0xab; 20]), kind };
        let name = || "al\x07".to_owned();
        let mut checked = Checked {
            filename: "a\n".to_owned(),
            chunks: 2,
            chunk_len: Some(512),
            copies: 1,
            providers: 1,
            faults: vec![
                fault(0, FaultKind::Nobody),
                fault(1, FaultKind::Missing(name())),
                fault(1, FaultKind::Wrong(name())),
                fault(2, FaultKind::Unreadable(name(), std::io::Error::other("x"))),
                fault(3, FaultKind::Length { is: 1, others: 512 }),
            ],
        };
        let hash = "(abababababababababababababababababababab)";
        let expected = format!(
            "\
chunk 0 {hash}: no provider is said to have it
chunk 1 {hash}: al\\x07 does not have it
chunk 1 {hash}: the copy of al\\x07 is wrong
chunk 2 {hash}: the copy of al\\x07 cannot be read: x
chunk 3 {hash}: it has 1 B, and the others have 512 B
a\\n: 2 chunks of 512 B, 1 copy at 1 provider: 5 faults
"
        );
        assert_eq!(screen(&checked), expected);
        (checked.faults, checked.copies, checked.chunk_len) = (Vec::new(), 2, None);
        assert_eq!(screen(&checked), "a\\n: 2 chunks, 2 copies at 1 provider: all right\n");
    }
}
