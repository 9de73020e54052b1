//! What follows from a fact, in the order in which it must happen: effects for the hands, and
//! what one half of the brain has to tell the other. Each half only adds; `Swarm` passes it on.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::base::ids::LinkId;
use crate::base::layout::PieceIndex;

use super::event::{Event, Output};
use super::link::{CloseReason, LinkCommand};

/// Blocks or refusals that nobody asked for, until the link is closed (limits table).
pub(super) const STRIKES_MAX: u32 = 50;

/// One thing that follows.
#[derive(Debug)]
pub(super) enum Effect {
    /// For the hands.
    Output(Output),
    /// For the other half.
    Notice(Notice),
}

/// What the transfer tells the crowd of those it trades with.
#[derive(Debug)]
pub(super) enum Notice {
    /// The link is to end.
    Close(LinkId, CloseReason),
    /// Something came that nobody asked for.
    Strike(LinkId),
    /// Wrong data came from there; with `alone`, others at the same host are not to suffer.
    Liar { address: SocketAddr, alone: bool },
    /// Data came from there for the first time.
    Worked(SocketAddr),
    /// What went wrong there was the fault of one piece.
    Forgiven(SocketAddr),
    /// Others are asked for a piece that this link, which brings whole ones, failed to bring.
    Reassigned { link: LinkId, piece: PieceIndex, why: String },
    /// Something is missing again, so that seeds are of use.
    Missing,
}

/// What has followed so far. What the hands are to do waits in `ready`, but for what must come
/// behind a notice: that waits with it in `queue`, until it is carried to where it belongs.
#[derive(Debug, Default)]
pub(super) struct Effects {
    ready: VecDeque<Output>,
    queue: VecDeque<Effect>,
    is_stirred: bool,
    cause_changed: bool,
}

impl Effects {
    pub(super) fn push(&mut self, output: Output) {
        match self.queue.is_empty() {
            true => self.ready.push_back(output),
            false => self.queue.push_back(Effect::Output(output)),
        }
    }

    /// The next effect for the hands.
    pub(super) fn poll(&mut self) -> Option<Output> {
        self.ready.pop_front()
    }

    pub(super) fn send(&mut self, link: LinkId, command: impl Into<LinkCommand>) {
        self.push(Output::Send { link, command: command.into() });
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.queue.push_back(Effect::Notice(notice));
    }

    pub(super) fn close(&mut self, link: LinkId, reason: CloseReason) {
        self.notice(Notice::Close(link, reason));
    }

    pub(super) fn strike(&mut self, link: LinkId) {
        self.notice(Notice::Strike(link));
    }

    /// An upload slot may be free, or somebody new wants one.
    pub(super) fn stir(&mut self) {
        self.is_stirred = true;
    }

    pub(super) fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.is_stirred)
    }

    /// What the download waits for may be something else from now on.
    pub(super) fn look_at_cause(&mut self) {
        self.cause_changed = true;
    }

    pub(super) fn take_cause_changed(&mut self) -> bool {
        std::mem::take(&mut self.cause_changed)
    }

    /// What is to be carried, in order. What follows from it stands before what is left of it.
    pub(super) fn take(&mut self) -> VecDeque<Effect> {
        std::mem::take(&mut self.queue)
    }
}
