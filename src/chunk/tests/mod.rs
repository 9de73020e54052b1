//! Tests of the room that need more than one file of it, or many lines.

mod client;
mod config;
mod discover;
mod ini;
mod provider;
mod store;
mod tools;
mod tracker;
mod wire;
