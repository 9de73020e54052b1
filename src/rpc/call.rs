//! Requests as HTTP has them: a method, a path, a body, and back again. Pure.

use axum::http::Method;
use data_encoding::BASE64;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::{Addition, Key, Request};

/// What stands before all paths of the API.
const BASE: &str = "/api/v1";

/// Paths with their methods, as OpenAPI has them. The test of `openapi.json` reads it.
pub(super) const ROUTES: &[(&str, &[&str])] = &[
    ("/session", &["GET", "PATCH"]),
    ("/room", &["GET"]),
    ("/find", &["GET"]),
    ("/errands", &["GET", "POST"]),
    ("/creations", &["GET", "POST"]),
    ("/creations/{key}", &["DELETE"]),
    ("/creations/{key}/torrent", &["GET"]),
    ("/torrents", &["GET", "POST"]),
    ("/torrents/{key}", &["GET", "PATCH", "DELETE"]),
    ("/torrents/{key}/files", &["GET", "PATCH"]),
    ("/torrents/{key}/facts", &["GET"]),
    ("/torrents/{key}/pieces", &["GET"]),
    ("/torrents/{key}/peers", &["GET"]),
    ("/torrents/{key}/trackers", &["GET"]),
    ("/torrents/{key}/sources", &["GET"]),
    ("/torrents/{key}/why", &["GET"]),
    ("/torrents/{key}/rules", &["GET"]),
    ("/torrents/{key}/deeds", &["POST"]),
    ("/events", &["GET"]),
];

/// A request on its way out.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Call {
    pub method: Method,
    /// With the query.
    pub path: String,
    pub body: Option<Value>,
}

/// Why a request cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wrong {
    /// No route leads there.
    NothingHere,
    /// One does, for these methods.
    Method(&'static [&'static str]),
    /// Its body is of a kind that is not taken.
    Media,
    /// What it says makes no sense; why.
    Sense(String),
}

/// What a body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Media {
    /// There is none, or it is not said.
    None,
    /// `application/json`.
    Json,
    /// `application/x-bittorrent`.
    Torrent,
    /// Anything else.
    Other,
}

/// A request as HTTP has it.
pub(super) fn call(request: &Request) -> Call {
    let of = |key: &Key, rest: &str| format!("{BASE}/torrents/{key}{rest}");
    let (method, path, body) = match request {
        Request::Session => (Method::GET, format!("{BASE}/session"), None),
        Request::SetSession(patch) => {
            (Method::PATCH, format!("{BASE}/session"), Some(json!(patch)))
        }
        Request::List(since) => (Method::GET, with_since(format!("{BASE}/torrents"), *since), None),
        Request::Add(addition) => (Method::POST, format!("{BASE}/torrents"), Some(json!(addition))),
        Request::Show(key) => (Method::GET, of(key, ""), None),
        Request::Files(key) => (Method::GET, of(key, "/files"), None),
        Request::Facts(key) => (Method::GET, of(key, "/facts"), None),
        Request::Pieces(key) => (Method::GET, of(key, "/pieces"), None),
        Request::Peers(key, false) => (Method::GET, of(key, "/peers"), None),
        Request::Peers(key, true) => (Method::GET, of(key, "/peers?all=true"), None),
        Request::Trackers(key) => (Method::GET, of(key, "/trackers"), None),
        Request::Sources(key) => (Method::GET, of(key, "/sources"), None),
        Request::Why(key) => (Method::GET, of(key, "/why"), None),
        Request::Rules(key) => (Method::GET, of(key, "/rules"), None),
        Request::Set(key, patch) => (Method::PATCH, of(key, ""), Some(json!(patch))),
        Request::SetFiles(key, patch) => (Method::PATCH, of(key, "/files"), Some(json!(patch))),
        Request::Do(key, deed) => (Method::POST, of(key, "/deeds"), Some(json!(deed))),
        Request::Remove(key, false) => (Method::DELETE, of(key, ""), None),
        Request::Remove(key, true) => (Method::DELETE, of(key, "?data=true"), None),
        Request::Events(since) => (Method::GET, with_since(format!("{BASE}/events"), *since), None),
        Request::Find(words) => {
            (Method::GET, format!("{BASE}/find?words={}", urlencoding::encode(words)), None)
        }
        Request::Errands => (Method::GET, format!("{BASE}/errands"), None),
        Request::Chore(chore) => (Method::POST, format!("{BASE}/errands"), Some(json!(chore))),
        Request::Makings => (Method::GET, format!("{BASE}/creations"), None),
        Request::Create(creation) => {
            (Method::POST, format!("{BASE}/creations"), Some(json!(creation)))
        }
        Request::GiveUp(number) => (Method::DELETE, format!("{BASE}/creations/{number}"), None),
        Request::Made(number) => (Method::GET, format!("{BASE}/creations/{number}/torrent"), None),
        Request::Room(dir) => {
            (Method::GET, format!("{BASE}/room?dir={}", urlencoding::encode(dir)), None)
        }
    };
    Call { method, path, body }
}

fn with_since(path: String, since: Option<crate::api::Mark>) -> String {
    match since {
        Some(since) => format!("{path}?since={since}"),
        None => path,
    }
}

/// A path that a route leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Routed<'a> {
    /// What stands in the place of `{key}`.
    key: &'a str,
    /// Which of [`ROUTES`].
    template: &'static str,
}

impl Routed<'_> {
    /// Are whole torrents sent there?
    pub fn takes_torrents(&self) -> bool {
        self.template == "/torrents"
    }
}

/// Finds the route of a path, before anything of the body is read.
///
/// # Errors
/// There is none, or not for this method.
pub(super) fn route<'a>(method: &Method, path: &'a str) -> Result<Routed<'a>, Wrong> {
    let rest = path.strip_prefix(BASE).ok_or(Wrong::NothingHere)?;
    let parts: Vec<&str> = rest.split('/').collect();
    for (template, methods) in ROUTES {
        let wanted: Vec<&str> = template.split('/').collect();
        let is_key = |wanted: &str| wanted == "{key}";
        let fits = parts.len() == wanted.len()
            && parts.iter().zip(&wanted).all(|(part, it)| part == it || is_key(it));
        if fits {
            let key = wanted.iter().position(|it| is_key(it)).map_or("", |at| parts[at]);
            return match methods.contains(&method.as_str()) {
                true => Ok(Routed { key, template }),
                false => Err(Wrong::Method(methods)),
            };
        }
    }
    Err(Wrong::NothingHere)
}

/// The request that a path, a query and a body mean.
///
/// # Errors
/// They make no sense.
pub(super) fn read(
    routed: &Routed<'_>,
    method: &Method,
    query: Option<&str>,
    (media, body): (Media, &[u8]),
) -> Result<Request, Wrong> {
    let key = || routed.key.parse::<Key>().map_err(Wrong::Sense);
    let since = || match value_of(query, "since")? {
        Some(text) => text.parse().map(Some).map_err(Wrong::Sense),
        None => Ok(None),
    };
    let is_get = *method == Method::GET;
    Ok(match (routed.template, method.as_str()) {
        ("/session", _) if is_get => Request::Session,
        ("/room", _) => match value_of(query, "dir")? {
            Some(dir) => Request::Room(dir),
            None => return Err(Wrong::Sense("of which directory? ?dir=/srv".to_owned())),
        },
        ("/find", _) => match value_of(query, "words")? {
            Some(words) => Request::Find(words),
            None => return Err(Wrong::Sense("which words? ?words=debian%20iso".to_owned())),
        },
        ("/errands", _) if is_get => Request::Errands,
        ("/errands", _) => Request::Chore(json_of(media, body)?),
        ("/creations", _) if is_get => Request::Makings,
        ("/creations", _) => Request::Create(Box::new(json_of(media, body)?)),
        ("/creations/{key}", _) => Request::GiveUp(number(routed.key)?),
        ("/creations/{key}/torrent", _) => Request::Made(number(routed.key)?),
        ("/session", _) => Request::SetSession(json_of(media, body)?),
        ("/torrents", _) if is_get => Request::List(since()?),
        ("/torrents", _) => Request::Add(Box::new(addition(media, body)?)),
        ("/torrents/{key}", "PATCH") => Request::Set(key()?, Box::new(json_of(media, body)?)),
        ("/torrents/{key}", "DELETE") => Request::Remove(key()?, flag(query, "data")?),
        ("/torrents/{key}", _) => Request::Show(key()?),
        ("/torrents/{key}/files", _) if is_get => Request::Files(key()?),
        ("/torrents/{key}/files", _) => Request::SetFiles(key()?, json_of(media, body)?),
        ("/torrents/{key}/facts", _) => Request::Facts(key()?),
        ("/torrents/{key}/pieces", _) => Request::Pieces(key()?),
        ("/torrents/{key}/peers", _) => Request::Peers(key()?, flag(query, "all")?),
        ("/torrents/{key}/trackers", _) => Request::Trackers(key()?),
        ("/torrents/{key}/sources", _) => Request::Sources(key()?),
        ("/torrents/{key}/why", _) => Request::Why(key()?),
        ("/torrents/{key}/rules", _) => Request::Rules(key()?),
        ("/torrents/{key}/deeds", _) => Request::Do(key()?, json_of(media, body)?),
        ("/events", _) => Request::Events(since()?),
        _ => return Err(Wrong::NothingHere),
    })
}

fn addition(media: Media, body: &[u8]) -> Result<Addition, Wrong> {
    match media {
        Media::Torrent => {
            Ok(Addition { torrent: Some(BASE64.encode(body)), ..Addition::default() })
        }
        media => json_of(media, body),
    }
}

fn json_of<T: DeserializeOwned>(media: Media, body: &[u8]) -> Result<T, Wrong> {
    if media != Media::Json {
        return Err(Wrong::Media);
    }
    // What has fields would be read from a list of their values, too.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Wrong::Sense("the body is no object".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| Wrong::Sense(format!("the body: {error}")))
}

/// The value of a field of the query; none when it is not there.
fn value_of(query: Option<&str>, name: &str) -> Result<Option<String>, Wrong> {
    let fields = query.unwrap_or_default().split('&');
    let fields = fields.map(|field| field.split_once('=').unwrap_or((field, "")));
    let mut values = fields.filter(|(field, _)| *field == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match urlencoding::decode(value) {
            Ok(value) => Ok(Some(value.into_owned())),
            Err(_) => Err(Wrong::Sense(format!("{name} is no text"))),
        },
        (Some(_), Some(_)) => Err(Wrong::Sense(format!("{name} is there twice"))),
    }
}

/// The number of a torrent in the making.
fn number(key: &str) -> Result<u32, Wrong> {
    let is_number = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
    let number = key.parse().ok().filter(|_| is_number);
    number.ok_or_else(|| Wrong::Sense("a torrent in the making is named by its number".to_owned()))
}

fn flag(query: Option<&str>, name: &str) -> Result<bool, Wrong> {
    match value_of(query, name)?.as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Wrong::Sense(format!("{name} is true or false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Chore, Creation, Deed, FilePatch, Format, Mark, Patch, Place, SessionPatch};
    use crate::roster::Cursor;

    fn there_and_back(request: &Request) -> Result<Request, Wrong> {
        let Call { method, path, body } = call(request);
        let (path, query) = path.split_once('?').map_or((&*path, None), |(p, q)| (p, Some(q)));
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        read(&route(&method, path)?, &method, query, (Media::Json, body.as_bytes()))
    }

    #[test]
    fn every_request_comes_back_as_it_was() {
        let mark = Some(Mark(Cursor { boot: 7, number: 300 }));
        let key = || Key::Id(12);
        let hash = || Key::Hash("ab".repeat(20));
        let patch = Patch {
            labels: Some(vec!["a&b=c".into()]),
            place: Some(Place::At(3)),
            ..Patch::default()
        };
        let files =
            FilePatch { want: vec![1], high: vec![4], skip: vec![2, 3], ..FilePatch::default() };
        let addition = Addition { link: Some("magnet:?xt=1&dn=2".into()), ..Addition::default() };
        let rename = Deed::Rename { file: Some(2), name: "a/b?c".into() };
        let creation = Creation {
            path: "/srv/a b".into(),
            format: Format::Hybrid,
            trackers: vec![vec!["udp://a".into(), "udp://b".into()], vec!["udp://c".into()]],
            ..Creation::default()
        };
        for request in [
            Request::Session,
            Request::SetSession(SessionPatch { limit_down: Some(0), ..SessionPatch::default() }),
            Request::List(None),
            Request::List(mark),
            Request::Add(Box::new(addition)),
            Request::Show(hash()),
            Request::Files(key()),
            Request::Facts(key()),
            Request::Pieces(key()),
            Request::Room("/srv/a b&c=d%2f".into()),
            Request::Find("a b&c=d%2f".into()),
            Request::Peers(key(), true),
            Request::Peers(key(), false),
            Request::Trackers(key()),
            Request::Sources(key()),
            Request::Why(key()),
            Request::Rules(key()),
            Request::Set(key(), Box::new(patch)),
            Request::SetFiles(hash(), files),
            Request::Do(key(), Deed::Pause),
            Request::Do(key(), Deed::Unpause),
            Request::Do(key(), Deed::Verify),
            Request::Do(key(), rename),
            Request::Remove(key(), true),
            Request::Remove(hash(), false),
            Request::Events(mark),
            Request::Events(None),
            Request::Errands,
            Request::Chore(Chore::Look {}),
            Request::Makings,
            Request::Create(Box::new(creation)),
            Request::GiveUp(12),
            Request::Made(4),
        ] {
            assert_eq!(there_and_back(&request).as_ref(), Ok(&request));
        }
    }

    #[test]
    fn wrong_paths_and_methods_are_told_apart() {
        let route = |method: Method, path| route(&method, path).map(|routed| routed.template);
        for path in [
            "/",
            "/api/v1",
            "/api/v1/",
            "/api/v1/torrents/",
            "/api/v1/torrents/1/",
            "/api/v1/torrents//files",
            "/api/v1/../v1/session",
            "/etc/passwd",
            "//etc/passwd",
            "/api/v1/session/x",
        ] {
            let found = route(Method::GET, path);
            // An empty key is no key, which is seen when it is read.
            assert!(found == Err(Wrong::NothingHere) || path.contains("torrents/"), "{path}");
        }
        assert_eq!(route(Method::POST, "/api/v1/events"), Err(Wrong::Method(&["GET"])));
        assert_eq!(route(Method::GET, "/api/v1/torrents/1/deeds"), Err(Wrong::Method(&["POST"])));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let ask = |method: Method, path: &str, query, body: (Media, &str)| {
            let routed = route(&method, path)?;
            read(&routed, &method, query, (body.0, body.1.as_bytes()))
        };
        let none = (Media::None, "");
        let sense = |asked: Result<Request, Wrong>| matches!(asked, Err(Wrong::Sense(_)));
        assert!(sense(ask(Method::GET, "/api/v1/torrents/x", None, none)));
        assert!(sense(ask(Method::GET, "/api/v1/torrents/", None, none)));
        assert!(sense(ask(Method::GET, "/api/v1/torrents", Some("since=x"), none)));
        let key = "/api/v1/torrents/1";
        assert!(sense(ask(Method::GET, "/api/v1/torrents/1/peers", Some("all=1"), none)));
        for key in ["", "x", "+1", "-1", "4294967296"] {
            let path = format!("/api/v1/creations/{key}");
            assert!(sense(ask(Method::DELETE, &path, None, none)), "{key}");
        }
        // Whoever orders a removal is taken by his word only when it is plain.
        for query in ["data=true&data=false", "data=%ff", "data", "data="] {
            assert!(sense(ask(Method::DELETE, key, Some(query), none)), "{query}");
        }
        let removed = ask(Method::DELETE, key, Some("x=1&data=true&y"), none);
        assert_eq!(removed, Ok(Request::Remove(Key::Id(1), true)));
        let patch = |body| ask(Method::PATCH, key, None, body);
        assert!(sense(patch((Media::Json, "{\"a\":1}"))));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(sense(patch((Media::Json, &deep))));
        for body in ["", "[]", "[null,null]", "null", "\"pause\"", "{} {}"] {
            assert!(sense(patch((Media::Json, body))), "{body}");
        }
        assert!(patch((Media::Json, " {} ")).is_ok());
        for media in [Media::None, Media::Other, Media::Torrent] {
            assert_eq!(patch((media, "{}")), Err(Wrong::Media));
        }
        let bytes = ask(Method::POST, "/api/v1/torrents", None, (Media::Torrent, "d4:infodee"));
        let torrent = Some(BASE64.encode(b"d4:infodee"));
        let addition = Addition { torrent, ..Addition::default() };
        assert_eq!(bytes, Ok(Request::Add(Box::new(addition))));
    }
}
