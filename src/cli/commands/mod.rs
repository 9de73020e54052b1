//! The commands, one file each, and the way to them: read arguments, set up logs, run,
//! print the one line of an error.

mod catalogue;
pub mod chunk;
mod completions;
mod config;
pub mod create;
mod daemon;
pub mod dht;
pub mod download;
mod fetch;
pub mod get;
pub mod info;
mod list;
pub mod load;
pub mod magnet;
mod man;
mod resume;
mod seed;
pub mod share;
mod tracker;
mod verify;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use crate::base::digest;

use super::args::Command;
use super::argv::{color_of, common_last, print_help, ratio_apart, refuse_mistyped};
use super::config::{Refusal, Settings};
use super::exit::{Exit, Failure, Outcome, from_io};
use super::out;
use super::stop::outlive_large_files;

/// Runs the program; returns its exit code.
pub fn main() -> ExitCode {
    outlive_large_files();
    let mut arguments = common_last(std::env::args_os().collect());
    out::choose_color(color_of(&arguments));
    if arguments.len() == 1 && std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        arguments.push("menu".into());
    }
    if let Some(why) = ratio_apart(&arguments) {
        return report(Err(Failure::usage(why)));
    }
    match Settings::read(arguments) {
        Ok(settings) => report(run(settings)),
        Err(Refusal::Failure(failure)) => report(Err(failure)),
        Err(Refusal::Clap(error)) => {
            // clap chooses the stream: help goes to stdout, errors to stderr.
            match error.print() {
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                    report(Err(from_io("the help cannot be written", &error)))
                }
                _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
            }
        }
    }
}

fn run(mut settings: Settings) -> Outcome {
    digest::forced().map_err(|error| Failure::usage(error.to_string()))?;
    let common = settings.cli.common.clone();
    if settings.cli.command.as_ref().is_none_or(speaks) {
        common.ways.check()?;
    }
    match settings.cli.command.take() {
        None => {
            let cli = settings.cli;
            refuse_mistyped(&cli.torrents)?;
            download::run(&cli.torrents, &cli.options, &common)
        }
        Some(Command::Download { torrents, options }) => {
            download::run(&torrents, &options, &common)
        }
        Some(Command::Catalogue { command }) => catalogue::run(&command, &common),
        Some(Command::Alone(command)) => catalogue::run_alone(&command, &common),
        Some(Command::Menu { options }) => super::menu::run(*options, &common),
        Some(Command::Seed { paths, options }) => seed::run(&paths, *options, &common),
        Some(Command::Daemon(arguments)) => {
            daemon::run(&arguments, &common, &settings.book, &settings.plan)
        }
        Some(Command::Demo(arguments)) => super::demo::run(&arguments, &common),
        Some(Command::Dht { command }) => dht::run(&command, &common),
        Some(Command::Chunk { command }) => chunk::run(&command, &common),
        Some(Command::Tracker(arguments)) => tracker::run(&arguments, &common),
        Some(Command::Info(arguments)) => info::run(&arguments, &common),
        Some(Command::Create(arguments)) => create::run(*arguments, &common),
        Some(Command::Verify { file, place, dir, sha256sums, json, .. }) => {
            verify::run(&file, &place.unwrap_or(dir), sha256sums.as_deref(), json, &common)
        }
        Some(Command::Import(arguments)) => super::remote::import(&arguments, common.quiet),
        Some(Command::Remote(arguments)) => super::remote::run(&arguments, common.quiet),
        Some(Command::Magnet(arguments)) => magnet::run(&arguments, &common),
        Some(Command::Resume { command }) => resume::run(&command),
        Some(Command::Config { options, rules: true }) => {
            super::remote::dry_run(&settings.book, options.json, common.quiet)
        }
        Some(Command::Config { options, .. }) => config::run(&settings, options.json),
        Some(Command::Help { about }) => {
            let color = color_of(&std::env::args_os().collect::<Vec<_>>());
            print_help(&about, color).map(|()| Exit::Done)
        }
        Some(Command::Completions { shell }) => completions::run(shell),
        Some(Command::Man { about, dir }) => man::run(&about, dir.as_deref()),
    }
}

/// May the command have to do with anybody?
fn speaks(command: &Command) -> bool {
    use Command::{Completions, Config, Help, Man, Resume};
    let is_dumb = matches!(command, Completions { .. } | Help { .. } | Man { .. });
    !is_dumb && !matches!(command, Config { .. } | Resume { .. })
}

fn report(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(exit) if out::is_lost() => {
            out::talk("driver: some of the output could not be written");
            exit.worst(Exit::Disk).into()
        }
        Ok(exit) => exit.into(),
        Err(failure) => {
            out::talk_wrapped(&format!("driver: {failure}"));
            failure.exit.into()
        }
    }
}
