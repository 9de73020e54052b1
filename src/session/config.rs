//! What torrents of a session share, as the user chose it. Values only.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::link::web;
use crate::net::blocklist::Lists;
use crate::net::egress::{Egress, Policy};
use crate::roster::rules::Book;
use crate::torrent::options::TorrentOptions;
use crate::wire::mse::Encryption;

use super::memory::Memory;

/// What torrents of a session share. Begin with the default, and say what is to be otherwise:
/// `SessionConfig::default().state_dir("state").port(6881)`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionConfig {
    /// Port to listen on; none tries 6881 to 6889 and then any; 0 is any.
    pub port: Option<u16>,
    /// Take connections at all? Without, `port` means nothing.
    pub listen: bool,
    /// Where everything leaves, and is listened at.
    pub egress: Egress,
    /// Lists of addresses that nobody speaks to.
    pub blocklists: Lists,
    /// Whether connections to peers are encrypted.
    pub encryption: Encryption,
    /// Where resume data lies, made when missing; `.pigeon` where nothing else is said.
    pub state_dir: PathBuf,
    /// Keep in the state directory which torrents there are and what is wanted of them, and begin
    /// with those of the last session. One session at a time has it.
    pub ledger: bool,
    /// How those are run, as far as that is not kept of each. The ways to meet others that are off
    /// here are off whatever is kept.
    pub restored: TorrentOptions,
    /// How much memory each part may hold.
    pub memory: Memory,
    /// Download limit of all torrents together, in bytes per second.
    pub download_limit: Option<u64>,
    /// Upload limit of all torrents together, in bytes per second.
    pub upload_limit: Option<u64>,
    /// Torrents that check and download at once; further ones wait in the queue.
    pub max_active: usize,
    /// Complete torrents that nobody is connected to and that stay open all the same; of further
    /// ones nothing is held but their place with trackers and in the DHT, until somebody comes.
    pub awake_max: usize,
    /// Look for peers in the local network, and tell it of our torrents (BEP 14), private ones
    /// apart.
    pub local_discovery: bool,
    /// Have the router open our ports (PCP, NAT-PMP, UPnP), where we can be connected to at all.
    pub port_mapping: bool,
    /// Servers of files that torrents or redirects name may lie anywhere, also in our own network
    /// where somebody might be led into it by that.
    pub allow_local_sources: bool,
    /// Servers of files that are named while it runs may lie there. Not where programs name them,
    /// which are not for that those who may ask everybody in our network.
    pub believes_names: bool,
    /// Connections of one torrent to one server of files, 1 to 16.
    pub web_connections: usize,
    /// Limit on what all servers of files together send, in bytes per second, below the download
    /// limit.
    pub web_limit: Option<u64>,
    /// Take part in the DHT (BEP 5), for all torrents but private ones.
    pub dht: Option<DhtOptions>,
    /// Rules, schedules, and what is to stay free on devices.
    pub rules: Book,
}

/// How to take part in the DHT.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct DhtOptions {
    /// Public nodes, `HOST:PORT`, asked over a family (IPv4, IPv6) where nobody else answers.
    pub routers: Vec<String>,
}

impl DhtOptions {
    /// With these public nodes, `HOST:PORT`.
    pub fn with_routers(routers: Vec<String>) -> Self {
        Self { routers }
    }
}

impl SessionConfig {
    /// Torrents downloading at once when nothing else is asked for, as Transmission and aria2
    /// have it: enough to fill a line, few enough that the first ones are soon complete.
    pub const MAX_ACTIVE: usize = 5;

    /// Complete torrents without peers that stay open when nothing else is asked for.
    pub const AWAKE_MAX: usize = 32;

    /// Connections to a server of files when nothing else is asked for.
    pub const WEB_CONNECTIONS: usize = web::Policy::CONNECTIONS;

    /// Where resume data lies.
    pub fn state_dir(self, state_dir: impl Into<PathBuf>) -> Self {
        Self { state_dir: state_dir.into(), ..self }
    }

    /// Whether torrents outlive the session: the next one with the same state directory has them,
    /// as they were.
    pub fn ledger(self, ledger: bool) -> Self {
        Self { ledger, ..self }
    }

    /// How torrents of earlier sessions are run, as far as that is not kept of each: what to do
    /// about data on disk, how many peers. Trackers, the DHT, exchange and servers that are off
    /// here are off whatever is kept.
    pub fn restored(self, restored: TorrentOptions) -> Self {
        Self { restored, ..self }
    }

    /// Port to listen on; none tries 6881 to 6889 and then any, 0 is any.
    pub fn port(self, port: impl Into<Option<u16>>) -> Self {
        Self { port: port.into(), ..self }
    }

    /// Whether to take connections at all.
    pub fn listen(self, listen: bool) -> Self {
        Self { listen, ..self }
    }

    /// Address to listen on and dial from; a device and a proxy stay as they are.
    pub fn bind(self, address: IpAddr) -> Self {
        let policy = Policy { bind: Some(address), ..self.egress.policy().clone() };
        self.egress(Egress::new(policy))
    }

    /// Where everything leaves, and is listened at.
    pub fn egress(self, egress: Egress) -> Self {
        Self { egress, ..self }
    }

    /// Lists of addresses that nobody speaks to.
    pub fn blocklists(self, blocklists: Lists) -> Self {
        Self { blocklists, ..self }
    }

    /// Whether connections to peers are encrypted.
    pub fn encryption(self, encryption: Encryption) -> Self {
        Self { encryption, ..self }
    }

    /// Whether to look for peers in the local network.
    pub fn local_discovery(self, local_discovery: bool) -> Self {
        Self { local_discovery, ..self }
    }

    /// Whether to have the router open our ports.
    pub fn port_mapping(self, port_mapping: bool) -> Self {
        Self { port_mapping, ..self }
    }

    /// Whether and how to take part in the DHT.
    pub fn dht(self, dht: Option<DhtOptions>) -> Self {
        Self { dht, ..self }
    }

    /// Rules, schedules, and what is to stay free on devices; others can be
    /// [set](super::Session::set_rules) later.
    pub fn rules(self, rules: Book) -> Self {
        Self { rules, ..self }
    }

    /// Whether servers of files may lie in our own network, whoever names them.
    pub fn allow_local_sources(self, allow: bool) -> Self {
        Self { allow_local_sources: allow, ..self }
    }

    /// Whether servers of files that are named while it runs may lie there.
    pub fn believes_names(self, believes_names: bool) -> Self {
        Self { believes_names, ..self }
    }

    /// Connections of one torrent to one server of files.
    pub fn web_connections(self, count: usize) -> Self {
        Self { web_connections: count, ..self }
    }

    /// Limit on what all servers of files together send, in bytes per second.
    pub fn web_limit(self, limit: impl Into<Option<u64>>) -> Self {
        Self { web_limit: limit.into(), ..self }
    }

    /// How much memory each part may hold.
    pub fn memory(self, memory: Memory) -> Self {
        Self { memory, ..self }
    }

    /// Download limit of all torrents together, in bytes per second.
    pub fn download_limit(self, limit: impl Into<Option<u64>>) -> Self {
        Self { download_limit: limit.into(), ..self }
    }

    /// Upload limit of all torrents together, in bytes per second.
    pub fn upload_limit(self, limit: impl Into<Option<u64>>) -> Self {
        Self { upload_limit: limit.into(), ..self }
    }

    /// Complete torrents without peers that stay open.
    pub fn awake_max(self, count: usize) -> Self {
        Self { awake_max: count, ..self }
    }

    /// Torrents that check and download at once.
    pub fn max_active(self, count: usize) -> Self {
        Self { max_active: count, ..self }
    }
}

impl Default for SessionConfig {
    /// Listens where others look first, without limits.
    fn default() -> Self {
        Self {
            port: None,
            listen: true,
            egress: Egress::default(),
            blocklists: Lists::default(),
            encryption: Encryption::default(),
            state_dir: ".pigeon".into(),
            ledger: false,
            // It was taken: a disk that is not there, or full, may be so again later.
            restored: TorrentOptions::default().waits_for_disk(true).checks_room(false),
            memory: Memory::default(),
            download_limit: None,
            upload_limit: None,
            max_active: Self::MAX_ACTIVE,
            awake_max: Self::AWAKE_MAX,
            local_discovery: false,
            port_mapping: false,
            allow_local_sources: false,
            believes_names: true,
            web_connections: Self::WEB_CONNECTIONS,
            web_limit: None,
            dht: None,
            rules: Book::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_chosen_beside_a_device_and_a_proxy() {
        let policy = Policy {
            device: Some("tun77".to_owned()),
            proxy: "socks5://192.0.2.1:1080".parse().ok(),
            ..Policy::default()
        };
        let config = SessionConfig::default().egress(Egress::new(policy.clone()));
        let address: IpAddr = "10.8.0.3".parse().unwrap();
        let bound = config.bind(address).egress;
        assert_eq!(*bound.policy(), Policy { bind: Some(address), ..policy });
    }
}
