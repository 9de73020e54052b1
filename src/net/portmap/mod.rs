//! Port mapping: has the router let others connect to us, and tells at which port. Machines decide
//! (`mapper`, with `datagrams` for PCP and NAT-PMP and `igd/talk` for UPnP), `task` is their hand,
//! `gateway` knows whom to ask, and `ports` what others are told. Source: RFC 6886, RFC 6887, UPnP
//! IGD 1 and 2.

mod datagrams;
mod epoch;
mod fetch;
mod gateway;
pub mod igd;
mod mapper;
pub mod natpmp;
pub mod pcp;
pub mod ports;
mod task;
mod types;

use std::net::IpAddr;
use std::time::Duration;

use crate::net::egress::Egress;

pub use ports::{OutsidePorts, OwnPorts};
pub use task::{PortMap, PortMapConfig, Standing};
pub use types::{Behind, Mapping, Ports, Protocol, State, Transport, Way};

/// The way out of both families (IPv4, IPv6) by which ports would be opened now, or why none.
pub fn ways(egress: &Egress) -> [Result<Way, String>; 2] {
    [gateway::look(egress, true), gateway::look(egress, false)]
}

/// How long a mapping is to hold when we are gone without a word, in seconds; libtorrent's choice.
const LIFETIME_S: u32 = 3600;
/// The longest one that is believed (RFC 6887, 15).
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// What a conversation is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Round {
    /// Mappings are made, or renewed.
    Map,
    /// They are given back.
    Unmap,
}

/// What a gateway has granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Granted {
    /// The address outside.
    address: IpAddr,
    /// The port outside for peers.
    tcp: u16,
    /// The port outside for datagrams, where it was had, too.
    udp: Option<u16>,
    /// How long the shorter one holds; none for ever.
    lifetime: Option<Duration>,
}

/// What came of a conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Outcome {
    /// The port for peers is open.
    Granted(Granted),
    /// It is not, for this reason.
    Failed(String),
    /// What there was is given back.
    Ended,
}
