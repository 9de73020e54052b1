//! Pictures of letters: bars and plots, with block characters where the terminal has them, in its
//! sixteen colours or in none. Pure.

/// Eighths of a letter, from the left and from below.
const LEFT: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
const BELOW: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Of a letter that every terminal has, as much is seen.
const PLAIN: [char; 9] = [' ', '.', '.', ':', ':', '|', '|', '#', '#'];
const EIGHTHS: usize = 8;

/// One of the sixteen colours, as SGR has it (ECMA-48).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ink {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Blue = 34,
}

/// What a terminal can show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pen {
    /// More than ASCII.
    pub is_utf8: bool,
    /// Colours.
    pub has_colour: bool,
}

impl Pen {
    /// A text in a colour.
    pub fn in_colour(self, text: &str, ink: Ink) -> String {
        match self.has_colour {
            true => format!("\x1b[{}m{text}\x1b[0m", ink as u8),
            false => text.to_owned(),
        }
    }

    /// A bar of at most so many columns; full only when all is done.
    pub fn bar(self, share: f64, columns: usize) -> String {
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        let eighths = (share * (columns * EIGHTHS) as f64) as usize;
        let (full, rest) = (eighths / EIGHTHS, eighths % EIGHTHS);
        match self.is_utf8 {
            true => "█".repeat(full) + LEFT[rest],
            false => "#".repeat(full) + &"-".repeat(columns - full),
        }
    }

    /// A plot of so many columns and lines, the top one first: a column for each of the last
    /// values, the newest at the right, the largest as high as the plot.
    pub fn plot(self, values: &[u64], columns: usize, lines: usize) -> Vec<String> {
        let values = &values[values.len().saturating_sub(columns)..];
        let most = values.iter().copied().max().unwrap_or_default().max(1);
        let whole = (lines * EIGHTHS) as u128;
        let heights = values.iter().map(|value| {
            // Whatever there was shows.
            (u128::from(*value) * whole).div_ceil(u128::from(most)) as usize
        });
        let heights: Vec<usize> = heights.collect();
        let letters = if self.is_utf8 { BELOW } else { PLAIN };
        let line = |line: usize| {
            let below = (lines - 1 - line) * EIGHTHS;
            let letter = |height: &usize| letters[height.saturating_sub(below).min(EIGHTHS)];
            let drawn: String = heights.iter().map(letter).collect();
            format!("{drawn:>columns$}")
        };
        (0..lines).map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEN: Pen = Pen { is_utf8: true, has_colour: false };
    const ASCII: Pen = Pen { is_utf8: false, has_colour: false };

    #[test]
    fn a_bar_is_full_only_when_all_is_done() {
        assert_eq!(PEN.bar(0.0, 4), "");
        assert_eq!(PEN.bar(0.3, 4), "█▏");
        assert_eq!(PEN.bar(0.999, 4), "███▉");
        assert_eq!(PEN.bar(1.0, 4), "████");
        assert_eq!((PEN.bar(f64::NAN, 4), PEN.bar(7.0, 2)), (String::new(), "██".to_owned()));
        assert_eq!((ASCII.bar(0.6, 4), ASCII.bar(1.0, 4)), ("##--".into(), "####".into()));
    }

    #[test]
    fn a_plot_shows_the_last_values_as_high_as_the_largest() {
        assert_eq!(PEN.plot(&[9, 0, 1, 4, 8], 4, 1), [" ▁▄█"]);
        assert_eq!(PEN.plot(&[0, 1, 4, 8], 6, 2), ["     █", "   ▂██"]);
        assert_eq!(PEN.plot(&[1, 1000], 2, 1), ["▁█"], "little is not nothing");
        assert_eq!(PEN.plot(&[], 3, 1), ["   "]);
        assert_eq!(PEN.plot(&[0, 0], 2, 1), ["  "]);
        assert_eq!(PEN.plot(&[u64::MAX, 1], 2, 2), ["█ ", "█▁"]);
        assert_eq!(ASCII.plot(&[1, 4, 8], 3, 1), [".:#"]);
    }

    #[test]
    fn colours_are_those_that_every_terminal_has() {
        let pen = Pen { has_colour: true, ..PEN };
        assert_eq!(pen.in_colour("x", Ink::Red), "\x1b[31mx\x1b[0m");
        assert_eq!(PEN.in_colour("x", Ink::Red), "x");
    }
}
