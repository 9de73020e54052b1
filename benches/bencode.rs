//! bencode
fn main() {}
