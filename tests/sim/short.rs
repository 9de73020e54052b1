//! Debug texts for traces, cut short.

/// The beginning of the debug text; blocks are long.
pub fn short(thing: &impl std::fmt::Debug) -> String {
    struct Beginning(String);
    impl std::fmt::Write for Beginning {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.push_str(text);
            if self.0.len() < 200 { Ok(()) } else { Err(std::fmt::Error) }
        }
    }
    let mut beginning = Beginning(String::new());
    // An error only means that the text was cut.
    let _ = std::fmt::write(&mut beginning, format_args!("{thing:?}"));
    beginning.0
}
