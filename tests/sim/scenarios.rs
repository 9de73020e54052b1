//! Worlds with an exact expectation.
