//! Port mapping: has the router let others connect to us, and tells at which port. Machines decide
//! (`mapper`, with `datagrams` for PCP and NAT-PMP and `igd/talk` for UPnP), `task` is their hand,
//! `gateway` knows whom to ask, and `ports` what others are told. Source: RFC 6886, RFC 6887, UPnP
//! IGD 1 and 2.

mod datagrams;
mod epoch;
mod fetch;
mod gateway;
mod granted;
pub mod igd;
mod mapper;
pub mod natpmp;
pub mod pcp;
pub mod ports;
mod task;
mod types;

use crate::net::egress::Egress;

pub use ports::{OutsidePorts, OwnPorts};
pub use task::{PortMap, PortMapConfig, Standing};
pub use types::{Behind, Mapping, Ports, Protocol, State, Transport, Way};

/// The way out of both families (IPv4, IPv6) by which ports would be opened now, or why none.
pub fn ways(egress: &Egress) -> [Result<Way, String>; 2] {
    [gateway::look(egress, true), gateway::look(egress, false)]
}
