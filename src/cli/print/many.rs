//! What is shown of several torrents at once: the table of `list`, and the progress line that adds
//! them up.

use std::time::Instant;

use unicode_width::UnicodeWidthStr as _;

use crate::base::units::{duration, rate, size};
use crate::cli::escape::{escape, fit, shorten};
use crate::torrent::status::{State, Status, rates_together};

use super::{glance, wrap};

/// Columns of a name below which other columns are left out: what the longest name takes, within
/// these.
const NAME_MIN: usize = 12;
const NAME_WANTED: usize = 27;

/// One torrent in the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its number in this run.
    pub number: usize,
    /// What it is called.
    pub name: String,
    /// How it stands.
    pub status: Status,
    /// Its metadata is sought still: pieces that are here, all, and connected peers.
    pub sought: Option<(u32, u32, usize)>,
}

/// Heads of the columns behind the name, with their widths.
const COLUMNS: [(&str, usize); 8] = [
    ("SIZE", 9),
    ("DONE", 4),
    ("STATE", 8),
    ("DOWN/s", 9),
    ("UP/s", 9),
    ("P", 3),
    ("RATIO", 5),
    ("ETA", 7),
];

/// The table of `list`, in lines of at most `columns`; the torrent of number `used` is marked.
pub fn list_screen(rows: impl Iterator<Item = Row>, used: Option<usize>, columns: usize) -> String {
    let heads = COLUMNS.map(|(head, _)| head.to_owned());
    let rows: Vec<Row> = rows.collect();
    if rows.is_empty() {
        return "no torrents: add FILE takes one in\n".to_owned();
    }
    let longest = rows.iter().map(|row| escape(&row.name).width()).max().unwrap_or_default();
    let wanted = longest.clamp(NAME_MIN, NAME_WANTED);
    let mut screen = line("  NO", "NAME", &heads, wanted, columns);
    for row in &rows {
        let mark = if used == Some(row.number) { '*' } else { ' ' };
        let number = format!("{mark}{:>3}", row.number);
        screen += &line(&number, &row.name, &cells_of(row), wanted, columns);
    }
    if rows.len() > 1 {
        let note = "* is the one that commands speak of: use N or NAME changes it";
        screen += &(wrap(note, columns, 2) + "\n");
    }
    screen
}

/// Columns that go only where a name would have no room at all.
const KEPT: usize = 5;
/// Those that matter most, and go only where a name would have less than these columns.
const CORE: usize = 3;
const NAME_LEAST: usize = 8;
/// The columns by what they matter, the most first: how far, how it stands, how fast.
const BY_WEIGHT: [usize; 8] = [1, 2, 3, 0, 4, 5, 6, 7];

/// One line: what matters least is left out until the name has the room that is wanted; what
/// matters most only where it would have none.
fn line(number: &str, name: &str, cells: &[String; 8], wanted: usize, columns: usize) -> String {
    let room = columns.saturating_sub(number.len() + 1);
    let mut shown = COLUMNS.len();
    let width = |shown: usize| {
        BY_WEIGHT[..shown].iter().map(|position| COLUMNS[*position].1 + 1).sum::<usize>()
    };
    let least = |shown: usize| match shown {
        _ if shown <= CORE => NAME_LEAST,
        _ if shown <= KEPT => NAME_MIN,
        _ => wanted,
    };
    while shown > 0 && width(shown) + least(shown) > room {
        shown -= 1;
    }
    let mut line = format!("{number} {}", fit(name, room.saturating_sub(width(shown))));
    for (position, ((_, width), cell)) in COLUMNS.iter().zip(cells).enumerate() {
        if !BY_WEIGHT[..shown].contains(&position) {
            continue;
        }
        // Words are read from the left, numbers from the right.
        line += &match position {
            2 => format!(" {cell:<width$}"),
            _ => format!(" {cell:>width$}"),
        };
    }
    shorten(line.trim_end(), columns) + "\n"
}

fn cells_of(row: &Row) -> [String; 8] {
    let Some((have, pieces, peers)) = row.sought else { return cells(&row.status) };
    let none = || "-".to_owned();
    let done = match pieces {
        0 => none(),
        // Of the metadata: of the torrent nothing is here.
        _ => format!("{have}/{pieces}"),
    };
    let state = "metadata".to_owned();
    [none(), done, state, none(), none(), peers.to_string(), none(), none()]
}

fn cells(status: &Status) -> [String; 8] {
    let rate = |bytes: u64| if bytes == 0 { "-".to_owned() } else { tight(bytes) };
    let remaining = status.remaining().filter(|_| status.state == State::Downloading);
    [
        tight(status.wanted_bytes),
        format!("{:.0}%", (status.progress() * 100.0).floor()),
        state_word(status).to_owned(),
        rate(status.down_rate),
        rate(status.up_rate),
        status.peers_connected.to_string(),
        format!("{:.2}", status.ratio()),
        remaining.map_or("-".to_owned(), duration),
    ]
}

/// A size without its space, since columns are scarce.
fn tight(bytes: u64) -> String {
    size(bytes).replace(' ', "")
}

/// The state in at most eight letters.
fn state_word(status: &Status) -> &'static str {
    match &status.state {
        State::Checking => "checking",
        State::Moving => "moving",
        State::Queued => "queued",
        State::Downloading if status.peers_connected + status.sources_connected > 0 => "download",
        // A server is left alone for a while, or other torrents have its places.
        State::Downloading if status.sources_known > 0 => "waiting",
        State::Downloading => "no peers",
        State::Complete => "seeding",
        State::Finished => "finished",
        State::Paused => "paused",
        State::Stopping => "stopping",
        State::DiskTrouble(_) => "disk",
        State::Failed(_) => "failed",
    }
}

/// How these torrents stand, in one line.
pub fn glance_of(statuses: &[Status]) -> String {
    match statuses {
        [] => "no torrents: add FILE takes one in".to_owned(),
        [only] => glance(only),
        several => {
            let up = Sum::of(several).up_rate;
            let up = if up > 0 { format!("   up {}", rate(up)) } else { String::new() };
            sum_line(several) + &up
        }
    }
}

/// `2 of 3 done   57 %   12 peers   3.4 MiB/s`.
pub fn sum_line(statuses: &[Status]) -> String {
    let sum = Sum::of(statuses);
    let queued = match sum.queued {
        0 => String::new(),
        queued => format!("{queued} queued   "),
    };
    format!(
        "{} of {} done   {queued}{:.0} %   {}   {}",
        sum.done,
        sum.count,
        (sum.share() * 100.0).floor(),
        super::company_words(sum.peers, sum.sources),
        rate(sum.down_rate)
    )
}

/// Several torrents added up.
struct Sum {
    count: usize,
    done: usize,
    queued: usize,
    wanted_bytes: u64,
    done_bytes: u64,
    down_rate: u64,
    up_rate: u64,
    peers: u64,
    /// Servers of files that there are connections to.
    sources: u64,
}

impl Sum {
    fn of(statuses: &[Status]) -> Self {
        let is_done = |status: &Status| match status.state {
            State::Complete | State::Finished => true,
            State::Paused => status.wanted_bytes > 0 && status.progress() >= 1.0,
            _ => false,
        };
        let count_of = |is: fn(&Status) -> bool| statuses.iter().filter(|it| is(it)).count();
        let sum = |number: fn(&Status) -> u64| statuses.iter().map(number).sum();
        let (down_rate, up_rate) = rates_together(statuses, Instant::now());
        Self {
            count: statuses.len(),
            done: count_of(is_done),
            queued: count_of(|status| status.state == State::Queued),
            wanted_bytes: sum(|status| status.wanted_bytes),
            done_bytes: sum(|status| status.done_bytes),
            down_rate,
            up_rate,
            peers: sum(|status| status.peers_connected.into()),
            sources: sum(|status| status.sources_connected.into()),
        }
    }

    fn share(&self) -> f64 {
        if self.wanted_bytes == 0 {
            return 1.0;
        }
        self.done_bytes as f64 / self.wanted_bytes as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loading() -> Status {
        Status {
            state: State::Downloading,
            wanted_bytes: 821_035_008,
            done_bytes: 502_477_619,
            down_rate: 11_953_766,
            uploaded_bytes: 12_897_485,
            peers_connected: 32,
            ..Status::default()
        }
    }

    fn seeding() -> Status {
        Status {
            state: State::Complete,
            wanted_bytes: 1 << 20,
            done_bytes: 1 << 20,
            up_rate: 327_680,
            uploaded_before_bytes: 3 << 19,
            peers_connected: 3,
            ..Status::default()
        }
    }

    fn rows() -> Vec<Row> {
        let queued = Status { state: State::Queued, wanted_bytes: 1 << 30, ..Status::default() };
        vec![
            Row {
                number: 1,
                name: "debian-13.1.0-amd64.iso".to_owned(),
                status: loading(),
                sought: None,
            },
            Row { number: 2, name: "evil\x1b[2Jname".to_owned(), status: seeding(), sought: None },
            Row { number: 13, name: "later".to_owned(), status: queued, sought: None },
        ]
    }

    #[test]
    fn a_table_of_eighty_columns() {
        let expected =
            "  NO NAME                             SIZE DONE STATE       DOWN/s      UP/s   P
   1 debian-13.1.0-amd64.iso      783.0MiB  61% download   11.4MiB         -  32
*  2 evil\\x1b[2Jname                1.0MiB 100% seeding          -  320.0KiB   3
  13 later                          1.0GiB   0% queued           -         -   0
* is the one that commands speak of: use N or NAME changes it
";
        let screen = list_screen(rows().into_iter(), Some(2), 80);
        assert_eq!(screen, expected, "{screen}");
    }

    #[test]
    fn a_torrent_without_metadata_has_a_line() {
        let sought = |have, pieces| Row {
            number: 3,
            name: "wanted".to_owned(),
            status: Status::default(),
            sought: Some((have, pieces, 2)),
        };
        let screen = list_screen([sought(0, 0), sought(2, 13)].into_iter(), None, 80);
        let lines: Vec<Vec<&str>> =
            screen.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["3", "wanted", "-", "-", "metadata", "-", "-", "2", "-", "-"]);
        assert_eq!(lines[2][3], "2/13");
    }

    #[test]
    fn narrow_terminals_lose_columns_and_never_wrap() {
        for columns in [120, 80, 60, 40, 20] {
            let screen = list_screen(rows().into_iter(), None, columns);
            let table: Vec<&str> = screen.lines().take(4).collect();
            assert!(table.iter().all(|line| line.chars().count() <= columns), "{screen}");
            assert_eq!(screen.contains("ETA"), columns > 80, "{screen}");
            assert!(screen.contains("NAME"), "{screen}");
        }
        let narrow = list_screen(rows().into_iter(), None, 40);
        let expected = "   1 debian-13.…  61% download   11.4MiB\n";
        assert!(narrow.contains(expected), "{narrow}");
        let short = Row { name: "a.iso".to_owned(), ..rows().swap_remove(0) };
        assert!(list_screen([short].into_iter(), None, 80).contains("ETA"), "no need to cut");
        let alone = Status { peers_connected: 0, ..loading() };
        assert_eq!(state_word(&alone), "no peers");
        let served = Status { sources_known: 2, sources_connected: 1, ..alone.clone() };
        assert_eq!(state_word(&served), "download");
        assert!(sum_line(&[served.clone(), served.clone()]).contains("   2 web sources   "));
        let waiting = Status { sources_connected: 0, ..served };
        assert_eq!(state_word(&waiting), "waiting", "servers are known");
        assert_eq!(list_screen([].into_iter(), None, 80), "no torrents: add FILE takes one in\n");
    }

    #[test]
    fn several_torrents_add_up() {
        let (one, two) = (loading(), seeding());
        let both = [one.clone(), two];
        let glanced = "1 of 2 done   61 %   35 peers   11.4 MiB/s   up 320.0 KiB/s";
        assert_eq!(glance_of(&both), glanced);
        assert_eq!(glance_of(std::slice::from_ref(&one)), "61 %   32 peers   11.4 MiB/s");
        assert!(glance_of(&[]).starts_with("no torrents"));
        assert_eq!(sum_line(&both), "1 of 2 done   61 %   35 peers   11.4 MiB/s");
        let waiting = Status { state: State::Queued, ..one };
        assert!(sum_line(&[waiting]).starts_with("0 of 1 done   1 queued   61 %"));
    }
}
