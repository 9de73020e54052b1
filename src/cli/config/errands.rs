//! What a daemon does by itself, as the config file has it: `[[watch]]`, `[[feed]]` and
//! `[[hook]]`. Pure. What is wrong is told with its line.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::rules::{duration, labels, size, switch, text, texts};
use crate::errands::plan::{FEEDS_MAX, HOOKS_MAX, WATCHES_MAX};
use crate::errands::{Act, Adding, After, Feed, Hook, Moment, Pattern, Plan, Watch};

/// Keys that are no long flags.
pub(super) const KEYS: [&str; 3] = ["watch", "feed", "hook"];

/// What the file says of that; `source` is its text.
///
/// # Errors
/// In one line: which table, which line, which key, and what is to be done.
pub(super) fn plan(table: &Table, source: &str) -> Result<Plan, String> {
    let file = File { table, source };
    let watches = file.each("watch", WATCHES_MAX, watch)?;
    let mut dirs = BTreeSet::new();
    if let Some(at) = watches.iter().position(|watch| !dirs.insert(&watch.dir)) {
        return Err(file.mistake("watch", at, &Wrong::at("dir", "another one watches it")));
    }
    let feeds = file.each("feed", FEEDS_MAX, feed)?;
    let mut urls = BTreeSet::new();
    if let Some(at) = feeds.iter().position(|feed| !urls.insert(&feed.url)) {
        return Err(file.mistake("feed", at, &Wrong::at("url", "another one follows it")));
    }
    Ok(Plan { watches, hooks: file.each("hook", HOOKS_MAX, hook)?, feeds })
}

/// What is wrong with a table.
struct Wrong {
    key: Option<String>,
    why: String,
}

impl Wrong {
    fn at(key: &str, why: impl Into<String>) -> Self {
        Self { key: Some(key.to_owned()), why: why.into() }
    }

    fn whole(why: impl Into<String>) -> Self {
        Self { key: None, why: why.into() }
    }
}

/// The file, read and as it is written.
struct File<'a> {
    table: &'a Table,
    source: &'a str,
}

impl File<'_> {
    /// Reads all tables of this name.
    fn each<T>(
        &self,
        name: &str,
        most: usize,
        read: impl Fn(&Table) -> Result<T, Wrong>,
    ) -> Result<Vec<T>, String> {
        let tables = match self.table.get(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(tables)) => tables,
            Some(_) => return Err(format!("{name}: write [[{name}]] above its keys")),
        };
        if tables.len() > most {
            return Err(format!("{} [[{name}]] are more than {most}", tables.len()));
        }
        let read = |(at, one): (usize, &Value)| {
            let one = one.as_table().ok_or_else(|| Wrong::whole("no table"));
            one.and_then(&read).map_err(|wrong| self.mistake(name, at, &wrong))
        };
        tables.iter().enumerate().map(read).collect()
    }

    fn mistake(&self, name: &str, at: usize, Wrong { key, why }: &Wrong) -> String {
        let line = self.line(name, at, key.as_deref());
        let line = line.map(|line| format!(" (line {line})")).unwrap_or_default();
        let key = key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default();
        format!("{name} {}{line}: {key}{why}", at + 1)
    }

    /// The line of a key of a table, or where the table begins.
    fn line(&self, name: &str, at: usize, key: Option<&str>) -> Option<usize> {
        let read = DeTable::parse(self.source).ok()?;
        let DeValue::Array(tables) = read.get_ref().get(name)?.get_ref() else { return None };
        let table = tables.get(at)?;
        let keys = match table.get_ref() {
            DeValue::Table(table) => table.iter().find(|(own, _)| Some(&**own.get_ref()) == key),
            _ => None,
        };
        let begin = keys.map_or_else(|| table.span().start, |(own, _)| own.span().start);
        Some(self.source.get(..begin)?.matches('\n').count() + 1)
    }
}

fn watch(table: &Table) -> Result<Watch, Wrong> {
    let (mut dir, mut after, mut adding) = (None, After::Keep, Adding::default());
    for (key, value) in table {
        let known = match key.as_str() {
            "dir" => place(value).map(|place| dir = Some(place)),
            "keep" => keep(value).map(|keep| after = keep),
            key => added_so(&mut adding, key, value).unwrap_or_else(unknown),
        };
        known.map_err(|why| Wrong::at(key, why))?;
    }
    let dir = dir.ok_or_else(|| Wrong::whole("say which folder: dir = \"/srv/drop\""))?;
    Ok(Watch { dir, adding, after })
}

fn unknown() -> Result<(), String> {
    Err("there is no such key".to_owned())
}

/// How torrents are run that are added so; none when the key is another one.
fn added_so(adding: &mut Adding, key: &str, value: &Value) -> Option<Result<(), String>> {
    Some(match key {
        "into" => place(value).map(|place| adding.into = Some(place)),
        "label" => labels(value).map(|labels| adding.labels = labels),
        "start" => switch(value).map(|starts| adding.starts = starts),
        _ => return None,
    })
}

fn place(value: &Value) -> Result<PathBuf, String> {
    let path = PathBuf::from(text(value)?);
    match path.is_absolute() {
        true => Ok(path),
        false => Err("name it from / on".to_owned()),
    }
}

fn keep(value: &Value) -> Result<After, String> {
    match value.as_str() {
        Some("keep") => Ok(After::Keep),
        Some("delete") => Ok(After::Delete),
        _ => Err("write \"keep\" or \"delete\"".to_owned()),
    }
}

fn feed(table: &Table) -> Result<Feed, Wrong> {
    let mut feed = Feed::default();
    for (key, value) in table {
        let known = match key.as_str() {
            "name" => text(value).map(|name| feed.name = Some(name)),
            "url" => web_address(value).map(|url| feed.url = url),
            "interval" => interval(value).map(|interval| feed.interval = interval),
            "include" => patterns(value).map(|patterns| feed.include = patterns),
            "exclude" => patterns(value).map(|patterns| feed.exclude = patterns),
            "min-size" => size(value).map(|size| feed.min_size = Some(size)),
            "max-size" => size(value).map(|size| feed.max_size = Some(size)),
            "once" => switch(value).map(|once| feed.once = once),
            key => added_so(&mut feed.adding, key, value).unwrap_or_else(unknown),
        };
        known.map_err(|why| Wrong::at(key, why))?;
    }
    let is_empty = feed.min_size.zip(feed.max_size).is_some_and(|(min, max)| min > max);
    match feed.url.is_empty() {
        true => Err(Wrong::whole("say where it is: url = \"https://example.org/feed\"")),
        false if is_empty => Err(Wrong::at("max-size", "it is less than min-size")),
        false => Ok(feed),
    }
}

fn interval(value: &Value) -> Result<Duration, String> {
    let interval = duration(value)?;
    if interval < Feed::INTERVAL_MIN {
        return Err(format!("{} s at least", Feed::INTERVAL_MIN.as_secs()));
    }
    match interval > Feed::INTERVAL_MAX {
        true => Err("30 days at most".to_owned()),
        false => Ok(interval),
    }
}

fn patterns(value: &Value) -> Result<Vec<Pattern>, String> {
    let pattern = |text: &String| Pattern::new(text).map_err(|why| format!("{text:?}: {why}"));
    texts(value)?.iter().map(pattern).collect()
}

fn hook(table: &Table) -> Result<Hook, Wrong> {
    let (mut on, mut labelled) = (Vec::new(), Vec::new());
    let (mut words, mut url, mut secret) = (None, None, None);
    for (key, value) in table {
        let known = match key.as_str() {
            "on" => moments(value).map(|moments| on = moments),
            "label" => labels(value).map(|labels| labelled = labels),
            "run" => program(value).map(|program| words = Some(program)),
            "url" => web_address(value).map(|it| url = Some(it)),
            "secret" => text(value).map(|it| secret = Some(it)),
            _ => unknown(),
        };
        known.map_err(|why| Wrong::at(key, why))?;
    }
    if on.is_empty() {
        return Err(Wrong::whole("say when: on = [\"done\"]"));
    }
    let act = match (words, url) {
        (Some(_), None) if secret.is_some() => {
            return Err(Wrong::at("secret", "it signs what a url is told: a program needs none"));
        }
        (Some(words), None) => Act::Run(words),
        (None, Some(url)) => Act::Post { url, secret },
        _ => return Err(Wrong::whole("say who is told: either run or url")),
    };
    Ok(Hook { on, labels: labelled, act })
}

fn moments(value: &Value) -> Result<Vec<Moment>, String> {
    let moment = |name: &String| {
        let known = Moment::ALL.into_iter().find(|moment| moment.name() == name);
        known.ok_or_else(|| {
            let names = Moment::ALL.map(Moment::name).join(", ");
            format!("{name:?} is none of {names}")
        })
    };
    texts(value)?.iter().map(moment).collect()
}

fn program(value: &Value) -> Result<Vec<String>, String> {
    let words = match value {
        Value::Array(words) => words.iter().map(text).collect::<Result<Vec<_>, _>>()?,
        _ => return Err("write [\"/path/to/program\", \"argument\"]: there is no shell".to_owned()),
    };
    match words.first() {
        Some(program) if !program.starts_with('/') => Err("name the program from / on".to_owned()),
        Some(_) if words.iter().any(|word| word.contains('\0')) => {
            Err("a word has no NUL".to_owned())
        }
        Some(_) => Ok(words),
        None => Err("it is empty".to_owned()),
    }
}

fn web_address(value: &Value) -> Result<String, String> {
    let url = text(value)?;
    let is_web = url.split_once("://").is_some_and(|(scheme, rest)| {
        matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") && !rest.is_empty()
    });
    match is_web && !url.contains(|letter: char| letter.is_control() || letter == ' ') {
        true => Ok(url),
        false => Err("write http://... or https://...".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Plan, String> {
        plan(&text.parse().unwrap(), text)
    }

    #[test]
    fn a_folder_says_all_that_there_is() {
        let text = r#"
            [[watch]]
            dir = "/srv/drop"
            into = "/srv/films"
            label = "films"
            start = false
            keep = "delete"
            [[watch]]
            dir = "/srv/other"
        "#;
        let adding = Adding {
            into: Some("/srv/films".into()),
            labels: vec!["films".to_owned()],
            starts: false,
        };
        let first = Watch { dir: "/srv/drop".into(), adding, after: After::Delete };
        let other =
            Watch { dir: "/srv/other".into(), adding: Adding::default(), after: After::Keep };
        assert_eq!(read(text), Ok(Plan { watches: vec![first, other], ..Plan::default() }));
        assert_eq!(read("port = 7"), Ok(Plan::default()));
    }

    #[test]
    fn a_hook_says_all_that_there_is() {
        let text = r#"
            [[hook]]
            on = ["done", "error"]
            label = ["films"]
            run = ["/usr/local/bin/told", "x y"]
            [[hook]]
            on = "added"
            url = "http://127.0.0.1:8000/hook"
            secret = "between us"
        "#;
        let words = ["/usr/local/bin/told", "x y"].map(str::to_owned).into();
        let program = Hook {
            on: vec![Moment::Done, Moment::Error],
            labels: vec!["films".to_owned()],
            act: Act::Run(words),
        };
        let (url, secret) = ("http://127.0.0.1:8000/hook".to_owned(), Some("between us".into()));
        let act = Act::Post { url, secret };
        let server = Hook { on: vec![Moment::Added], labels: Vec::new(), act };
        assert_eq!(read(text), Ok(Plan { hooks: vec![program, server], ..Plan::default() }));
    }

    #[test]
    fn a_feed_says_all_that_there_is() {
        let text = r#"
            [[feed]]
            name = "linux"
            url = "https://example.org/rss?key=1"
            interval = "15m"
            include = ["debian.*amd64", "^fedora"]
            exclude = "beta"
            min-size = "500 MiB"
            max-size = "8 GiB"
            once = true
            into = "/srv/iso"
            label = "iso"
            start = false
        "#;
        let pattern = |text| Pattern::new(text).unwrap();
        let feed = Feed {
            name: Some("linux".to_owned()),
            url: "https://example.org/rss?key=1".to_owned(),
            interval: Duration::from_secs(900),
            include: vec![pattern("debian.*amd64"), pattern("^fedora")],
            exclude: vec![pattern("beta")],
            min_size: Some(500 << 20),
            max_size: Some(8 << 30),
            once: true,
            adding: Adding {
                into: Some("/srv/iso".into()),
                labels: vec!["iso".to_owned()],
                starts: false,
            },
        };
        assert_eq!(read(text), Ok(Plan { feeds: vec![feed], ..Plan::default() }));
        let plain = read("[[feed]]\nurl = 'http://x/'").unwrap();
        assert_eq!(plan_interval(&plain), Duration::from_secs(1800));
    }

    fn plan_interval(plan: &Plan) -> Duration {
        plan.feeds[0].interval
    }

    #[test]
    fn the_example_of_the_readme_is_read() {
        let readme = include_str!("../../../README.md");
        let section = readme.split("### By itself\n").nth(1).unwrap();
        let example = section.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let plan = read(example).unwrap();
        assert_eq!((plan.watches.len(), plan.watches[0].after), (1, After::Delete));
        assert_eq!((plan.hooks.len(), plan.feeds.len()), (2, 1));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, why) in [
            ("watch = 3", "watch: write [[watch]] above its keys"),
            ("\n[[watch]]\n", "watch 1 (line 2): say which folder: dir = \"/srv/drop\""),
            ("[[watch]]\ndir = 'x'", "watch 1 (line 2): dir: name it from / on"),
            (
                "[[watch]]\ndir = '/x'\n\n[[watch]]\ndir = '/y'\nkeep = true",
                "watch 2 (line 6): keep: write \"keep\" or \"delete\"",
            ),
            (
                "[[watch]]\ndir = '/x'\n[[watch]]\ndir = '/x'",
                "watch 2 (line 4): dir: another one watches it",
            ),
            ("[[watch]]\nwhere = '/x'", "watch 1 (line 2): where: there is no such key"),
            ("watch = [3]", "watch 1 (line 1): no table"),
            (
                "[[feed]]\nlabel = 'x'",
                "feed 1 (line 1): say where it is: url = \"https://example.org/feed\"",
            ),
            (
                "[[feed]]\nurl = 'http://x'\ninterval = '59s'",
                "feed 1 (line 3): interval: 60 s at least",
            ),
            (
                "[[feed]]\nurl = 'http://x'\ninterval = '31d'",
                "feed 1 (line 3): interval: 30 days at most",
            ),
            (
                "[[feed]]\nurl = 'http://x'\nmin-size = 3\nmax-size = 2",
                "feed 1 (line 4): max-size: it is less than min-size",
            ),
            (
                "[[feed]]\nurl = 'http://x'\n[[feed]]\nurl = 'http://x'",
                "feed 2 (line 4): url: another one follows it",
            ),
            ("[[hook]]\nrun = ['/x']", "hook 1 (line 1): say when: on = [\"done\"]"),
            ("[[hook]]\non = 'done'", "hook 1 (line 1): say who is told: either run or url"),
            (
                "[[hook]]\non = 'end'\nrun = ['/x']",
                "hook 1 (line 2): on: \"end\" is none of added, metadata, done, seeded, removed, \
                 error, recovered, moved",
            ),
            (
                "[[hook]]\non = 'done'\nrun = '/x y'",
                "hook 1 (line 3): run: write [\"/path/to/program\", \"argument\"]: there is no shell",
            ),
            (
                "[[hook]]\non = 'done'\nrun = ['x']",
                "hook 1 (line 3): run: name the program from / on",
            ),
            (
                "[[hook]]\non = 'done'\nurl = 'ftp://x'",
                "hook 1 (line 3): url: write http://... or https://...",
            ),
            (
                "[[hook]]\non = 'done'\nsecret = 'x'\nrun = ['/x']",
                "hook 1 (line 3): secret: it signs what a url is told: a program needs none",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), why, "{text}");
        }
        let wrong = read("[[feed]]\nurl = 'http://x'\ninclude = '('").unwrap_err();
        assert!(wrong.starts_with("feed 1 (line 3): include: \"(\": "), "{wrong}");
        let many = (0..=WATCHES_MAX).map(|number| format!("[[watch]]\ndir = '/{number}'\n"));
        assert_eq!(read(&many.collect::<String>()).unwrap_err(), "65 [[watch]] are more than 64");
    }
}
