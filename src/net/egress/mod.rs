//! Where everything leaves: one object makes every socket of the program, each for a purpose, and
//! knows what the user allows: a device, an address, a proxy. It fails closed: what cannot go the
//! chosen way does not go at all, and says why. Not here: what is spoken, and who listens.
//!
//! A device is bound by name (`SO_BINDTODEVICE`) *and* by address. The name alone decides where
//! packets leave; a socket that is bound to an address only is routed elsewhere when the tunnel is
//! down. Both are looked up anew for each socket, so nothing that was true a moment ago counts.

mod authorities;
mod connect;
mod device;
mod here;
mod http;
mod names;
mod policy;
mod proxy;
mod relay;
mod remote;
mod resolver;
mod socks;
mod through;
mod way_out;

pub use authorities::authorities;
pub use device::Place;
pub use here::{address_towards, is_own};
pub use http::{Client, ClientConfig, own_server};
pub use policy::{Policy, Purpose, Standing, State};
pub use proxy::Proxy;
pub(in crate::net) use relay::{Relay, RelayEnd};
pub use remote::Remote;
pub use way_out::Egress;
pub(in crate::net) use way_out::Kept;

#[cfg(test)]
mod tests;
