//! Days of the week and hours of the day, by the clock on the wall. Pure: whoever asks says what
//! time it is, and how far its zone is from UTC at any time. Where a night has an hour twice it
//! counts twice, and where it lacks one it does not count: it is what a clock shows that decides.

use std::fmt;

/// Minutes of a day.
pub const DAY_MINUTES: u16 = 24 * 60;
const DAY_S: i64 = 86_400;

/// Names of the days, from Monday.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A time, and what clocks show there.
#[derive(Clone, Copy, Debug)]
pub struct Wall {
    /// Seconds since 1970.
    pub unix_s: u64,
    /// Seconds that the zone is ahead of UTC at such a time.
    pub offset: fn(u64) -> i32,
}

impl Wall {
    /// The same clock at another time.
    pub fn at(self, unix_s: u64) -> Self {
        Self { unix_s, ..self }
    }

    fn local_s(self) -> i64 {
        let unix_s = i64::try_from(self.unix_s).unwrap_or(i64::MAX / 2);
        unix_s + i64::from((self.offset)(self.unix_s))
    }

    /// The day of the week, 0 is Monday, and the minute of the day.
    fn reading(self) -> (u8, u16) {
        let local_s = self.local_s();
        // 1970 began on a Thursday.
        let day = (local_s.div_euclid(DAY_S) + 3).rem_euclid(7);
        let minute = local_s.rem_euclid(DAY_S) / 60;
        (day.try_into().unwrap_or(0), minute.try_into().unwrap_or(0))
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, minute) = self.reading();
        let day = DAYS.get(usize::from(day)).copied().unwrap_or_default();
        write!(f, "{day} {:02}:{:02}", minute / 60, minute % 60)
    }
}

/// Some hours of some days. Those that go beyond midnight are of the day that they begin on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Hours {
    /// A bit a day, the lowest is Monday.
    pub days: u8,
    /// First minute of the day.
    pub from: u16,
    /// The minute behind the last one; all 24 hours when it is `from`.
    pub to: u16,
}

impl Hours {
    /// All days.
    pub const EVERY_DAY: u8 = 0x7f;

    /// Is it in them?
    pub fn hold(&self, wall: Wall) -> bool {
        let (day, minute) = wall.reading();
        let is_of = |day: u8| self.days & (1 << day) != 0;
        let (today, yesterday) = (is_of(day), is_of((day + 6) % 7));
        match self.from < self.to {
            true => today && (self.from..self.to).contains(&minute),
            false => (today && minute >= self.from) || (yesterday && minute < self.to),
        }
    }

    /// The minutes of a day at which that may change.
    pub fn edges(&self) -> [u16; 3] {
        [0, self.from % DAY_MINUTES, self.to % DAY_MINUTES]
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_of = |day: usize| self.days & (1 << day) != 0;
        let mut day = 0;
        let mut runs = Vec::new();
        while day < DAYS.len() {
            let len = (day..DAYS.len()).take_while(|day| is_of(*day)).count();
            match len {
                0 => {}
                1 | 2 => runs.extend(DAYS[day..day + len].iter().map(|it| (*it).to_owned())),
                _ => runs.push(format!("{}-{}", DAYS[day], DAYS[day + len - 1])),
            }
            day += len.max(1);
        }
        if self.days != Self::EVERY_DAY {
            write!(f, "{} ", runs.join(","))?;
        }
        let [from, to] = [self.from, self.to].map(|it| format!("{:02}:{:02}", it / 60, it % 60));
        write!(f, "{from}-{to}")
    }
}

/// When the clock shows one of these minutes of a day next, or is set to another offset before
/// that; none without minutes.
pub(super) fn next_edge(wall: Wall, edges: impl Iterator<Item = u16>) -> Option<u64> {
    let local_s = wall.local_s();
    let (midnight, passed_s) = (local_s - local_s.rem_euclid(DAY_S), local_s.rem_euclid(DAY_S));
    let next = edges.map(|edge| {
        let edge_s = i64::from(edge) * 60;
        midnight + edge_s + if edge_s <= passed_s { DAY_S } else { 0 }
    });
    let wait_s = u64::try_from(next.min()? - local_s).unwrap_or(60);
    let at = wall.unix_s.saturating_add(wait_s);
    let offset = (wall.offset)(wall.unix_s);
    if (wall.offset)(at) == offset {
        return Some(at);
    }
    // The first second with another offset lies between.
    let (mut before, mut behind) = (wall.unix_s, at);
    while behind - before > 1 {
        let middle = before + (behind - before) / 2;
        if (wall.offset)(middle) == offset { before = middle } else { behind = middle }
    }
    Some(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i32 = 3600;
    /// Sunday, 29 March 2026, 01:00 UTC: clocks in Berlin go from 02:00 to 03:00.
    const SPRING: u64 = 1_774_746_000;
    /// Sunday, 25 October 2026, 01:00 UTC: from 03:00 back to 02:00.
    const AUTUMN: u64 = 1_792_890_000;

    fn berlin(unix_s: u64) -> i32 {
        if (SPRING..AUTUMN).contains(&unix_s) { 2 * HOUR } else { HOUR }
    }

    fn utc(_: u64) -> i32 {
        0
    }

    fn at(unix_s: u64, offset: fn(u64) -> i32) -> Wall {
        Wall { unix_s, offset }
    }

    fn hours(days: u8, from: u16, to: u16) -> Hours {
        Hours { days, from: from * 60, to: to * 60 }
    }

    #[test]
    fn clocks_are_read() {
        assert_eq!(at(0, utc).to_string(), "thu 00:00");
        assert_eq!(at(SPRING - 1, berlin).to_string(), "sun 01:59");
        assert_eq!(at(SPRING, berlin).to_string(), "sun 03:00");
        assert_eq!(at(0, |_| -HOUR).to_string(), "wed 23:00");
    }

    #[test]
    fn hours_beyond_midnight_are_of_the_day_they_begin_on() {
        // Thursday from 22 to 6.
        let night = hours(1 << 3, 22, 6);
        let hour = |hour: u64| night.hold(at(hour * 3600, utc));
        assert_eq!([21, 22, 23, 24, 29, 30].map(hour), [false, true, true, true, true, false]);
        assert!(!hour(2), "that night is Wednesday's");
        assert!(!night.hold(at((22 + 24) * 3600, utc)), "and that one Friday's");
        let whole = hours(1 << 3, 0, 0);
        let on = [0, 23, 24].map(|hour| whole.hold(at(hour * 3600, utc)));
        assert_eq!(on, [true, true, false]);
        assert!(hours(Hours::EVERY_DAY, 23, 24).hold(at(86_399, utc)));
    }

    #[test]
    fn the_next_edge_is_the_nearest_one_behind_now() {
        let edges = [0, 360, 1320];
        let next = |unix_s| next_edge(at(unix_s, utc), edges.into_iter());
        assert_eq!(next(0), Some(360 * 60));
        assert_eq!(next(360 * 60), Some(1320 * 60));
        assert_eq!(next(1320 * 60 + 1), Some(86_400));
        assert_eq!(next_edge(at(0, utc), std::iter::empty()), None);
    }

    #[test]
    fn a_clock_that_is_set_is_looked_at_then() {
        // 02:30 does not come that night; the wait ends when the clock is set.
        let edge = [150].into_iter();
        assert_eq!(next_edge(at(SPRING - 3600, berlin), edge), Some(SPRING));
        let night = Hours { days: Hours::EVERY_DAY, from: 150, to: 200 };
        assert!(!night.hold(at(SPRING - 1, berlin)) && night.hold(at(SPRING, berlin)));
        // It comes twice in autumn.
        let edge = || [150].into_iter();
        let first = next_edge(at(AUTUMN - 3600, berlin), edge());
        assert_eq!(first, Some(AUTUMN - 1800));
        let night = Hours { days: Hours::EVERY_DAY, from: 150, to: 170 };
        let on = [AUTUMN - 1800, AUTUMN - 1, AUTUMN, AUTUMN + 1800, AUTUMN + 3000];
        let on = on.map(|unix_s| night.hold(at(unix_s, berlin)));
        assert_eq!(on, [true, false, false, true, false]);
    }

    #[test]
    fn hours_are_written_as_they_are_said() {
        for (hours, words) in [
            (hours(0x1f, 22, 6), "mon-fri 22:00-06:00"),
            (hours(0x7f, 0, 24), "00:00-24:00"),
            (hours(0x60, 8, 9), "sat,sun 08:00-09:00"),
            (hours(0b100_0101, 8, 9), "mon,wed,sun 08:00-09:00"),
        ] {
            assert_eq!(hours.to_string(), words);
        }
    }
}
