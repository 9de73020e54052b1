//! `driver completions SHELL`: what clap makes of the definition of the command line, and for the
//! shells that can ask, the torrents of the daemon, as `driver remote --complete` names them.

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::args::Cli;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::out;

/// Prints the script.
///
/// # Errors
/// It cannot be written.
pub fn run(shell: Shell) -> Outcome {
    out::deliver(&script(shell))?;
    Ok(Exit::Done)
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut offered(), "driver", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let more = match shell {
        Shell::Bash => include_str!("completions/remote.bash"),
        Shell::Fish => include_str!("completions/remote.fish"),
        Shell::Zsh => include_str!("completions/remote.zsh"),
        _ => "",
    };
    match shell {
        // An autoloaded function runs what stands last: that is to be ours alone.
        Shell::Zsh => script.split(ZSH_END).next().unwrap_or_default().to_owned() + more,
        _ => script + more,
    }
}

/// The command line without words that are for shells alone, which clap would offer all the same.
fn offered() -> Command {
    Cli::command().mut_subcommand("remote", |remote| {
        let shown = remote.get_subcommands().filter(|it| !it.is_hide_set()).cloned();
        let about = remote.get_about().cloned().unwrap_or_default();
        let arguments = remote.get_arguments().cloned();
        Command::new("remote").about(about).args(arguments).subcommands(shown)
    })
}

/// How clap's script for zsh ends.
const ZSH_END: &str = "\nif [ \"$funcstack[1]\" = \"_driver\" ]; then\n";

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn shells_that_can_ask_are_told_of_the_torrents_of_the_daemon() {
        for (shell, is_told) in
            [(Shell::Bash, true), (Shell::Fish, true), (Shell::Zsh, true), (Shell::Elvish, false)]
        {
            let script = script(shell);
            assert_eq!(script.contains("remote --complete"), is_told, "{shell}");
            assert!(script.contains("announce"), "{shell}: and of the commands");
            // Its words are for the scripts themselves.
            for hidden in ["What may stand for the last word", "remote__complete"] {
                assert!(!script.contains(hidden), "{shell}: {hidden}");
            }
        }
    }

    #[test]
    fn no_name_of_a_stranger_means_anything_to_bash() {
        let offered = |typed: &str| {
            let ask = "driver() { printf '%s\\n' 12 'deb a' 'deb $(touch x)' \"deb'b\" 'deb\\c'; }\n\
                       COMP_WORDS=(driver remote pause \"$1\") COMP_CWORD=3\n\
                       _driver_remote driver \"$1\" pause\n\
                       printf '%s\\n' \"${COMPREPLY[@]}\"\n";
            let mut file = tempfile::NamedTempFile::new().expect("a file for the script");
            file.write_all((script(Shell::Bash) + ask).as_bytes()).expect("write the script");
            let ran = std::process::Command::new("bash")
                .arg("--norc")
                .arg(file.path())
                .arg(typed)
                .output()
                .expect("bash runs");
            String::from_utf8(ran.stdout).expect("text")
        };
        for quote in ["\"deb", "'deb"] {
            assert_eq!(offered(quote), "12\ndeb a\n", "{quote}");
        }
        let escaped = "12\ndeb\\ a\ndeb\\ \\$\\(touch\\ x\\)\ndeb\\'b\ndeb\\\\c\n";
        assert_eq!(offered("deb"), escaped);
    }

    #[test]
    fn the_function_of_zsh_runs_once() {
        let script = script(Shell::Zsh);
        assert!(script.starts_with("#compdef driver\n"), "{script}");
        assert_eq!(script.matches("funcstack").count(), 1);
        assert!(script.ends_with("    compdef _driver_remote driver\nfi\n"), "{script}");
    }
}
