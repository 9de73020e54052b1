//! Who may ask in this dialect: whoever shows a cookie of a log-in, or the token. The password is
//! the token, of any user; there is no other one. Whoever is not in is told 403 and never 401:
//! programs log in again at the one, and give up at the other, which means that a page of another
//! site asks, or somebody at a name that is not ours.

use std::time::Duration;

use axum::http::header::{HOST, ORIGIN, REFERER, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

use crate::http::origin::is_foreign;

use super::super::gate::{Gate, Verdict, sender, shown_by_tool};
use super::super::visitors::{Visitors, cookies};
use super::desk::Asked;
use super::said::{Fault, Said};

/// What those are told whom nobody listens to any more.
const BANNED: &str =
    "Your IP address has been banned after too many failed authentication attempts.";

/// How long a visitor may be silent; as the original has it.
const IDLE_MAX: Duration = Duration::from_secs(3600);

/// Who looks at cookies and tokens.
pub(super) struct Guard {
    gate: Gate,
    visitors: Visitors,
}

/// How somebody came in: by this cookie, or without one.
pub(super) struct Visit(Option<String>);

/// Refuses pages of other sites, and names that are not ours.
///
/// # Errors
/// 401, as the original has it.
pub(super) fn check_page(headers: &HeaderMap, is_for_us: bool) -> Result<(), Fault> {
    let is_refused = !is_for_us
        || is_foreign(headers)
        || !headers.contains_key(ORIGIN) && is_referred(headers)
        || headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    match is_refused {
        true => Err(Fault::new(StatusCode::UNAUTHORIZED, "Unauthorized")),
        false => Ok(()),
    }
}

/// Does a page of another site lead here?
fn is_referred(headers: &HeaderMap) -> bool {
    let mut referers = headers.get_all(REFERER).iter();
    let Some(referer) = referers.next() else { return false };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let referer = referer.to_str().ok().and_then(|it| it.split_once("://"));
    let named = referer.and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    let is_ours = host.zip(named).is_some_and(|(host, named)| host.eq_ignore_ascii_case(named));
    referers.next().is_some() || !is_ours
}

impl Guard {
    /// Nobody is in.
    pub fn start(gate: Gate) -> Self {
        Self { gate, visitors: Visitors::start(IDLE_MAX) }
    }

    /// Lets somebody in who shows a cookie or the token.
    ///
    /// # Errors
    /// 403 for all others.
    pub async fn admit(&self, parts: &Parts, local: bool) -> Result<Visit, Fault> {
        for sid in cookies(&parts.headers, "SID") {
            if self.visitors.know(sid).await {
                return Ok(Visit(Some(sid.to_owned())));
            }
        }
        if local {
            return Ok(Visit(None));
        }
        match self.gate.look(sender(parts), shown_by_tool(&parts.headers)).await {
            Verdict::Welcome => Ok(Visit(None)),
            Verdict::Wrong => Err(Fault::new(StatusCode::FORBIDDEN, "Forbidden")),
            Verdict::Unheard => Err(Fault::new(StatusCode::FORBIDDEN, BANNED)),
        }
    }

    /// Gives a cookie to whoever knows the token. That somebody is in already says nothing of what
    /// is tried now.
    pub async fn log_in(
        &self,
        parts: &Parts,
        asked: &Asked,
        local: bool,
    ) -> Result<Response, Fault> {
        let verdict = match (local, asked.form.value("password")) {
            (true, _) => Verdict::Welcome,
            (false, None) => Verdict::Wrong,
            (false, Some(given)) => self.gate.look(sender(parts), Some(given.to_owned())).await,
        };
        match verdict {
            Verdict::Welcome => {
                let sid = self.visitors.enter().await.ok_or_else(Fault::not_found)?;
                Ok(with_cookie(Said::text("Ok."), &format!("SID={sid}")))
            }
            Verdict::Wrong => Ok(Said::text("Fails.").into_response()),
            Verdict::Unheard => Err(Fault::new(StatusCode::FORBIDDEN, BANNED)),
        }
    }

    /// Lets somebody go.
    pub async fn log_out(&self, visit: Visit) -> Response {
        if let Some(sid) = visit.0 {
            self.visitors.leave(&sid).await;
        }
        with_cookie(Said::DONE, "SID=; expires=Thu, 01 Jan 1970 00:00:00 GMT")
    }
}

fn with_cookie(said: Said, pair: &str) -> Response {
    let mut answer = said.into_response();
    let line = format!("{pair}; HttpOnly; path=/; SameSite=Strict");
    // Our own words are a header.
    if let Ok(line) = HeaderValue::from_str(&line) {
        answer.headers_mut().insert(SET_COOKIE, line);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn pages_of_others_are_refused_by_either_header() {
        let refuses = |lines: &[(&'static str, &str)]| {
            let mut all = vec![("host", "127.0.0.1:80")];
            all.extend(lines);
            check_page(&headers(&all), true).is_err()
        };
        for good in [
            &[][..],
            &[("origin", "http://127.0.0.1:80")],
            &[("referer", "http://127.0.0.1:80/index.html?a")],
            &[("referer", "http://evil.example/"), ("origin", "http://127.0.0.1:80")],
            &[("sec-fetch-site", "same-origin")],
        ] {
            assert!(!refuses(good), "{good:?}");
        }
        for bad in [
            &[("origin", "null")][..],
            &[("origin", "http://evil.example")],
            &[("referer", "http://evil.example/")],
            &[("referer", "http://127.0.0.1:81/")],
            &[("referer", "")],
            &[("referer", "http://127.0.0.1:80/"), ("referer", "http://127.0.0.1:80/")],
            &[("sec-fetch-site", "cross-site")],
            &[("referer", "http://127.0.0.1:80/"), ("origin", "http://evil.example")],
        ] {
            assert!(refuses(bad), "{bad:?}");
        }
        assert!(check_page(&headers(&[]), false).is_err(), "at a name that is not ours");
    }
}
