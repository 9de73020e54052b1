//! `import`: the torrents of another client, taken over where their files are. What that client
//! keeps is read here and never written; the daemon reads and hashes the files before it believes
//! anything of them.

mod known;
mod qbittorrent;
mod rqbit;
mod transmission;

use data_encoding::BASE64;

use crate::api::{Added, Addition, FilePatch, Key, Request};
use crate::cli::args::{Imported, OtherClient};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::print::counted;

use super::asking::Remote;

use known::Taken;

/// Takes over what the words name.
///
/// # Errors
/// Nothing of that client is there, or nobody answers.
pub(super) async fn import(remote: &mut Remote, what: &Imported) -> Outcome {
    let mut all = match what.client {
        OtherClient::Transmission => transmission::read(&what.dir)?,
        OtherClient::Qbittorrent => qbittorrent::read(&what.dir)?,
        OtherClient::Rqbit => rqbit::read(&what.dir)?,
    };
    all.sort_by_key(|(_, found)| found.as_ref().map_or(u64::MAX, |taken| taken.place));
    let (count, mut taken_over, mut worst) = (all.len(), 0, Exit::Done);
    for (name, found) in all {
        let came = match found {
            Ok(taken) if what.dry_run => tell(remote, &taken, "would be taken over").map(|()| true),
            Ok(taken) => take_over(remote, taken, what.paused).await,
            Err(why) => Err(Failure::bad_input(why)),
        };
        match came {
            Ok(is_new) => taken_over += usize::from(is_new),
            Err(failure) if failure.exit == Exit::Network => return Err(failure),
            Err(failure) => {
                worst = worst.worst(Exit::BadInput);
                (remote.voice.talk)(&format!("driver: {}: {failure}", escape(&name)));
            }
        }
    }
    if !remote.voice.quiet {
        let of = counted(count as u64, "torrent");
        (remote.voice.talk)(&match (what.dry_run, taken_over) {
            (true, _) => format!("{taken_over} of {of} would be taken over; nothing is changed"),
            (false, 0) => format!("none of {of} is new"),
            (false, _) => {
                format!("{taken_over} of {of} taken over; their files are looked at now")
            }
        });
    }
    Ok(worst)
}

/// Takes one over; whether it is new there.
async fn take_over(remote: &mut Remote, taken: Taken, paused: bool) -> Result<bool, Failure> {
    let addition = Addition {
        torrent: Some(BASE64.encode(&taken.torrent)),
        paused: taken.addition.paused || paused,
        ..taken.addition.clone()
    };
    let added: Added = remote.ask(&Request::Add(Box::new(addition))).await?;
    if added.was_there {
        tell(remote, &taken, "it is there already")?;
        return Ok(false);
    }
    if let Some(id) = added.id.filter(|_| taken.files != FilePatch::default()) {
        let wanted = Request::SetFiles(Key::Id(id), taken.files.clone());
        remote.ask::<serde_json::Value>(&wanted).await?;
    }
    tell(remote, &taken, "taken over").map(|()| true)
}

fn tell(remote: &mut Remote, taken: &Taken, what: &str) -> Result<(), Failure> {
    if remote.voice.quiet {
        return Ok(());
    }
    let dir = escape(taken.addition.dir.as_deref().unwrap_or_default());
    (remote.voice.say)(&format!("{}: {what}, in {dir}\n", escape(&taken.name)))
}

#[cfg(test)]
mod tests;
