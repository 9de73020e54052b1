//! What a process holds.

use std::fs;

/// A number of this process by its name in the system's words: KiB, or how many.
pub fn number(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// Memory of its own that it has, files apart.
pub fn anon_kib() -> u64 {
    number("RssAnon")
}
