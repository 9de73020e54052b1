//! Downloads what a magnet link means:
//! `cargo run --example magnet -- 'magnet:?xt=urn:btih:...&x.pe=192.0.2.1:6881' [DIR]`

use pigeon::metainfo::Magnet;
use pigeon::seek::Target;
use pigeon::session::{Session, SessionConfig, TorrentOptions};
use pigeon::torrent::seeking::SeekRequest;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let link = Magnet::parse(&arguments.next().ok_or("usage: magnet LINK [DIR]")?)?;
    let dir = arguments.next().unwrap_or_else(|| "downloads".into());
    let target = Target::new(link.info_hash_v1, link.info_hash_v2).ok_or("no hash")?;
    let session = Session::start(SessionConfig::default()).await?;
    // Whoever has the metadata has the data: the download goes on with the same links.
    let sought = session.seek(SeekRequest::of(target, &link)).await?.found().await?;
    println!("{}: {} bytes", sought.torrent.name, sought.torrent.total_size());
    let options = TorrentOptions::default().dir(dir);
    let handle = session.add_among(sought.torrent.into(), options, sought.contacts).await?;
    handle.wait_until_complete().await?;
    session.stop().await;
    Ok(())
}
