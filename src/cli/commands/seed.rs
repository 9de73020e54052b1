//! `driver seed FILE... [DIR]`: looks at the data, as far as no record covers it, then uploads
//! until told to stop. It downloads nothing: what is missing is named, with how to get it.

use std::path::{Path, PathBuf};

use crate::cli::args::{Common, Options};
use crate::cli::escape::escape;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::given::is_link;
use crate::cli::place::no_directory;

use super::{download, load};

/// Seeds the torrents named in `paths`, whose last one may be the directory of their data.
///
/// # Errors
/// When there is no such directory, a torrent cannot be used, or (code 6) its data is not whole.
pub fn run(paths: &[String], mut options: Options, common: &Common) -> Outcome {
    let (torrents, dir) = apart(paths);
    if let Some(why) = misplaced(torrents, dir.is_some()) {
        return Err(Failure::usage(why));
    }
    if let Some(dir) = dir {
        options.dir = vec![dir];
    }
    if let Some(missing) = options.dir.iter().find(|dir| !dir.is_dir()) {
        let shown = escape(&missing.display().to_string());
        return Err(match torrents.first().filter(|first| !is_link(first)) {
            // What is wrong with the torrent comes first.
            Some(first) => no_directory(&load::torrent(Path::new(first))?, missing),
            None => Failure::bad_input(format!("{shown}: no such directory")),
        });
    }
    download::start(torrents, &options, common, true)
}

/// The torrents, and the directory when it stands behind them. The first is always a torrent.
fn apart(paths: &[String]) -> (&[String], Option<PathBuf>) {
    match paths {
        [torrents @ .., last] if !torrents.is_empty() && !is_torrent(Path::new(last)) => {
            (torrents, Some(PathBuf::from(last)))
        }
        _ => (paths, None),
    }
}

/// What to say when a directory stands where a torrent is to stand. Alone it is taken for one.
fn misplaced(torrents: &[String], has_dir: bool) -> Option<String> {
    let dir = torrents.iter().find(|path| Path::new(path).is_dir())?;
    let shown = escape(dir);
    if torrents.len() == 1 {
        let words = "is a directory: the torrent comes first, its directory behind it";
        return has_dir.then(|| format!("{shown} {words}"));
    }
    let rest: Vec<&String> = torrents.iter().filter(|path| !Path::new(path).is_dir()).collect();
    let first = rest.first().map_or("a.torrent".to_owned(), |first| escape(first));
    Some(format!(
        "{shown} is a directory and stands before a torrent: name all torrents and one directory \
         behind them, or a directory for each by -d: driver seed {first} -d {shown} ..."
    ))
}

fn is_torrent(path: &Path) -> bool {
    path.to_str().is_some_and(is_link) && !path.is_dir()
        || path.extension().is_some_and(|it| it.eq_ignore_ascii_case("torrent")) && !path.is_dir()
        || path.is_file()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    #[test]
    fn a_directory_between_torrents_is_told_apart_from_a_torrent() {
        let said = |line: &str| {
            let paths: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let (torrents, dir) = super::apart(&paths);
            super::misplaced(torrents, dir.is_some())
        };
        let twice = said("a.torrent . b.torrent .").unwrap();
        assert_eq!(
            twice,
            ". is a directory and stands before a torrent: name all torrents and one directory \
             behind them, or a directory for each by -d: driver seed a.torrent -d . ..."
        );
        assert!(said("commands a.torrent").unwrap().starts_with("commands is a directory and"));
        assert!(said(". .").unwrap().contains("the torrent comes first"));
        for fine in ["a.torrent b.torrent .", "a.torrent .", "a.torrent", "commands"] {
            assert_eq!(said(fine), None, "{fine}");
        }
    }

    #[test]
    fn a_directory_may_stand_last() {
        let paths = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let apart = |line: &str| -> (usize, Option<PathBuf>) {
            let paths = paths(line);
            let (torrents, dir) = super::apart(&paths);
            (torrents.len(), dir)
        };
        assert_eq!(apart("a.torrent"), (1, None));
        assert_eq!(apart("a.torrent b.TORRENT"), (2, None));
        assert_eq!(apart("a.torrent /nowhere"), (1, Some("/nowhere".into())));
        assert_eq!(apart("a.torrent b.torrent commands"), (2, Some("commands".into())));
        // Alone it is a torrent, however it is called.
        assert_eq!(apart("commands"), (1, None));
        assert_eq!(apart("a Cargo.toml"), (2, None));
        assert_eq!(apart("a.torrent http://x/y?z"), (2, None));
        assert_eq!(apart("http://x/y?z commands"), (1, Some("commands".into())));
    }
}
