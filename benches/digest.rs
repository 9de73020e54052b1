//! digest
fn main() {}
