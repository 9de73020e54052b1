//! Who gets which chunk of a file that is cut: the thirds rule of the course's
//! specification. Not here: the cutting (`tools`).

/// The providers of a file that is cut here.
pub const PROVIDERS: [&str; 2] = ["alice", "bob"];

/// The providers of chunk `number`, counted from 0, of `count`: alice has the first third of
/// the chunks, both have the second, and bob has the last. Thirds end at the next whole
/// chunk.
pub fn holders(number: usize, count: usize) -> &'static [&'static str] {
    let [alice, both, bob] = [&PROVIDERS[..1], &PROVIDERS[..], &PROVIDERS[1..]];
    if number < count.div_ceil(3) {
        alice
    } else if number < (2 * count).div_ceil(3) {
        both
    } else {
        bob
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: alice while n <= ceil(N/3), both while n <= ceil(2N/3), then bob.
    #[test]
    fn thirds_are_those_of_the_specification() {
        for (count, expected) in [
            (1, "A"),       // 1, 1
            (2, "A2"),      // 1, 2
            (3, "A2B"),     // 1, 2
            (4, "AA2B"),    // 2, 3
            (5, "AA22B"),   // 2, 4
            (6, "AA22BB"),  // 2, 4
            (7, "AAA22BB"), // 3, 5
        ] {
            let letter = |number| match holders(number, count) {
                ["alice"] => 'A',
                ["alice", "bob"] => '2',
                ["bob"] => 'B',
                _ => '?',
            };
            assert_eq!((0..count).map(letter).collect::<String>(), expected, "{count}");
        }
        assert_eq!(holders(65_534, 65_535), ["bob"]);
    }
}
