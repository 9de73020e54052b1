//! Follows a download by its news and its states, not by a timer:
//! `cargo run --example watch -- file.torrent ADDR:PORT...`

use std::sync::Arc;

use pigeon::metainfo::Torrent;
use pigeon::session::{Session, SessionConfig, TorrentOptions};
use pigeon::torrent::status::State;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: watch file.torrent ADDR:PORT...")?;
    let peers = arguments.map(|address| address.parse()).collect::<Result<Vec<_>, _>>()?;
    let torrent = Arc::new(Torrent::parse(&std::fs::read(path)?)?);
    let session = Session::start(SessionConfig::default()).await?;
    let handle = session.add(torrent, TorrentOptions::default().peers(peers)).await?;
    let (mut news, mut status) = (handle.news(), handle.watch());
    let mut state = State::default();
    while !matches!(state, State::Complete | State::Finished | State::Failed(_)) {
        tokio::select! {
            Ok(item) = news.recv() => println!("{item:?}"),
            changed = status.changed() => changed?,
        }
        let now = status.borrow_and_update().state.clone();
        if now != state {
            println!("{state:?} -> {now:?}");
            state = now;
        }
    }
    // What took how long.
    println!("{:?}", handle.why().await);
    session.stop().await;
    Ok(())
}
