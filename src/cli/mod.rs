//! The roof: the command line, the prompt and everything people read. It asks the keepers
//! and prints; no file of it decides anything about a download.

mod args;
mod argv;
mod asking;
mod attempts;
mod attend;
mod catalogue;
mod choice;
mod commands;
mod config;
mod demo;
mod engine;
mod escape;
mod exit;
mod given;
mod greeting;
mod item;
mod job;
mod keys;
mod live;
mod logs;
mod memory;
mod menu;
mod metalinked;
mod out;
mod place;
mod print;
mod quoting;
mod remote;
mod renewal;
mod repl;
mod search;
mod selection;
mod stop;
mod sums;
mod trusted;
mod values;
mod voice;
mod why;

/// Runs the program with the arguments of this process; returns its exit code.
pub fn main() -> std::process::ExitCode {
    commands::main()
}
