//! Servers of files: the `web` screen, and their words in `why` and in news. Their URLs come here
//! without user, password and query; what they say is escaped here.

use std::time::Duration;

use serde_json::{Value, json};

use crate::base::units::{duration, rate, size};
use crate::cli::escape::{escape, fit, shorten};
use crate::torrent::source_news::{SourceChange, SourceNews};
use crate::torrent::status::{SourceFileStatus, SourceScope, SourceState, SourceStatus};

use super::wrap;

/// Files of a server that are named; others are counted.
const FILES_NAMED: usize = 5;
/// The same in a sentence.
const FILES_IN_WORDS: usize = 1;
/// Columns of the full table, and of one that has all but what was received.
const FULL: usize = 70;
const MEDIUM: usize = 55;
/// Columns of a name, where there is room for it, and of what always stands beside it: a rate and
/// a state.
const NAME: usize = 24;
const BESIDE: usize = 1 + 12 + 2 + 10;

const NONE: &str = "no web source: the torrent names none (add-web-seed URL adds one)\n";

/// The screen of `web`: each source, what it does or waits for, and which files it does not send.
pub fn web_screen(sources: &[SourceStatus], columns: usize) -> String {
    if sources.is_empty() {
        return NONE.to_owned();
    }
    let row = |name: &str, [links, down, received, state]: [&str; 4]| {
        let mut line = match columns >= MEDIUM {
            true => format!("{} {links:>5} {down:>12}", fit(name, NAME)),
            false => {
                let room = columns.saturating_sub(BESIDE).clamp(1, NAME);
                format!("{} {down:>12}", fit(name, room))
            }
        };
        if columns >= FULL {
            line += &format!(" {received:>10}");
        }
        shorten(&format!("{line}  {state}"), columns) + "\n"
    };
    let mut screen = row("SOURCE", ["LINKS", "DOWN", "RECEIVED", "STATE"]);
    for source in sources {
        let (down, received) = (rate(source.down_rate), size(source.downloaded_bytes));
        let links = source.links.to_string();
        screen += &row(&source.site, [&links, &down, &received, state_word(source)]);
        let mut facts = vec![source.url.clone()];
        facts.extend(scope_words(&source.scope));
        facts.extend(trouble(source));
        let has_one = matches!(source.scope, SourceScope::File(_));
        let words = |it: &SourceFileStatus| if has_one { file_words(it) } else { file_fact(it) };
        facts.extend(source.files.iter().take(FILES_NAMED).map(words));
        let more = source.files.len().saturating_sub(FILES_NAMED);
        if more > 0 {
            facts.push(format!("and {more} more such files"));
        }
        for fact in facts {
            screen += &(wrap(&format!("  {fact}"), columns, 4) + "\n");
        }
    }
    screen
}

/// Which files it has, if not all.
fn scope_words(scope: &SourceScope) -> Option<String> {
    match scope {
        SourceScope::All => None,
        SourceScope::File(path) => Some(format!("of {} only", escape(path))),
        SourceScope::Files(count) => Some(format!("and others, of {count} files")),
        SourceScope::Seams(count) => {
            Some(format!("and others, for pieces that lie in several of {count} files"))
        }
    }
}

/// One word for what it does.
fn state_word(source: &SourceStatus) -> &'static str {
    match &source.state {
        SourceState::Off { .. } => "off",
        SourceState::Waits { .. } => "waits",
        SourceState::Slow => "slow",
        SourceState::Fit if source.busy > 0 => "sends",
        SourceState::Fit if source.links > 0 => "connected",
        SourceState::Fit if source.coming > 0 => "connecting",
        SourceState::Fit => "idle",
    }
}

/// Why it is not asked, if it is not.
fn trouble(source: &SourceStatus) -> Option<String> {
    match &source.state {
        SourceState::Off { why } => Some(format!("{}; not asked any more", escape(why))),
        SourceState::Waits { why, left } => Some(match left {
            Some(left) => format!("{}, again {}", escape(why), in_time(*left)),
            None => escape(why),
        }),
        SourceState::Slow => Some("far slower than others, which are used instead".to_owned()),
        SourceState::Fit => None,
    }
}

/// `in 12s`, `now`.
fn in_time(left: Duration) -> String {
    // Rounded up: what is asked in less than a second is not asked now.
    match Duration::from_secs(left.as_millis().div_ceil(1000) as u64) {
        Duration::ZERO => "now".to_owned(),
        left => format!("in {}", duration(left)),
    }
}

/// `'a.iso': 404: the file is not there, again in 1h`.
fn file_words(file: &SourceFileStatus) -> String {
    let path = escape(&file.path);
    match (&file.why, file.left) {
        (Some(why), Some(left)) => format!("'{path}': {}, again {}", escape(why), in_time(left)),
        (Some(why), None) => format!("'{path}': {}", escape(why)),
        (None, _) => format!("'{path}': sent from its beginning only"),
    }
}

/// The same, with the URL that was of no use.
fn file_fact(file: &SourceFileStatus) -> String {
    match file.url.as_ref().filter(|_| file.why.is_some()) {
        Some(url) => format!("{}: {}", file_words(file), escape(url)),
        None => file_words(file),
    }
}

/// What is wrong with a source, in one sentence; none when nothing is.
pub fn source_trouble(source: &SourceStatus) -> Option<String> {
    let mut parts: Vec<String> = trouble(source).into_iter().collect();
    let off: Vec<_> = source.files.iter().filter(|file| file.why.is_some()).collect();
    if !off.is_empty() {
        let named: Vec<String> =
            off.iter().take(FILES_IN_WORDS).map(|file| file_words(file)).collect();
        parts.push(match off.len() {
            1 => format!("a file is left out: {}", named.join("; ")),
            count => format!("{count} files are left out: {}, ...", named.join("; ")),
        });
    }
    (!parts.is_empty()).then(|| format!("{}: {}", source.site, parts.join("; ")))
}

/// The line for people; none for what comes and goes.
pub fn source_line(news: &SourceNews) -> Option<String> {
    let words = match &news.what {
        SourceChange::Up | SourceChange::Down => return None,
        SourceChange::Wrong { piece } => {
            let site = &news.site;
            return Some(format!("piece {piece} failed its hash: {site} sent wrong data"));
        }
        SourceChange::Waits { why, left } => {
            format!("{}; asked again {}", escape(why), in_time(*left))
        }
        SourceChange::Off { why } => format!("{}; not asked any more", escape(why)),
        SourceChange::FileOff { path, why, left: Some(left) } => {
            format!("'{}': {}; asked again {}", escape(path), escape(why), in_time(*left))
        }
        SourceChange::FileOff { path, why, left: None } => {
            format!("'{}': {}; not asked for there any more", escape(path), escape(why))
        }
    };
    Some(format!("web source {}: {words}", news.site))
}

/// The news as one JSON object.
pub fn source_json(news: &SourceNews) -> Value {
    let (state, path, message, left) = match &news.what {
        SourceChange::Wrong { piece } => {
            return json!({ "event": "hash_failed", "piece": piece, "blamed": news.site });
        }
        SourceChange::Up => ("up", None, None, None),
        SourceChange::Down => ("down", None, None, None),
        SourceChange::Waits { why, left } => ("waits", None, Some(why), Some(*left)),
        SourceChange::Off { why } => ("off", None, Some(why), None),
        SourceChange::FileOff { path, why, left } => ("file_off", Some(path), Some(why), *left),
    };
    json!({
        "event": "web_source",
        "source": news.site,
        "url": news.url,
        "state": state,
        "path": path,
        "message": message,
        "seconds": left.map(|left| left.as_secs_f64()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::FileIndex;

    fn source(state: SourceState) -> SourceStatus {
        SourceStatus {
            site: "mirror.example".to_owned(),
            url: "https://mirror.example/pub/?...".to_owned(),
            scope: SourceScope::All,
            state,
            links: 4,
            busy: 3,
            coming: 0,
            down_rate: 12 << 20,
            downloaded_bytes: 301 << 20,
            files: Vec::new(),
        }
    }

    fn file(path: &str, why: Option<&str>, left: Option<u64>) -> SourceFileStatus {
        SourceFileStatus {
            file: FileIndex(0),
            path: path.to_owned(),
            url: (path == "c").then(|| "https://mirror.example/pub/c".to_owned()),
            why: why.map(str::to_owned),
            left: left.map(Duration::from_secs),
            whole_only: why.is_none(),
        }
    }

    fn troubled() -> SourceStatus {
        let left = Some(Duration::from_millis(11_200));
        let mut source = source(SourceState::Waits { left, why: "429: it is \x1bbusy".into() });
        source.files = vec![
            file("a.iso", Some("206: another file: 4 bytes longer there"), None),
            file("b", None, None),
            file("c", Some("404: the file is not there"), Some(3600)),
        ];
        source
    }

    #[test]
    fn each_source_tells_what_it_waits_for_and_which_files_are_off() {
        let expected = "\
SOURCE                   LINKS         DOWN   RECEIVED  STATE
mirror.example               4   12.0 MiB/s  301.0 MiB  waits
  https://mirror.example/pub/?...
  429: it is \\x1bbusy, again in 12s
  'a.iso': 206: another file: 4 bytes longer there
  'b': sent from its beginning only
  'c': 404: the file is not there, again in 1h 0m: https://mirror.example/pub/c
";
        assert_eq!(web_screen(&[troubled()], 80), expected);
        assert_eq!(web_screen(&[], 80), NONE);
    }

    #[test]
    fn the_words_of_why_name_the_source() {
        assert_eq!(source_trouble(&source(SourceState::Fit)), None);
        let words = "mirror.example: 429: it is \\x1bbusy, again in 12s; 2 files are left out: \
                     'a.iso': 206: another file: 4 bytes longer there, ...";
        assert_eq!(source_trouble(&troubled()).as_deref(), Some(words));
    }

    #[test]
    fn narrow_terminals_lose_columns_and_never_wrap() {
        for columns in [70, 60, 45, 40] {
            let screen = web_screen(&[troubled()], columns);
            assert!(screen.lines().all(|line| line.chars().count() <= columns), "{screen}");
            assert!(screen.lines().nth(1).unwrap().ends_with("  waits"), "{screen}");
        }
        let mut many = source(SourceState::Fit);
        many.files = (0..9).map(|_| file("x", None, None)).collect();
        assert!(web_screen(&[many], 80).ends_with("  and 4 more such files\n"));
    }

    #[test]
    fn what_comes_and_goes_is_for_programs_only() {
        let news = |what| SourceNews { site: "m".into(), url: "http://m/".into(), what };
        assert_eq!(source_line(&news(SourceChange::Up)), None);
        let off = news(SourceChange::Off { why: "401: no\n".to_owned() });
        let line = "web source m: 401: no\\n; not asked any more";
        assert_eq!(source_line(&off).as_deref(), Some(line));
        let wrong = news(SourceChange::Wrong { piece: 3 });
        assert_eq!(source_line(&wrong).unwrap(), "piece 3 failed its hash: m sent wrong data");
        let waits = SourceChange::Waits { why: "503".into(), left: Duration::from_millis(1500) };
        assert_eq!(
            source_json(&news(waits)).to_string(),
            concat!(
                r#"{"event":"web_source","message":"503","path":null,"seconds":1.5,"#,
                r#""source":"m","state":"waits","url":"http://m/"}"#
            )
        );
    }
}
