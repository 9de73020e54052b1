//! What can be asked of a torrent: each field with its legacy name, what has to be known for it,
//! and how it is written. Whole numbers never have a fraction: tools in typed languages fail on it.

use std::io::Write as _;

use serde_json::Value;

use super::about::{About, DETAILS, FACTS, FILES, Needs, PEERS, SOURCES, TRACKERS, hash};
use super::mapping::{self, DOWNLOADS};
use super::{names, parts};

type Write = fn(&About<'_>, &mut Vec<u8>);

/// One of them.
pub(super) struct Field {
    /// Its legacy name.
    pub name: &'static str,
    pub needs: Needs,
    pub write: Write,
}

/// The field of this name, in either dialect.
pub(super) fn find(name: &str) -> Option<&'static Field> {
    let exactly = FIELDS.iter().find(|field| field.name == name);
    exactly.or_else(|| FIELDS.iter().find(|field| names::are_one(field.name, name)))
}

/// Writes a whole number.
fn whole(out: &mut Vec<u8>, number: impl std::fmt::Display) {
    // Writing to memory cannot fail, here and below.
    let _ = write!(out, "{number}");
}

/// Writes a number that may have a fraction, without one where it has none.
fn number(out: &mut Vec<u8>, number: f64) {
    let _ = write!(out, "{}", if number.is_finite() { number } else { -1.0 });
}

fn flag(out: &mut Vec<u8>, flag: bool) {
    out.extend_from_slice(if flag { b"true" } else { b"false" });
}

fn text(out: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(out, text);
}

fn value(about: &About<'_>, out: &mut Vec<u8>, value: Value) {
    let value = if about.is_snake { names::snaked(value) } else { value };
    let _ = serde_json::to_writer(out, &value);
}

/// Trackers as they stand, and those of a torrent of which none is asked.
const TRACKERS_OF: Needs = TRACKERS | FACTS;

macro_rules! fields {
    ($($name:literal $($needs:ident)? => |$it:ident, $out:ident| $write:expr;)*) => {
        &[$(Field {
            name: $name,
            needs: 0 $(+ $needs)?,
            write: |$it: &About<'_>, $out: &mut Vec<u8>| $write,
        }),*]
    };
}

/// All there are, by their names.
pub(super) const FIELDS: &[Field] = fields! {
    "activityDate" => |it, out| whole(out, it.torrent.active_at.unwrap_or(0));
    "addedDate" => |it, out| whole(out, it.torrent.added_at);
    "availability" FACTS => |it, out| value(it, out, parts::availability(it));
    "bandwidthPriority" => |_it, out| whole(out, 0);
    "comment" FACTS => |it, out| text(out, it.closely.facts.comment.as_deref().unwrap_or(""));
    "corruptEver" DETAILS => |it, out| {
        whole(out, it.closely.details.as_ref().map_or(0, |it| it.wasted_bytes));
    };
    "creator" FACTS => |it, out| text(out, it.closely.facts.creator.as_deref().unwrap_or(""));
    "dateCreated" FACTS => |it, out| whole(out, it.closely.facts.created_at.unwrap_or(0).max(0));
    "desiredAvailable" => |it, out| {
        let can_come = it.torrent.seeds > 0;
        whole(out, if can_come { mapping::left(it.torrent) } else { 0 });
    };
    "doneDate" => |it, out| whole(out, it.torrent.completed_at.unwrap_or(0));
    "downloadDir" => |it, out| text(out, &it.torrent.dir);
    "downloadLimit" => |it, out| whole(out, mapping::limit(it.torrent.limits.down).0);
    "downloadLimited" => |it, out| flag(out, it.torrent.limits.down.is_some());
    "downloadedEver" => |it, out| whole(out, it.torrent.received_bytes);
    "editDate" => |it, out| whole(out, it.torrent.added_at);
    "error" => |it, out| whole(out, mapping::error(it.torrent).0);
    "errorString" => |it, out| text(out, mapping::error(it.torrent).1);
    "eta" => |it, out| whole(out, mapping::eta(it.torrent));
    "etaIdle" => |_it, out| whole(out, -1);
    "file-count" => |it, out| whole(out, it.torrent.files);
    "fileStats" FILES => |it, out| value(it, out, parts::file_stats(it));
    "files" FILES => |it, out| value(it, out, parts::files(it));
    "group" => |_it, out| text(out, "");
    "hashString" => |it, out| text(out, hash(it.torrent));
    "haveUnchecked" => |_it, out| whole(out, 0);
    "haveValid" => |it, out| whole(out, mapping::here(it.torrent));
    "honorsSessionLimits" => |_it, out| flag(out, true);
    "id" => |it, out| whole(out, it.number);
    "isFinished" => |it, out| flag(out, it.torrent.state == crate::api::State::Finished);
    "isPrivate" => |it, out| flag(out, it.torrent.private);
    "isStalled" => |it, out| flag(out, mapping::is_stalled(it.torrent, it.now));
    "labels" => |it, out| drop(serde_json::to_writer(out, &it.torrent.labels));
    "leftUntilDone" => |it, out| whole(out, mapping::left(it.torrent));
    "magnetLink" FACTS => |it, out| text(out, &parts::magnet(it));
    "manualAnnounceTime" => |_it, out| whole(out, -1);
    "maxConnectedPeers" DETAILS => |it, out| whole(out, parts::peers_max(it));
    "metadataPercentComplete" => |it, out| whole(out, u8::from(it.torrent.metadata));
    "name" => |it, out| text(out, parts::name(it));
    "peer-limit" DETAILS => |it, out| whole(out, parts::peers_max(it));
    "peers" PEERS => |it, out| value(it, out, parts::peers(it));
    "peersConnected" => |it, out| whole(out, it.torrent.peers);
    "peersFrom" PEERS => |it, out| value(it, out, parts::peers_from(it));
    "peersGettingFromUs" => |it, out| whole(out, it.torrent.receiving);
    "peersSendingToUs" => |it, out| whole(out, it.torrent.sending);
    "percentComplete" => |it, out| number(out, mapping::complete(it.torrent));
    "percentDone" => |it, out| number(out, mapping::done(it.torrent));
    "pieceCount" FACTS => |it, out| whole(out, it.closely.facts.pieces);
    "pieceSize" FACTS => |it, out| whole(out, it.closely.facts.piece_length);
    "pieces" FACTS => |it, out| text(out, &it.closely.facts.have);
    "primary-mime-type" => |_it, out| text(out, "application/octet-stream");
    "priorities" FILES => |it, out| value(it, out, parts::priorities(it));
    "queuePosition" => |it, out| whole(out, it.position);
    "rateDownload" => |it, out| whole(out, it.torrent.down_rate);
    "rateUpload" => |it, out| whole(out, it.torrent.up_rate);
    "recheckProgress" => |it, out| number(out, it.torrent.checked.unwrap_or(0.0));
    "secondsDownloading" => |it, out| {
        let age = if mapping::status(it.torrent) == DOWNLOADS { it.age_s } else { 0 };
        whole(out, it.torrent.active_s.saturating_sub(it.torrent.seeding_s) + age);
    };
    "secondsSeeding" => |it, out| {
        let is_it = it.torrent.state == crate::api::State::Seeding;
        whole(out, it.torrent.seeding_s + if is_it { it.age_s } else { 0 });
    };
    "seedIdleLimit" => |_it, out| whole(out, 30);
    "seedIdleMode" => |_it, out| whole(out, 0);
    "seedRatioLimit" => |it, out| number(out, it.torrent.seed_ratio.unwrap_or(mapping::IDLE_RATIO));
    "seedRatioMode" => |it, out| whole(out, u8::from(it.torrent.seed_ratio.is_some()));
    "sequential_download" => |it, out| flag(out, it.torrent.sequential);
    "sequential_download_from_piece" => |_it, out| whole(out, 0);
    "sizeWhenDone" => |it, out| whole(out, it.torrent.wanted_bytes);
    "source" => |_it, out| text(out, "");
    "startDate" => |it, out| whole(out, it.torrent.added_at);
    "status" => |it, out| whole(out, status(it));
    "torrentFile" => |_it, out| text(out, "");
    "totalSize" => |it, out| whole(out, it.torrent.size);
    "trackerList" FACTS => |it, out| text(out, &parts::tracker_list(it));
    "trackerStats" TRACKERS_OF => |it, out| value(it, out, parts::tracker_stats(it));
    "trackers" FACTS => |it, out| value(it, out, parts::trackers(it));
    "uploadLimit" => |it, out| whole(out, mapping::limit(it.torrent.limits.up).0);
    "uploadLimited" => |it, out| flag(out, it.torrent.limits.up.is_some());
    "uploadRatio" => |it, out| number(out, mapping::ratio(it.torrent));
    "uploadedEver" => |it, out| whole(out, it.torrent.sent_bytes);
    "wanted" FILES => |it, out| value(it, out, parts::wanted(it));
    "webseeds" FACTS => |it, out| drop(serde_json::to_writer(out, &it.closely.facts.web_seeds));
    "webseedsSendingToUs" SOURCES => |it, out| {
        let sending = it.closely.sources.iter().filter(|source| source.down_rate > 0);
        whole(out, sending.count());
    };
};

fn status(about: &About<'_>) -> u8 {
    mapping::status(about.torrent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_name_in_either_dialect() {
        for (name, found) in [
            ("hashString", "hashString"),
            ("hash_string", "hashString"),
            ("file_count", "file-count"),
            ("fileCount", "file-count"),
            ("peer_limit", "peer-limit"),
            ("primary-mime-type", "primary-mime-type"),
        ] {
            assert_eq!(find(name).map(|field| field.name), Some(found));
        }
        assert!(find("labels2").is_none() && find("").is_none());
        assert!(FIELDS.is_sorted_by(|one, other| one.name < other.name), "answers are sorted");
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        let mut out = Vec::new();
        number(&mut out, 2.0);
        out.push(b' ');
        number(&mut out, 0.0703125);
        out.push(b' ');
        number(&mut out, f64::INFINITY);
        assert_eq!(out, b"2 0.0703125 -1");
    }
}
