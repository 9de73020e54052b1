//! The prompt on a terminal: one that `script` (util-linux) makes. Where there is no such program
//! these tests say so and test nothing.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::run::{LIMIT, Place};
use crate::process::{driver_path, with_home};

/// Slow enough to be met in the middle: 3 MB in half a minute.
const SLOW: Option<u64> = Some(100_000);

/// The program on a terminal of its own.
struct Terminal {
    child: Child,
    screen: PathBuf,
    /// Bytes of the screen that were waited for.
    seen: usize,
}

impl Terminal {
    /// Runs `driver` with these words of a shell, on a terminal of so many columns; none where no
    /// terminal can be made.
    fn start(home: &Path, columns: u32, words: &str) -> Option<Self> {
        if Command::new("script").arg("--version").output().is_err() {
            println!("skipped: there is no program script");
            return None;
        }
        let screen = home.join("screen");
        let file = File::create(&screen).expect("make a file");
        let line = format!("stty rows 24 cols {columns}; exec {} {words}", driver_path().display());
        let mut command = with_home(Command::new("script"), home);
        command.args(["-qec", &line, "/dev/null"]).current_dir(home).env("TERM", "xterm");
        command.stdin(Stdio::piped()).stdout(file).stderr(Stdio::null());
        let child = command.spawn().expect("start script");
        Some(Self { child, screen, seen: 0 })
    }

    /// A download that is known to have begun.
    fn download(place: &Place, columns: u32) -> Option<Self> {
        let peer = place.seeder.address();
        let words = format!("s.torrent --no-trackers --dir out --port 0 --peer {peer}");
        let mut terminal = Self::start(place.home.path(), columns, &words)?;
        terminal.wait_for("driver> ");
        assert!(place.seeder.wait_served(100_000, LIMIT), "nothing was asked for");
        Some(terminal)
    }

    /// Keys as they are pressed; Enter is `\r`.
    fn press(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().expect("stdin is open");
        stdin.write_all(keys.as_bytes()).expect("write to script");
    }

    /// Waits until `words` come behind what was waited for before.
    #[track_caller]
    fn wait_for(&mut self, words: &str) {
        let begun = Instant::now();
        loop {
            let screen = fs::read(&self.screen).unwrap_or_default();
            let screen = String::from_utf8_lossy(&screen).into_owned();
            let new = screen.get(self.seen..).unwrap_or_default();
            if let Some(at) = new.find(words) {
                self.seen += at + words.len();
                return;
            }
            assert!(begun.elapsed() < LIMIT, "no {words:?} in {new:?}");
            // A file that grows cannot be awaited in std.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end; the exit code.
    fn wait(mut self) -> Option<i32> {
        self.child.wait().expect("reap script").code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn ctrl_c_ends_a_watch_and_not_the_program() {
    let place = Place::new(SLOW);
    let Some(mut terminal) = Terminal::download(&place, 80) else { return };
    terminal.press("watch\r");
    terminal.wait_for("(any key ends)");
    terminal.press("\x03");
    terminal.wait_for("driver> ");
    terminal.press("limit\r");
    terminal.wait_for("down no limit, up no limit");
    terminal.wait_for("driver> ");
    terminal.press("quit\r");
    terminal.wait_for("Saved. Downloaded ");
    assert_eq!(terminal.wait(), Some(7));
}

#[test]
fn lines_that_are_pasted_or_typed_ahead_are_all_done_in_order() {
    let place = Place::new(SLOW);
    let Some(mut terminal) = Terminal::download(&place, 80) else { return };
    terminal.press("limit up 1K\rlimit\rlist\rlimit up 2K\rlog 1\rlimit\rquit\r");
    for answer in ["up at most 1000 B/s", "up at most 1000 B/s", "1 sample", "up at most 2.0 KiB/s"]
    {
        terminal.wait_for(answer);
    }
    terminal.wait_for("up at most 2.0 KiB/s");
    terminal.wait_for("Saved. Downloaded ");
    assert_eq!(terminal.wait(), Some(7));
}

/// What was pasted behind `quit` was no answer to what nobody had asked yet.
#[test]
fn a_question_is_answered_by_what_is_typed_after_it() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let Some(mut terminal) = Terminal::start(home.path(), 80, "demo --size 4MiB") else { return };
    terminal.wait_for("driver> ");
    terminal.press("quit\ry\r");
    terminal.wait_for("Remove ./driver-demo? [Y/n] ");
    terminal.press("n\r");
    terminal.wait_for("./driver-demo is kept");
    terminal.wait();
    assert!(home.path().join("driver-demo").is_dir());
}

#[test]
fn tab_completes_files_and_enter_tells_how_far_it_is() {
    let place = Place::new(SLOW);
    fs::copy(place.home.path().join("s.torrent"), place.home.path().join("my file.torrent"))
        .expect("copy a torrent");
    let Some(mut terminal) = Terminal::download(&place, 80) else { return };
    terminal.press("\r");
    terminal.wait_for(" %   1 peer   ");
    terminal.wait_for("driver> ");
    terminal.press("add my\t\r");
    terminal.wait_for("my file.torrent is the same torrent as 1 sample");
    terminal.wait_for("driver> ");
    terminal.press("add 'my file.torrent'\r");
    terminal.wait_for("my file.torrent is the same torrent as 1 sample");
    terminal.wait_for("driver> ");
    terminal.press("lim\tall up 1M\r");
    terminal.wait_for("up at most 976.6 KiB/s");
    terminal.wait_for("driver> ");
    terminal.press("clear\r");
    terminal.wait_for("\x1b[H\x1b[2J");
    terminal.press("\x04");
    terminal.wait_for("Saved. Downloaded ");
    assert_eq!(terminal.wait(), Some(7));
}

#[test]
fn a_narrow_terminal_loses_no_number() {
    let place = Place::new(SLOW);
    let Some(mut terminal) = Terminal::download(&place, 20) else { return };
    terminal.press("status\r");
    terminal.wait_for("Progress\r\n  ");
    terminal.wait_for(" %");
    terminal.wait_for("Remaining\r\n  ");
    terminal.press("quit\r");
    assert_eq!(terminal.wait(), Some(7));
}

#[test]
fn errors_break_at_spaces_and_begin_in_red() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let Some(mut terminal) = Terminal::start(home.path(), 40, "nowhere-to-be-found.torrent") else {
        return;
    };
    let red = "\x1b[1;31mdriver:\x1b[0m ";
    terminal.wait_for(&format!("{red}nowhere-to-be-found.torrent: no\r\nsuch file\r\n"));
    assert_eq!(terminal.wait(), Some(3));
}

#[test]
fn the_menu_completes_paths() {
    let place = Place::new(None);
    fs::write(place.home.path().join("slides of monday.pdf"), "x").expect("write a file");
    let Some(mut terminal) =
        Terminal::start(place.home.path(), 80, "menu --tracker http://127.0.0.1:1")
    else {
        return;
    };
    terminal.wait_for("6  quit");
    terminal.wait_for("> ");
    terminal.press("1\r");
    terminal.wait_for("File or folder (empty: back): ");
    terminal.press("sli\t\r");
    // The file is there; the tracker is not.
    terminal.wait_for("That did not work: ");
    terminal.wait_for("127.0.0.1:1");
    terminal.wait_for("> ");
    terminal.press("6\r");
    assert_eq!(terminal.wait(), Some(0));
}
