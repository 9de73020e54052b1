//! A file that nothing but the hash of all of it can judge, if there is one: fetched from one
//! mirror alone, and when it is wrong in the end, from the next. Nobody can be blamed for a part.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::base::addr::{Locality, Teller};
use crate::base::units::size;
use crate::base::url::Url;
use crate::torrent::without_passkey;
use crate::web::{Limits, open};

use super::escape::escape;
use super::exit::{Exit, Failure};
use super::metalinked::{Hasher, WholeFile, has_hash, kind_name};
use super::out;

/// A mirror that breaks off is asked for the rest, so often in a row without a byte in between.
const BREAKS_MAX: u32 = 3;

/// Why a mirror gave nothing of use.
enum Vain {
    /// The network, or the server.
    Network(String),
    /// What came is another file.
    Wrong(String),
    /// Our own disk.
    Disk(std::io::Error),
}

/// Fetches the file into `dir`; one that is there and right is left as it is. Says what it does.
///
/// # Errors
/// When no mirror has it: 6 if one had another file, else 4; when it cannot be written, or
/// another file is there (5).
pub async fn fetch(
    file: &WholeFile,
    dir: &Path,
    overwrite: bool,
    bind: Option<IpAddr>,
) -> Result<(), Failure> {
    let (path, name) = (dir.join(&file.name), escape(&file.name));
    let disk = |error: std::io::Error| Failure::new(Exit::Disk, format!("{name}: {error}"));
    if path.exists() && !overwrite {
        if file.hash.as_ref().is_some_and(|hash| has_hash(&path, hash).unwrap_or(false)) {
            out::talk_wrapped(&format!("{name}: here already, and its hash is right"));
            return Ok(());
        }
        let why = "another file of this name is there: --overwrite replaces it";
        return Err(Failure::new(Exit::Disk, format!("{name}: {why}")));
    }
    fs::create_dir_all(path.parent().unwrap_or(dir)).map_err(disk)?;
    let part = part_of(&path);
    let mut is_wrong = false;
    for url in &file.mirrors {
        let mirror = escape(&without_passkey(url));
        out::talk_wrapped(&format!("{name}: {} from {mirror}", size(file.size)));
        match from_mirror(file, url, &part, bind).await {
            Ok(()) => {
                fs::rename(&part, &path).map_err(disk)?;
                let judged = match &file.hash {
                    Some(hash) => format!("its {} is right", kind_name(hash.kind)),
                    None => "nothing says whether it is right: the metalink has no hash".to_owned(),
                };
                out::talk_wrapped(&format!("{name}: complete; {judged}"));
                return Ok(());
            }
            Err(Vain::Disk(error)) => return Err(disk(error)),
            Err(Vain::Network(why)) => {
                out::talk_wrapped(&format!("{name}: {mirror}: {}", escape(&why)));
            }
            Err(Vain::Wrong(why)) => {
                is_wrong = true;
                out::talk_wrapped(&format!("{name}: {mirror}: {}", escape(&why)));
            }
        }
    }
    // What is wrong is of no use to anybody.
    let _ = fs::remove_file(&part);
    let exit = if is_wrong { Exit::Mismatch } else { Exit::Network };
    Err(Failure::new(exit, format!("{name}: none of its mirrors has it")))
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// All of the file from one mirror, from its first byte on.
async fn from_mirror(
    file: &WholeFile,
    url: &str,
    part: &Path,
    bind: Option<IpAddr>,
) -> Result<(), Vain> {
    let mut to = File::create(part).map_err(Vain::Disk)?;
    let mut hasher = file.hash.as_ref().map(|hash| Hasher::new(hash.kind));
    let (mut done, mut breaks) = (0_u64, 0);
    let limits = Limits { bind, ..Limits::default() };
    // Whoever wrote the metalink may name any address; without a query nothing is done there.
    let is_harmless = Url::parse(url).is_some_and(|url| url.query().is_none());
    let from = if is_harmless { Teller::User } else { Teller::Remote(Locality::Public) };
    while done < file.size || file.size == 0 {
        let before = done;
        let broke = match open(url, from, &limits, done).await {
            Err(error) => error.to_string(),
            Ok(mut body) => loop {
                match body.chunk().await {
                    Ok(Some(bytes)) => {
                        done += bytes.len() as u64;
                        if done > file.size {
                            return Err(Vain::Wrong("it is longer there".to_owned()));
                        }
                        hasher.iter_mut().for_each(|hasher| hasher.update(&bytes));
                        to.write_all(&bytes).map_err(Vain::Disk)?;
                    }
                    Ok(None) if done == before && file.size > 0 => {
                        break "it sends nothing".to_owned();
                    }
                    Ok(None) if body.is_whole() && done < file.size => {
                        return Err(Vain::Wrong("it is shorter there".to_owned()));
                    }
                    Ok(None) => break String::new(),
                    Err(error) => break error.to_string(),
                }
            },
        };
        if file.size == 0 && broke.is_empty() {
            break;
        }
        breaks = if done > before { 0 } else { breaks + 1 };
        if breaks >= BREAKS_MAX {
            return Err(Vain::Network(broke));
        }
    }
    to.sync_data().map_err(Vain::Disk)?;
    let made = hasher.map(Hasher::finish);
    match &file.hash {
        Some(hash) if made.as_ref() != Some(&hash.bytes) => {
            Err(Vain::Wrong(format!("its {} is wrong", kind_name(hash.kind))))
        }
        _ => Ok(()),
    }
}
