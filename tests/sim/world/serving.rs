//! Servers of files in the world: who waits for a link, what is ordered of it, what comes.

use pigeon::base::ids::SourceId;
use pigeon::swarm::event::{Holds, WebSource};
use pigeon::swarm::link::RunEnd;

use super::super::server::{Sent, Served, caps};
use super::*;

/// How often one who waits is looked at again.
const WAIT: Duration = Duration::from_millis(100);

impl World {
    /// The torrent names its servers.
    pub(super) fn tell_servers(&mut self) {
        let manners = self.servers.manners.iter().enumerate();
        let told = |(number, manner): (usize, &Manner)| WebSource {
            source: SourceId(number as u32),
            holds: manner.only.map_or(Holds::All, |file| Holds::Files([file].into())),
            priority: 0,
            links_max: 8,
        };
        let told: Vec<_> = manners.map(told).collect();
        if !told.is_empty() {
            self.post(Input::Sources(told));
        }
    }

    /// The brain wants a link to this source.
    pub(super) fn lease(&mut self, link: LinkId, source: SourceId) {
        self.servers.waiting.insert(link, source);
        let latency = self.servers.manners[source.0 as usize].latency;
        self.after(latency * 2, Happening::LetIn(link));
    }

    pub(super) fn let_in(&mut self, link: LinkId) {
        let Some(source) = self.servers.waiting.get(&link).copied() else { return };
        let server = source.0 as usize;
        let manner = &self.servers.manners[server];
        let held = self.servers.links.values().filter(|served| served.server == server).count();
        if held >= manner.slots || self.now < manner.closed_until {
            self.servers.waits += 1;
            let until = Some(self.began + self.now + WAIT);
            self.post(Input::SourceWaits { source, until, why: "503".into() });
            return self.after(WAIT, Happening::LetIn(link));
        }
        self.servers.waiting.remove(&link);
        self.servers.links.insert(link, Served::new(server));
        self.post(Input::LinkUp { link, peer_id: PeerId([200; 20]), caps: caps() });
    }

    /// The brain orders something of a link to a server. False when it is none.
    pub(super) fn order_served(&mut self, link: LinkId, command: &LinkCommand) -> bool {
        if self.servers.waiting.contains_key(&link) {
            assert!(matches!(command, LinkCommand::Close(_)), "{command:?} to one that waits");
            self.servers.waiting.remove(&link);
            return true;
        }
        let Some(served) = self.servers.links.get(&link) else { return false };
        let latency = self.servers.manners[served.server].latency;
        match command {
            LinkCommand::Close(_) => {
                self.servers.links.remove(&link);
                self.inbox.remove(&link);
                self.starving.retain(|other| *other != link);
            }
            LinkCommand::Fetch(run) => {
                self.servers.runs += 1;
                let run = *run;
                self.after(latency, Happening::Ordered(link, run));
            }
            LinkCommand::Shorten(end) => {
                self.servers.shortened += 1;
                let end = *end;
                self.after(latency, Happening::Shortened(link, end));
            }
            _ => panic!("{command:?} to a server of files"),
        }
        true
    }

    pub(super) fn ordered(&mut self, link: LinkId, run: pigeon::swarm::link::Run) {
        if let Some(served) = self.servers.links.get_mut(&link) {
            served.ordered(run);
            self.keep_serving(link);
        }
    }

    pub(super) fn shortened(&mut self, link: LinkId, end: u32) {
        let Some(served) = self.servers.links.get_mut(&link) else { return };
        let sent = served.shortened(end);
        self.say_served(link, sent);
    }

    fn keep_serving(&mut self, link: LinkId) {
        let Some(served) = self.servers.links.get_mut(&link) else { return };
        if !served.is_sending && served.has_work() {
            served.is_sending = true;
            let rate = self.servers.manners[served.server].rate;
            let time = Duration::from_secs_f64(BLOCK_LEN as f64 / rate as f64);
            self.after(time, Happening::Served(link));
        }
    }

    pub(super) fn serve_on(&mut self, link: LinkId) {
        let Some(served) = self.servers.links.get_mut(&link) else { return };
        served.is_sending = false;
        let manner = self.servers.manners[served.server].clone();
        let sent = served.next(&manner, &self.setup.layout, &self.setup.extents);
        if let [Sent::Stall(time)] = sent[..] {
            served.is_sending = true;
            self.servers.stalls += 1;
            return self.after(time, Happening::Served(link));
        }
        self.say_served(link, sent);
        self.keep_serving(link);
    }

    fn say_served(&mut self, link: LinkId, sent: Vec<Sent>) {
        let Some(served) = self.servers.links.get(&link) else { return };
        let manner = self.servers.manners[served.server].clone();
        let number = self.remotes.len() + served.server;
        for sent in sent {
            let word = match sent {
                Sent::Block(block) => {
                    let mut data = self.setup.content(block);
                    if let Truth::WrongOneIn(share) = manner.truth
                        && self.rng.random_range(0..share) == 0
                    {
                        data ^= number as u64 + 1;
                    }
                    Word::Block(block, data)
                }
                Sent::Ended(number, at, why) => {
                    self.servers.troubles += u32::from(why != RunEnd::Done);
                    Word::RunEnded(number, at, why)
                }
                Sent::Reset => {
                    self.servers.resets += 1;
                    return self.after(manner.latency, Happening::Down(link));
                }
                Sent::Stall(_) => continue,
            };
            self.after(manner.latency, Happening::ToUs(link, word));
        }
    }
}
