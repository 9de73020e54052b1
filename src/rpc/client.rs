//! The other side: asks a server of ours, over TCP or a Unix socket.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{Mark, Refusal, Request};
use crate::net::egress::own_server;

use super::call::{Call, call};

/// To connect.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// For an answer: a torrent by a URL takes half a minute.
const ANSWER_MAX: Duration = Duration::from_secs(90);
/// Without a word from a stream of events it is taken for dead.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// The longest answer: a list of 50,000 torrents.
const ANSWER_LEN_MAX: usize = 256 << 20;
/// The longest event.
const EVENT_LEN_MAX: usize = 1 << 20;

/// Where a server is.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// `http://HOST:PORT`, with what opens it.
    Url {
        /// Without a path.
        url: String,
        /// The token.
        token: String,
    },
    /// A Unix socket.
    Socket(PathBuf),
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url { url, .. } => write!(f, "Url({url})"),
            Self::Socket(path) => write!(f, "Socket({})", path.display()),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server refuses; the words are its own, unescaped.
    #[error("{0}")]
    Refused(Refusal),
    /// The token is wrong.
    #[error("the token is not taken: {0}")]
    Token(String),
    /// Nobody answers, or nothing that makes sense.
    #[error("cannot be asked: {0}")]
    Network(String),
}

/// Asks a server; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<HeaderValue>,
}

/// An event of a stream.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Where the stream goes on after it; none of one that has no place in it.
    pub mark: Option<Mark>,
    /// What it says.
    pub data: Value,
}

/// A stream of events.
#[derive(Debug)]
pub struct Events {
    response: reqwest::Response,
    buffer: Vec<u8>,
}

impl Client {
    /// One that asks there.
    ///
    /// # Errors
    /// The target is none.
    pub fn new(target: Target) -> Result<Self, ClientError> {
        let network = |error: &dyn std::fmt::Display| ClientError::Network(error.to_string());
        let (socket, base, token) = match target {
            Target::Socket(path) => (Some(path), "http://localhost".to_owned(), None),
            Target::Url { url, token } => {
                let value = HeaderValue::from_str(&format!("Bearer {token}"));
                let mut value = value.map_err(|error| network(&error))?;
                value.set_sensitive(true);
                (None, url.trim_end_matches('/').to_owned(), Some(value))
            }
        };
        let http = own_server(socket.as_deref(), CONNECT_MAX).map_err(|error| network(&error))?;
        Ok(Self { http, base, token })
    }

    /// Asks, and reads the answer as what it is to be.
    ///
    /// # Errors
    /// `Refused`, `Token`, `Network`.
    pub async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, ClientError> {
        let Call { method, path, body } = call(request);
        let mut asked = self.http.request(method, format!("{}{path}", self.base));
        asked = asked.timeout(ANSWER_MAX);
        if let Some(body) = body {
            let json = HeaderValue::from_static("application/json");
            asked = asked.header(reqwest::header::CONTENT_TYPE, json).body(body.to_string());
        }
        let response = self.send(asked).await?;
        let bytes = read(response).await?;
        let parsed = serde_json::from_slice(&bytes);
        parsed.map_err(|error| ClientError::Network(format!("its answer makes no sense: {error}")))
    }

    /// Hears what happens from now on, or after `since`.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn events(&self, since: Option<Mark>) -> Result<Events, ClientError> {
        let Call { method, path, .. } = call(&Request::Events(since));
        let asked = self.http.request(method, format!("{}{path}", self.base));
        let accept = HeaderValue::from_static("text/event-stream");
        let response = self.send(asked.header(ACCEPT, accept)).await?;
        Ok(Events { response, buffer: Vec::new() })
    }

    async fn send(&self, asked: reqwest::RequestBuilder) -> Result<reqwest::Response, ClientError> {
        let asked = match &self.token {
            Some(token) => asked.header(AUTHORIZATION, token.clone()),
            None => asked,
        };
        let response = asked.send().await.map_err(|error| network(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = read(response).await?;
        let said: Option<Value> = serde_json::from_slice(&bytes).ok();
        let why = said.as_ref().and_then(|said| said["error"].as_str());
        let why = why.map_or_else(|| format!("the server says {status}"), str::to_owned);
        Err(match status.as_u16() {
            401 | 429 => ClientError::Token(why),
            400 | 413 | 415 => ClientError::Refused(Refusal::invalid(why)),
            404 => ClientError::Refused(Refusal::new(crate::api::Kind::NotFound, why)),
            403 | 409 => ClientError::Refused(Refusal::new(crate::api::Kind::Conflict, why)),
            424 => ClientError::Refused(Refusal::new(crate::api::Kind::Failed, why)),
            _ => ClientError::Network(why),
        })
    }
}

impl Events {
    /// The next event; none when the server ends the stream.
    ///
    /// # Errors
    /// `Network`: the connection breaks, or nothing comes for too long.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(event) = take_event(&mut self.buffer) {
                return Ok(Some(event));
            }
            let part = tokio::time::timeout(SILENCE_MAX, self.response.chunk()).await;
            let silent = |_| ClientError::Network("nothing comes any more".to_owned());
            match part.map_err(silent)?.map_err(|error| network(&error))? {
                Some(part) => self.buffer.extend_from_slice(&part),
                None => return Ok(None),
            }
            if self.buffer.len() > EVENT_LEN_MAX {
                return Err(ClientError::Network("an event has no end".to_owned()));
            }
        }
    }
}

/// The first event of a stream's bytes that is whole; comments are stepped over.
fn take_event(buffer: &mut Vec<u8>) -> Option<Event> {
    while let Some(end) = buffer.windows(2).position(|bytes| bytes == b"\n\n") {
        let block: Vec<u8> = buffer.drain(..end + 2).collect();
        let text = String::from_utf8_lossy(&block);
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        if let Some(data) = field("data: ").and_then(|data| serde_json::from_str(data).ok()) {
            let mark = field("id: ").and_then(|mark| mark.parse().ok());
            return Some(Event { mark, data });
        }
    }
    None
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, ClientError> {
    let mut bytes = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| network(&error))? {
        if bytes.len() + part.len() > ANSWER_LEN_MAX {
            return Err(ClientError::Network("its answer is too long".to_owned()));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// The innermost reason, without the URL.
fn network(error: &reqwest::Error) -> ClientError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    ClientError::Network(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_is_shown_by_mistake() {
        let token = "0123456789abcdef".to_owned();
        let target = Target::Url { url: "http://127.0.0.1:6880".to_owned(), token: token.clone() };
        assert_eq!(format!("{target:?}"), "Url(http://127.0.0.1:6880)");
        let client = Client::new(target).unwrap();
        assert!(!format!("{client:?}").contains(&token), "{client:?}");
    }

    #[test]
    fn events_are_taken_when_they_are_whole() {
        let mut buffer = b": hello\n\nid: 1-2\nevent: added\ndata: {\"id\":3}\n".to_vec();
        assert_eq!(take_event(&mut buffer), None);
        buffer.extend_from_slice(b"\n:\n\nevent: gap\ndata: {\"missed\":null}\n\nid: 1-");
        let added = take_event(&mut buffer).unwrap();
        assert_eq!((added.mark, &added.data["id"]), ("1-2".parse().ok(), &Value::from(3)));
        assert_eq!(take_event(&mut buffer).unwrap().mark, None);
        assert_eq!(take_event(&mut buffer), None);
        assert_eq!(buffer, b"id: 1-");
    }
}
