//! `watch`: the list again each second, of which only what changes is fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;

use crate::api::{List, Mark, Request, Torrent};
use crate::cli::args::Filters;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::keys::Keys;
use crate::cli::out;
use crate::cli::stop::Stopper;

use super::asking::{Hosts, Remote};
use super::screens;

/// Home, and clear what is below it.
const REPAINT: &str = "\x1b[H\x1b[2J";
/// Lines besides those of torrents: the head, the sum, and what ends it.
const BESIDE: usize = 5;
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
    while !stopper.is_asked() {
        let painted = match fetch(remote, filters, &mut table, &mut hosts).await {
            Ok(rows) => painted(&rows, None),
            // It is tried again, and meanwhile what is known stands there.
            Err(failure) if failure.exit == Exit::Network => {
                painted(&table.in_order(), Some(&failure.message))
            }
            Err(failure) => return Err(failure),
        };
        (remote.voice.say)(&painted)?;
        if keys.pressed().await.is_none_or(|pressed| is_end(&pressed)) {
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

fn painted(rows: &[Torrent], trouble: Option<&str>) -> String {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let lines = size.map_or(LINES, |size| usize::from(size.ws_row)).max(BESIDE + 1);
    REPAINT.to_owned() + &screen(rows, trouble, out::columns(), lines)
}

/// The screen, in so many lines and columns.
fn screen(rows: &[Torrent], trouble: Option<&str>, columns: usize, lines: usize) -> String {
    let rows: Vec<&Torrent> = rows.iter().collect();
    let shown = rows.len().min(lines.saturating_sub(BESIDE));
    let more = match rows.len() - shown {
        0 => String::new(),
        more => format!("({more} more)\n"),
    };
    let last = match trouble {
        Some(trouble) => crate::cli::escape::shorten(trouble, columns) + "\n",
        None => screens::glance(&rows),
    };
    format!("{}{more}{last}(q ends)\n", screens::list(&rows[..shown], columns))
}

#[cfg(test)]
mod tests {
    use crate::cli::remote::sample::torrent;

    use super::*;

    fn list(cursor: &str, full: bool, torrents: Vec<Torrent>, removed: Vec<u32>) -> List {
        List { cursor: cursor.parse().unwrap(), full, torrents, removed }
    }

    fn ids(table: &Table) -> Vec<u32> {
        table.in_order().iter().map(|torrent| torrent.id).collect()
    }

    #[test]
    fn what_changes_is_taken_in_and_the_queue_orders_it() {
        let mut table = Table::default();
        let all = vec![torrent(1, "a"), torrent(2, "b"), torrent(3, "c")];
        table.take(list("1-5", true, all, vec![]));
        assert_eq!((ids(&table), table.cursor), (vec![1, 2, 3], "1-5".parse().ok()));
        let first = Torrent { place: "0".into(), ..torrent(3, "c") };
        table.take(list("1-7", false, vec![first, torrent(4, "d")], vec![2]));
        assert_eq!(ids(&table), [3, 1, 4]);
        // One that was told as gone and as changed is there again.
        table.take(list("1-8", false, vec![torrent(2, "b")], vec![2]));
        assert_eq!(ids(&table), [3, 1, 2, 4]);
        table.take(list("2-1", true, vec![torrent(9, "z")], vec![]));
        assert_eq!(ids(&table), [9], "of another run of the daemon");
    }

    #[test]
    fn a_screen_has_as_many_lines_as_the_terminal() {
        let rows: Vec<Torrent> = (1..=9).map(|id| torrent(id, "x")).collect();
        let painted = screen(&rows, None, 80, 8);
        assert!(
            painted.contains("(6 more)\n0 of 9 done   288 peers   down 18.0 MiB/s"),
            "{painted}"
        );
        assert!(painted.lines().count() < 8 && painted.ends_with("(q ends)\n"), "{painted}");
        let troubled = screen(&rows[..1], Some("no daemon answers"), 80, 24);
        assert!(troubled.ends_with("no daemon answers\n(q ends)\n"), "{troubled}");
    }

    #[test]
    fn q_and_ctrl_c_end_it() {
        assert!(is_end(b"q") && is_end(b"Q") && is_end(&[INTERRUPT]));
        assert!(!is_end(b"") && !is_end(b"x") && !is_end(b"\x1b[A"));
    }
}
