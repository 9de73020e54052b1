//! UPnP's Internet gateway device: how routers are found and spoken to, as bytes and texts. What
//! is asked when is `talk`'s; sockets are the hand's.

pub mod description;
pub mod http;
pub mod soap;
pub mod ssdp;
pub(super) mod talk;
pub mod xml;
