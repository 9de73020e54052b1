//! What came of removing a torrent with its files, in words. How that goes is the session's.

use crate::base::units::size;
use crate::disk::Erased;
use crate::session::Erasure;

/// What came of it, for people.
pub(super) fn words(erasure: &Erasure) -> String {
    match erasure {
        Erasure::Gone(erased) => told(erased),
        Erasure::Stay(why) => format!("it has left, but its files stay: {why}"),
    }
}

/// What of its files is gone, for people.
fn told(erased: &Erased) -> String {
    let Erased { files, bytes, stayed, named } = erased;
    let gone = match files {
        0 => "none of its files was there to remove".to_owned(),
        1 => format!("1 file is gone, {}", size(*bytes)),
        _ => format!("{files} files are gone, {}", size(*bytes)),
    };
    let Some((path, why)) = named.first() else { return gone };
    let first = format!("{gone}; {} stays: {why}", path.display());
    match stayed {
        0 | 1 => first,
        _ => format!("{first}; and {} more", stayed - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_is_told_in_words() {
        let mut erased = Erased::default();
        assert_eq!(told(&erased), "none of its files was there to remove");
        (erased.files, erased.bytes) = (2, 2048);
        assert_eq!(told(&erased), "2 files are gone, 2.0 KiB");
        erased.stayed = 3;
        erased.named = vec![("/d/a".into(), "it is no regular file".to_owned())];
        let expected = "2 files are gone, 2.0 KiB; /d/a stays: it is no regular file; and 2 more";
        assert_eq!(told(&erased), expected);
    }
}
