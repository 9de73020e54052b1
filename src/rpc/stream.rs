//! Events as they happen: server-sent events (WHATWG HTML, section 9.2). A reader that is slow
//! reads later what there is then; one that is too late is told how much it missed. Nothing is
//! queued for anybody. The same of lists: what changed in them since they were told last.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::api::{Answer, Api, Events, Heads, List, Mark, Request};
use crate::http::connections::Lasting;
use crate::roster::Cursor;

use super::press::{News, Press};

/// How often something is sent when nothing happens, so that both ends see that the other is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Changes of lists are told no more often: many a torrent changes twice a second.
const PACE: Duration = Duration::from_millis(500);

/// The answer to who wants to hear what happens after `since`, or from now on.
pub(super) fn answer(api: &Api, press: Press, since: Option<Mark>) -> Response {
    let (send, parts) = mpsc::channel(1);
    tokio::spawn(tell(api.heads(), press, since, send));
    let body = Body::new(Parts(parts));
    let mut answer = ([(CONTENT_TYPE, "text/event-stream")], body).into_response();
    answer.extensions_mut().insert(Lasting);
    answer
}

/// Sends what happens, as fast as it is read, until the reader or the session goes.
async fn tell(
    mut heads: watch::Receiver<Heads>,
    press: Press,
    since: Option<Mark>,
    send: mpsc::Sender<Bytes>,
) {
    let mut since = since.unwrap_or_else(|| Mark(heads.borrow().events));
    // Headers leave with the first bytes, and a reader that is cut off before the first event knows
    // where to go on.
    let begin = format!("id: {since}\n\n");
    if send.send(begin.into()).await.is_err() {
        return;
    }
    loop {
        // Nothing is held for a reader that takes its time but what is on its way to it.
        let Some(News { text, next }) = press.news(since).await else { return };
        since = next;
        if !text.is_empty() && send.send(text).await.is_err() {
            return;
        }
        let news = heads.wait_for(|heads| heads.events.number > since.0.number);
        let is_quiet = tokio::select! {
            news = timeout(KEEP_ALIVE, news) => match news {
                Ok(Ok(_)) => false,
                Ok(Err(_)) => return,
                Err(_) => true,
            },
            () = send.closed() => return,
        };
        if is_quiet && send.send(Bytes::from_static(b":\n\n")).await.is_err() {
            return;
        }
    }
}

/// The answer to who wants to hear how lists change after `since`, or all of them first.
pub(super) fn lists(api: &Api, since: Option<Mark>) -> Response {
    let (send, parts) = mpsc::channel(1);
    tokio::spawn(tell_lists(api.clone(), since, send));
    let body = Body::new(Parts(parts));
    let mut answer = ([(CONTENT_TYPE, "text/event-stream")], body).into_response();
    answer.extensions_mut().insert(Lasting);
    answer
}

/// Sends what changed in lists, as fast as it is read, until the reader or the session goes.
async fn tell_lists(api: Api, mut since: Option<Mark>, send: mpsc::Sender<Bytes>) {
    let mut heads = api.heads();
    // Headers leave with the first bytes.
    if send.send(Bytes::from_static(b":\n\n")).await.is_err() {
        return;
    }
    loop {
        let Ok(Answer::List(list)) = api.answer(Request::List(since)).await else { return };
        let cursor = list.cursor;
        let is_news = list.full || !list.torrents.is_empty() || !list.removed.is_empty();
        if is_news {
            let Some(text) = listed(&list) else { return };
            drop(list);
            if send.send(text.into()).await.is_err() {
                return;
            }
        }
        since = Some(cursor);
        let news = async {
            sleep(PACE).await;
            let news = heads.wait_for(|heads| heads.rows.number > cursor.0.number);
            timeout(KEEP_ALIVE, news).await.map(|told| told.is_ok())
        };
        let told = tokio::select! {
            told = news => told,
            () = send.closed() => return,
        };
        match told {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) if send.send(Bytes::from_static(b":\n\n")).await.is_err() => return,
            Err(_) => {}
        }
    }
}

/// A list as a stream has it; none that cannot be written.
fn listed(list: &List) -> Option<String> {
    // JSON has no line breaks of its own.
    let data = serde_json::to_string(list).ok()?;
    Some(format!("id: {}\nevent: list\ndata: {data}\n\n", list.cursor))
}

/// Events as a stream has them.
pub(super) fn written(events: &Events) -> String {
    let mut text = String::new();
    let boot = events.cursor.0.boot;
    if events.has_gap {
        let gap = json!({ "event": "gap", "missed": events.missed });
        let first = events.events.first().map(|happened| happened.number.saturating_sub(1));
        let number = first.unwrap_or(events.cursor.0.number);
        let id = Mark(Cursor { boot, number });
        text += &format!("id: {id}\nevent: gap\ndata: {gap}\n\n");
    }
    for happened in &events.events {
        let id = Mark(Cursor { boot, number: happened.number });
        // JSON has no line breaks of its own.
        let data = json!(happened);
        let name = data["event"].as_str().unwrap_or_default();
        text += &format!("id: {id}\nevent: {name}\ndata: {data}\n\n");
    }
    text
}

/// A body of parts that are still to come.
struct Parts(mpsc::Receiver<Bytes>);

impl HttpBody for Parts {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}
