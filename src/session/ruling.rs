//! How rules come to hold of the torrents of a session: facts are told to the rules, and what
//! follows to the torrents, in orders as users give them but that nobody notes.

use std::sync::Arc;

use crate::base::ids::TorrentId;
use crate::ledger::Limits;
use crate::roster::rules::{Book, Facts, Input, Moving, Output, Switch};

use super::actor::Actor;
use super::overlay::{self, Happened, Ruled};

/// Torrents that are told at once what rules make of them: others that ask wait meanwhile.
const LAID_AT_ONCE: usize = 256;

impl Actor {
    /// Something happened by itself that may matter to rules.
    pub(super) fn on_ruling(&mut self, happened: Happened) {
        match happened {
            Happened::Time => self.ruling.on_time(&self.resources.disk),
            Happened::Space(answer) => {
                let moved = self.ruling.space.on_answer(&answer);
                if let Some((device, free)) = answer.found {
                    self.ruling.rules.handle(Input::Free(device, free), overlay::now());
                }
                moved.into_iter().for_each(|id| self.tell_rules(id));
            }
        }
    }

    /// Other rules hold from now on.
    pub(super) fn set_book(&mut self, book: Arc<Book>) {
        self.ruling.set_book(book);
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            self.tell_rules(id);
        }
        self.call_for_rules();
    }

    /// Tells the rules how a torrent stands, where there are any.
    pub(super) fn tell_rules(&mut self, id: TorrentId) {
        if self.ruling.rules.book().is_idle() {
            return;
        }
        if !self.ruling.rules.knows(id) {
            let Some(facts) = self.rule_facts(id) else { return };
            self.ruling.rules.handle(Input::Torrent(id, Box::new(facts)), overlay::now());
        }
        let Some((member, spec)) = self.members.get(&id).zip(self.wanted.get(id)) else { return };
        let device = match self.ruling.rules.book().needs_space() {
            true => self.ruling.space.place(id, &spec.dir),
            false => None,
        };
        let row = self.told.row(id);
        let needs_room = overlay::needs_room(&row);
        let moving = Moving { ratio: row.ratio(), seeds: member.seeds(), device, needs_room };
        self.ruling.rules.handle(Input::Moving(id, moving), overlay::now());
    }

    /// Something was set of a torrent that rules may ask for.
    pub(super) fn tell_rules_anew(&mut self, id: TorrentId) {
        if let Some(facts) = self.rule_facts(id).filter(|_| self.ruling.rules.knows(id)) {
            self.ruling.rules.handle(Input::Torrent(id, Box::new(facts)), overlay::now());
        }
    }

    /// What of a torrent decides, but for what is free; none while it is not here.
    fn rule_facts(&self, id: TorrentId) -> Option<Facts> {
        let (member, spec) = self.members.get(&id).zip(self.wanted.get(id))?;
        Some(Facts {
            trackers: member.facts.hosts.clone(),
            labels: spec.labels.clone(),
            private: member.facts.is_private,
            size: member.facts.size,
            added_s: spec.added_s,
            ratio: self.told.row(id).ratio(),
            seeds: member.seeds(),
            free: None,
        })
    }

    /// Does what follows from rules, for some torrents at a time.
    pub(super) fn lay_rules(&mut self) {
        for _ in 0..LAID_AT_ONCE {
            self.hear_rules();
            let Some(id) = self.ruling.due.pop_first() else { return };
            if !self.lay(id) {
                // It has many orders to read, and is told later.
                self.ruling.late.insert(id);
            }
        }
        self.hear_rules();
    }

    /// Takes in what the rules have to say.
    fn hear_rules(&mut self) {
        while let Some(output) = self.ruling.rules.poll_output() {
            match output {
                Output::Changed(id) => drop(self.ruling.due.insert(id)),
                Output::Switched(switch) => self.switch(switch),
            }
        }
    }

    /// Has a torrent follow its overlay. False when it has no room for orders now.
    fn lay(&mut self, id: TorrentId) -> bool {
        let now = self.ruling.rules.overlay(id);
        let before = self.ruling.of(id).cloned().unwrap_or_default();
        let Some(spec) = self.wanted.get(id).filter(|_| now != before) else { return true };
        let Some(member) = self.members.get(&id).filter(|member| !member.is_leaving) else {
            return true;
        };
        let orders = overlay::orders(spec, &before, &now);
        if !member.handle.has_ended() {
            let rooms: Vec<_> = orders.iter().map_while(|_| member.handle.room_now()).collect();
            if rooms.len() < orders.len() {
                return false;
            }
            rooms.into_iter().zip(orders).for_each(|(room, order)| room.send(order));
        }
        let seeded_s = member.facts.before.seeding_s;
        let are_goals_new =
            (before.seed_ratio, before.seed_time) != (now.seed_ratio, now.seed_time);
        self.ruling.lay(id, now);
        if are_goals_new {
            self.set_goals(id, seeded_s, false);
        }
        self.told.touch(id);
        self.look_at(id);
        true
    }

    /// The alternative limits hold by schedule, or not.
    fn switch(&mut self, switch: Switch) {
        self.ruling.switch = switch;
        self.limit_all();
    }

    /// Has the limits of all torrents that hold now followed.
    pub(super) fn limit_all(&self) {
        let Limits { down, up } = self.ruling.limits(self.wanted.together());
        self.resources.limiter.set_rate(down);
        self.resources.up_limiter.set_rate(up);
    }

    /// What rules say of a torrent; none when it is not here.
    pub(super) fn ruled(&self, id: TorrentId) -> Option<Ruled> {
        let (rules, spec) = (&self.ruling.rules, self.wanted.get(id)?);
        let facts = rules.facts(id).cloned().or_else(|| self.rule_facts(id))?;
        let verdicts = rules.verdicts(id, overlay::now()).unwrap_or_default();
        let overlay = self.ruling.of(id).cloned().unwrap_or_default();
        Some(Ruled { facts, verdicts, overlay, rest: self.ruling.rest_of(spec) })
    }
}
