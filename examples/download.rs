//! Downloads a torrent with its progress, and ends:
//! `cargo run --example download -- file.torrent [DIR]`

use std::sync::Arc;
use std::time::Duration;

use pigeon::metainfo::Torrent;
use pigeon::session::{Session, SessionConfig, TorrentOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: download file.torrent [DIR]")?;
    let dir = arguments.next().unwrap_or_else(|| "downloads".into());
    let torrent = Arc::new(Torrent::parse(&std::fs::read(path)?)?);
    println!("{}: {} bytes", torrent.name, torrent.total_size());

    let session = Session::start(SessionConfig::default()).await?;
    let handle = session.add(torrent, TorrentOptions::default().dir(dir)).await?;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            done = handle.wait_until_complete() => break done?,
            _ = second.tick() => {
                let status = handle.status();
                let (done, wanted) = (status.done_bytes, status.wanted_bytes);
                println!("{done} of {wanted} bytes, {} B/s", status.down_rate);
            }
        }
    }
    // Returns when everything is on the device and the trackers were told.
    session.stop().await;
    Ok(())
}
