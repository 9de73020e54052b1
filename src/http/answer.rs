//! Answers that all our servers give: JSON, refusals as `{"error": "..."}`, and the headers that
//! stand on every answer. Not here: which answer a request gets.

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An answer of JSON.
pub fn json_answer(status: StatusCode, value: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}

/// What a request cannot have, as it is told.
#[derive(Debug)]
pub struct Refused {
    status: StatusCode,
    why: String,
    header: Option<(HeaderName, &'static str)>,
}

impl Refused {
    /// A refusal; `why` is what people read.
    pub fn new(status: StatusCode, why: impl ToString) -> Self {
        Self { status, why: why.to_string(), header: None }
    }

    /// With a header that belongs to it.
    pub fn with(self, name: HeaderName, value: &'static str) -> Self {
        Self { header: Some((name, value)), ..self }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut answer = json_answer(self.status, &json!({ "error": self.why }));
        if let Some((name, value)) = self.header {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    }
}

/// The answer where no route leads.
pub async fn nothing_here() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "there is nothing here")
}

/// Headers that keep browsers from guessing and keeping, for every answer of a server. None lets
/// other sites read.
pub async fn protect(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    debug_assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    answer
}
