//! Lists: the files of a torrent with what is done of them, and its trackers.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::api::{File, Priority};
use crate::base::units::size;
use crate::cli::escape::{escape, shorten_path};
use crate::disk::Home;
use crate::metainfo::Torrent;
use crate::tracker::tiers::status::TrackerStatus;

/// A path is not cut to less, however narrow the terminal is.
const PATH_COLUMNS_MIN: usize = 12;

/// The files that people see, pad files left out, each with its position in the torrent.
/// Their numbers on screen count from 1 in this order.
pub fn files_of(torrent: &Torrent) -> Vec<usize> {
    let files = torrent.files.iter().enumerate();
    files.filter(|(_, file)| !file.is_pad).map(|(position, _)| position).collect()
}

/// The files that there are, with the names that they have in their home, if it is known.
pub fn contents_screen(torrent: &Torrent, home: Option<&Home>, columns: usize) -> String {
    let mut screen = "   NO        SIZE  PATH\n".to_owned();
    let files: Vec<_> = torrent.files.iter().collect();
    for (number, position) in files_of(torrent).into_iter().enumerate() {
        let file = &files[position];
        let path = path_in(home, position, file.path);
        let facts = format!("{:>5}  {:>10}  ", number + 1, size(file.length));
        screen += &path_line(&facts, &path.to_string_lossy(), columns);
    }
    screen
}

/// The files as the API tells of them, and how much of each is here.
pub fn files_screen(files: &[File], columns: usize) -> String {
    let is_urgent = |file: &File| matches!(file.priority, Priority::Low | Priority::High);
    let has_urgent = files.iter().any(is_urgent);
    let wanted = if has_urgent { "WANTED  " } else { "" };
    let mut screen = format!("   NO   DONE        SIZE  {wanted}PATH\n");
    for file in files {
        // One that is here is, whether anybody asked for it or not.
        let done = match file.wanted || file.progress >= 1.0 && file.size > 0 {
            true => format!("{:.0}%", (file.progress * 100.0).floor()),
            false => "skip".to_owned(),
        };
        let mut facts = format!("{:>5}{done:>7}  {:>10}  ", file.number, size(file.size));
        if has_urgent {
            facts += &format!("{:<6}  ", priority_name(file.priority));
        }
        screen += &path_line(&facts, &file.path, columns);
    }
    screen
}

fn path_line(facts: &str, path: &str, columns: usize) -> String {
    let room = columns.saturating_sub(facts.len()).max(PATH_COLUMNS_MIN);
    format!("{facts}{}\n", shorten_path(path, room))
}

fn priority_name(priority: Priority) -> &'static str {
    match priority {
        Priority::Off => "off",
        Priority::Low => "low",
        Priority::Normal => "normal",
        Priority::High => "high",
    }
}

/// The path of the file at this position: the torrent's, or that in its home.
pub fn path_in(home: Option<&Home>, position: usize, path: &Path) -> PathBuf {
    match (home, u32::try_from(position)) {
        (Some(home), Ok(number)) => home.path_of(number, path),
        _ => path.to_owned(),
    }
}

/// Files named when some are not whole; further ones are counted.
const LACKING_NAMED: usize = 3;

/// ` (b/c.bin 81 %, d missing, 2 more)`: the files that are not whole, by their verified pieces.
pub fn files_lacking(torrent: &Torrent, have: &[u8]) -> String {
    let Some(layout) = torrent.layout else { return String::new() };
    let shares = torrent.files.iter().filter(|file| !file.is_pad).map(|file| {
        (file.path.to_string_lossy(), layout.share_done(have, file.offset, file.length))
    });
    let lacking: Vec<_> = shares.filter(|(_, share)| *share < 1.0).collect();
    let words = lacking.iter().take(LACKING_NAMED).map(|(path, share)| match share {
        0.0 => format!("nothing of {}", escape(path)),
        _ => format!("{:.0} % of {}", (share * 100.0).floor(), escape(path)),
    });
    let mut words: Vec<String> = words.collect();
    if lacking.len() > LACKING_NAMED {
        let more = super::counted((lacking.len() - LACKING_NAMED) as u64, "file");
        words.push(format!("{more} more"));
    }
    format!(" ({} there)", words.join(", "))
}

/// The list of trackers by tier, with what each said last.
pub fn trackers_screen(trackers: &[TrackerStatus], now: Instant, columns: usize) -> String {
    if trackers.is_empty() {
        return "no trackers\n".to_owned();
    }
    let mut screen = "TIER  TRACKER\n".to_owned();
    for tracker in trackers {
        let url = escape(&super::hide_keys(&tracker.url));
        let words = super::tracker_words(std::slice::from_ref(tracker), now);
        screen += &format!("{:>4}  {url}\n", tracker.tier + 1);
        screen += &(super::wrap(&format!("      {words}"), columns, 6) + "\n");
        if let Some(warning) = &tracker.warning {
            let warning = format!("      warning: {}", escape(warning));
            screen += &(super::wrap(&warning, columns, 6) + "\n");
        }
    }
    screen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::tiers::status::TrackerState;

    fn torrent() -> Torrent {
        let mut bytes = b"d4:infod5:filesl\
            d6:lengthi30000e4:pathl5:a.txteed4:attr1:p6:lengthi2768e4:pathl4:.pad1:0ee\
            d6:lengthi40000e4:pathl1:b5:c.binee\
            e4:name3:set12:piece lengthi32768e6:pieces60:"
            .to_vec();
        bytes.extend([b'x'; 60]);
        bytes.extend(b"ee");
        Torrent::parse(&bytes).unwrap()
    }

    #[test]
    fn files_count_from_one_without_pad_files() {
        let expected = "   NO        SIZE  PATH
    1    29.3 KiB  set/a.txt
    2    39.1 KiB  set/b/c.bin
";
        assert_eq!(contents_screen(&torrent(), None, 80), expected);
        let names = [(2, "new/film".into())].into();
        let home = Home { folder: Some("new".to_owned()), names, ..Home::default() };
        let screen = contents_screen(&torrent(), Some(&home), 80);
        let expected = expected.replace("set/b/c.bin", "new/film").replace("set/", "new/");
        assert_eq!(screen, expected);
        assert_eq!(files_of(&torrent()), [0, 2]);
    }

    #[test]
    fn files_and_how_much_of_them_is_here() {
        let file = |number, path: &str, progress, wanted| File {
            number,
            begin_piece: 0,
            end_piece: 1,
            path: path.into(),
            size: 40_000,
            progress,
            wanted,
            priority: if wanted { Priority::Normal } else { Priority::Off },
        };
        let mut all = [
            file(1, "set/a.txt", 0.819, true),
            file(2, "set/b\x1b.bin", 0.2, false),
            file(3, "set/c", 1.0, false),
        ];
        let expected = "   NO   DONE        SIZE  PATH
    1    81%    39.1 KiB  set/a.txt
    2   skip    39.1 KiB  set/b\\x1b.bin
    3   100%    39.1 KiB  set/c
";
        assert_eq!(files_screen(&all, 80), expected);
        all[0].priority = Priority::High;
        let expected = "   NO   DONE        SIZE  WANTED  PATH
    1    81%    39.1 KiB  high    set/a.txt
    2   skip    39.1 KiB  off     set/b\\x1b.bin
    3   100%    39.1 KiB  off     set/c
";
        assert_eq!(files_screen(&all, 80), expected);
    }

    #[test]
    fn what_is_lacking_is_named() {
        let said = files_lacking(&torrent(), &[0b0100_0000]);
        assert_eq!(said, " (nothing of set/a.txt, 81 % of set/b/c.bin there)");
        let said = files_lacking(&torrent(), &[0b1100_0000]);
        assert_eq!(said, " (81 % of set/b/c.bin there)");
    }

    #[test]
    fn trackers_stand_by_tier_and_are_escaped() {
        let tracker = TrackerStatus {
            url: "udp://t:1".into(),
            tier: 1,
            state: TrackerState::Failing(1),
            seeds: None,
            leeches: None,
            downloaded: None,
            counted_at: None,
            peers: None,
            next_announce_at: None,
            last_error: Some("gone\r\nfishing".into()),
            warning: Some("soon".into()),
        };
        let expected = "TIER  TRACKER
   2  udp://t:1
      failed: gone\\r\\nfishing
      warning: soon
";
        assert_eq!(trackers_screen(std::slice::from_ref(&tracker), Instant::now(), 80), expected);
        let long = TrackerStatus {
            last_error: Some(
                "cannot resolve tracker host bttracker.example.org: no such name".into(),
            ),
            ..tracker.clone()
        };
        let screen = trackers_screen(&[long], Instant::now(), 40);
        assert!(
            screen.contains("\n      host bttracker.example.org: no\n      such name\n"),
            "{screen}"
        );
        assert_eq!(trackers_screen(&[], Instant::now(), 80), "no trackers\n");
    }
}
