//! Which torrents a list is of, in which order, and which part of it. Pure.

use std::collections::HashSet;
use std::sync::Arc;

use super::book::Book;
use super::form::Form;
use super::mapping::{KEYS, Seen};
use super::said::Fault;

/// The torrents that a form asks for.
///
/// # Errors
/// It sorts by a key that there is not.
pub(super) fn chosen(
    all: Vec<Arc<Seen>>,
    form: &Form,
    book: &Book,
) -> Result<Vec<Arc<Seen>>, Fault> {
    let filter = form.value("filter").unwrap_or("all");
    let hashes = form.value("hashes").filter(|hashes| !matches!(*hashes, "" | "all"));
    let hashes: Option<HashSet<String>> =
        hashes.map(|it| it.split('|').map(str::to_ascii_lowercase).collect());
    let is_private = form.flag("private");
    let is_it = |seen: &Arc<Seen>| {
        let category = || book.category(&seen.torrent.labels).unwrap_or_default();
        let mut tags = seen.tags(book);
        is_so(filter, seen)
            && form.value("category").is_none_or(|wanted| category() == wanted)
            && form.value("tag").is_none_or(|wanted| match wanted {
                "" => tags.next().is_none(),
                wanted => tags.any(|tag| tag == wanted),
            })
            && hashes.as_ref().is_none_or(|hashes| is_named(seen, hashes))
            && is_private.is_none_or(|is| !seen.is_link() && seen.torrent.private == is)
    };
    let mut found: Vec<Arc<Seen>> = all.into_iter().filter(is_it).collect();
    if let Some(key) = form.value("sort").filter(|key| !key.is_empty()) {
        let at = KEYS.iter().position(|it| *it == key);
        let at = at.ok_or_else(|| Fault::bad("'sort' parameter is invalid"))?;
        let mut keyed: Vec<_> = found
            .into_iter()
            .map(|seen| {
                let cell = seen.cells(book).swap_remove(at).owned();
                (cell, seen)
            })
            .collect();
        keyed.sort_by(|(one, _), (other, _)| one.order(other));
        found = keyed.into_iter().map(|(_, seen)| seen).collect();
    }
    if form.flag("reverse") == Some(true) {
        found.reverse();
    }
    Ok(part(found, form.number("offset").unwrap_or(0), form.number("limit").unwrap_or(0)))
}

/// Does a filter of this name let it through? One that nobody knows lets all through.
fn is_so(filter: &str, seen: &Seen) -> bool {
    let (state, done) = (seen.state(), seen.is_complete());
    let is_stopped = || matches!(state, "stoppedUP" | "stoppedDL");
    match filter {
        "downloading" => !done,
        "seeding" => done && !is_stopped(),
        "completed" => done,
        "stopped" | "paused" => is_stopped(),
        "running" | "resumed" => !is_stopped(),
        "active" => seen.is_active(),
        "inactive" => !seen.is_active(),
        "stalled" => matches!(state, "stalledUP" | "stalledDL"),
        "stalled_uploading" => state == "stalledUP",
        "stalled_downloading" => state == "stalledDL",
        "checking" => state.starts_with("checking"),
        "moving" => state == "moving",
        "errored" => matches!(state, "error" | "missingFiles"),
        _ => true,
    }
}

/// Is it named there, by any of its hashes?
fn is_named(seen: &Seen, hashes: &HashSet<String>) -> bool {
    let v2 = seen.torrent.hash_v2.as_deref();
    let cut = v2.and_then(|hash| hash.get(..40));
    [Some(&*seen.hash), v2, cut].into_iter().flatten().any(|hash| hashes.contains(hash))
}

/// A part of a list: a negative offset counts from its end; no limit is none.
fn part<T>(mut all: Vec<T>, offset: i64, limit: i64) -> Vec<T> {
    let len = all.len();
    let ahead = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
    let begin = if offset < 0 { len.saturating_sub(ahead) } else { ahead.min(len) };
    let mut rest = all.split_off(begin);
    if let Some(limit) = usize::try_from(limit).ok().filter(|limit| *limit > 0) {
        rest.truncate(limit);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_list_never_begins_anew() {
        let of = |offset, limit| part(vec![1, 2, 3, 4], offset, limit);
        assert_eq!(of(0, 0), [1, 2, 3, 4]);
        assert_eq!((of(1, 2), of(3, 9), of(-2, 1)), (vec![2, 3], vec![4], vec![3]));
        assert_eq!((of(4, 0), of(99, 0), of(i64::MAX, 1)), (vec![], vec![], vec![]));
        assert_eq!((of(-9, -1), of(i64::MIN, 1)), (vec![1, 2, 3, 4], vec![1]));
    }
}
