//! `find`: torrents by words in their names, and in the paths of their files.

use crate::api::{Found, FoundTorrent, Request};
use crate::base::units::size;
use crate::cli::escape::{shorten, shorten_path};
use crate::cli::exit::{Exit, Outcome};
use crate::cli::print::counted;

use super::asking::Remote;

/// Columns of numbers before names, and of sizes behind paths.
const NUMBER: usize = 5;
const SIZE: usize = 10;
/// A path is not cut to less, however narrow the terminal is.
const PATH_MIN: usize = 12;

pub(super) async fn find(remote: &mut Remote, words: &[String]) -> Outcome {
    let answer: serde_json::Value = remote.ask(&Request::Find(words.join(" "))).await?;
    let is_any = answer["torrents"].as_array().is_some_and(|it| !it.is_empty());
    remote.show::<Found>(answer, |found, voice| screen(found, voice.columns))?;
    // As of other names that nothing fits.
    Ok(if is_any { Exit::Done } else { Exit::Usage })
}

fn screen(found: &Found, columns: usize) -> String {
    let mut screen: String = found.torrents.iter().map(|it| torrent(it, columns)).collect();
    if found.torrents.is_empty() {
        screen += "nothing fits\n";
    }
    if found.more {
        screen += "(more fit: give more words)\n";
    }
    if found.unread > 0 {
        let torrents = counted(found.unread.into(), "torrent");
        screen += &format!("(the files of {torrents} could not be looked at)\n");
    }
    screen
}

fn torrent(found: &FoundTorrent, columns: usize) -> String {
    let room = columns.saturating_sub(NUMBER + 1).max(1);
    let mut lines = format!("{:>NUMBER$} {}\n", found.id, shorten(&found.name, room));
    for file in &found.files {
        let room = room.saturating_sub(NUMBER + 1 + SIZE).max(PATH_MIN);
        let path = shorten_path(&file.path, room);
        lines += &format!("{:NUMBER$} {:>NUMBER$} {path}  {}\n", "", file.number, size(file.size));
    }
    let rest = u64::from(found.files_found).saturating_sub(found.files.len() as u64);
    if rest > 0 {
        lines += &format!("{:NUMBER$} {:NUMBER$} ({} more)\n", "", "", counted(rest, "file"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use crate::api::FoundFile;

    use super::*;

    #[test]
    fn files_stand_below_their_torrents() {
        let file = |number, path: &str| FoundFile { number, path: path.into(), size: 3 << 30 };
        let apples = FoundTorrent {
            id: 12,
            name: "apples \u{202e}".into(),
            named: true,
            files: vec![],
            files_found: 0,
        };
        let files = vec![file(2, "red/img_2.jpg"), file(11, "green/a long one/img_11.jpg")];
        let pears =
            FoundTorrent { id: 3, name: "pears".into(), named: false, files, files_found: 4 };
        let found = Found { torrents: vec![apples, pears], more: true, unread: 1 };
        assert_eq!(
            screen(&found, 80),
            "   12 apples \\u{202e}\n    3 pears\n          2 red/img_2.jpg  3.0 GiB\n         \
             11 green/a long one/img_11.jpg  3.0 GiB\n            (2 files more)\n(more fit: give \
             more words)\n(the files of 1 torrent could not be looked at)\n"
        );
        assert!(screen(&found, 30).lines().all(|line| line.len() < 60), "{}", screen(&found, 30));
        assert_eq!(screen(&Found::default(), 80), "nothing fits\n");
    }
}
