//! What is answered: texts, JSON and files, and what cannot be had, each with the status, type and
//! words that programs look for. Not here: which answer a request gets.

use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::api::{Kind, Refusal};

use super::book::Unkept;

const TEXT: &str = "text/plain; charset=UTF-8";

/// An answer.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Said {
    /// A text; an empty one where something is done.
    Text(String),
    /// JSON.
    Json(Value),
    /// JSON that is written already.
    Written(Vec<u8>),
    /// A `.torrent` of this name.
    File(String, Vec<u8>),
}

impl Said {
    /// It is done.
    pub const DONE: Self = Self::Text(String::new());

    /// A text.
    pub fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }
}

/// What cannot be had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub status: StatusCode,
    pub why: String,
}

/// An answer, or why there is none.
pub(super) type Reply = Result<Said, Fault>;

impl Fault {
    pub fn new(status: StatusCode, why: impl ToString) -> Self {
        Self { status, why: why.to_string() }
    }

    /// A parameter is missing, or makes no sense.
    pub fn bad(why: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }

    /// There is nothing of this name.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found")
    }

    /// It is not to be done as things are.
    pub fn conflict(why: impl ToString) -> Self {
        Self::new(StatusCode::CONFLICT, why)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.code {
            Kind::Invalid => StatusCode::BAD_REQUEST,
            Kind::NotFound => return Self::not_found(),
            Kind::Conflict | Kind::Failed => StatusCode::CONFLICT,
            Kind::Ended => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, refusal.error)
    }
}

impl From<Unkept> for Fault {
    fn from(unkept: Unkept) -> Self {
        match unkept {
            Unkept::Refused(why) | Unkept::Disk(why) => Self::conflict(why),
        }
    }
}

impl IntoResponse for Said {
    fn into_response(self) -> Response {
        match self {
            Self::Text(text) => ([(CONTENT_TYPE, TEXT)], text).into_response(),
            Self::Json(value) => written(value.to_string().into_bytes()),
            Self::Written(bytes) => written(bytes),
            Self::File(name, bytes) => {
                let mut answer =
                    ([(CONTENT_TYPE, "application/x-bittorrent")], bytes).into_response();
                let line = format!("attachment; filename*=UTF-8''{}", urlencoding::encode(&name));
                if let Ok(line) = HeaderValue::from_str(&line) {
                    answer.headers_mut().insert(CONTENT_DISPOSITION, line);
                }
                answer
            }
        }
    }
}

fn written(bytes: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/json")], bytes).into_response()
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        (self.status, [(CONTENT_TYPE, TEXT)], self.why).into_response()
    }
}
