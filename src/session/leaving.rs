//! How torrents leave their session, one by one or all at its end. Their data stays.

use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::base::ids::{InfoHash, TorrentId};
use crate::ledger::task::Answer as Kept;
use crate::roster::policy::Input;
use crate::roster::{Flags, Phase, Row};
use crate::torrent::outpost::Outpost;

use super::absent::{Caller, Stage};
use super::actor::{Actor, unix_now};
use super::answers::Lost;
use super::error::Error;
use super::homes::Elsewhere;
use super::member::{Arriving, RemoveAnswer};
use super::slumber;
use super::wanted::swarm_hashes;

/// How long an ending session takes, unless its devices are waited for: with a second for those who
/// are being answered, eight seconds.
const STOP_MAX: Duration = Duration::from_secs(7);
/// How long of that its torrents have to leave.
const PART_MAX: Duration = Duration::from_millis(6500);
/// How long an ending session waits for files that are being opened.
const ARRIVE_MAX: Duration = Duration::from_secs(3);
/// How long an ending session waits for directories to be compared.
const COMPARE_MAX: Duration = Duration::from_secs(2);

impl Actor {
    /// Ends the torrent that has this hash, of several the one that runs, as
    /// [`remove_number`](Self::remove_number).
    pub(super) async fn remove(&mut self, info_hash: InfoHash, answer: RemoveAnswer) {
        let known = self.hashes.get(&info_hash).copied();
        let is_it = |id: &TorrentId| match self.members.get(id) {
            Some(member) => member.info_hash == info_hash,
            None => self.returning.absent.contains_key(id),
        };
        let coming = || {
            let mut coming = self.arriving.values();
            coming.find(|it| it.info_hash == Some(info_hash)).map(|it| it.facts.id)
        };
        match known.filter(is_it).or_else(coming) {
            Some(id) => self.remove_number(id, answer).await,
            None => drop(answer.send(Ok(false))),
        }
    }

    /// Ends a torrent and takes it out, and has the ledger give it up.
    pub(super) async fn remove_number(&mut self, id: TorrentId, answer: RemoveAnswer) {
        let coming = |it: &&mut Arriving| it.facts.id == id;
        match self.arriving.values_mut().find(coming) {
            // As soon as it is here.
            Some(arriving) if arriving.removal.is_none() => {
                arriving.removal = Some(answer);
                return;
            }
            Some(_) => return drop(answer.send(Ok(false))),
            None => {}
        }
        let is_here = self.members.get(&id).is_some_and(|member| !member.is_leaving);
        let absent = self.returning.absent.get(&id);
        if is_here || absent.is_some_and(|absent| absent.stage != Stage::Leaves) {
            let kept = self.wanted.remove(id).await;
            return self.leave(id, kept, answer);
        }
        let _ = answer.send(Ok(false));
    }

    /// Has one leave that the ledger was asked to give up.
    pub(super) fn leave(&mut self, id: TorrentId, kept: Option<Kept<()>>, answer: RemoveAnswer) {
        self.answers.on_removed(id, kept);
        let Some(absent) = self.returning.absent.get_mut(&id) else { return self.end(id, answer) };
        // It is not here yet, or cannot be read.
        match absent.outpost.take() {
            Some(outpost) => {
                absent.stage = Stage::Leaves;
                self.part_with(id);
                self.list_absent(id);
                let goodbye = Outpost::leave([*outpost].into_iter());
                self.leaving.spawn(async move {
                    goodbye.await;
                    (id, answer)
                });
            }
            None => self.on_absent_left(id, answer),
        }
    }

    /// One that is not here has left, and its hash is free.
    fn on_absent_left(&mut self, id: TorrentId, answer: RemoveAnswer) {
        self.returning.absent.remove(&id);
        let mut hashes = self.wanted.get(id).into_iter().flat_map(swarm_hashes);
        let hashes = [hashes.next(), hashes.next()];
        self.part_with(id);
        hashes.into_iter().flatten().for_each(|hash| self.local.forget(hash));
        self.forget(id, hashes);
        self.answers.on_left(id, answer);
        for caller in self.returning.callers.remove(&id).unwrap_or_default() {
            match caller {
                Caller::Peer(peer) => drop(peer),
                // Whoever asked may have gone.
                Caller::Asks(answer) => drop(answer.send(Err(Error::Unknown(id)))),
                Caller::Adds(addition) => self.add_beside(*addition),
            }
        }
    }

    /// Has a torrent end.
    pub(super) fn end(&mut self, id: TorrentId, answer: RemoveAnswer) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.is_leaving = true;
        let handle = member.handle.clone();
        self.look_at(id);
        self.leaving.spawn(async move {
            handle.stop().await;
            (id, answer)
        });
    }

    /// A torrent has ended: what it sent is known now, and its hash is free again.
    pub(super) async fn on_left(&mut self, id: TorrentId, answer: RemoveAnswer) {
        if self.returning.absent.contains_key(&id) {
            return self.on_absent_left(id, answer);
        }
        self.unkept.insert(id);
        self.keep().await;
        if let Some(member) = self.members.get(&id) {
            self.local.forget(member.info_hash);
            self.forget(id, [Some(member.info_hash), member.facts.second_hash]);
        }
        // Only now, so that who asked may add it again.
        self.answers.on_left(id, answer);
    }

    /// A torrent whose addition is not kept leaves again, but for one whose link is.
    pub(super) async fn on_not_kept(&mut self, Lost { id, link }: Lost) {
        match link {
            Some(link) => self.wanted.change(id, |spec| spec.link = Some(link)),
            // Whoever added it has heard why.
            None if !self.is_ending => self.remove_number(id, oneshot::channel().0).await,
            None => {}
        }
    }

    /// Nothing is known of the torrent with these hashes any more.
    pub(super) fn forget(&mut self, id: TorrentId, hashes: [Option<InfoHash>; 2]) {
        self.members.remove(&id);
        let called = self.wanted.get(id).map(|spec| spec.called().into_owned());
        self.links.forget(id);
        self.wanted.forget(id);
        self.returning.twins.remove(&id);
        for hash in hashes.into_iter().flatten() {
            if self.hashes.get(&hash) != Some(&id) {
                // It is that of another one, which has it twice.
                continue;
            }
            self.hashes.remove(&hash);
            // The same torrent of earlier, which is only listed, is to be removed next.
            let twins = self.returning.twins.iter().rev();
            let has_it = |id: &&TorrentId| {
                self.wanted.get(**id).is_some_and(|it| swarm_hashes(it).any(|it| it == hash))
            };
            self.hashes.extend(twins.copied().find(|id| has_it(&id)).map(|id| (hash, id)));
        }
        self.claims.release(id);
        self.told.remove(id, unix_now(), &called.unwrap_or_default());
        self.slumber.note(id, slumber::Standing::Other, std::time::Instant::now());
        self.linked.remove(&id);
        self.downloading.remove(&id);
        self.ruling.forget(id);
        self.judge(Input::Removed(id));
    }

    /// The files of a torrent are elsewhere, unless it was moved meanwhile.
    pub(super) fn on_elsewhere(&mut self, Elsewhere { id, before, now }: Elsewhere) {
        self.wanted.change(id, |spec| {
            if spec.dir == before {
                spec.dir = now;
            }
        });
        self.told.touch(id);
    }

    /// Takes in what comes of those that are looked at, unless the disk hangs.
    pub(super) async fn end_homes(&mut self) {
        let compared = async {
            while let Some(elsewhere) = self.homes.next().await {
                self.on_elsewhere(elsewhere);
            }
        };
        if timeout(COMPARE_MAX, compared).await.is_err() {
            tracing::warn!("a directory does not answer: where its files are is not kept");
        }
    }

    /// Complete ones that do not sleep.
    fn awake_seeds(&self) -> Vec<TorrentId> {
        let is_awake = |row: Row| row.phase == Phase::Complete && !row.flags.has(Flags::ASLEEP);
        self.members.keys().copied().filter(|id| is_awake(self.told.row(*id))).collect()
    }

    /// What these are is noted for the next run: when they have ended, all that they wrote is on
    /// its device, or they say so.
    fn note_whole(&mut self, seeds: &[TorrentId]) {
        for id in seeds {
            let found = self.members.get(id).zip(self.wanted.get(*id));
            let whole = found.map(|(member, spec)| member.whole(&self.told.row(*id), spec));
            if let Some(whole) = whole {
                self.wanted.change(*id, |spec| spec.whole = whole);
            }
        }
    }

    /// Ends everything. What was accepted is kept first; then torrents leave, and have what is left
    /// of the time, unless their devices are waited for.
    pub(super) async fn stop(&mut self, answer: oneshot::Sender<()>) {
        let begun = Instant::now();
        self.is_ending = true;
        // Whoever has no turn yet opens nothing any more.
        self.turns.close();
        // Whoever waits for the note of an order holds room in a torrent's mailbox.
        self.orders.1.close();
        while let Ok(order) = self.orders.1.try_recv() {
            self.on_order(order);
        }
        self.flush_ledger().await;
        let patience = self.resources.patient.clone();
        if !in_time(begun + PART_MAX, patience.clone(), self.part()).await {
            tracing::warn!("what has not ended by now is cut off");
        }
        let kept = async {
            self.keep_all().await;
            self.end_ledger().await;
        };
        if !in_time(begun + STOP_MAX, patience, kept).await {
            tracing::warn!("the state directory does not answer: the last counts are not kept");
        }
        // The one who asked may have gone.
        let _ = answer.send(());
    }

    /// Has all torrents leave. The goodbyes to trackers run side by side, so three seconds are
    /// enough for all.
    async fn part(&mut self) {
        let mut ends = JoinSet::new();
        if let Some(portmap) = self.outside.portmap().cloned() {
            ends.spawn(async move { portmap.stop().await });
        }
        for desk in self.links.take() {
            ends.spawn(async move {
                desk.stop().await;
                desk.ended().await;
            });
        }
        ends.spawn(self.leave_outposts());
        let seeds = self.awake_seeds();
        for member in self.members.values() {
            let handle = member.handle.clone();
            ends.spawn(async move { handle.stop().await });
        }
        let arrived = async {
            while let Some(opened) = self.opening.join_next_with_id().await {
                // It leaves again at once.
                self.on_opened(opened).await;
            }
        };
        // The others end meanwhile.
        if timeout(ARRIVE_MAX, arrived).await.is_err() {
            self.opening.abort_all();
            while let Some(opened) = self.opening.join_next_with_id().await {
                self.on_opened(opened).await;
            }
        }
        while ends.join_next().await.is_some() {}
        while let Some(left) = self.leaving.join_next().await {
            if let Ok((id, answer)) = left {
                self.on_left(id, answer).await;
            }
        }
        // What came of their last moves, too.
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            self.look_at(id);
        }
        self.note_whole(&seeds);
        self.end_erasing().await;
        self.end_homes().await;
        while self.goodbyes.join_next().await.is_some() {}
        if let Some(dht) = &self.resources.dht {
            dht.stop().await;
        }
    }
}

/// Does it, if it is done by then, or however long it takes for as long as there is patience. False
/// when it is not done.
async fn in_time(
    until: Instant,
    mut patience: watch::Receiver<bool>,
    work: impl Future<Output = ()>,
) -> bool {
    let over = async {
        sleep_until(until).await;
        if patience.wait_for(|is_patient| !is_patient).await.is_err() {
            // Nobody is left to say otherwise.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = work => true,
        () = over => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::future::pending;

    #[tokio::test(start_paused = true)]
    async fn an_end_has_its_time_and_patience_has_none() {
        let begun = Instant::now();
        let (tell, patience) = watch::channel(false);
        assert!(in_time(begun + PART_MAX, patience.clone(), async {}).await);
        assert!(!in_time(begun + PART_MAX, patience.clone(), pending()).await);
        assert_eq!(begun.elapsed(), PART_MAX);
        // What is over its time already is done if it takes none.
        assert!(in_time(begun, patience.clone(), async {}).await);
        tell.send_replace(true);
        let long = tokio::time::sleep(Duration::from_secs(1000));
        assert!(in_time(begun + STOP_MAX, patience.clone(), long).await);
        let impatient = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            tell.send_replace(false);
        };
        let again = Instant::now();
        let (done, ()) = tokio::join!(in_time(again, patience, pending()), impatient);
        assert_eq!((done, again.elapsed()), (false, Duration::from_secs(5)));
    }
}
