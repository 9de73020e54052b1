//! What web servers answer and what metalinks say, with any bytes.

use std::path::Path;
use std::time::Duration;

use pigeon::base::url::{URL_LEN_MAX, Url};
use pigeon::metainfo::Torrent;
use pigeon::metalink::plan::{Way, plan};
use pigeon::metalink::{self, MIRRORS_MAX};
use pigeon::web::chunked::{self, Chunked};
use pigeon::web::expiry;
use pigeon::web::head::{HEAD_LEN_MAX, HeadReader};
use pigeon::web::range::{Asked, SKIP_MAX, Verdict};

/// An answer of a web server: head and body, in one go and byte by byte.
pub fn web_response(bytes: &[u8]) {
    let whole = HeadReader::new().feed(bytes);
    let mut reader = HeadReader::new();
    let by_byte = bytes.chunks(1).map(|byte| reader.feed(byte));
    let ended = by_byte.enumerate().find(|(_, result)| !matches!(result, Ok((_, None))));
    let Ok((len, Some(head))) = whole else {
        assert_eq!(ended.and_then(|(_, result)| result.err()), whole.err());
        return;
    };
    assert!(len <= HEAD_LEN_MAX && head.status >= 200);
    assert_eq!(ended, Some((len - 1, Ok((1, Some(head.clone()))))));
    let now = std::time::UNIX_EPOCH + Duration::from_secs(1 << 30);
    assert!(head.retry_after(now).is_none_or(|wait| wait <= Duration::from_secs(3600)));
    for (first, len, file_len) in [(0, 10, 10), (0, 1, 1000), (100, 50, 1000)] {
        let asked = Asked { first, len, file_len };
        let verdict = asked.judge(&head, SKIP_MAX, now);
        if let Verdict::Take { skip, len: taken, behind } = verdict {
            assert!(taken > 0 && taken <= len && skip + behind <= file_len, "{head:?}");
        } else if let Verdict::Redirect(location) = &verdict {
            let base = Url::parse("https://me@h/a/b?c").expect("a URL");
            if let Some(target) = base.join(location) {
                let _ = expiry::keep(&head, &target, now);
                assert!(target.target().starts_with('/') && target.target().len() <= URL_LEN_MAX);
                assert!(!target.target().contains(|letter: char| !letter.is_ascii_graphic()));
            }
        }
        let words = verdict.words(head.status, file_len);
        assert!(words.len() < 200 && !words.contains(char::is_control), "{words:?}");
    }
    web_chunks(bytes.get(len..).unwrap_or_default());
}

/// A body in chunks, as it is and in parts.
fn web_chunks(bytes: &[u8]) {
    let read = |part_len: usize, data_max: usize| {
        let (mut chunked, mut body) = (Chunked::new(), Vec::<u8>::new());
        for part in bytes.chunks(part_len.max(1)) {
            let mut rest = part;
            while !rest.is_empty() {
                let span = chunked.advance(rest, data_max)?;
                assert!(span.data <= data_max && span.framing + span.data > 0);
                body.extend(&rest[span.framing..span.framing + span.data]);
                rest = &rest[span.framing + span.data..];
                if span.is_end {
                    return Ok((body, true));
                }
            }
        }
        Ok::<_, chunked::Flaw>((body, false))
    };
    let whole = read(bytes.len(), usize::MAX);
    assert_eq!(read(1, 1), whole);
    assert_eq!(read(7, 3), whole);
}

/// A metalink, and the plans for its files.
pub fn metalink(bytes: &[u8]) {
    let Ok(found) = metalink::read(bytes) else { return };
    assert!(!found.files.is_empty());
    for file in &found.files {
        let is_plain = |part| matches!(part, std::path::Component::Normal(_));
        assert!(!file.name.is_empty() && Path::new(&file.name).components().all(is_plain));
        assert!(file.mirrors.len() <= MIRRORS_MAX);
        assert!(file.mirrors.iter().all(|mirror| Url::parse(&mirror.url).is_some()));
        assert!(file.mirrors.is_sorted_by_key(|mirror| mirror.priority));
        let way = plan(file);
        let alone = match &way {
            Ok(Way::Torrent { meanwhile, .. }) => meanwhile.as_deref(),
            Ok(way) => Some(way),
            Err(_) => None,
        };
        if let Some(Way::Pieces { info }) = alone {
            let torrent = Torrent::from_info(info).expect("what is written can be read");
            assert_eq!(Some(torrent.total_size()), file.size);
        }
    }
}
