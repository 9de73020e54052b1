//! A blocklist from its URL: asked for as everything else leaves, redirects followed, and read
//! while it comes, so that it is never held, neither packed nor as text. An answer that breaks off
//! is an error, and no shorter list.

use std::io::{self, Read};
use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{IF_MODIFIED_SINCE, LAST_MODIFIED};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::kept::MODIFIED_LEN_MAX;
use super::parse::{Flaw, List};
use crate::base::addr::Locality;
use crate::net::egress::{Client, ClientConfig, Egress, Purpose};
use crate::net::http::{self, Mute, REDIRECTS_MAX, innermost, redirected, target};
use crate::net::reach::{Hop, Trust, check_port, resolve, to_try};

/// To resolve a host.
const LOOKUP: Duration = Duration::from_secs(5);
/// To connect, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// Between two reads.
const READ: Duration = Duration::from_secs(30);
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
    let response = ask_all(egress, url, since).await?;
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

/// Asks at `url` and where it redirects.
async fn ask_all(egress: &Egress, url: &str, since: Option<&str>) -> Result<Response, Failure> {
    let mut url = Url::parse(url).map_err(|_| failed("it cannot be read as a URL"))?;
    let client = Client::new(ClientConfig {
        egress: egress.clone(),
        purpose: Purpose::WebSeed,
        keeps_family: false,
        connect: CONNECT,
        read: READ,
        // All of it is limited, not each request.
        total: None,
        keeps_idle: false,
    });
    let client = client.map_err(|cause| failed(cause.to_string()))?;
    let mut previous = None;
    for _ in 0..=REDIRECTS_MAX {
        let (response, address) = ask(&client, egress, &url, since, previous).await?;
        let unusable = |_| failed("it redirects to an unusable address");
        let Some(told) = redirected(&response).map_err(unusable)? else { return Ok(response) };
        url = target(&url, told).map_err(unusable)?;
        previous = Some(Locality::of(address));
    }
    Err(failed(format!("it redirects more than {REDIRECTS_MAX} times")))
}

/// The answer, and the address that gave it. The user may name any, a redirect none of ours.
async fn ask(
    client: &Client,
    egress: &Egress,
    url: &Url,
    since: Option<&str>,
    previous: Option<Locality>,
) -> Result<(Response, IpAddr), Failure> {
    let host = url.host_str().ok_or_else(|| failed("it has no host"))?;
    let port = url.port_or_known_default().ok_or_else(|| failed("it has no port"))?;
    if previous.is_some() {
        check_port(port).map_err(|error| failed(error.to_string()))?;
    }
    let addresses = resolve(egress, host, port, LOOKUP).await;
    let addresses = addresses.map_err(|error| failed(error.to_string()))?;
    let addresses = to_try(addresses, egress.policy().bind);
    let dress = |request: RequestBuilder| match since {
        Some(since) => request.header(IF_MODIFIED_SINCE, since),
        None => request,
    };
    let hop = Hop { trust: Trust::Full, previous };
    let asked = http::ask(client, url, &addresses, hop, dress).await;
    asked.map_err(|mute| match mute {
        Mute::NoHost => failed("it has no host"),
        Mute::Forbidden(error) => failed(error.to_string()),
        Mute::Unready(why) => failed(why),
        Mute::Broken(why) => failed(format!("cannot be fetched: {why}")),
    })
}
