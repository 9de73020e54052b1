//! The table of torrents, as `list` and `watch` show it. What strangers wrote is escaped here.
//! Pure.

use std::time::Duration;

use unicode_width::UnicodeWidthStr as _;

use crate::api::{State, Torrent};
use crate::base::units::{duration, size};
use crate::cli::escape::{escape, shorten};

use super::picture::{Ink, Pen};
use super::words::state_words;

/// Columns of the list before the name, which stands last: what they are called, how wide they
/// are, and the order in which they go where a name has no room, the last ones first.
const COLUMNS: [(&str, usize, usize); 9] = [
    ("NO", 4, 0),
    ("DONE", 4, 1),
    (BAR, BAR_WIDTH, 8),
    ("SIZE", 9, 4),
    ("DOWN/s", 9, 3),
    ("UP/s", 9, 5),
    ("RATIO", 5, 7),
    ("ETA", 7, 6),
    ("STATE", 8, 2),
];
/// Which of those are words, and are read from the left.
const WORDS: &str = "STATE";
/// Columns of a name below which others are left out: what the longest takes, within these.
const NAME: (usize, usize) = (12, 27);
/// So many columns matter most, and go only where a name would have less than its least.
const CORE: usize = 4;
/// The bar of progress, and how long it is.
const BAR: &str = "PROGRESS";
const BAR_WIDTH: usize = 12;

/// The list; with a pen, a bar of progress in each line where there is room.
pub(super) fn list(torrents: &[&Torrent], columns: usize, pen: Option<Pen>) -> String {
    if torrents.is_empty() {
        return "no torrents: driver remote add FILE takes one in\n".to_owned();
    }
    let named = torrents.iter().map(|torrent| escape(&torrent.name).width());
    let longest = named.max().unwrap_or_default();
    let wanted = longest.clamp(NAME.0, NAME.1);
    let mut shown = COLUMNS.len() - usize::from(pen.is_none());
    let width = |shown: usize| {
        let kept = COLUMNS.iter().filter(|(_, _, weight)| *weight < shown);
        kept.map(|(_, width, _)| width + 1).sum::<usize>()
    };
    let least = |shown| if shown <= CORE { NAME.0 } else { wanted };
    while shown > 1 && width(shown) + least(shown) > columns {
        shown -= 1;
    }
    let line = |cells: &[String; 9], name: &str, ink: Option<(Pen, Ink)>| {
        let (mut line, mut used) = (String::new(), 0);
        for ((head, width, weight), cell) in COLUMNS.iter().zip(cells) {
            if *weight >= shown {
                continue;
            }
            let is_left = matches!(*head, WORDS | BAR);
            let cell = if is_left { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
            line += &match ink {
                Some((pen, ink)) if matches!(*head, WORDS | BAR) => pen.in_colour(&cell, ink),
                _ => cell,
            };
            line.push(' ');
            used += width + 1;
        }
        let room = columns.saturating_sub(used).max(1);
        (line + &shorten(name, room)).trim_end().to_owned() + "\n"
    };
    let mut screen = line(&COLUMNS.map(|(head, _, _)| head.to_owned()), "NAME", None);
    for torrent in torrents {
        let ink = pen.map(|pen| (pen, ink_of(torrent)));
        screen += &line(&cells(torrent, pen), &torrent.name, ink);
    }
    screen
}

/// How a torrent stands, at a glance.
fn ink_of(torrent: &Torrent) -> Ink {
    match torrent.state {
        State::DiskTrouble | State::Failed => Ink::Red,
        _ if torrent.trouble.is_some() => Ink::Red,
        State::Paused | State::Queued => Ink::Yellow,
        _ if torrent.progress >= 1.0 => Ink::Blue,
        _ => Ink::Green,
    }
}

fn cells(torrent: &Torrent, pen: Option<Pen>) -> [String; 9] {
    // Columns are scarce.
    let tight = |bytes: u64| size(bytes).replace(' ', "");
    let speed = |bytes: u64| if bytes == 0 { "-".to_owned() } else { tight(bytes) };
    let left = torrent.left_s.map(|left| duration(Duration::from_secs(left)));
    let state = match torrent.state {
        State::Downloading if torrent.peers == 0 => "no peers".to_owned(),
        State::Downloading => "download".to_owned(),
        State::Seeking => "metadata".to_owned(),
        State::DiskTrouble => "disk".to_owned(),
        state => state_words(state),
    };
    // Of a link whose metadata is not known nothing can be said.
    let is_link = torrent.wanted_bytes == 0 && torrent.progress < 1.0;
    let known = |words: String| if is_link { "-".to_owned() } else { words };
    [
        torrent.id.to_string(),
        known(format!("{:.0}%", (torrent.progress * 100.0).floor())),
        pen.map(|pen| pen.bar(torrent.progress, BAR_WIDTH)).unwrap_or_default(),
        known(tight(torrent.wanted_bytes)),
        speed(torrent.down_rate),
        speed(torrent.up_rate),
        known(format!("{:.2}", torrent.ratio)),
        left.unwrap_or_else(|| "-".to_owned()),
        state,
    ]
}

#[cfg(test)]
mod tests {
    use crate::cli::remote::sample::torrent;

    use super::*;

    #[test]
    fn the_list_has_the_name_last_and_drops_columns_for_it() {
        let mut done = torrent(12, "evil\u{202e}\nname");
        (done.state, done.progress, done.left_s) = (State::Seeding, 1.0, None);
        (done.down_rate, done.up_rate, done.ratio) = (0, 320 << 10, 1.5);
        let mut lonely = torrent(3, "a name that is far longer than what is left of a line");
        (lonely.peers, lonely.down_rate, lonely.progress) = (0, 0, 0.619);
        let mut sought = torrent(4, "sought");
        (sought.state, sought.progress, sought.left_s) = (State::Seeking, 0.0, None);
        (sought.wanted_bytes, sought.down_rate) = (0, 0);
        let rows = [&torrent(1, "debian"), &done, &lonely, &sought];
        let screen = |columns| list(&rows, columns, None);
        let expected = "  NO DONE      SIZE    DOWN/s      UP/s RATIO     ETA STATE    NAME
   1  61%  100.0MiB    2.0MiB         -  0.06     19s download debian
  12 100%  100.0MiB         -  320.0KiB  1.50       - seeding  evil\\u{202e}\\nname
   3  61%  100.0MiB         -         -  0.06     19s no peers a name that is far longer than w…
   4    -         -         -         -     -       - metadata sought
";
        assert_eq!(screen(96), expected);
        let expected = "  NO DONE    DOWN/s STATE    NAME
   1  61%    2.0MiB download debian
  12 100%         - seeding  evil\\u{202e}\\nname
   3  61%         - no peers a name that is far longer t…
   4    -         - metadata sought
";
        assert_eq!(screen(57), expected);
        for columns in [80, 60, 40, 20] {
            assert!(screen(columns).lines().all(|line| line.width() <= columns), "{columns}");
        }
        assert!(list(&[], 80, None).starts_with("no torrents"));
    }

    #[test]
    fn bars_stand_in_it_where_there_is_room() {
        let mut done = torrent(2, "b");
        (done.state, done.progress) = (State::Seeding, 1.0);
        let rows = [&torrent(1, "a"), &done];
        let pen = Pen { is_utf8: true, has_colour: false };
        let screen = list(&rows, 120, Some(pen));
        let mut lines = screen.lines();
        assert!(lines.next().unwrap().starts_with("  NO DONE PROGRESS          SIZE"), "{screen}");
        assert!(lines.next().unwrap().starts_with("   1  61% ███████▎      100.0MiB"), "{screen}");
        assert!(lines.next().unwrap().starts_with("   2 100% ████████████  100.0MiB"), "{screen}");
        assert_eq!(list(&rows, 60, Some(pen)), list(&rows, 60, None), "it goes first");
        let painted = list(&rows, 120, Some(Pen { has_colour: true, ..pen }));
        assert!(painted.contains("\x1b[32m███████▎    \x1b[0m"), "{painted:?}");
        assert!(painted.contains("\x1b[34mseeding \x1b[0m"), "{painted:?}");
        let plain = painted.replace("\x1b[32m", "").replace("\x1b[34m", "").replace("\x1b[0m", "");
        assert_eq!(plain, screen);
    }
}
