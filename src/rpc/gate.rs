//! Who may ask, whatever dialect they speak: the names that we are asked by, tokens and who shows
//! wrong ones, and how much all of them may send. Not here: what refusals look like.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use tokio::sync::{mpsc, oneshot};

use crate::api::{Kind, Refusal};
use crate::http::body::{BodyError, Scales, Upload, Weight};
use crate::http::origin::{is_by_address, is_for_us};
use crate::http::token::{Guesses, Token, basic, bearer};

/// Time for a body to arrive.
const BODY_TIME: Duration = Duration::from_secs(60);
/// Bytes of bodies that are held at once.
const BODIES_BUDGET: usize = 48 << 20;
/// What strangers may send before it is known who they are: a name and a password. All of them
/// together have a budget of their own, so that nobody else waits for them.
pub(super) const STRANGER_LEN_MAX: usize = 4 << 10;
const STRANGER_TIME: Duration = Duration::from_secs(5);
const STRANGERS_BUDGET: usize = 1 << 20;
/// Questions to the doorkeeper that wait.
const QUESTIONS_LEN: usize = 64;

/// What all requests pass; cheap to clone.
#[derive(Clone)]
pub(super) struct Gate {
    hosts: Hosts,
    scales: Scales,
    strangers: Scales,
    door: mpsc::Sender<Question>,
}

/// As what it may be asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Hosts {
    /// By these names and addresses, besides loopback addresses and `localhost`,
    names: Vec<String>,
    /// and by any address, since it listens at all that this machine has.
    has_many_addresses: bool,
}

impl Hosts {
    /// These names, and the addresses that it listens at.
    pub fn new(mut names: Vec<String>, listening: impl Iterator<Item = IpAddr>) -> Self {
        let mut has_many_addresses = false;
        for address in listening {
            match address.is_unspecified() {
                true => has_many_addresses = true,
                false => names.push(address.to_string()),
            }
        }
        Self { names, has_many_addresses }
    }

    /// Does a request name one of them?
    pub fn know(&self, headers: &HeaderMap) -> bool {
        is_for_us(headers, &self.names) || self.has_many_addresses && is_by_address(headers)
    }
}

/// Somebody shows a token.
struct Question {
    from: IpAddr,
    shown: Option<String>,
    answer: oneshot::Sender<Verdict>,
}

/// What comes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is the right one.
    Welcome,
    /// It is not.
    Wrong,
    /// After so many wrong ones nobody looks at it.
    Unheard,
}

impl Gate {
    /// Who shows this token may ask, and by these names.
    pub fn new(token: Token, hosts: Hosts) -> Self {
        let (door, questions) = mpsc::channel(QUESTIONS_LEN);
        tokio::spawn(keep_door(token, questions));
        let (scales, strangers) = (Scales::new(BODIES_BUDGET), Scales::new(STRANGERS_BUDGET));
        Self { hosts, scales, strangers, door }
    }

    /// Does a request name us as itself?
    pub fn is_for_us(&self, headers: &HeaderMap) -> bool {
        self.hosts.know(headers)
    }

    /// What the doorkeeper says to a token that somebody shows, or to none.
    pub async fn look(&self, from: IpAddr, shown: Option<String>) -> Verdict {
        let (answer, answered) = oneshot::channel();
        // Without a doorkeeper nobody comes in.
        let _ = self.door.send(Question { from, shown, answer }).await;
        answered.await.unwrap_or(Verdict::Wrong)
    }

    /// Reads a body, as long as it and all others fit.
    ///
    /// # Errors
    /// As [`Scales::receive`].
    pub async fn receive(
        &self,
        body: &mut Body,
        len_max: usize,
    ) -> Result<(Vec<u8>, Weight), BodyError> {
        self.scales.receive(body, Upload { len_max, within: BODY_TIME }).await
    }

    /// Reads a body of 4 KiB at most of somebody of whom nothing is known yet.
    ///
    /// # Errors
    /// As [`Scales::receive`].
    pub async fn receive_of_stranger(
        &self,
        body: &mut Body,
    ) -> Result<(Vec<u8>, Weight), BodyError> {
        let upload = Upload { len_max: STRANGER_LEN_MAX, within: STRANGER_TIME };
        self.strangers.receive(body, upload).await
    }

    /// The budget of bodies, to see what is left of it.
    #[cfg(test)]
    pub fn scales(&self) -> &Scales {
        &self.scales
    }
}

/// What a body that cannot be read is answered with, whatever that looks like: its status and why,
/// where it may have `len_max` bytes.
pub(super) fn unread(error: &BodyError, len_max: usize) -> (StatusCode, String) {
    match error {
        BodyError::TooLong => {
            let most = match len_max >> 20 {
                0 => format!("{} KiB", len_max >> 10),
                mebibytes => format!("{mebibytes} MiB"),
            };
            (StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {most}"))
        }
        BodyError::Busy => {
            let why = "others send large bodies: again in ten seconds";
            (StatusCode::SERVICE_UNAVAILABLE, why.to_owned())
        }
        BodyError::Broken => (StatusCode::BAD_REQUEST, "the body breaks off".to_owned()),
        BodyError::Late => (StatusCode::REQUEST_TIMEOUT, "the body takes too long".to_owned()),
    }
}

/// What came of an order of a tool, which named its torrents before: that one of them has left
/// meanwhile is no fault.
///
/// # Errors
/// As it was refused.
pub(super) fn unless_gone<T>(done: Result<T, Refusal>) -> Result<(), Refusal> {
    match done {
        Err(refusal) if refusal.code != Kind::NotFound => Err(refusal),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// What comes of an order to several torrents, or of several orders to one: whatever becomes of one
/// is nothing to the others.
#[derive(Debug)]
pub(super) struct Several<E> {
    refused: Option<E>,
}

impl<E> Several<E> {
    /// None was served yet.
    pub fn new() -> Self {
        Self { refused: None }
    }

    /// The next one was served, or refused.
    pub fn note(&mut self, came: Result<(), E>) {
        if let Err(why) = came {
            self.refused.get_or_insert(why);
        }
    }

    /// What is told when all were served.
    ///
    /// # Errors
    /// As the first one was refused.
    pub fn end<F: From<E>>(self) -> Result<(), F> {
        self.refused.map_or(Ok(()), |why| Err(why.into()))
    }
}

/// The token that headers show.
pub(super) fn shown(headers: &HeaderMap) -> Option<String> {
    authorization(headers).and_then(bearer).map(str::to_owned)
}

/// The token that a tool of other programs shows: as the password of whatever user it has.
pub(super) fn shown_by_tool(headers: &HeaderMap) -> Option<String> {
    shown(headers).or_else(|| authorization(headers).and_then(basic))
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok())
}

/// Where a request comes from.
pub(super) fn sender(parts: &Parts) -> IpAddr {
    let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    from.map_or(Ipv4Addr::UNSPECIFIED.into(), |remote| remote.0.ip())
}

/// Looks at tokens, one after the other, and counts the wrong ones.
async fn keep_door(token: Token, mut questions: mpsc::Receiver<Question>) {
    let mut guesses = Guesses::default();
    while let Some(Question { from, shown, answer }) = questions.recv().await {
        let now = Instant::now();
        let verdict = if !guesses.are_heard(from, now) {
            Verdict::Unheard
        } else if shown.as_ref().is_some_and(|shown| token.is(shown)) {
            Verdict::Welcome
        } else {
            // Who shows nothing guesses nothing.
            if shown.is_some() {
                guesses.note(from, now);
            }
            Verdict::Wrong
        };
        // Whoever asked may have gone.
        let _ = answer.send(verdict);
    }
}
