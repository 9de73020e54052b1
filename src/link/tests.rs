//! Behaviour of a link, byte by byte.
