//! Tests of the whole program from outside, in one binary: the real `driver` against a seeder
//! written by hand, and against other people's clients.

#[path = "../support/payload.rs"]
mod payload;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/seeder.rs"]
mod seeder;

mod cli;
mod interop;
mod kill;
