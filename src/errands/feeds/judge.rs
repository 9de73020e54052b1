//! Which items of a feed are wanted. Pure.

use super::episode::Episodes;
use super::read::Item;
use super::seen::Seen;
use crate::errands::plan::Feed;

/// Why an item is not added, or what is remembered of it if it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// It is to be added; the episode that it is of counts as seen then.
    Wanted(Option<String>),
    /// It was added before, or tried often enough.
    Seen,
    /// Its episode was.
    SeenEpisode,
    /// Its feed's user does not want it.
    Unwanted,
}

/// Judges an item.
pub fn judge(feed: &Feed, item: &Item, seen: &Seen, episodes: &Episodes) -> Judgement {
    if seen.has_item(&item.id) {
        return Judgement::Seen;
    }
    let fits = |patterns: &[crate::errands::plan::Pattern]| {
        patterns.iter().any(|pattern| pattern.fits(&item.title))
    };
    let is_named = feed.include.is_empty() || fits(&feed.include);
    // What says nothing of its size is not of one that is wanted.
    let is_of_size = match (feed.min_size, feed.max_size, item.size) {
        (None, None, _) => true,
        (_, _, None) => false,
        (min, max, Some(size)) => {
            min.is_none_or(|min| min <= size) && max.is_none_or(|max| size <= max)
        }
    };
    if !is_named || fits(&feed.exclude) || !is_of_size {
        return Judgement::Unwanted;
    }
    match feed.once.then(|| episodes.of(&item.title)).flatten() {
        Some(episode) if seen.has_episode(&episode) => Judgement::SeenEpisode,
        episode => Judgement::Wanted(episode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errands::plan::Pattern;

    fn item(title: &str, size: Option<u64>) -> Item {
        Item { id: title.to_owned(), title: title.to_owned(), link: "http://x/".to_owned(), size }
    }

    fn judged(feed: &Feed, item: &Item, seen: &Seen) -> Judgement {
        judge(feed, item, seen, &Episodes::new())
    }

    #[test]
    fn an_item_has_to_be_named_so_and_of_that_size() {
        let patterns = |all: &[&str]| all.iter().map(|it| Pattern::new(it).unwrap()).collect();
        let feed = Feed {
            include: patterns(&["debian.*amd64", "^fedora"]),
            exclude: patterns(&["beta"]),
            min_size: Some(10),
            max_size: Some(20),
            ..Feed::default()
        };
        let wanted = Judgement::Wanted(None);
        for (title, size, is_wanted) in [
            ("Debian 13 amd64", Some(10), true),
            ("FEDORA 44", Some(20), true),
            ("my fedora 44", Some(20), false),
            ("fedora 44 Beta", Some(20), false),
            ("fedora", Some(9), false),
            ("fedora", Some(21), false),
            ("fedora", None, false),
        ] {
            let judgement = judged(&feed, &item(title, size), &Seen::default());
            assert_eq!(judgement == wanted, is_wanted, "{title} {size:?}: {judgement:?}");
        }
        let all = judged(&Feed::default(), &item("x", None), &Seen::default());
        assert_eq!(all, wanted, "without any rule, all is wanted");
    }

    #[test]
    fn an_item_and_an_episode_are_wanted_once() {
        let feed = Feed { once: true, ..Feed::default() };
        let mut seen = Seen::default();
        let first = item("Show S01E02 720p", None);
        let Judgement::Wanted(Some(episode)) = judged(&feed, &first, &seen) else { panic!() };
        seen.note(&first.id, Some(&episode), 1);
        assert_eq!(judged(&feed, &first, &seen), Judgement::Seen);
        let again = item("show.1x02.1080p", None);
        assert_eq!(judged(&feed, &again, &seen), Judgement::SeenEpisode);
        assert_eq!(judged(&Feed::default(), &again, &seen), Judgement::Wanted(None));
        let next = judged(&feed, &item("Show S01E03", None), &seen);
        assert!(matches!(next, Judgement::Wanted(Some(_))));
    }
}
