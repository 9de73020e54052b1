//! What each command does.

use crate::api::{Deed, Key, Patch, Place, Request};
use crate::cli::args::RemoteCommand;
use crate::cli::exit::{Exit, Outcome};

use super::asking::Remote;
use super::{adding, change, feeds, find, importing, log, look, rules, watch};

/// Does what a command says.
///
/// # Errors
/// Nobody answers, no torrent is meant, or what is asked for is refused.
pub(super) async fn carry_out(remote: &mut Remote, command: &RemoteCommand) -> Outcome {
    use RemoteCommand as Is;
    let place = |place| Patch { place: Some(place), ..Patch::default() };
    let set = |patch: Patch| move |key: Key| Request::Set(key, Box::new(patch.clone()));
    let order = |deed: Deed| move |key: Key| Request::Do(key, deed.clone());
    match command {
        Is::List { filters } => look::list(remote, filters).await,
        Is::Find { words } => find::find(remote, words).await,
        Is::Import(what) => importing::import(remote, what).await,
        Is::Add(added) => adding::add(remote, added).await,
        Is::Show(which) => look::show(remote, &which.torrents).await,
        Is::Status { torrents } => look::status(remote, torrents).await,
        Is::Why { which, rules: true } => rules::why(remote, &which.torrents).await,
        Is::Why { which, rules: false } => look::why(remote, &which.torrents).await,
        Is::Peers { which, all } => look::peers(remote, &which.torrents, *all).await,
        Is::Files(which) => look::files(remote, &which.torrents).await,
        Is::Trackers { which, add, remove } if add.is_empty() && remove.is_empty() => {
            look::trackers(remote, &which.torrents).await
        }
        Is::Trackers { which, add, remove } => {
            change::trackers(remote, &which.torrents, add, remove).await
        }
        Is::Sources(which) => look::sources(remote, &which.torrents).await,
        Is::Feeds => feeds::feeds(remote).await,
        Is::Session => look::session(remote).await,
        Is::Pause(whom) => change::each(remote, whom, order(Deed::Pause), "paused").await,
        Is::Resume(whom) => change::each(remote, whom, order(Deed::Resume), "goes on").await,
        Is::Announce(whom) => change::each(remote, whom, order(Deed::Announce), "announced").await,
        Is::Remove { whom, data } => {
            change::each(remote, whom, |key| Request::Remove(key, *data), "removed").await
        }
        Is::AddPeer { torrent, address } => {
            let deed = Deed::AddPeer { address: address.to_string() };
            change::one(remote, torrent, deed, "tries it").await
        }
        Is::AddWebSeed { torrent, url } => {
            change::one(remote, torrent, Deed::AddSource { url: url.clone() }, "asks it, too").await
        }
        Is::Top(whom) => change::to_top(remote, whom, set(place(Place::Top))).await,
        Is::Bottom(whom) => change::each(remote, whom, set(place(Place::Bottom)), "last").await,
        Is::Limit { words, filters } => change::limit(remote, words, filters).await,
        Is::Select { words, priority, filters } => {
            change::select(remote, words, priority.as_deref(), filters).await
        }
        Is::Verify(whom) => {
            change::each(remote, whom, order(Deed::Verify), "all of it is read again").await
        }
        Is::Order { words, filters } => change::order(remote, words, filters).await,
        Is::Label { words, clear, filters } => change::label(remote, words, *clear, filters).await,
        Is::Move { words, filters } => change::relocate(remote, words, filters).await,
        Is::Rename { torrent, name, file } => change::rename(remote, torrent, name, *file).await,
        Is::Watch { filters } => watch::watch(remote, filters).await,
        Is::Log { follow } => log::log(remote, *follow).await,
        // Is answered without a daemon, too.
        Is::Complete { .. } => Ok(Exit::Done),
    }
}
