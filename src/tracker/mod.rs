//! Trackers: how to ask one for peers, in which order to ask several, and a small one of our
//! own. Not here: the DHT, and what becomes of the peers.
//!
//! | file | floor | what |
//! |---|---|---|
//! | [`announce`] | 1 | the words: request, reply, failure |
//! | [`http`] | 1 | announce URLs and replies as bytes (BEPs 3, 7, 23, 24, 31, 48) |
//! | [`udp`] | 1 | the UDP protocol as bytes, both sides (BEPs 15, 41) |
//! | [`proof`] | 1 | that a tracker and who changes its catalogue know its token |
//! | [`tiers`] | 2 | whom to ask and when (BEP 12) |
//! | [`turns`] | 2 | whose turn it is to ask |
//! | [`exchange`] | 2 | questions to UDP trackers on their way: retries, connection ids |
//! | [`table`] | 2 | the embedded tracker's memory |
//! | [`catalogue`] | 2 | torrents by name |
//! | [`connection_id`] | 2 | proofs that an address is not forged (BEP 15) |
//! | `door` | 2 | who may change the catalogue |
//! | [`task`] | 4 | all torrents' announces and scrapes over the network |
//! | `server` | 4 | the embedded tracker |
//! | [`catalogue_client`] | 4 | a tracker's catalogue from the other side |
//! | [`find`] | 4 | trackers of the local network, found and being found |

pub mod announce;
pub mod catalogue;
pub mod catalogue_client;
pub mod connection_id;
#[cfg(feature = "tracker-server")]
pub mod door;
pub mod exchange;
pub mod find;
pub mod http;
pub mod proof;
#[cfg(feature = "tracker-server")]
pub mod server;
pub mod table;
pub mod task;
pub mod tiers;
pub mod turns;
pub mod udp;

#[cfg(all(test, feature = "tracker-server"))]
mod tests;
