//! A torrent of which nothing runs: it waits for its turn, or has seeded enough. One task that
//! sleeps until an order comes, without a timer, an open file or a connection.

use super::command::{Choice, Command, MoveOrder};
use super::ends::Ends;
use super::status::{State, Status};
use super::wish::Wish;

/// Peers, providers and servers kept until the torrent runs, as many as it knows addresses then; of
/// more the first ones are dropped. Of what is set there is one order of a kind.
const EARLY_MAX: usize = 3000;

/// What a wait ends with.
#[derive(Debug)]
pub(super) enum Woken {
    /// The torrent is to run; one of which everything is here sleeps on, if it `sleeps`.
    Run { sleeps: bool },
    /// Its files are to be moved; then it waits again.
    Move(MoveOrder),
    /// All of it is to be looked at; then it waits again.
    Verify,
    /// It is to end.
    End,
}

/// How a torrent waits.
#[derive(Debug)]
pub(super) struct Waiting {
    /// `Queued` or `Finished`.
    pub state: State,
    /// By its user; it lets its turn pass then.
    pub is_paused: bool,
}

impl Waiting {
    /// As one that has seeded enough.
    pub fn finished() -> Self {
        Self { state: State::Finished, is_paused: false }
    }

    /// Takes over what was said of its rest while its files were moved or looked at; whether it
    /// runs at once.
    pub fn hear(&mut self, early: &mut Vec<Command>) -> bool {
        let is_of_rest = |order: &mut Command| {
            matches!(order, Command::Pause | Command::Resume | Command::Unpause)
        };
        let mut runs = false;
        for order in early.extract_if(.., is_of_rest) {
            match order {
                Command::Pause => self.is_paused = true,
                Command::Resume if !self.is_paused || self.state == State::Finished => runs = true,
                _ => self.is_paused = false,
            }
        }
        runs
    }

    /// How that is shown.
    pub fn shown(&self) -> State {
        if self.is_paused { State::Paused } else { self.state.clone() }
    }
}

/// Waits until the torrent is to do something. Orders for the running torrent are kept in
/// `early`, what sets something is taken over.
pub(super) async fn wait(
    ends: &mut Ends,
    waiting: &mut Waiting,
    wish: &mut Wish,
    early: &mut Vec<Command>,
) -> Woken {
    let shown = waiting.shown();
    let Waiting { state, is_paused } = waiting;
    ends.status.change(|status| rest(status, shown));
    loop {
        let command = tokio::select! {
            command = ends.commands.recv() => command,
            // Nobody is let in: dropping it closes the connection.
            Some(_) = ends.incoming.recv() => continue,
        };
        match command {
            // Whose turn it is was decided before the user paused it.
            Some(Command::Start { sleeps }) if *state == State::Queued && !*is_paused => {
                return Woken::Run { sleeps };
            }
            // One that has seeded enough goes on where that is told, paused or not.
            Some(Command::Resume) if !*is_paused || *state == State::Finished => {
                return Woken::Run { sleeps: false };
            }
            Some(Command::Resume | Command::Unpause) if *is_paused => {
                *is_paused = false;
                ends.status.change(|status| status.state = state.clone());
            }
            Some(Command::Resume | Command::Unpause) => {}
            Some(Command::Move(order)) => return Woken::Move(order),
            Some(Command::Verify) => return Woken::Verify,
            // One that has seeded enough is at rest already, and is so by its user from now on.
            Some(Command::Pause) => {
                *is_paused = true;
                ends.status.change(|status| status.state = State::Paused);
            }
            Some(Command::Stop(answer)) => {
                ends.end(answer).await;
                return Woken::End;
            }
            Some(order) => {
                let other = wish.take(&ends.status, order);
                other.into_iter().for_each(|order| keep(early, order));
            }
            None => return Woken::End,
        }
    }
}

/// Keeps an order for the running torrent, if it will have a meaning, in the place of those that it
/// makes void.
pub(super) fn keep(early: &mut Vec<Command>, order: Command) {
    if !has_meaning_later(&order) {
        return;
    }
    for void in early.extract_if(.., |before| makes_void(&order, before)) {
        if let Command::Move(MoveOrder { answer, .. }) = void {
            // The one who asked may have gone.
            let _ = answer.send(Err("they were to be moved elsewhere since".to_owned()));
        }
    }
    let mut named = early.iter().enumerate().filter(|(_, it)| names_somebody(it));
    if let (Some((first, _)), EARLY_MAX..) = (named.next(), named.count() + 1) {
        early.remove(first);
    }
    early.push(order);
}

/// Does it set the same, or name the same one?
fn makes_void(order: &Command, before: &Command) -> bool {
    match (order, before) {
        (
            Command::Pause | Command::Resume | Command::Unpause,
            Command::Pause | Command::Resume | Command::Unpause,
        )
        | (Command::LimitDown(_), Command::LimitDown(_))
        | (Command::LimitUp(_), Command::LimitUp(_))
        | (Command::Move(_), Command::Move(_))
        | (Command::Conduct(_), Command::Conduct(_))
        | (Command::Trackers(_), Command::Trackers(_))
        | (Command::Verify, Command::Verify) => true,
        // Which are wanted says nothing of how urgent those are.
        (Command::SelectFiles(now), Command::SelectFiles(before)) => {
            matches!(now, Choice::Priorities(_)) || matches!(before, Choice::Wanted(_))
        }
        (Command::AddPeer(now), Command::AddPeer(before)) => now == before,
        (Command::AddWebSeed(now), Command::AddWebSeed(before)) => now.url == before.url,
        _ => false,
    }
}

/// Takes out orders to look at everything; whether there were any.
pub(super) fn take_verify(early: &mut Vec<Command>) -> bool {
    early.extract_if(.., |order| matches!(order, Command::Verify)).count() > 0
}

fn names_somebody(order: &Command) -> bool {
    matches!(order, Command::AddPeer(_) | Command::AddWebSeed(_) | Command::AddProviders { .. })
}

/// Leaves out orders that have no meaning any more when the torrent runs some day: what only a
/// running one can answer finds no answer.
pub(super) fn keep_lasting(early: &mut Vec<Command>) {
    early.retain(has_meaning_later);
}

fn has_meaning_later(order: &Command) -> bool {
    !matches!(
        order,
        Command::Peers { .. }
            | Command::Sources(_)
            | Command::Why(_)
            | Command::Copies(_)
            | Command::Announce(_)
            | Command::Scrape
            | Command::LocalPeer(_)
            | Command::Start { .. }
            | Command::Sleep
            | Command::Finish
    )
}

/// Nothing moves any more; what was done stays.
pub(super) fn rest(status: &mut Status, state: State) {
    (status.state, status.is_asleep) = (state, false);
    (status.down_rate, status.up_rate) = (0, 0);
    (status.down_meter, status.up_meter) = (None, None);
    (status.peers_connected, status.seeds_connected) = (0, 0);
    status.sources_connected = 0;
    (status.peers_sending, status.peers_receiving) = (0, 0);
    status.trackers.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::{mpsc, oneshot, watch};

    use crate::base::file_priority::FilePriority;
    use crate::net::limiter::Limiter;
    use crate::torrent::bell::silent;
    use crate::torrent::board::Board;
    use crate::torrent::command::{Commander, commands};
    use crate::torrent::handle::NewsSender;
    use crate::torrent::options::TorrentOptions;
    use crate::torrent::share::Share;

    struct Parked {
        commands: Commander,
        status: watch::Receiver<Status>,
        task: tokio::task::JoinHandle<(bool, Vec<bool>, usize)>,
    }

    /// Two files, both wanted.
    fn wish() -> Wish {
        Wish {
            files: vec![FilePriority::Normal; 2],
            conduct: TorrentOptions::default().conduct(),
            trackers: None,
            limiter: Arc::new(Limiter::new(None)),
            up_limiter: Arc::new(Limiter::new(None)),
        }
    }

    fn wait_as(state: State) -> Parked {
        let (commands, orders) = commands(64);
        let (_, incoming) = mpsc::channel(1);
        let board = Board::new(Status::default(), silent());
        let status = board.reader();
        let news = NewsSender::new(1);
        let share = Share::default();
        let mut ends = Ends::new(orders, incoming, board, news, share);
        let task = tokio::spawn(async move {
            let (mut wish, mut early) = (wish(), Vec::new());
            let mut waiting = Waiting { state, is_paused: false };
            let woken = wait(&mut ends, &mut waiting, &mut wish, &mut early).await;
            let runs = matches!(woken, Woken::Run { .. });
            (runs, wish.wanted_files(), early.len())
        });
        Parked { commands, status, task }
    }

    impl Parked {
        async fn tell(&self, command: Command) {
            self.commands.send(command).await.unwrap();
        }

        async fn until(&mut self, state: State) {
            self.status.wait_for(|status| status.state == state).await.unwrap();
        }
    }

    #[test]
    fn what_was_said_of_its_rest_during_a_move_is_of_its_wait() {
        let mut waiting = Waiting { state: State::Queued, is_paused: true };
        let mut early = vec![Command::LimitUp(None)];
        let mut said = |order, waiting: &mut Waiting| {
            keep(&mut early, order);
            let runs = waiting.hear(&mut early);
            assert_eq!(early.len(), 1, "the rest is for later");
            runs
        };
        assert!(!said(Command::Resume, &mut waiting) && !waiting.is_paused, "it has its turn");
        assert!(said(Command::Resume, &mut waiting), "out of turn");
        assert!(!said(Command::Pause, &mut waiting) && waiting.is_paused);
        assert!(!said(Command::Unpause, &mut waiting) && !waiting.is_paused);
    }

    #[tokio::test]
    async fn it_starts_when_its_turn_comes_with_what_it_was_told() {
        let mut waiting = wait_as(State::Queued);
        waiting.until(State::Queued).await;
        waiting.tell(Command::SelectFiles(Choice::Wanted(vec![false, true]))).await;
        waiting.tell(Command::LimitDown(Some(7))).await;
        let shown = |status: &Status| {
            status.wanted_files() == [false, true] && status.limit_down == Some(7)
        };
        waiting.status.wait_for(shown).await.unwrap();
        waiting.tell(Command::AddPeer("127.0.0.1:1".parse().unwrap())).await;
        waiting.tell(Command::Finish).await;
        waiting.tell(Command::Start { sleeps: false }).await;
        assert_eq!(waiting.task.await.unwrap(), (true, vec![false, true], 1));
    }

    #[tokio::test]
    async fn a_paused_one_lets_its_turn_pass() {
        let mut waiting = wait_as(State::Queued);
        waiting.tell(Command::Pause).await;
        waiting.until(State::Paused).await;
        waiting.tell(Command::Start { sleeps: false }).await;
        waiting.tell(Command::Unpause).await;
        waiting.until(State::Queued).await;
        waiting.tell(Command::Unpause).await;
        // Once more: out of turn.
        waiting.tell(Command::Resume).await;
        assert!(waiting.task.await.unwrap().0);
    }

    #[tokio::test]
    async fn a_finished_one_has_no_turn_but_goes_on_when_told() {
        let mut waiting = wait_as(State::Finished);
        waiting.tell(Command::Start { sleeps: false }).await;
        waiting.tell(Command::Pause).await;
        waiting.until(State::Paused).await;
        waiting.tell(Command::Unpause).await;
        waiting.until(State::Finished).await;
        waiting.tell(Command::Pause).await;
        waiting.until(State::Paused).await;
        waiting.tell(Command::Resume).await;
        assert!(waiting.task.await.unwrap().0);
    }

    #[tokio::test]
    async fn it_ends_when_told_and_answers() {
        let waiting = wait_as(State::Queued);
        let (answer, answered) = oneshot::channel();
        waiting.tell(Command::Stop(answer)).await;
        answered.await.unwrap();
        assert!(!waiting.task.await.unwrap().0);
    }

    #[test]
    fn of_what_is_set_early_the_last_order_of_each_kind_counts() {
        let mut early = Vec::new();
        let (answer, mut answered) = oneshot::channel();
        let what = crate::disk::Relocation::Dir("there".into());
        keep(&mut early, Command::Move(MoveOrder { what: what.clone(), answer }));
        for nth in 0..100 {
            keep(&mut early, Command::Pause);
            keep(&mut early, Command::LimitDown(Some(nth)));
            keep(&mut early, Command::LimitUp(Some(nth)));
            keep(&mut early, Command::AddPeer(([10, 0, 0, nth as u8 % 50], 1).into()));
            keep(&mut early, Command::SelectFiles(Choice::Wanted(vec![nth == 99])));
            keep(&mut early, Command::Unpause);
        }
        keep(&mut early, Command::Move(MoveOrder { what, answer: oneshot::channel().0 }));
        let count = |is_it: fn(&Command) -> bool| early.iter().filter(|it| is_it(it)).count();
        assert_eq!(count(|it| matches!(it, Command::AddPeer(_))), 50);
        assert_eq!(count(|it| matches!(it, Command::LimitDown(Some(99)))), 1);
        assert_eq!(count(|it| matches!(it, Command::LimitUp(Some(99)))), 1);
        fn is_last(choice: &Choice) -> bool {
            *choice == Choice::Wanted(vec![true])
        }
        assert_eq!(count(|it| matches!(it, Command::SelectFiles(it) if is_last(it))), 1);
        assert_eq!(count(|it| matches!(it, Command::Unpause)), 1);
        assert_eq!(early.len(), 50 + 5);
        let refused = answered.try_recv().unwrap().unwrap_err();
        assert_eq!(refused, "they were to be moved elsewhere since");
    }

    #[test]
    fn a_flood_of_orders_is_bounded() {
        let mut early = Vec::new();
        keep(&mut early, Command::Pause);
        for nth in 0..4000 {
            keep(&mut early, Command::AddPeer(([10, 0, 0, 1], nth).into()));
        }
        assert_eq!(early.len(), 1 + EARLY_MAX);
        let last = Command::AddPeer(([10, 0, 0, 1], 3999).into());
        assert!(matches!(early[0], Command::Pause) && makes_void(&last, &early[EARLY_MAX]));
    }

    #[test]
    fn what_is_set_last_is_what_holds() {
        let board = Board::new(Status::default(), silent());
        let conduct = |max_peers| TorrentOptions::default().max_peers(max_peers).conduct();
        let mut early = Vec::new();
        for most in 0..100 {
            keep(&mut early, Command::Conduct(conduct(most)));
        }
        keep(&mut early, Command::Pause);
        keep(&mut early, Command::SelectFiles(Choice::Wanted(vec![false, true])));
        let mut wish = wish();
        wish.take_all(&board, &mut early);
        assert_eq!(wish.conduct, conduct(99));
        assert_eq!(wish.files, [FilePriority::Off, FilePriority::Normal]);
        assert!(matches!(early[..], [Command::Pause]), "{early:?}");
    }
}
