//! What is chosen of a torrent, as the prompt and `driver remote` tell the API: files, how much
//! they are wanted, and the order of their pieces. Pure.

use crate::api::FilePatch;
use crate::base::file_priority::FilePriority;

use super::values::Ranges;

/// What is said of the order of pieces.
pub const ORDERS: [&str; 3] = ["rarest", "sequential", "ends-first"];

/// These files and no others, of so many.
///
/// # Errors
/// In words for people: there is no such file.
pub fn only_these(ranges: &Ranges, count: u32) -> Result<FilePatch, String> {
    if let Some(number) = ranges.beyond(count) {
        let s = if count == 1 { "" } else { "s" };
        return Err(format!("there is no file {number}: the torrent has {count} file{s}"));
    }
    let (want, skip) = (1..=count).partition(|number| ranges.contains(*number));
    Ok(FilePatch { want, skip, ..FilePatch::default() })
}

/// That these files are wanted so much; others stay as they are.
pub fn prioritized(files: Vec<u32>, priority: FilePriority) -> FilePatch {
    let mut patch = FilePatch::default();
    let these = match priority {
        FilePriority::Off => &mut patch.skip,
        FilePriority::Low => &mut patch.low,
        FilePriority::Normal => &mut patch.normal,
        FilePriority::High => &mut patch.high,
    };
    *these = files;
    patch
}

/// How much a file is wanted, by its word.
pub fn graded(word: &str) -> Option<FilePriority> {
    Some(match word {
        "off" => FilePriority::Off,
        "low" => FilePriority::Low,
        "normal" => FilePriority::Normal,
        "high" => FilePriority::High,
        _ => return None,
    })
}

/// The order of pieces by its words: whether they come one after the other, and whether the ends of
/// files come before all others.
///
/// # Errors
/// In words for people: one of them is none, or two do not go together.
pub fn order_of(words: &[impl AsRef<str>]) -> Result<(bool, bool), String> {
    let has = |order: &str| words.iter().any(|word| word.as_ref() == order);
    if words.is_empty() || !words.iter().all(|word| ORDERS.contains(&word.as_ref())) {
        return Err("say how pieces are to come: rarest, sequential, ends-first".to_owned());
    }
    if has("rarest") && has("sequential") {
        return Err("pieces come in order or the rarest first, not both".to_owned());
    }
    // Each says how pieces come altogether: rarest first where nothing else is said.
    Ok((has("sequential"), has("ends-first")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::values;

    #[test]
    fn a_choice_says_of_each_file_whether_it_is_wanted() {
        let ranges = values::ranges("1-2,4").unwrap();
        let some = |want, skip| FilePatch { want, skip, ..FilePatch::default() };
        let patch = some(vec![1, 2, 4], vec![3, 5]);
        assert_eq!(only_these(&ranges, 5), Ok(patch));
        let none = "there is no file 4: the torrent has 3 files";
        assert_eq!(only_these(&ranges, 3).unwrap_err(), none);
        let open = values::ranges("2-").unwrap();
        assert_eq!(only_these(&open, 2), Ok(some(vec![2], vec![1])));
        let all = values::ranges("all").unwrap();
        assert_eq!(only_these(&all, 1), Ok(some(vec![1], Vec::new())));
    }

    #[test]
    fn a_priority_is_of_the_files_that_are_named_alone() {
        let of = |word| prioritized(vec![2, 3], graded(word).unwrap());
        let none = FilePatch::default;
        assert_eq!(of("off"), FilePatch { skip: vec![2, 3], ..none() });
        assert_eq!(of("low"), FilePatch { low: vec![2, 3], ..none() });
        assert_eq!(of("normal"), FilePatch { normal: vec![2, 3], ..none() });
        assert_eq!(of("high"), FilePatch { high: vec![2, 3], ..none() });
        assert_eq!(graded("most"), None);
    }
}
