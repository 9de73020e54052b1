//! Behaviour of the brain, in virtual time.
