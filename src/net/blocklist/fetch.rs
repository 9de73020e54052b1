//! A blocklist from its URL: asked for as everything else leaves, redirects followed, and read
//! while it comes, so that it is never held, neither packed nor as text. An answer that breaks off
//! is an error, and no shorter list.

use std::io::{self, Read};
use std::time::Duration;

use reqwest::header::{IF_MODIFIED_SINCE, LAST_MODIFIED};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::kept::MODIFIED_LEN_MAX;
use super::parse::{Flaw, List};
use crate::net::egress::Egress;
use crate::net::fetch;
use crate::net::http::innermost;

/// For all of it. Who starts waits so long where nothing is kept.
const TOTAL: Duration = Duration::from_secs(180);
/// Parts of an answer that wait to be read, each of some 16 KiB.
const PARTS_LEN: usize = 8;

/// What the server has.
#[derive(Debug)]
pub(super) enum Fetched {
    /// The same as before.
    Same,
    /// A list, and what the server calls its date.
    New(List, Option<String>),
}

/// Why there is nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// It does not come.
    Network(String),
    /// What comes is no list.
    Flaw(Flaw),
}

fn failed(why: impl Into<String>) -> Failure {
    Failure::Network(why.into())
}

/// Fetches what lies at `url`, unless it is what the server had at `since`.
pub(super) async fn fetch(
    egress: &Egress,
    url: &str,
    since: Option<&str>,
    is_forced: bool,
) -> Result<Fetched, Failure> {
    let fetched = timeout(TOTAL, fetch_for_ever(egress, url, since, is_forced)).await;
    let late = || failed(format!("not fetched within {} s", TOTAL.as_secs()));
    fetched.unwrap_or_else(|_| Err(late()))
}

async fn fetch_for_ever(
    egress: &Egress,
    url: &str,
    since: Option<&str>,
    is_forced: bool,
) -> Result<Fetched, Failure> {
    let dress = |request: RequestBuilder| match since {
        Some(since) => request.header(IF_MODIFIED_SINCE, since),
        None => request,
    };
    let response = fetch::fetch(egress, url, dress).await.map_err(failed)?.response;
    match response.status() {
        StatusCode::NOT_MODIFIED if since.is_some() => return Ok(Fetched::Same),
        status if !status.is_success() => return Err(failed(format!("the server says {status}"))),
        _ => {}
    }
    let date = response.headers().get(LAST_MODIFIED).and_then(|date| date.to_str().ok());
    let date = date.filter(|date| date.len() <= MODIFIED_LEN_MAX).map(str::to_owned);
    let (parts, coming) = mpsc::channel(PARTS_LEN);
    let coming = Coming { coming, part: Vec::new(), read: 0, is_over: false };
    let reading = spawn_blocking(move || List::read(coming, is_forced));
    let fed = feed(response, parts).await;
    let list = reading.await.map_err(|cause| failed(cause.to_string()))?;
    // What broke off is the network's fault, whatever it looks like.
    fed?;
    list.map(|list| Fetched::New(list, date)).map_err(Failure::Flaw)
}

/// Part of an answer.
enum Part {
    Bytes(Vec<u8>),
    /// That was all of it.
    End,
}

async fn feed(mut response: Response, parts: mpsc::Sender<Part>) -> Result<(), Failure> {
    loop {
        let part = match response.chunk().await {
            Ok(Some(bytes)) => Part::Bytes(bytes.to_vec()),
            Ok(None) => Part::End,
            Err(cause) => return Err(failed(innermost(&cause))),
        };
        let is_end = matches!(part, Part::End);
        // Whoever has read enough says why.
        if parts.send(part).await.is_err() || is_end {
            return Ok(());
        }
    }
}

/// An answer as it comes. Must be read where one may wait.
struct Coming {
    coming: mpsc::Receiver<Part>,
    part: Vec<u8>,
    /// As much of the part is read.
    read: usize,
    is_over: bool,
}

impl Read for Coming {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        while self.read == self.part.len() && !self.is_over {
            match self.coming.blocking_recv() {
                Some(Part::Bytes(bytes)) => (self.part, self.read) = (bytes, 0),
                Some(Part::End) => self.is_over = true,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let len = self.part.get(self.read..).unwrap_or_default().read(room)?;
        self.read += len;
        Ok(len)
    }
}
