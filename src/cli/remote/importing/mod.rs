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

use super::asking::{Remote, Voice};

use known::{Found, Taken};

/// Takes over what the words name.
///
/// # Errors
/// Nothing of that client is there, or nobody answers.
pub(super) async fn import(remote: &mut Remote, what: &Imported) -> Outcome {
    if what.dry_run {
        return dry_run(&mut remote.voice, what);
    }
    let all = read(what)?;
    let (count, mut taken_over, mut worst) = (all.len(), 0, Exit::Done);
    for (name, found) in all {
        let came = match found {
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
        (remote.voice.talk)(&match taken_over {
            0 => format!("none of {of} is new"),
            _ => format!("{taken_over} of {of} taken over; their files are looked at now"),
        });
    }
    Ok(worst)
}

/// Tells what would be taken over. No daemon is asked, so none has to run.
///
/// # Errors
/// Nothing of that client is there, or nobody reads what is told.
pub(super) fn dry_run(voice: &mut Voice, what: &Imported) -> Outcome {
    let all = read(what)?;
    let (count, mut fit, mut worst) = (all.len(), 0, Exit::Done);
    for (name, found) in all {
        match found {
            Ok(taken) => {
                tell(voice, &taken, "would be taken over")?;
                fit += 1;
            }
            Err(why) => {
                worst = worst.worst(Exit::BadInput);
                (voice.talk)(&format!("driver: {}: {}", escape(&name), Failure::bad_input(why)));
            }
        }
    }
    if !voice.quiet {
        let of = counted(count as u64, "torrent");
        (voice.talk)(&format!("{fit} of {of} would be taken over; nothing is changed"));
    }
    Ok(worst)
}

/// The torrents of the other client, in its order: those that can be taken over, and why others
/// cannot.
fn read(what: &Imported) -> Result<Vec<Found>, Failure> {
    let mut all = match what.client {
        OtherClient::Transmission => transmission::read(&what.dir)?,
        OtherClient::Qbittorrent => qbittorrent::read(&what.dir)?,
        OtherClient::Rqbit => rqbit::read(&what.dir)?,
    };
    all.sort_by_key(|(_, found)| found.as_ref().map_or(u64::MAX, |taken| taken.place));
    Ok(all)
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
        tell(&mut remote.voice, &taken, "it is there already")?;
        return Ok(false);
    }
    if let Some(id) = added.id.filter(|_| taken.files != FilePatch::default()) {
        let wanted = Request::SetFiles(Key::Id(id), taken.files.clone());
        remote.ask::<serde_json::Value>(&wanted).await?;
    }
    tell(&mut remote.voice, &taken, "taken over").map(|()| true)
}

fn tell(voice: &mut Voice, taken: &Taken, what: &str) -> Result<(), Failure> {
    if voice.quiet {
        return Ok(());
    }
    let dir = escape(taken.addition.dir.as_deref().unwrap_or_default());
    (voice.say)(&format!("{}: {what}, in {dir}\n", escape(&taken.name)))
}

#[cfg(test)]
mod tests;
