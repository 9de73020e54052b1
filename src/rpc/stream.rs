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
async fn tell(api: Api, mut since: Option<Mark>, send: mpsc::Sender<Bytes>) {
    let mut heads = api.heads();
    // Headers leave with the first bytes.
    let mut text = ": hello\n\n".to_owned();
    loop {
        heads.mark_unchanged();
        let Ok(Answer::Events(events)) = api.answer(Request::Events(since)).await else { return };
        write(&events, &mut text);
        since = Some(events.cursor);
        if !text.is_empty() && send.send(std::mem::take(&mut text).into()).await.is_err() {
            return;
        }
        let news = heads.wait_for(|heads| Some(Mark(heads.events)) != since);
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
        *text += &format!("event: gap\ndata: {gap}\n\n");
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
