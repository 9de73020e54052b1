//! `/introduction`: which tracker this is, that it knows its token, and a nonce for one change.
//! Costs no memory, so that anybody may ask. Not here: what that is made of (`proof`).

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Extension, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::http::answer::{Refused, json_answer};
use crate::http::connections::AskedAt;
use crate::tracker::proof::{AskerNonce, Introduction, decode};

use super::front::Front;
use super::library::Introducer;

/// Answers `GET /introduction?nonce=HEX`.
pub(super) async fn answer(
    State(front): State<Arc<Front>>,
    Extension(AskedAt(address)): Extension<AskedAt>,
    uri: Uri,
) -> Response {
    let refuse = |status, why: &str| Refused::new(status, why).into_response();
    let Some(desk) = &front.desk else {
        return refuse(StatusCode::NOT_FOUND, "this tracker keeps no catalogue");
    };
    let asker = uri.query().and_then(|query| query.strip_prefix("nonce=")).and_then(decode);
    let Some(asker): Option<AskerNonce> = asker else {
        return refuse(StatusCode::BAD_REQUEST, "a nonce of 32 hexadecimal digits is needed");
    };
    let Introducer { identity, token, mint } = &*desk.introducer;
    let nonce = mint.mint(rand::random(), Instant::now());
    let introduction = Introduction::new(identity, token.as_ref(), &asker, &nonce, address);
    json_answer(StatusCode::OK, &json!(introduction))
}
