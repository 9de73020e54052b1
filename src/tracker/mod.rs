//! tracker

pub mod tiers;
