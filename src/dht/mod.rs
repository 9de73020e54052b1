//! The Mainline DHT (BEP 5): where a torrent's peers are known without a tracker. A machine
//! without I/O, one for each family and local address; nothing here knows a socket, a torrent's
//! content or a person.

pub mod absent;
pub mod answer;
pub mod bloom;
pub mod candidates;
pub mod compact;
pub mod contacts;
pub mod event;
pub mod flights;
pub mod gate;
pub mod id;
pub mod items;
pub mod lookup;
pub mod message;
pub mod nets;
pub mod node;
pub mod peers;
pub mod reach;
pub mod rouse;
pub mod sample;
pub mod saved;
pub mod schedule;
pub mod searches;
pub mod table;
pub mod task;
pub mod token;
pub mod witness;

pub use event::{Config, Contact, Haste, Health, Hint, Input, Output, Tally, Ticket, Walking};
pub use id::NodeId;
pub use node::Node;
