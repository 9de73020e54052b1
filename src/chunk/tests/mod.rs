//! Tests of the room that need more than one file of it, or many lines.

mod config;
mod ini;
mod store;
mod tools;
mod wire;
