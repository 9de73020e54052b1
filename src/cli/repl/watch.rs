//! `watch`: the same screen again each second until a key is pressed. Only on terminals.

use crate::cli::keys::Keys;
use crate::cli::out;
use crate::cli::stop::Stopper;

use super::desk::Desk;
use super::words::Order;

/// Home, and clear what is below it.
const REPAINT: &str = "\x1b[H\x1b[2J";

/// Repaints the answer to `order` until a key or the end. The prompt is not being read
/// meanwhile, so the terminal is ours.
pub async fn watch(desk: &mut Desk, order: &Order, stopper: &Stopper) {
    let Ok(keys) = Keys::take() else { return };
    while !stopper.is_asked() {
        let screen = desk.answer(order).await;
        out::answer(&format!("{REPAINT}{screen}\n(any key ends)\n"));
        // One that is gone presses no more.
        if keys.pressed().await.is_none_or(|pressed| !pressed.is_empty()) {
            break;
        }
    }
    drop(keys);
    stopper.restore_terminal();
}
