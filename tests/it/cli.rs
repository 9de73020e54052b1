//! The command line as its users meet it: exit codes, what is printed where, commands through a
//! pipe, signals, and the prompt on a terminal.

mod create;
mod inputs;
mod links;
mod live;
mod private;
mod prompt;
mod resume;
pub mod run;
mod terminal;
pub mod tracker;
mod verify;
