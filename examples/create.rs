//! Makes a torrent of a file or directory: `cargo run --example create -- PATH file.torrent [URL]`

use std::path::Path;
use std::sync::atomic::AtomicBool;

use pigeon::disk::create::create;
use pigeon::metainfo::create::CreateOptions;

/// For the buffers of all threads.
const MEMORY_BYTES: usize = 8 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(output)) = (arguments.next(), arguments.next()) else {
        return Err("usage: create PATH file.torrent [URL]".into());
    };
    let trackers = arguments.map(|url| vec![url]).collect();
    let options = CreateOptions { trackers, ..CreateOptions::default() };
    let never = AtomicBool::new(false);
    let created = create(Path::new(&path), &options, MEMORY_BYTES, &|_| {}, &never)?;
    for skipped in &created.skipped {
        println!("left out: {skipped:?}");
    }
    std::fs::write(&output, &created.bytes)?;
    println!("{output}: {} bytes of {}", created.torrent.total_size(), created.torrent.name);
    Ok(())
}
