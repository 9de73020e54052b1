//! Which files are wanted: `--select`, `--exclude`, `select`, and what a magnet link chooses.

use std::ops::RangeInclusive;

use crate::metainfo::Torrent;

use super::print::{counted, files_of};
use super::values::Ranges;

/// Wanted files by position in the torrent. Pad files, which nobody sees, are wanted only with
/// everything else.
///
/// # Errors
/// In words for people: a number that no file has, or nothing left to download.
pub fn wanted_files(
    torrent: &Torrent,
    select: Option<&Ranges>,
    exclude: Option<&Ranges>,
) -> Result<Vec<bool>, String> {
    let positions = files_of(torrent);
    let count = u32::try_from(positions.len()).unwrap_or(u32::MAX);
    for ranges in [select, exclude].into_iter().flatten() {
        if let Some(number) = ranges.beyond(count) {
            let has = counted(count.into(), "file");
            return Err(format!("there is no file {number}: the torrent has {has}"));
        }
    }
    let mut wanted = vec![false; torrent.files.len()];
    for (number, position) in (1..).zip(&positions) {
        wanted[*position] = select.is_none_or(|ranges| ranges.contains(number))
            && !exclude.is_some_and(|ranges| ranges.contains(number));
    }
    if !wanted.contains(&true) {
        return Err("no file is left to download".to_owned());
    }
    if positions.iter().all(|position| wanted[*position]) {
        // Everything is no choice.
        wanted.fill(true);
    }
    Ok(wanted)
}

/// The files that a magnet link chooses by their positions (BEP 53), as [`wanted_files`]; none
/// when it chooses nothing. Positions behind the last file mean nothing.
///
/// # Errors
/// In words for people, when nothing is left to download.
pub fn linked_files(
    torrent: &Torrent,
    chosen: &[RangeInclusive<u32>],
) -> Result<Option<Vec<bool>>, String> {
    if chosen.is_empty() {
        return Ok(None);
    }
    let mut wanted = vec![false; torrent.files.len()];
    let positions = files_of(torrent);
    for position in &positions {
        let is_chosen = |range: &RangeInclusive<u32>| {
            u32::try_from(*position).is_ok_and(|position| range.contains(&position))
        };
        wanted[*position] = chosen.iter().any(is_chosen);
    }
    if !wanted.contains(&true) {
        let has = counted(positions.len() as u64, "file");
        return Err(format!(
            "the magnet link chooses no file that the torrent has ({has}): choose by --select"
        ));
    }
    if positions.iter().all(|position| wanted[*position]) {
        wanted.fill(true);
    }
    Ok(Some(wanted))
}

/// The positions that a magnet link has to name for these files; `shown` are the positions of the
/// files that people count, none when there is no torrent to tell. All files are no choice.
///
/// # Errors
/// In words for people, when the torrent has no such file.
pub fn positions(
    ranges: &Ranges,
    shown: Option<&[usize]>,
) -> Result<Vec<RangeInclusive<u32>>, String> {
    if ranges.is_all() {
        return Ok(Vec::new());
    }
    let Some(shown) = shown else {
        return Ok(ranges.pairs().map(|(first, last)| first - 1..=last - 1).collect());
    };
    let count = u32::try_from(shown.len()).unwrap_or(u32::MAX);
    if let Some(number) = ranges.beyond(count) {
        let has = counted(count.into(), "file");
        return Err(format!("there is no file {number}: the torrent has {has}"));
    }
    let mut chosen: Vec<RangeInclusive<u32>> = Vec::new();
    for (number, position) in (1..).zip(shown) {
        let position = u32::try_from(*position).unwrap_or(u32::MAX);
        match chosen.last_mut() {
            _ if !ranges.contains(number) => {}
            Some(last) if last.end().saturating_add(1) == position => {
                *last = *last.start()..=position;
            }
            _ => chosen.push(position..=position),
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::values::ranges;

    fn torrent() -> Torrent {
        let mut bytes = b"d4:infod5:filesl\
            d6:lengthi30000e4:pathl1:aeed4:attr1:p6:lengthi2768e4:pathl4:.pad1:0ee\
            d6:lengthi40000e4:pathl1:beed6:lengthi10e4:pathl1:cee\
            e4:name3:set12:piece lengthi32768e6:pieces60:"
            .to_vec();
        bytes.extend([b'x'; 60]);
        bytes.extend(b"ee");
        Torrent::parse(&bytes).unwrap()
    }

    fn choose(select: Option<&str>, exclude: Option<&str>) -> Result<Vec<bool>, String> {
        let read = |text: &str| ranges(text).unwrap();
        let (select, exclude) = (select.map(read), exclude.map(read));
        wanted_files(&torrent(), select.as_ref(), exclude.as_ref())
    }

    #[test]
    fn numbers_skip_pad_files() {
        assert_eq!(choose(None, None).unwrap(), [true; 4]);
        assert_eq!(choose(Some("all"), None).unwrap(), [true; 4]);
        assert_eq!(choose(Some("2"), None).unwrap(), [false, false, true, false]);
        assert_eq!(choose(Some("1-2"), Some("1")).unwrap(), [false, false, true, false]);
        assert_eq!(choose(None, Some("2-")).unwrap(), [true, false, false, false]);
    }

    #[test]
    fn a_link_counts_pad_files() {
        let linked = |ranges: &[RangeInclusive<u32>]| linked_files(&torrent(), ranges);
        assert_eq!(linked(&[]), Ok(None));
        assert_eq!(linked(&[2..=2]), Ok(Some(vec![false, false, true, false])));
        assert_eq!(linked(&[0..=1, 3..=99]), Ok(Some(vec![true, false, false, true])));
        assert_eq!(linked(&[0..=u32::MAX]), Ok(Some(vec![true; 4])), "everything is no choice");
        let none = linked(&[1..=1, 4..=99]).unwrap_err();
        assert!(none.contains("no file that the torrent has (3 files)"), "{none}");
    }

    #[test]
    fn numbers_become_positions_of_a_link() {
        let shown = files_of(&torrent());
        let chosen = |text: &str| positions(&ranges(text).unwrap(), Some(&shown));
        assert_eq!(chosen("2-3"), Ok(vec![2..=3]));
        assert_eq!(chosen("1-2"), Ok(vec![0..=0, 2..=2]));
        assert_eq!(chosen("all"), Ok(vec![]));
        assert_eq!(chosen("4"), Err("there is no file 4: the torrent has 3 files".to_owned()));
        assert_eq!(positions(&ranges("2-3,9").unwrap(), None), Ok(vec![1..=2, 8..=8]));
    }

    #[test]
    fn impossible_choices_say_why() {
        let said = choose(Some("4"), None).unwrap_err();
        assert_eq!(said, "there is no file 4: the torrent has 3 files");
        assert_eq!(choose(Some("1"), Some("1")).unwrap_err(), "no file is left to download");
    }
}
