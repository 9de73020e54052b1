//! What waits for its turn, by how it is carried and whether the torrent ends. The bounds are those
//! of a session.

use super::mail::EntryId;
use crate::tracker::announce::Event;
use crate::tracker::http::is_http;
use crate::tracker::tiers::{Call, TrackerIndex};
use crate::tracker::turns::{Bounds, Turns};

/// HTTP announces and scrapes on their way, each a connection of its own. Of 50,000 torrents that
/// are announced every half an hour one tracker hears 28 in a second: eight places are enough when
/// it answers within 0.28 s.
pub const HTTP_BOUNDS: Bounds = Bounds { all: 64, site: 8 };

/// The same over UDP, where an announce is a datagram or two, and one that is lost is waited for
/// much longer.
pub const UDP_BOUNDS: Bounds = Bounds { all: 512, site: 64 };

/// Goodbyes over HTTP. A thousand at once overrun a listener's queue, and what the system sends
/// again after a second or three comes too late; with fewer, a distant tracker is not told of all
/// within the budget.
pub const HTTP_GOODBYES: Bounds = Bounds { all: 512, site: 128 };

/// Goodbyes over UDP. More datagrams at once would be lost in buffers on their way.
pub const UDP_GOODBYES: Bounds = Bounds { all: 2048, site: 512 };

/// What gets a place.
pub(super) enum Ticket {
    Announce(EntryId, Call, Option<Event>),
    Scrape(EntryId, TrackerIndex),
}

/// What waits together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line {
    Http,
    Udp,
    HttpGoodbye,
    UdpGoodbye,
}

impl Line {
    pub const ALL: [Self; 4] = [Self::HttpGoodbye, Self::UdpGoodbye, Self::Http, Self::Udp];

    /// Where this tracker is waited for, by a torrent that ends or not.
    pub fn to(url: &str, is_goodbye: bool) -> Self {
        let line = if is_http(url) { Self::Http } else { Self::Udp };
        if is_goodbye { line.goodbye() } else { line }
    }

    /// For a torrent that ends.
    pub fn goodbye(self) -> Self {
        match self {
            Self::Http | Self::HttpGoodbye => Self::HttpGoodbye,
            Self::Udp | Self::UdpGoodbye => Self::UdpGoodbye,
        }
    }
}

pub(super) struct Lines {
    http: Turns<Ticket>,
    udp: Turns<Ticket>,
    http_goodbyes: Turns<Ticket>,
    udp_goodbyes: Turns<Ticket>,
}

impl Lines {
    pub fn new() -> Self {
        Self {
            http: Turns::new(HTTP_BOUNDS),
            udp: Turns::new(UDP_BOUNDS),
            http_goodbyes: Turns::new(HTTP_GOODBYES),
            udp_goodbyes: Turns::new(UDP_GOODBYES),
        }
    }

    pub fn of(&mut self, line: Line) -> &mut Turns<Ticket> {
        match line {
            Line::Http => &mut self.http,
            Line::Udp => &mut self.udp,
            Line::HttpGoodbye => &mut self.http_goodbyes,
            Line::UdpGoodbye => &mut self.udp_goodbyes,
        }
    }
}
