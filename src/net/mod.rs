//! Sockets without meaning: listening, connecting, and a shared rate limit.

pub mod limiter;
pub mod tcp;
