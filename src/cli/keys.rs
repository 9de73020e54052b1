//! Single keys of a terminal, at once and unseen, for screens that are repainted until one is
//! pressed.

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// What a key sends: an arrow is no more than eight bytes.
const KEY_LEN_MAX: usize = 8;

/// A terminal that gives keys at once, until this is dropped.
pub struct Keys {
    before: Termios,
}

impl Keys {
    /// Takes the keys of stdin.
    ///
    /// # Errors
    /// It is no terminal.
    pub fn take() -> rustix::io::Result<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut terminal = before.clone();
        set_for_keys(&mut terminal);
        tcsetattr(&stdin, OptionalActions::Now, &terminal)?;
        Ok(Self { before })
    }

    /// What was pressed within a second, which it waits for; nothing when nothing was, none when
    /// the terminal is gone.
    pub async fn pressed(&self) -> Option<Vec<u8>> {
        tokio::task::spawn_blocking(within_a_second).await.ok().flatten()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Keys at once and unseen, Ctrl-C among them: it ends what is watched, as other keys do, and not
/// the program. A read waits a second at most.
fn set_for_keys(terminal: &mut Termios) {
    terminal.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
    terminal.special_codes[SpecialCodeIndex::VMIN] = 0;
    // In tenths of a second.
    terminal.special_codes[SpecialCodeIndex::VTIME] = 10;
}

/// Nothing is read that was typed behind a key.
fn within_a_second() -> Option<Vec<u8>> {
    let mut key = [0; KEY_LEN_MAX];
    let len = rustix::io::read(std::io::stdin(), &mut key).ok()?;
    Some(key[..len].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_c_is_a_key_like_any_other() {
        let terminal = std::fs::OpenOptions::new().read(true).write(true).open("/dev/ptmx");
        let terminal = terminal.expect("a terminal of our own");
        let mut settings = tcgetattr(&terminal).unwrap();
        assert!(settings.local_modes.contains(LocalModes::ISIG));
        set_for_keys(&mut settings);
        assert!(!settings.local_modes.intersects(LocalModes::ISIG | LocalModes::ICANON));
    }
}
