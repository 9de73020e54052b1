//! Who decides for a node: a brain that trades, one that seeks the metadata first, or somebody
//! who only says what does harm.

use std::net::SocketAddr;
use std::time::Instant;

use pigeon::base::ids::LinkId;
use pigeon::swarm::event::Input;
use pigeon::swarm::{Seeker, SeekerOutput, Swarm};

use super::super::swarms_setup::Lie;

pub enum Brain {
    Swarm(Box<Swarm>),
    Seeker(Box<Seeker>),
    Liar(Liar),
}

pub struct Liar {
    pub lie: Lie,
    next_link: u64,
}

impl Liar {
    pub fn new(lie: Lie) -> Self {
        Self { lie, next_link: 0 }
    }

    pub fn new_link(&mut self) -> LinkId {
        self.next_link += 1;
        LinkId(self.next_link)
    }
}

impl Brain {
    pub fn swarm(&self) -> Option<&Swarm> {
        match self {
            Self::Swarm(swarm) => Some(swarm),
            Self::Seeker(_) | Self::Liar(_) => None,
        }
    }

    pub fn is_seeker(&self) -> bool {
        matches!(self, Self::Seeker(_))
    }

    pub fn lie(&self) -> Option<Lie> {
        match self {
            Self::Liar(liar) => Some(liar.lie),
            Self::Swarm(_) | Self::Seeker(_) => None,
        }
    }

    pub fn handle(&mut self, input: Input, now: Instant) {
        match self {
            Self::Swarm(swarm) => swarm.handle(input, now),
            Self::Seeker(seeker) => {
                // As the task does, which has no use for what concerns blocks.
                if !matches!(input, Input::UploadLimit(_)) {
                    seeker.note(input, now);
                }
                seeker.settle(now);
            }
            Self::Liar(_) => {}
        }
    }

    pub fn poll_output(&mut self) -> Option<SeekerOutput> {
        match self {
            Self::Swarm(swarm) => swarm.poll_output().map(SeekerOutput::Do),
            Self::Seeker(seeker) => seeker.poll_output(),
            Self::Liar(_) => None,
        }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        match self {
            Self::Swarm(swarm) => swarm.next_timeout(),
            Self::Seeker(seeker) => seeker.next_timeout(),
            Self::Liar(_) => None,
        }
    }

    pub fn admit(&mut self, from: SocketAddr, now: Instant) -> Option<LinkId> {
        match self {
            Self::Swarm(swarm) => swarm.admit(from, now).ok(),
            Self::Seeker(seeker) => seeker.admit(from, now).ok(),
            Self::Liar(liar) => Some(liar.new_link()),
        }
    }

    pub fn check_invariants(&self) {
        match self {
            Self::Swarm(swarm) => swarm.check_invariants(),
            Self::Seeker(seeker) => seeker.check_invariants(),
            Self::Liar(_) => {}
        }
    }
}
