//! Strangers' names made into names that are safe to create: one element at a time, and never
//! by refusing the torrent. Not here: names that clash with each other (`twins`).

use unicode_normalization::UnicodeNormalization;

/// The longest name, in bytes, that common file systems take.
const NAME_LEN_MAX: usize = 255;
/// An extension longer than this, with its dot, is not worth keeping when a name is cut.
const EXTENSION_LEN_MAX: usize = 16;

/// Appends one element of a path in the form in which it may be created on disk: no
/// separators, no control characters, none that turn the direction of writing or show as
/// nothing, at most 255 bytes; never empty, `.` or `..`. The same bytes always give
/// the same name.
pub(super) fn push_clean(path: &mut String, element: &[u8]) {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'/' | b'\\');
    let is_plain = !cfg!(windows)
        && element.len() <= NAME_LEN_MAX
        && element.iter().all(plain)
        && !matches!(element, b"" | b"." | b"..");
    match std::str::from_utf8(element) {
        Ok(text) if is_plain => path.push_str(text),
        _ => path.push_str(&cleaned(element, cfg!(windows))),
    }
}

/// A stranger's name for a file in the form in which it may be created on disk, the same for
/// the same bytes: no separators, no control characters, none that turn the direction of
/// writing or show as nothing, at most 255 bytes; never empty, `.` or `..`.
pub fn clean(element: &[u8]) -> String {
    let mut name = String::new();
    push_clean(&mut name, element);
    name
}

fn cleaned(element: &[u8], windows: bool) -> String {
    let mut name = String::with_capacity(element.len());
    for part in element.utf8_chunks() {
        name.extend(part.valid().chars().filter_map(|letter| clean_letter(letter, windows)));
        if !part.invalid().is_empty() {
            name.push('_');
        }
    }
    // One byte is left for the mark before a device's name.
    cut(&mut name, if windows { NAME_LEN_MAX - 1 } else { NAME_LEN_MAX });
    if windows {
        name.truncate(name.trim_end_matches(['.', ' ']).len());
        if is_device_name(&name) {
            name.insert(0, '_');
        }
    }
    if matches!(name.as_str(), "" | "." | "..") {
        name = "_".to_owned();
    }
    name
}

fn clean_letter(letter: char, windows: bool) -> Option<char> {
    match letter {
        // Marks that turn the direction of writing, and spaces without width: they make a
        // name look like another one. The two joiners stay, since words need them.
        '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{feff}' => None,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
        '\u{2028}' | '\u{2029}' => Some('_'),
        '/' | '\\' => Some('_'),
        '<' | '>' | ':' | '"' | '|' | '?' | '*' if windows => Some('_'),
        _ if letter.is_control() => Some('_'),
        _ => Some(letter),
    }
}

/// Names that Windows takes for devices, whatever their extension.
fn is_device_name(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_lowercase();
    match stem.as_str() {
        "con" | "prn" | "aux" | "nul" => true,
        _ => {
            let number = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
            number.is_some_and(|number| matches!(number.as_bytes(), [b'1'..=b'9']))
        }
    }
}

/// The name with a number before its extension, for one that clashes: `a.txt` → `a.1.txt`.
pub(super) fn numbered(name: &str, number: u32) -> String {
    let (stem, extension) = split_extension(name);
    let suffix = format!(".{number}{extension}");
    let mut renamed = stem.to_owned();
    truncate(&mut renamed, NAME_LEN_MAX.saturating_sub(suffix.len()));
    renamed.push_str(&suffix);
    renamed
}

/// A path in the form in which it is equal to any that is the same on some file system.
pub fn fold(path: &str) -> String {
    let mut folded = String::with_capacity(path.len());
    push_folded(&mut folded, path);
    folded
}

/// Appends the form in which two names are equal on some file system: one that ignores
/// case, or one that stores letters in another normal form.
pub(super) fn push_folded(folded: &mut String, name: &str) {
    if name.is_ascii() {
        folded.extend(name.bytes().map(|byte| char::from(byte.to_ascii_lowercase())));
    } else {
        folded.extend(name.nfd().flat_map(char::to_lowercase).nfc());
    }
}

fn cut(name: &mut String, len_max: usize) {
    if name.len() > len_max {
        let extension = split_extension(name).1.to_owned();
        truncate(name, len_max.saturating_sub(extension.len()));
        name.push_str(&extension);
    }
}

/// Stem and extension with its dot; the extension is empty when there is none worth keeping.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= EXTENSION_LEN_MAX => name.split_at(dot),
        _ => (name, ""),
    }
}

/// Cuts between characters, so that at most `len_max` bytes are left.
fn truncate(name: &mut String, len_max: usize) {
    name.truncate(name.floor_char_boundary(len_max));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn traversal_and_separators_are_defused() {
        assert_eq!(clean(b".."), "_");
        assert_eq!(clean(b"."), "_");
        assert_eq!(clean(b""), "_");
        assert_eq!(clean(b"../../etc/passwd"), ".._.._etc_passwd");
        assert_eq!(clean(b"/etc"), "_etc");
        assert_eq!(clean(b"..\\x"), ".._x");
        assert_eq!(clean("\u{202e}..".as_bytes()), "_", "what is left is judged, too");
        // `/` in two bytes, as no UTF-8 decoder may take it.
        assert_eq!(clean(b"..\xc0\xafx"), "..__x");
    }

    #[test]
    fn control_and_direction_characters_go() {
        assert_eq!(clean(b"a\0b\nc\x1b[31m\x7f"), "a_b_c_[31m_");
        assert_eq!(clean("a\u{202e}gpj.exe\u{200b}\u{feff}".as_bytes()), "agpj.exe");
        assert_eq!(clean("a\u{85}b\u{2028}c".as_bytes()), "a_b_c");
    }

    #[test]
    fn honest_names_stay_as_they_are() {
        for name in
            ["naïve – 東京.iso", "a b", "...", ".hidden", "CON", "a:b?", "x. ", "👩\u{200d}🚀"]
        {
            assert_eq!(cleaned(name.as_bytes(), false), name);
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_map_the_same_way_each_time() {
        assert_eq!(clean(b"caf\xe9.txt"), "caf_.txt");
    }

    #[test]
    fn windows_names_are_cleaned_for_windows_only() {
        let on_windows = |name: &str| cleaned(name.as_bytes(), true);
        assert_eq!(on_windows("CON"), "_CON");
        assert_eq!(on_windows("aux.txt"), "_aux.txt");
        assert_eq!(on_windows("com1"), "_com1");
        assert_eq!(on_windows("com10"), "com10");
        assert_eq!(on_windows("a. . "), "a");
        assert_eq!(on_windows("a:b"), "a_b");
        assert_eq!(on_windows("..."), "_");
    }

    #[test]
    fn long_names_are_cut_and_keep_their_extension() {
        let long = clean(format!("{}.tar", "x".repeat(300)).as_bytes());
        assert_eq!(long.len(), 255);
        assert!(long.ends_with("xx.tar"));
        let wide = clean(format!("{}.mkv", "東".repeat(100)).as_bytes());
        assert_eq!(wide.len(), 253 + 2 - (255 - 4) % 3, "cut between characters");
        assert!(wide.ends_with("東.mkv"));
        assert_eq!(clean(&[b'y'; 256]).len(), 255);
    }

    #[test]
    fn numbers_stand_before_the_extension() {
        assert_eq!(numbered("a.txt", 1), "a.1.txt");
        assert_eq!(numbered("a", 12), "a.12");
        assert_eq!(numbered(".profile", 1), ".profile.1");
        let long = numbered(&format!("{}.txt", "x".repeat(251)), 7);
        assert_eq!(long.len(), 255);
        assert!(long.ends_with("x.7.txt"));
    }

    #[test]
    fn folding_joins_case_and_normal_forms() {
        let fold = |name: &str| {
            let mut folded = String::new();
            push_folded(&mut folded, name);
            folded
        };
        assert_eq!(fold("README"), fold("ReadMe"));
        assert_eq!(fold("\u{e9}t\u{e9}"), fold("E\u{301}TE\u{301}"));
        assert_ne!(fold("a"), fold("b"));
    }

    proptest! {
        #[test]
        fn every_name_comes_out_safe(
            bytes in proptest::collection::vec(any::<u8>(), 0..400), windows in any::<bool>()
        ) {
            let name = cleaned(&bytes, windows);
            prop_assert!(!name.is_empty() && name.len() <= 255);
            prop_assert!(name != "." && name != "..");
            let is_unsafe = |letter: char| {
                letter.is_control() || matches!(letter, '/' | '\\' | '\u{202a}'..='\u{202e}')
            };
            prop_assert_eq!(name.find(is_unsafe), None);
            prop_assert_eq!(&cleaned(name.as_bytes(), windows), &name, "cleaning twice");
        }

        #[test]
        fn the_short_way_agrees_with_the_long_one(name in "[ -~]{0,20}") {
            prop_assert_eq!(clean(name.as_bytes()), cleaned(name.as_bytes(), cfg!(windows)));
        }
    }
}
