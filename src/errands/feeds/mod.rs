//! Feeds: asked now and then, and what fits of them is added.

mod clock;
mod episode;
mod fetch;
mod judge;
mod read;
mod seen;
mod task;

pub use task::{FeedConfig, follow, may_be_asked, unix_now};
