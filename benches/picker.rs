//! picker
fn main() {}
