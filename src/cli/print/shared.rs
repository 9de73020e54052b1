//! The catalogue of a tracker as a table and as JSON: what is shared by name, and who has which
//! share of the pieces.

use serde_json::{Value, json};

use crate::base::units::size;
use crate::cli::escape::{fit, shorten};
use crate::tracker::catalogue_client::{Holder, Listed, Listing};

use super::counted;

/// Columns of size, seeds and leeches, each with a space before it.
const NUMBERS_WIDTH: usize = 28;
/// The longest name that is shown when the terminal is wide.
const NAME_MAX: usize = 60;

/// The table, in lines of at most `columns`; numbered for a menu, and with those who have
/// something when `with_holders`.
pub fn shared_screen(
    listing: &Listing,
    is_numbered: bool,
    with_holders: bool,
    columns: usize,
) -> String {
    let mut screen = String::new();
    if listing.torrents.is_empty() {
        screen += "nothing is shared yet: driver catalogue share PATH begins\n";
    } else {
        let head = if is_numbered { "  NO NAME" } else { "NAME" };
        screen += &line(head, ["SIZE", "SEEDS", "LEECHES"], columns);
    }
    for (position, listed) in listing.torrents.iter().enumerate() {
        let number = if is_numbered { format!("{:>4} ", position + 1) } else { String::new() };
        let numbers = [size(listed.size), listed.seeds.to_string(), listed.leeches.to_string()];
        let numbers = numbers.each_ref().map(String::as_str);
        screen += &line(&format!("{number}{}", listed.name), numbers, columns);
        if with_holders {
            screen += &holders(listed, columns);
        }
    }
    if listing.left_out > 0 {
        let count = counted(listing.left_out as u64, "entry").replace("entrys", "entries");
        screen += &format!("{count} left out: no torrent can have such a name or hash\n");
    }
    screen
}

fn line(name: &str, [size, seeds, leeches]: [&str; 3], columns: usize) -> String {
    let room = columns.saturating_sub(NUMBERS_WIDTH).clamp(8, NAME_MAX);
    let line = format!("{} {size:>11} {seeds:>6} {leeches:>8}", fit(name, room));
    shorten(line.trim_end(), columns) + "\n"
}

fn holders(listed: &Listed, columns: usize) -> String {
    let lines = listed.holders.iter().map(|holder| {
        // An IPv6 address with its port has at most 47 letters.
        let per_cent = (holder.share * 100.0).floor();
        let line = format!("      {:<24} {per_cent:>3.0} %", holder.address.to_string());
        shorten(&line, columns) + "\n"
    });
    lines.collect()
}

/// The same as JSON: numbers are bytes and parts of 1.
pub fn shared_json(listing: &Listing, tracker: &str) -> Value {
    let torrent = |listed: &Listed| {
        let holder = |holder: &Holder| {
            let Holder { address, share } = holder;
            json!({ "address": address.to_string(), "share": share })
        };
        json!({
            "name": listed.name,
            "info_hash": listed.info_hash.to_string(),
            "size": listed.size,
            "files": listed.files,
            "pieces": listed.pieces,
            "seeds": listed.seeds,
            "leeches": listed.leeches,
            "holders": listed.holders.iter().map(holder).collect::<Vec<_>>(),
        })
    };
    let torrents: Vec<Value> = listing.torrents.iter().map(torrent).collect();
    json!({ "tracker": tracker, "torrents": torrents })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::InfoHash;

    fn listing() -> Listing {
        let listed = |name: &str, size, holders| Listed {
            name: name.to_owned(),
            info_hash: InfoHash([1; 20]),
            size,
            files: 1,
            pieces: 3,
            seeds: 1,
            leeches: 12,
            holders,
        };
        let some = Holder { address: ([10, 0, 0, 2], 6881).into(), share: 0.669 };
        let all = Holder { address: ([10, 0, 0, 3], 6881).into(), share: 1.0 };
        let torrents = vec![
            listed("lecture", 3_000_000, vec![some, all]),
            listed(&"long name ".repeat(8), 12, Vec::new()),
        ];
        Listing { torrents, left_out: 2 }
    }

    #[test]
    fn a_table_of_eighty_columns() {
        let expected = "\
NAME                                                        SIZE  SEEDS  LEECHES
lecture                                                  2.9 MiB      1       12
      10.0.0.2:6881             66 %
      10.0.0.3:6881            100 %
long name long name long name long name long name l…        12 B      1       12
2 entries left out: no torrent can have such a name or hash
";
        let screen = shared_screen(&listing(), false, true, 80);
        assert_eq!(screen, expected, "{screen}");
        let screen = shared_screen(&listing(), true, false, 60);
        assert!(screen.contains("\n   1 lecture "), "{screen}");
        assert!(screen.lines().all(|line| line.chars().count() <= 60), "{screen}");
    }

    #[test]
    fn an_empty_catalogue_says_what_to_do() {
        let screen = shared_screen(&Listing::default(), false, true, 80);
        assert_eq!(screen, "nothing is shared yet: driver catalogue share PATH begins\n");
    }
}
