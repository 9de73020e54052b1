//! `add`: files, what comes through a pipe, URLs, magnet links, hashes. Files are read here, since
//! the daemon may be on another machine; all else it fetches itself.

use std::io::Read as _;
use std::path::Path;

use data_encoding::BASE64;

use crate::api::{self, Addition, Request};
use crate::cli::args::Added;
use crate::cli::choice::only_these;
use crate::cli::commands::load;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome, from_io};
use crate::cli::given::Given;
use crate::cli::print::files_of;
use crate::cli::values::{Ranges, Rate};

use super::asking::Remote;
use super::words;

/// The largest `.torrent` that the API takes.
const TORRENT_LEN_MAX: u64 = 16 << 20;
/// Files that may be chosen of a torrent that nobody has seen yet.
const CHOSEN_MAX: u32 = 100_000;

pub(super) async fn add(remote: &mut Remote, added: &Added) -> Outcome {
    let mut worst = Exit::Done;
    for word in &added.torrents {
        match add_one(remote, added, word).await {
            Ok(()) => {}
            Err(failure) if failure.exit == Exit::Network => return Err(failure),
            Err(failure) => {
                worst = worst.worst(failure.exit);
                let word = escape(word);
                let words = match failure.message.starts_with(&word) {
                    true => format!("driver: {failure}"),
                    false => format!("driver: {word}: {failure}"),
                };
                (remote.voice.talk)(&words);
            }
        }
    }
    Ok(worst)
}

async fn add_one(remote: &mut Remote, added: &Added, word: &str) -> Result<(), Failure> {
    let limit = |rate: Option<Rate>| rate.map(words::bytes_of);
    let dir = added.dir.as_ref().map(|dir| remote.dir(dir)).transpose()?;
    let what = what_of(word, added.select.as_ref())?;
    let addition = Addition {
        dir,
        paused: added.paused,
        labels: added.label.clone(),
        sequential: added.sequential,
        limit_down: limit(added.download_limit),
        limit_up: limit(added.upload_limit),
        ..what
    };
    let answer = remote.ask(&Request::Add(Box::new(addition))).await?;
    if remote.voice.quiet && !remote.voice.json {
        return Ok(());
    }
    remote.show::<api::Added>(answer, |added, _| {
        let name = escape(&added.name);
        match (added.id, added.was_there) {
            (Some(id), false) => format!("{id} {name}: added\n"),
            (Some(id), true) => format!("{id} {name}: it is there already\n"),
            (None, _) => format!("{name}: it comes or leaves at this moment\n"),
        }
    })
}

/// What is to be added, and which of its files.
fn what_of(word: &str, select: Option<&Ranges>) -> Result<Addition, Failure> {
    let of_bytes = |name: &str, bytes: &[u8]| -> Result<Addition, Failure> {
        let count = files_of(&load::parse(name, bytes)?).len();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let files = select.map(|ranges| only_these(ranges, count)).transpose();
        let files = files.map_err(Failure::bad_input)?.map(|patch| patch.want);
        Ok(Addition { torrent: Some(BASE64.encode(bytes)), files, ..Addition::default() })
    };
    if word == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(TORRENT_LEN_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|error| from_io("stdin cannot be read", &error))?;
        if bytes.len() as u64 > TORRENT_LEN_MAX {
            return Err(Failure::bad_input("stdin: longer than 16 MiB, which no torrent is"));
        }
        return of_bytes("stdin", &bytes);
    }
    let files = || select.map(numbers).transpose().map(Option::flatten);
    match Given::of(Path::new(word))? {
        Given::File(path) => of_bytes(word, &load::file(&path)?.1),
        Given::Url(url) => Ok(Addition { url: Some(url), files: files()?, ..Addition::default() }),
        Given::Link(_) => {
            let link = Some(word.trim().to_owned());
            Ok(Addition { link, files: files()?, ..Addition::default() })
        }
    }
}

/// The numbers of files of a torrent that is not here; none for all.
fn numbers(ranges: &Ranges) -> Result<Option<Vec<u32>>, Failure> {
    if ranges.is_all() {
        return Ok(None);
    }
    let mut numbers = Vec::new();
    for (first, last) in ranges.pairs() {
        if last > CHOSEN_MAX {
            let why = "how many files that has is not known yet: write both ends, as 7-9";
            return Err(Failure::usage(why));
        }
        numbers.extend(first..=last);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(Some(numbers))
}

#[cfg(test)]
mod tests {
    use crate::cli::values::ranges;

    use super::*;

    #[test]
    fn files_of_a_link_are_chosen_by_numbers_alone() {
        let of = |text: &str| numbers(&ranges(text).unwrap());
        assert_eq!(of("1-3,2,5"), Ok(Some(vec![1, 2, 3, 5])));
        assert_eq!(of("all"), Ok(None));
        assert_eq!(of("7-").unwrap_err().exit, Exit::Usage);
        assert_eq!(of("1-4000000000").unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn what_is_named_is_sent_as_what_it_is() {
        let hash = "ab".repeat(20);
        assert_eq!(what_of(&hash, None).unwrap().link.as_deref(), Some(hash.as_str()));
        let url = "http://m.example/x.torrent";
        assert_eq!(what_of(url, None).unwrap().url.as_deref(), Some(url));
        assert_eq!(what_of("no/such.torrent", None).unwrap_err().exit, Exit::BadInput);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.torrent");
        let word = path.to_str().unwrap();
        let bytes =
            b"d4:infod6:lengthi1e4:name1:x12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxee";
        std::fs::write(&path, bytes).unwrap();
        let chosen = what_of(word, Some(&ranges("1-").unwrap())).unwrap();
        assert_eq!((chosen.torrent, chosen.files), (Some(BASE64.encode(bytes)), Some(vec![1])));
        assert_eq!(what_of(word, Some(&ranges("2").unwrap())).unwrap_err().exit, Exit::BadInput);
        std::fs::write(&path, "x").unwrap();
        assert_eq!(what_of(word, None).unwrap_err().exit, Exit::BadInput);
    }
}
