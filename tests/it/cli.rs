//! The command line as its users meet it: exit codes, what is printed where, commands through a
//! pipe, signals. The prompt on a terminal is not tested here; it is tried by hand.

mod create;
mod inputs;
mod live;
mod private;
pub mod run;
pub mod tracker;
mod verify;
