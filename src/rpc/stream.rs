//! Events as they happen: server-sent events (WHATWG HTML, section 9.2). A reader that is slow
//! reads later what there is then; one that is too late is told how much it missed. Nothing is
//! queued for anybody.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::api::{Answer, Api, Events, Mark, Request};
use crate::roster::Cursor;

/// How often something is sent when nothing happens, so that both ends see that the other is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The answer to who wants to hear what happens after `since`, or from now on.
pub(super) fn answer(api: Api, since: Option<Mark>) -> Response {
    let (send, parts) = mpsc::channel(1);
    tokio::spawn(tell(api, since, send));
    let body = Body::new(Parts(parts));
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// Sends what happens, as fast as it is read, until the reader or the session goes.
async fn tell(api: Api, since: Option<Mark>, send: mpsc::Sender<Bytes>) {
    let mut heads = api.heads();
    let mut since = since.unwrap_or_else(|| Mark(heads.borrow().events));
    // Headers leave with the first bytes, and a reader that is cut off before the first event knows
    // where to go on.
    let mut text = format!("id: {since}\n\n");
    loop {
        let Ok(Answer::Events(events)) = api.answer(Request::Events(Some(since))).await else {
            return;
        };
        write(&events, &mut text);
        since = events.cursor;
        // Nothing is held for a reader that takes its time but what is on its way to it.
        drop(events);
        if !text.is_empty() && send.send(std::mem::take(&mut text).into()).await.is_err() {
            return;
        }
        let news = heads.wait_for(|heads| heads.events.number > since.0.number);
        tokio::select! {
            news = timeout(KEEP_ALIVE, news) => match news {
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return,
                Err(_) => text.push_str(":\n\n"),
            },
            () = send.closed() => return,
        }
    }
}

fn write(events: &Events, text: &mut String) {
    let boot = events.cursor.0.boot;
    if events.has_gap {
        let gap = json!({ "event": "gap", "missed": events.missed });
        let first = events.events.first().map(|happened| happened.number.saturating_sub(1));
        let number = first.unwrap_or(events.cursor.0.number);
        let id = Mark(Cursor { boot, number });
        *text += &format!("id: {id}\nevent: gap\ndata: {gap}\n\n");
    }
    for happened in &events.events {
        let id = Mark(Cursor { boot, number: happened.number });
        // JSON has no line breaks of its own.
        let data = json!(happened);
        let name = data["event"].as_str().unwrap_or_default();
        *text += &format!("id: {id}\nevent: {name}\ndata: {data}\n\n");
    }
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
