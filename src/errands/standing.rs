//! How what is to be done goes, before anything was done.

use super::plan::{Feed, Hook, Moment, Watch};
use crate::api::{FeedStanding, HookStanding, WatchStanding};

/// Of a folder that was not looked at yet.
pub fn of_watch(watch: &Watch) -> WatchStanding {
    let dir = watch.dir.to_string_lossy().into_owned();
    WatchStanding { dir, ..WatchStanding::default() }
}

/// Of a hook that was not told of anything yet.
pub fn of_hook(hook: &Hook) -> HookStanding {
    let on = hook.on.iter().copied().map(Moment::name).map(str::to_owned).collect();
    HookStanding { on, what: hook.what(), ..HookStanding::default() }
}

/// Of a feed that was not asked yet.
pub fn of_feed(feed: &Feed) -> FeedStanding {
    FeedStanding { name: feed.called(), ..FeedStanding::default() }
}
