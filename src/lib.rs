//! Pigeon: a BitTorrent client, one brain with many hands.
//!
//! A [`session::Session`] holds what torrents share; a torrent that it was given runs by itself,
//! and its handle tells how it stands.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use pigeon::metainfo::Torrent;
//! use pigeon::session::{Session, SessionConfig, TorrentOptions};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let torrent = Torrent::parse(&std::fs::read("debian.iso.torrent")?)?;
//!     let session = Session::start(SessionConfig::default().state_dir("state")).await?;
//!     let options = TorrentOptions::default().dir("downloads");
//!     let handle = session.add(Arc::new(torrent), options).await?;
//!     handle.wait_until_complete().await?;
//!     println!("{} bytes are verified", handle.status().done_bytes);
//!     session.stop().await;
//!     Ok(())
//! }
//! ```
//!
//! Settings are said on top of their defaults, since later versions will have more of them:
//!
//! ```
//! use pigeon::session::{Encryption, SessionConfig, TorrentOptions};
//!
//! let config = SessionConfig::default().port(0).encryption(Encryption::Require);
//! let options = TorrentOptions::default().wanted_files(vec![true, false]).sequential(true);
//! assert_eq!((config.port, options.max_peers), (Some(0), TorrentOptions::MAX_PEERS));
//! ```
//!
//! ```compile_fail,E0639
//! let options = pigeon::session::TorrentOptions { sequential: true, ..Default::default() };
//! ```
//!
//! `examples/` holds more: `download` and `seed` with their progress, `magnet` for links, `watch`
//! for the news of a download, `create` for a new torrent. Who needs the library alone leaves out
//! the command and the tracker (`default-features = false`); `tracker-server` is the tracker by
//! itself.
//!
//! # The house
//!
//! The map of the house, from the ground up. A room is a crate of its own, shown here as a module,
//! and imports only from lower floors; `tests/tidy.rs` holds the table and decides.
//! `ARCHITECTURE.md` explains why.
//!
//! | floor | rooms |
//! |---|---|
//! | 7 roof | `main`, `cli` |
//! | 6 doors | `rpc` |
//! | 5 keepers | `errands`, [`api`], [`session`], [`torrent`] |
//! | 4 carriers | [`link`], [`web`], `dht::task`, `tracker::{task, server}`, roles of [`chunk`] |
//! | 3 workshop | [`disk`], [`ledger`], [`os`], [`net`], `http`, files of [`chunk`] |
//! | 2 machines | [`swarm`], [`seek`], [`roster`], [`dht`], `tracker::{tiers, table}` |
//! | 1 formats | [`metainfo`], [`metalink`], [`wire`], formats of [`tracker`], [`chunk`], [`web`] |
//! | 0 ground | [`base`], [`bencode`] |
#![warn(missing_docs)]

#[doc(inline)]
pub use {
    pigeon_api::api, pigeon_base::base, pigeon_bencode::bencode, pigeon_chunk::chunk,
    pigeon_dht::dht, pigeon_disk::disk, pigeon_ledger::ledger, pigeon_link::link,
    pigeon_metainfo::metainfo, pigeon_metalink::metalink, pigeon_net::net, pigeon_os::os,
    pigeon_roster::roster, pigeon_seek::seek, pigeon_session::session, pigeon_swarm::swarm,
    pigeon_torrent::torrent, pigeon_tracker::tracker, pigeon_web::web, pigeon_wire::wire,
};

#[cfg(any(feature = "tracker-server", feature = "rpc"))]
#[doc(inline)]
pub use pigeon_http::http;

#[cfg(feature = "rpc")]
#[doc(inline)]
pub use pigeon_rpc::rpc;

#[cfg(feature = "cli")]
#[doc(inline)]
pub use pigeon_cli::cli;
