//! What Tab offers: commands, and what may follow each of them: words, torrents, files. It knows
//! no terminal.

use rustyline::completion::{FilenameCompleter, Pair};

use crate::cli::escape::escape;

use super::words::{WORDS, find};

/// Where in the line the candidates begin, and what they are. `typed` is the line up to the
/// cursor, `titles` are the numbers and names of the torrents.
pub fn complete(typed: &str, titles: &[(usize, String)]) -> (usize, Vec<Pair>) {
    let Some((command, rest)) = typed.split_once(' ') else {
        return (0, named(typed, WORDS.iter().map(|word| word.name)));
    };
    let begin = typed.len() - rest.len();
    let last = typed.rfind(' ').map_or(0, |space| space + 1);
    let word = &typed[last..];
    let before: Vec<&str> = typed[begin..last].split_whitespace().collect();
    let name = find(command).map_or("", |word| word.name);
    let fixed: &[&str] = match (name, before.as_slice()) {
        ("help" | "watch", []) => {
            return (last, named(word, WORDS.iter().map(|word| word.name)));
        }
        ("add", _) => return files(typed, before.iter().any(|it| is_torrent(it))),
        ("move", _) => return files(typed, true),
        ("use" | "remove", []) => return (begin, torrents(rest, titles)),
        ("pause" | "resume", []) => {
            let all = named(rest, ["all"].into_iter());
            return (begin, all.into_iter().chain(torrents(rest, titles)).collect());
        }
        ("limit", []) => {
            let ways = named(word, ["down", "up"].into_iter());
            return (begin, ways.into_iter().chain(torrents(rest, titles)).collect());
        }
        ("limit", ["down" | "up"] | [_, "down" | "up"]) => &["off"],
        ("limit", [_]) => &["down", "up"],
        ("select" | "status", []) => &["all"],
        ("select", [_]) => &["high", "low", "normal", "off"],
        ("order", [] | ["rarest" | "sequential"]) => &["rarest", "sequential", "ends-first"],
        ("peers", []) => &["-a"],
        ("info", []) => &["-f"],
        _ => &[],
    };
    (last, named(word, fixed.iter().copied()))
}

fn pair(replacement: String, display: String) -> Pair {
    Pair { display, replacement }
}

fn named<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Vec<Pair> {
    let fits = names.filter(|name| name.starts_with(typed));
    fits.map(|name| pair(format!("{name} "), name.to_owned())).collect()
}

/// Torrents by number, or by how their names begin.
fn torrents(typed: &str, titles: &[(usize, String)]) -> Vec<Pair> {
    let small = typed.to_lowercase();
    let fits = titles.iter().filter(|(number, name)| {
        number.to_string().starts_with(typed) || name.to_lowercase().starts_with(&small)
    });
    fits.map(|(number, name)| pair(number.to_string(), format!("{number} {}", escape(name))))
        .collect()
}

fn is_torrent(path: &str) -> bool {
    path.to_ascii_lowercase().trim_end_matches(['\'', '"']).ends_with(".torrent")
}

/// Paths as they are typed, in quotes or with backslashes.
pub fn complete_path(typed: &str) -> (usize, Vec<Pair>) {
    let Ok((begin, mut found)) = FilenameCompleter::new().complete_path(typed, typed.len()) else {
        return (typed.len(), Vec::new());
    };
    // Names of strangers are shown, too.
    found.iter_mut().for_each(|it| it.display = escape(&it.display));
    (begin, found)
}

/// Directories, and torrents unless only directories are meant. Any file where there are none.
fn files(typed: &str, only_dirs: bool) -> (usize, Vec<Pair>) {
    let (begin, mut found) = complete_path(typed);
    let is_dir = |it: &Pair| it.replacement.ends_with('/');
    let is_wanted = |it: &Pair| is_dir(it) || (!only_dirs && is_torrent(&it.replacement));
    if only_dirs || found.iter().any(is_wanted) {
        found.retain(is_wanted);
    }
    (begin, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(typed: &str) -> Vec<String> {
        let titles = [(1, "Alpha".to_owned()), (2, "beta\x07".to_owned()), (12, "ale".to_owned())];
        let (begin, found) = complete(typed, &titles);
        found.iter().map(|it| format!("{}{}", &typed[..begin], it.replacement)).collect()
    }

    #[test]
    fn tab_completes_commands_and_their_words() {
        assert_eq!(offered("pe"), ["peers "]);
        assert_eq!(offered("help wa"), ["help watch "]);
        assert_eq!(offered("peers -"), ["peers -a "]);
        assert_eq!(offered("").len(), WORDS.len());
        let limited = ["limit down ", "limit up ", "limit 1", "limit 2", "limit 12"];
        assert_eq!(offered("limit "), limited);
        assert_eq!(offered("limit b"), ["limit 2"]);
        assert_eq!(offered("limit 2 u"), ["limit 2 up "]);
        assert_eq!(offered("lim all d"), ["lim all down "]);
        assert_eq!(offered("limit down "), ["limit down off "]);
        assert_eq!(offered("pause a"), ["pause all ", "pause 1", "pause 12"]);
        assert_eq!(offered("resume be"), ["resume 2"]);
        assert_eq!(offered("pause "), ["pause all ", "pause 1", "pause 2", "pause 12"]);
        assert_eq!(offered("resume 1"), ["resume 1", "resume 12"]);
        assert_eq!(offered("nonsense a"), Vec::<String>::new());
    }

    #[test]
    fn tab_completes_torrents_by_number_and_name() {
        assert_eq!(offered("use "), ["use 1", "use 2", "use 12"]);
        assert_eq!(offered("remove al"), ["remove 1", "remove 12"]);
        assert_eq!(offered("use 12"), ["use 12"]);
        let shown = complete("use b", &[(2, "beta\x07".to_owned())]).1;
        assert_eq!(shown[0].display, "2 beta\\x07");
    }

    #[test]
    fn tab_completes_files_and_directories() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("my dir")).unwrap();
        for name in ["my file.torrent", "my notes"] {
            std::fs::write(home.path().join(name), "").unwrap();
        }
        let path = home.path().display();
        let ends = |typed: String| -> Vec<String> {
            let of = |it: &String| it.rsplit_once(&format!("{path}/")).unwrap().1.to_owned();
            offered(&typed).iter().map(of).collect()
        };
        assert_eq!(ends(format!("add {path}/m")), ["my\\ dir/", "my\\ file.torrent"]);
        assert_eq!(ends(format!("add '{path}/my f")), ["my file.torrent"]);
        assert_eq!(ends(format!("move {path}/")), ["my\\ dir/"]);
        assert_eq!(ends(format!("add x.torrent {path}/")), ["my\\ dir/"]);
        assert_eq!(ends(format!("add {path}/my\\ n")), ["my\\ notes"]);
    }
}
