//! Which files are wanted: `--select`, `--exclude`, `select`.

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
    fn impossible_choices_say_why() {
        let said = choose(Some("4"), None).unwrap_err();
        assert_eq!(said, "there is no file 4: the torrent has 3 files");
        assert_eq!(choose(Some("1"), Some("1")).unwrap_err(), "no file is left to download");
    }
}
