//! `watch`: the list again each second, of which only what changes is fetched, and how fast it all
//! was in the last minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::api::{List, Mark, Request, Torrent};
use crate::base::units::rate;
use crate::cli::args::Filters;
use crate::cli::escape::{fit, shorten};
use crate::cli::exit::{Exit, Failure, Outcome, from_io};
use crate::cli::keys::Keys;
use crate::cli::out;
use crate::cli::stop::Stopper;

use super::asking::{Hosts, Remote};
use super::picture::{Ink, Pen};
use super::screens;
use super::table::list;

/// Home, and clear what is below it.
const REPAINT: &str = "\x1b[H\x1b[2J";
/// Lines besides those of torrents and plots: the head, how many more there are, the sum, what
/// ends it, and where the cursor rests.
const BESIDE: usize = 5;
/// Lines of a plot, and how many lines a terminal has to have for that.
const PLOTS: [(usize, usize); 2] = [(3, 20), (1, 12)];
/// Columns of a terminal with both plots side by side, and between them.
const BOTH: usize = 64;
const GAP: usize = 2;
/// Seconds that are kept: as many as the widest terminal has columns.
const HISTORY_MAX: usize = 512;
/// How often it is looked how fast it is.
const SECOND: Duration = Duration::from_secs(1);
/// Lines of a terminal that does not say how many it has.
const LINES: usize = 24;
/// Ctrl-C, as a key.
const INTERRUPT: u8 = 3;

/// Torrents as they were last told.
#[derive(Debug, Default)]
struct Table {
    rows: BTreeMap<u32, Torrent>,
    cursor: Option<Mark>,
}

impl Table {
    /// Takes in what changed.
    fn take(&mut self, list: List) {
        if list.full {
            self.rows.clear();
        }
        for id in &list.removed {
            self.rows.remove(id);
        }
        self.rows.extend(list.torrents.into_iter().map(|torrent| (torrent.id, torrent)));
        self.cursor = Some(list.cursor);
    }

    /// All, in the order of the queue.
    fn in_order(&self) -> Vec<Torrent> {
        let mut rows: Vec<Torrent> = self.rows.values().cloned().collect();
        rows.sort_by(|one, other| (&one.place, one.id).cmp(&(&other.place, other.id)));
        rows
    }
}

/// How fast it all was, a value each second, in bytes.
#[derive(Debug, Default)]
struct History {
    down: Vec<u64>,
    up: Vec<u64>,
    looked_at: Option<Instant>,
}

impl History {
    /// Notes how fast it is now, if a second is over.
    fn note(&mut self, rows: &[Torrent], now: Instant) {
        // A key that is pressed early, or a clock that is a little late.
        let is_early = |last: Instant| now.saturating_duration_since(last) < SECOND * 9 / 10;
        if self.looked_at.is_some_and(is_early) {
            return;
        }
        self.looked_at = Some(now);
        self.down.push(rows.iter().map(|row| row.down_rate).sum());
        self.up.push(rows.iter().map(|row| row.up_rate).sum());
        for values in [&mut self.down, &mut self.up] {
            let old = values.len().saturating_sub(HISTORY_MAX);
            values.drain(..old);
        }
    }
}

pub(super) async fn watch(remote: &mut Remote, filters: &Filters) -> Outcome {
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if remote.voice.json || !is_terminal {
        let why = "watch paints a terminal: driver remote list, or log -f, tells programs";
        return Err(Failure::usage(why));
    }
    let stopper = Stopper::new();
    // Whoever ends us otherwise finds the terminal as it was.
    let _ = stopper.listen();
    let (mut table, mut hosts) = (Table::default(), Hosts::new());
    // Without an answer at all there is nothing to paint.
    table.take(remote.ask(&Request::List(None)).await?);
    let no_keys = |_| Failure::usage("the terminal gives no keys");
    let keys = Keys::take().map_err(no_keys)?;
    let mut resized = signal(SignalKind::window_change())
        .map_err(|error| from_io("cannot see when the terminal changes its size", &error))?;
    let pen = Pen { is_utf8: remote.voice.is_utf8, has_colour: out::has_color() };
    let mut history = History::default();
    while !stopper.is_asked() {
        let (rows, trouble) = match fetch(remote, filters, &mut table, &mut hosts).await {
            Ok(rows) => (rows, None),
            // It is tried again, and meanwhile what is known stands there.
            Err(failure) if failure.exit == Exit::Network => {
                (table.in_order(), Some(failure.message))
            }
            Err(failure) => return Err(failure),
        };
        match trouble {
            None => history.note(&rows, Instant::now()),
            // Nothing comes from where nobody answers.
            Some(_) => history.note(&[], Instant::now()),
        }
        let mut pressed = pin!(keys.pressed());
        let pressed = loop {
            (remote.voice.say)(&painted(&rows, trouble.as_deref(), &history, pen))?;
            tokio::select! {
                pressed = &mut pressed => break pressed,
                // The same again, as it fits.
                Some(()) = resized.recv() => {}
            }
        };
        if pressed.is_none_or(|pressed| is_end(&pressed)) {
            break;
        }
    }
    Ok(Exit::Done)
}

/// Those that fit, after what changed was fetched.
async fn fetch(
    remote: &Remote,
    filters: &Filters,
    table: &mut Table,
    hosts: &mut Hosts,
) -> Result<Vec<Torrent>, Failure> {
    table.take(remote.ask(&Request::List(table.cursor)).await?);
    let there: BTreeSet<u32> = table.rows.keys().copied().collect();
    hosts.retain(|id, _| there.contains(id));
    remote.fitting(table.in_order(), filters, hosts).await
}

fn is_end(pressed: &[u8]) -> bool {
    pressed.iter().any(|key| matches!(*key, b'q' | b'Q' | INTERRUPT))
}

fn painted(rows: &[Torrent], trouble: Option<&str>, history: &History, pen: Pen) -> String {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let lines = size.map_or(LINES, |size| usize::from(size.ws_row)).max(BESIDE + 1);
    let (columns, mut screen) = (out::columns(), REPAINT.to_owned());
    let plots = plots(history, columns, lines, pen);
    let lines = lines - plots.lines().count();
    screen += &plots;
    screen + &table(rows, trouble, columns, lines, pen)
}

/// How fast it was, as a picture; nothing where there is no room for it.
fn plots(history: &History, columns: usize, lines: usize, pen: Pen) -> String {
    let Some((height, _)) = PLOTS.into_iter().find(|(_, least)| lines >= *least) else {
        return String::new();
    };
    let is_both = columns >= BOTH;
    let width = if is_both { (columns - GAP) / 2 } else { columns };
    let one = |name: &str, values: &[u64], ink| {
        let now = values.last().copied().unwrap_or_default();
        let seen = &values[values.len().saturating_sub(width)..];
        let most = seen.iter().copied().max().unwrap_or_default();
        let head = format!("{name} {}   most {}", rate(now), rate(most));
        let drawn = pen.plot(values, width, height);
        let drawn = drawn.iter().map(|line| pen.in_colour(line, ink));
        std::iter::once(fit(&head, width)).chain(drawn).collect::<Vec<_>>()
    };
    let down = one("down", &history.down, Ink::Green);
    let up = one("up", &history.up, Ink::Blue);
    let line = |(down, up): (String, String)| match is_both {
        true => format!("{down}{:GAP$}{up}\n", ""),
        false => down + "\n",
    };
    down.into_iter().zip(up).map(line).collect()
}

/// The list, in so many lines and columns.
fn table(
    rows: &[Torrent],
    trouble: Option<&str>,
    columns: usize,
    lines: usize,
    pen: Pen,
) -> String {
    let rows: Vec<&Torrent> = rows.iter().collect();
    let shown = rows.len().min(lines.saturating_sub(BESIDE));
    let more = match rows.len() - shown {
        0 => String::new(),
        more => format!("({more} more)\n"),
    };
    let last = match trouble {
        Some(trouble) => pen.in_colour(&shorten(trouble, columns), Ink::Red) + "\n",
        None => screens::glance(&rows),
    };
    format!("{}{more}{last}(q ends)\n", list(&rows[..shown], columns, Some(pen)))
}

#[cfg(test)]
mod tests {
    use crate::cli::remote::sample::torrent;

    use super::*;

    const PEN: Pen = Pen { is_utf8: true, has_colour: false };

    fn told(cursor: &str, full: bool, torrents: Vec<Torrent>, removed: Vec<u32>) -> List {
        List { cursor: cursor.parse().unwrap(), full, torrents, removed }
    }

    fn ids(table: &Table) -> Vec<u32> {
        table.in_order().iter().map(|torrent| torrent.id).collect()
    }

    #[test]
    fn what_changes_is_taken_in_and_the_queue_orders_it() {
        let mut table = Table::default();
        let all = vec![torrent(1, "a"), torrent(2, "b"), torrent(3, "c")];
        table.take(told("1-5", true, all, vec![]));
        assert_eq!((ids(&table), table.cursor), (vec![1, 2, 3], "1-5".parse().ok()));
        let first = Torrent { place: "0".into(), ..torrent(3, "c") };
        table.take(told("1-7", false, vec![first, torrent(4, "d")], vec![2]));
        assert_eq!(ids(&table), [3, 1, 4]);
        // One that was told as gone and as changed is there again.
        table.take(told("1-8", false, vec![torrent(2, "b")], vec![2]));
        assert_eq!(ids(&table), [3, 1, 2, 4]);
        table.take(told("2-1", true, vec![torrent(9, "z")], vec![]));
        assert_eq!(ids(&table), [9], "of another run of the daemon");
    }

    #[test]
    fn a_screen_has_as_many_lines_as_the_terminal() {
        let rows: Vec<Torrent> = (1..=9).map(|id| torrent(id, "x")).collect();
        let painted = super::table(&rows, None, 80, 8, PEN);
        assert!(
            painted.contains("(6 more)\n0 of 9 done   288 peers   down 18.0 MiB/s"),
            "{painted}"
        );
        assert!(painted.lines().count() < 8 && painted.ends_with("(q ends)\n"), "{painted}");
        let troubled = super::table(&rows[..1], Some("no daemon answers"), 80, 24, PEN);
        assert!(troubled.ends_with("no daemon answers\n(q ends)\n"), "{troubled}");
    }

    #[test]
    fn each_second_is_a_column_of_the_plots() {
        let begin = Instant::now();
        let mut history = History::default();
        for (at_ms, mib) in [(0, 1), (300, 9), (1000, 2), (1950, 4)] {
            let row = Torrent { down_rate: mib << 20, up_rate: 1 << 10, ..torrent(1, "x") };
            history.note(&[row], begin + Duration::from_millis(at_ms));
        }
        assert_eq!(history.down, [1 << 20, 2 << 20, 4 << 20], "a key is no second");
        let drawn = plots(&history, 80, 24, PEN);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("down 4.0 MiB/s   most 4.0 MiB/s    "), "{drawn}");
        assert!(lines[0].contains("up 1.0 KiB/s   most 1.0 KiB/s"), "{drawn}");
        assert_eq!(lines[3].trim(), format!("▆██{:38}███", ""), "{drawn}");
        assert!(plots(&history, 50, 24, PEN).lines().all(|line| !line.contains("up")));
        assert_eq!(plots(&history, 80, 12, PEN).lines().count(), 2);
        assert_eq!(plots(&history, 80, 11, PEN), "");
        for at_s in 2..2000 {
            history.note(&[], begin + Duration::from_secs(at_s));
        }
        assert_eq!(history.up.len(), HISTORY_MAX);
    }

    #[test]
    fn q_and_ctrl_c_end_it() {
        assert!(is_end(b"q") && is_end(b"Q") && is_end(&[INTERRUPT]));
        assert!(!is_end(b"") && !is_end(b"x") && !is_end(b"\x1b[A"));
    }
}
