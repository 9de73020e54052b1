//! The bar of time: what a torrent waited for in the last minute, a line for each cause. Pure.

use crate::api::Share;
use crate::cli::escape::fit;
use crate::cli::print::bar;

/// Columns of a bar, where there is room.
const BAR: usize = 40;
/// Columns of a cause's name, and of a share behind the bar.
const BESIDE: (usize, usize) = (14, 7);
/// Causes with a smaller share are not worth a line.
const SHARE_MIN: f64 = 0.005;

/// The bars of these shares, in lines of at most `columns`; in letters that every terminal has,
/// unless it takes UTF-8.
pub(super) fn bars(shares: &[Share], columns: usize, is_utf8: bool) -> String {
    let room = columns.saturating_sub(BESIDE.0 + BESIDE.1).min(BAR);
    let line = |share: &Share| {
        let part = share.share.clamp(0.0, 1.0);
        let drawn = if room == 0 { String::new() } else { bar(part, room) };
        let drawn = match is_utf8 {
            true => drawn.replace('#', "█").replace('-', "░"),
            false => drawn,
        };
        let name = fit(&share.cause.replace('_', " "), BESIDE.0 - 1);
        format!("{name} {drawn} {:>3.0} %\n", part * 100.0)
    };
    shares.iter().filter(|share| share.share >= SHARE_MIN).map(line).collect()
}

/// Does the terminal take UTF-8, as these variables say it, the strongest first?
pub(super) fn takes_utf8<'a>(variables: impl IntoIterator<Item = Option<&'a str>>) -> bool {
    let said = variables.into_iter().flatten().find(|value| !value.is_empty());
    let said = said.unwrap_or_default().to_ascii_lowercase();
    said.contains("utf-8") || said.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute() -> Vec<Share> {
        let share = |cause: &str, share| Share { cause: cause.to_owned(), share };
        vec![share("transfer", 0.62), share("source_waits", 0.38), share("disk", 0.001)]
    }

    #[test]
    fn time_is_drawn_by_cause() {
        let expected = "\
transfer      █████████████████████████░░░░░░░░░░░░░░░  62 %
source waits  ███████████████░░░░░░░░░░░░░░░░░░░░░░░░░  38 %
";
        assert_eq!(bars(&minute(), 80, true), expected);
        let plain = expected.replace('█', "#").replace('░', "-");
        assert_eq!(bars(&minute(), 80, false), plain);
        let expected = "\
transfer      #########------  62 %
source waits  ######---------  38 %
";
        assert_eq!(bars(&minute(), 36, false), expected);
        assert_eq!(bars(&minute()[..1], 20, false), "transfer        62 %\n");
        assert_eq!(bars(&[], 80, true), "");
        let whole = [Share { cause: "\u{202e}".into(), share: f64::INFINITY }];
        assert!(bars(&whole, 30, false).starts_with("\\u{202e}      ######### 100 %"));
    }

    #[test]
    fn the_locale_says_which_letters_there_are() {
        assert!(takes_utf8([None, Some(""), Some("de_DE.UTF-8")]));
        assert!(takes_utf8([Some("C.utf8"), None, Some("C")]));
        assert!(!takes_utf8([Some("C"), None, Some("de_DE.UTF-8")]));
        assert!(!takes_utf8([None, None, None]));
    }
}
