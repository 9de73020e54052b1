//! `watch`: the same screen again each second until a key is pressed. Only on terminals.

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use crate::cli::out;
use crate::cli::stop::Stopper;

use super::desk::Desk;
use super::words::Order;

/// Home, and clear what is below it.
const REPAINT: &str = "\x1b[H\x1b[2J";

/// Repaints the answer to `order` until a key or the end. The prompt is not being read
/// meanwhile, so the terminal is ours.
pub async fn watch(desk: &mut Desk, order: &Order, stopper: &Stopper) {
    if wait_for_keys().is_err() {
        return;
    }
    while !stopper.is_asked() {
        let screen = desk.answer(order).await;
        out::answer(&format!("{REPAINT}{screen}\n(any key ends)\n"));
        let pressed = tokio::task::spawn_blocking(key_within_a_second).await;
        if pressed.unwrap_or(true) {
            break;
        }
    }
    stopper.restore_terminal();
}

/// Keys of stdin at once.
fn wait_for_keys() -> rustix::io::Result<()> {
    let stdin = std::io::stdin();
    let mut terminal = tcgetattr(&stdin)?;
    set_for_keys(&mut terminal);
    tcsetattr(&stdin, OptionalActions::Now, &terminal)
}

/// Keys at once and unseen, Ctrl-C among them: it ends what is watched, as any key does, and not
/// the program. A read waits a second at most.
fn set_for_keys(terminal: &mut Termios) {
    terminal.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
    terminal.special_codes[SpecialCodeIndex::VMIN] = 0;
    // In tenths of a second.
    terminal.special_codes[SpecialCodeIndex::VTIME] = 10;
}

/// True when a key was pressed or the terminal is gone. Nothing is read that was typed behind it:
/// an arrow is no more than eight bytes.
fn key_within_a_second() -> bool {
    !matches!(rustix::io::read(std::io::stdin(), &mut [0; 8]), Ok(0))
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
