//! Seeds a torrent whose data is there, and nothing else, until Ctrl-C:
//! `cargo run --example seed -- file.torrent DIR`

use std::sync::Arc;

use pigeon::metainfo::Torrent;
use pigeon::session::{Session, SessionConfig, TorrentOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(dir)) = (arguments.next(), arguments.next()) else {
        return Err("usage: seed file.torrent DIR".into());
    };
    let torrent = Arc::new(Torrent::parse(&std::fs::read(path)?)?);
    let session = Session::start(SessionConfig::default()).await?;
    // Missing data is an error, and never fetched.
    let options = TorrentOptions::default().dir(dir).seed_only(true);
    let handle = session.add(torrent, options).await?;
    handle.wait_until_complete().await?;
    println!("seeding on port {}", session.port());
    tokio::signal::ctrl_c().await?;
    println!("{} bytes were sent", handle.status().uploaded_bytes);
    session.stop().await;
    Ok(())
}
