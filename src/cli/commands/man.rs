//! `driver man`: the manual pages of all commands. What the options say of themselves is in the
//! definition of the command line; files and environment are told here.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::cli::args::Cli;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome, from_io};
use crate::cli::out;
use crate::cli::print::{counted, nearest};

const FILES: &str = r".SH FILES
.TP
\fI~/.config/driver/config.toml\fR
Settings in TOML: long options as keys. \fBdriver config\fR prints what is in force.
.TP
\fI~/.local/state/driver/\fR
What is verified of each torrent and its statistics, torrents that were shared, metadata that
peers sent (\fIHASH.info\fR),
\fIdriver.log\fR, \fIhistory\fR of the prompt, \fItrackers\fR that are trusted.
.TP
\fINAME.part\fR
A file that is not whole yet, in the download directory.
";

const ENVIRONMENT: &str = r".SH ENVIRONMENT
.TP
\fBDRIVER_\fIOPTION\fR
Any option: \fBDRIVER_DIR\fR is \fB\-\-dir\fR. Flags go first, then these, then the file.
.TP
\fBXDG_CONFIG_HOME\fR, \fBXDG_STATE_HOME\fR
Other places for \fI~/.config\fR and \fI~/.local/state\fR.
.TP
\fBNO_COLOR\fR, \fBCLICOLOR_FORCE\fR
No colours, or always, unless \fB\-\-color\fR decides.
.TP
\fBSOURCE_DATE_EPOCH\fR
The date that \fBdriver create\fR writes, in seconds since 1970.
";

/// Prints the page of the command whose words are `about`, or writes all pages into `dir`.
///
/// # Errors
/// When there is no such command, or something cannot be written.
pub fn run(about: &[String], dir: Option<&Path>) -> Outcome {
    let mut command = Cli::command();
    command.build();
    let Some(dir) = dir else {
        let mut found = &command;
        for word in about {
            let names = found.get_subcommands().map(clap::Command::get_name);
            let near = nearest(word, names).map(|near| format!(" - did you mean {near}?"));
            let unknown =
                format!("there is no command {}{}", escape(word), near.unwrap_or_default());
            found = found.find_subcommand(word).ok_or_else(|| Failure::usage(unknown))?;
        }
        let page = page(found.clone())?;
        if !std::io::stdout().is_terminal() {
            out::deliver(&page)?;
        } else if !show(&page) {
            out::deliver(&page)?;
            out::talk("driver: there is no man to show this page; --help says the same in short");
        }
        return Ok(Exit::Done);
    };
    let shown = escape(&dir.display().to_string());
    let failed = |error| from_io(&format!("cannot write pages into {shown}"), &error);
    std::fs::create_dir_all(dir).map_err(failed)?;
    let (mut waiting, mut written) = (vec![command], 0);
    while let Some(command) = waiting.pop() {
        waiting.extend(command.get_subcommands().filter(|it| !it.is_hide_set()).cloned());
        let name = Man::new(command.clone()).get_filename();
        std::fs::write(dir.join(name), page(command)?).map_err(failed)?;
        written += 1;
    }
    out::deliver(&format!("{} written into {shown}\n", counted(written, "page")))?;
    Ok(Exit::Done)
}

/// Shows a page as `man` does; false when that is not there.
fn show(page: &str) -> bool {
    let mut man = Command::new("man");
    let Ok(mut man) = man.args(["-l", "-"]).stdin(Stdio::piped()).spawn() else { return false };
    // Whoever leaves the page early has read enough.
    let written = man.stdin.take().map(|mut stdin| stdin.write_all(page.as_bytes()));
    tracing::debug!(?written, "page handed to man");
    man.wait().is_ok_and(|status| status.success())
}

fn page(command: clap::Command) -> Result<String, Failure> {
    let mut page = Vec::new();
    // Of a command alone clap knows no version.
    let man = Man::new(command).source(concat!("driver ", env!("CARGO_PKG_VERSION")));
    let rendered = man.render(&mut page);
    rendered.map_err(|error| Failure::new(Exit::Unexpected, error.to_string()))?;
    Ok(arranged(&String::from_utf8_lossy(&page)))
}

/// The page with its notes as they are, line by line, and with files and environment.
fn arranged(page: &str) -> String {
    let mut page = page.to_owned();
    const NOTES: &str = "\n.SH EXTRA\n";
    if let Some(begin) = page.find(NOTES) {
        let behind = begin + NOTES.len();
        let end = page[behind..].find("\n.SH ").map_or(page.len(), |end| behind + end + 1);
        page.insert_str(end, ".fi\n");
        page.replace_range(begin..behind, "\n.SH NOTES\n.nf\n");
    }
    let end = page.find("\n.SH VERSION\n").map_or(page.len(), |end| end + 1);
    page.insert_str(end, &format!("{FILES}{ENVIRONMENT}"));
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_keep_their_lines_and_files_stand_before_the_version() {
        let page = ".TH x\n.SH EXTRA\nExamples:\n  driver x\n.SH VERSION\nv1\n";
        let expected = format!(
            ".TH x\n.SH NOTES\n.nf\nExamples:\n  driver x\n.fi\n{FILES}{ENVIRONMENT}.SH VERSION\nv1\n"
        );
        assert_eq!(arranged(page), expected);
        assert_eq!(arranged(".TH x\n"), format!(".TH x\n{FILES}{ENVIRONMENT}"));
    }

    #[test]
    fn every_command_has_a_page_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(run(&[], Some(dir.path())), Ok(Exit::Done));
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let root = read("driver.1");
        for name in root.lines().filter_map(|line| line.strip_suffix("(1)")) {
            let page = read(&format!("{}.1", name.replace('\\', "")));
            assert!(page.contains(".SH FILES") && page.contains(".SH OPTIONS"), "{name}");
        }
        let get = read("driver-chunk-get.1");
        let source = concat!("\"driver ", env!("CARGO_PKG_VERSION"), "\"");
        assert!(get.contains(".SH SYNOPSIS") && get.contains(source), "{get}");
        let unknown = run(&["chunk".to_owned(), "gett".to_owned()], None).unwrap_err();
        assert_eq!(unknown.message, "there is no command gett - did you mean get?");
    }
}
