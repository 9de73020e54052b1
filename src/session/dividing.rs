//! How connections and memory are divided among the torrents of a session, by pure rules.

use crate::torrent::places::LINKS_MAX;

use super::actor::Actor;
use super::places::{Standing, divide};
use super::shares;

impl Actor {
    /// Says how many connections each torrent may have, and whether anything leaves.
    pub(super) fn divide_places(&self) {
        // Searches hear of it, too.
        self.resources.places.leave(self.way_out.is_open(), self.way_out.may_dial());
        let linked = self.linked.iter().filter_map(|id| self.members.get(id));
        let accounts: Vec<_> = linked.map(|member| &member.facts.places).collect();
        let standing = accounts.iter().map(|it| Standing { held: it.held(), wanted: it.wanted() });
        let allowed = divide(&standing.collect::<Vec<_>>(), LINKS_MAX);
        accounts.iter().zip(allowed).for_each(|(account, most)| account.allow(most));
    }

    /// Divides half of the pool among those that download. Each torrent reads the latest word,
    /// however busy it is. What is taken away is told first.
    pub(super) fn share_out(&mut self) {
        let members = self.downloading.iter().filter_map(|id| self.members.get(id));
        let demands: Vec<_> = members.map(|member| (member, member.demand())).collect();
        let total = shares::total(self.resources.pool.budget_blocks());
        let known: Vec<_> = demands.iter().filter_map(|(_, demand)| *demand).collect();
        let mut given = shares::divide(total, &known).into_iter();
        let shares: Vec<_> = demands
            .iter()
            .map(|(member, demand)| {
                let share = demand.and_then(|_| given.next()).unwrap_or(0);
                (&member.facts.share, share)
            })
            .collect();
        for less in [true, false] {
            for (told, share) in &shares {
                if less == (*share < told.blocks()) {
                    told.set(*share);
                }
            }
        }
        let over = demands.iter().filter(|(_, demand)| demand.is_none());
        let over: Vec<_> = over.map(|(member, _)| member.facts.id).collect();
        self.downloading.retain(|id| !over.contains(id));
    }
}
