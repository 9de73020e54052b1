//! The tracker's catalogue from the other side: registers a torrent under a name, lists what
//! there is, fetches and removes it. Whatever the tracker answers is a stranger's: it is limited
//! before it is kept, names that could not be registered are left out, and a torrent has to be
//! the one that was listed. A token is never sent: the tracker has to show first that it knows
//! it, and then gets a signature of the change (`proof`). Not here: which tracker, and how
//! anything is shown.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use crate::base::addr::canonical;
use crate::base::ids::InfoHash;
use crate::metainfo::Torrent;
use crate::net;
use crate::net::egress::{Client, ClientConfig, Egress, Purpose};
use crate::tracker::catalogue::{Entry, Error as CatalogueError, TORRENT_LEN_MAX, check_name};
use crate::tracker::proof::{
    AskerNonce, Change, Introduced, Introduction, SignedChange, TokenKey, TrackerKey, body_hash,
};

/// Longest list that is read, in bytes. Ours sends 10 MiB at most; every entry has all its
/// fields, so that what is kept takes little more memory than what was sent.
pub const LIST_LEN_MAX: usize = 16 << 20;

/// Longest answer that only says how something went.
const WORDS_LEN_MAX: usize = 64 << 10;
/// Longest of its words that are kept.
const WHY_LEN_MAX: usize = 1024;

/// To connect, TLS included.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Between two reads.
const READ_LIMIT: Duration = Duration::from_secs(15);
/// For a whole exchange: 16 MiB over a slow line.
const TOTAL_LIMIT: Duration = Duration::from_secs(120);
/// The port of trackers when an address has none.
const PORT: u16 = 6969;

/// Why the catalogue cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// Our fault: the address cannot be one.
    #[error("not a tracker's address: {0}; write http://ADDRESS:PORT")]
    Url(&'static str),
    /// Our fault: no name can be like that.
    #[error(transparent)]
    Name(#[from] CatalogueError),
    /// Our fault: the token cannot be sent.
    #[error("a token has to be letters, digits and signs without spaces, and not empty")]
    Token,
    /// The user's fault, or somebody's who is not the tracker: nothing was sent to him.
    #[error("nothing was sent to the tracker at {base}: that is not the tracker's token")]
    Unproven {
        /// The tracker.
        base: String,
    },
    /// The tracker's fault: it cannot show anything.
    #[error("nothing was sent to the tracker at {base}: it cannot show that it knows the token")]
    CannotProve {
        /// The tracker.
        base: String,
    },
    /// HTTP cannot be set up on this machine.
    #[error("cannot set up HTTP: {0}")]
    Setup(String),
    /// The network's fault, or a tracker that is not there.
    #[error("the tracker at {base} cannot be asked: {cause}")]
    Network {
        /// The tracker.
        base: String,
        /// What the system says.
        cause: String,
    },
    /// The tracker says no; its words, or the status when it has none.
    #[error("the tracker at {base} says no: {why}")]
    Refused {
        /// The tracker.
        base: String,
        /// The HTTP status.
        status: u16,
        /// A stranger's text.
        why: String,
    },
    /// The tracker's fault: more than anything honest has.
    #[error("the tracker at {base} sends more than {max_bytes} bytes for {what}")]
    TooLong {
        /// The tracker.
        base: String,
        /// What was asked for.
        what: &'static str,
        /// The limit.
        max_bytes: usize,
    },
    /// The tracker's fault: something else than what was asked for.
    #[error("the tracker at {base} sends no good answer: {why}")]
    Malformed {
        /// The tracker.
        base: String,
        /// A stranger's text.
        why: String,
    },
}

/// Somebody who has a part of a torrent.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Holder {
    /// Where.
    pub address: SocketAddr,
    /// Which part: 0 to 1.
    pub share: f64,
}

/// A torrent of the catalogue.
#[derive(Clone, PartialEq, Debug)]
pub struct Listed {
    /// Its name, one that [`check_name`] lets through; still a stranger's text.
    pub name: String,
    /// What its swarm is known by.
    pub info_hash: InfoHash,
    /// Bytes of its files.
    pub size: u64,
    /// Files.
    pub files: u64,
    /// Pieces.
    pub pieces: u32,
    /// Who has it all.
    pub seeds: u64,
    /// Who has not.
    pub leeches: u64,
    /// Some of both.
    pub holders: Vec<Holder>,
}

/// What a catalogue has.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Listing {
    /// In the tracker's order, which is by name.
    pub torrents: Vec<Listed>,
    /// Entries left out, because no torrent can have such a name or hash.
    pub left_out: usize,
}

impl Listing {
    /// What is listed under exactly this name.
    pub fn find(&self, name: &str) -> Option<&Listed> {
        self.torrents.iter().find(|listed| listed.name == name)
    }
}

/// The list as it comes.
#[derive(Deserialize)]
struct SentList {
    torrents: Vec<SentEntry>,
}

/// An entry as it comes. No field may be missing: see [`LIST_LEN_MAX`].
#[derive(Deserialize)]
struct SentEntry {
    name: String,
    info_hash: String,
    size: u64,
    files: u64,
    pieces: u32,
    seeds: u64,
    leeches: u64,
    holders: Vec<Holder>,
}

/// What a tracker says of a torrent that it registered.
#[derive(Deserialize)]
struct SentReceipt {
    name: String,
    info_hash: String,
}

/// What a tracker says when it says no.
#[derive(Deserialize)]
struct SentError {
    error: String,
}

/// A tracker that has said which one it is.
#[derive(Clone, Debug)]
pub struct Met {
    introduced: Introduced,
    /// What the token is good for, when the tracker has shown that it knows it.
    token: Option<TokenKey>,
}

impl Met {
    /// Which tracker it is.
    pub fn key(&self) -> TrackerKey {
        self.introduced.key
    }

    /// Whether it has shown that it knows the token.
    pub fn knows_token(&self) -> bool {
        self.token.is_some()
    }
}

/// One tracker's catalogue; cheap to clone.
#[derive(Clone, Debug)]
pub struct CatalogueClient {
    http: Client,
    /// The tracker's URL without a `/` at its end, and without `/announce`.
    base: String,
    /// Nobody typed its address: it speaks only for the one that it was found at.
    is_found: bool,
}

impl CatalogueClient {
    /// The catalogue of the tracker at `address`: its URL, also its announce URL, or
    /// `HOST[:PORT]`, asked by `egress`. Proxies of the environment are not used, redirects not
    /// followed.
    ///
    /// # Errors
    /// [`Error::Url`], and [`Error::Setup`] when TLS cannot be set up at all.
    pub fn new(address: &str, egress: &Egress) -> Result<Self, Error> {
        let base = base_of(address)?;
        let http = Client::new(ClientConfig {
            egress: egress.clone(),
            purpose: Purpose::Catalogue,
            keeps_family: false,
            connect: CONNECT_LIMIT,
            read: READ_LIMIT,
            total: Some(TOTAL_LIMIT),
            // A token is proven and used in requests right after each other.
            keeps_idle: true,
        });
        let http = http.map_err(|cause| Error::Setup(cause.to_string()))?;
        Ok(Self { http, base, is_found: false })
    }

    /// As [`CatalogueClient::new`], of a tracker that answered a question to everybody. What it
    /// says about itself counts only where it was asked, so that it cannot pass on what another
    /// one says.
    ///
    /// # Errors
    /// As [`CatalogueClient::new`].
    pub fn found(url: &str, egress: &Egress) -> Result<Self, Error> {
        Ok(Self { is_found: true, ..Self::new(url, egress)? })
    }

    /// Where the tracker is: `http://10.0.0.2:6969`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Where to announce.
    pub fn announce(&self) -> String {
        format!("{}/announce", self.base)
    }

    /// Registers a torrent, whose bytes are `torrent` and whose hash is `info_hash`, as `name`.
    /// One that is registered so already is no error.
    ///
    /// # Errors
    /// A name or token that cannot be, a tracker that is not reached, refuses, or takes it for
    /// something else.
    pub async fn register(
        &self,
        name: &str,
        torrent: Vec<u8>,
        info_hash: InfoHash,
        token: Option<&str>,
    ) -> Result<(), Error> {
        let (request, _) = self.change(Method::PUT, name, &torrent, token).await?;
        let request = request.body(torrent);
        let answer = self.answer(request, "an answer", WORDS_LEN_MAX).await?;
        let receipt: SentReceipt =
            serde_json::from_slice(&answer).map_err(|error| self.malformed(&error))?;
        match receipt.name == name && receipt.info_hash == info_hash.to_string() {
            true => Ok(()),
            false => Err(self.malformed(&"it registered something else")),
        }
    }

    /// Asks whether `token` is good, with an upload of nothing: better known before everything
    /// that is to be shared has been hashed. Returns which tracker it is, when it has shown that
    /// it knows the token.
    ///
    /// # Errors
    /// As [`CatalogueClient::register`], but for what is wrong with an empty torrent.
    pub async fn knock(
        &self,
        name: &str,
        token: Option<&str>,
    ) -> Result<Option<TrackerKey>, Error> {
        let (request, key) = self.change(Method::PUT, name, &[], token).await?;
        let request = request.body(Vec::new());
        match self.answer(request, "an answer", WORDS_LEN_MAX).await {
            Ok(_) | Err(Error::Refused { status: 400, .. }) => Ok(key),
            Err(error) => Err(error),
        }
    }

    /// Takes a name out of the catalogue; who has the torrent keeps it.
    ///
    /// # Errors
    /// As [`CatalogueClient::register`].
    pub async fn remove(&self, name: &str, token: Option<&str>) -> Result<(), Error> {
        let (request, _) = self.change(Method::DELETE, name, &[], token).await?;
        self.answer(request, "an answer", WORDS_LEN_MAX).await.map(drop)
    }

    async fn ready(&self) -> Result<reqwest::Client, Error> {
        let told = |error: net::Error| Error::Network {
            base: self.base.clone(),
            cause: error.to_string(),
        };
        let wrong = |_| Error::Url("it cannot be read as a URL");
        let url = Url::parse(&self.base).map_err(wrong)?;
        let (host, port) = (url.host_str(), url.port_or_known_default());
        let (host, port) = (host.unwrap_or_default(), port.unwrap_or_default());
        self.http.ready_for(host, port).await.map_err(told)
    }

    /// What there is.
    ///
    /// # Errors
    /// A tracker that is not reached, keeps no catalogue, or sends something else.
    pub async fn list(&self) -> Result<Listing, Error> {
        let request = self.ready().await?.get(format!("{}/catalogue", self.base));
        let answer = self.answer(request, "its list", LIST_LEN_MAX).await?;
        read_list(&answer).map_err(|error| self.malformed(&error))
    }

    /// How long the tracker has been running, in whole seconds.
    ///
    /// # Errors
    /// A tracker that is not reached, or is none of ours.
    pub async fn uptime(&self) -> Result<Duration, Error> {
        #[derive(Deserialize)]
        struct SentStats {
            uptime: u64,
        }
        let request = self.ready().await?.get(format!("{}/stats", self.base));
        let answer = self.answer(request, "its numbers", WORDS_LEN_MAX).await?;
        let sent = serde_json::from_slice::<SentStats>(&answer);
        let sent = sent.map_err(|error| self.malformed(&error))?;
        Ok(Duration::from_secs(sent.uptime))
    }

    /// Fetches a torrent that was listed.
    ///
    /// # Errors
    /// As [`CatalogueClient::list`]; [`Error::Malformed`] too for what is no torrent, or not the
    /// one that was listed.
    pub async fn fetch(&self, listed: &Listed) -> Result<Torrent, Error> {
        let request = self.ready().await?.get(self.url_of(&listed.name)?);
        let bytes = self.answer(request, "a torrent", TORRENT_LEN_MAX).await?;
        let torrent = Torrent::parse(&bytes).map_err(|error| self.malformed(&error))?;
        let entry = Entry::new(&listed.name, &torrent, bytes.len() as u64, 0)?;
        match entry.info_hash == listed.info_hash {
            true => Ok(torrent),
            false => Err(self.malformed(&"it is another torrent than the one in its list")),
        }
    }

    fn url_of(&self, name: &str) -> Result<String, Error> {
        check_name(name)?;
        Ok(format!("{}/catalogue/{}", self.base, urlencoding::encode(name)))
    }

    /// Asks the tracker which one it is, and whether it knows `token`; none from one that cannot
    /// say.
    ///
    /// # Errors
    /// A token that cannot be, a tracker that is not reached, or says something else.
    pub async fn introduce(&self, token: Option<&str>) -> Result<Option<Met>, Error> {
        if token.is_some_and(|it| it.is_empty() || !it.bytes().all(|it| it.is_ascii_graphic())) {
            return Err(Error::Token);
        }
        let asker: AskerNonce = rand::random();
        let nonce = data_encoding::HEXLOWER.encode(&asker);
        let request = self.ready().await?.get(format!("{}/introduction?nonce={nonce}", self.base));
        let response = request.send().await.map_err(|cause| self.network(&cause))?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let remote = response.remote_addr().map(canonical);
        let answer = self.good_body(response, "an answer", WORDS_LEN_MAX).await?;
        let said: Introduction =
            serde_json::from_slice(&answer).map_err(|error| self.malformed(&error))?;
        let introduced = said.check(&asker);
        let introduced =
            introduced.ok_or_else(|| self.malformed(&"its introduction is not signed"))?;
        if self.is_found && remote != Some(canonical(introduced.address)) {
            return Err(self.malformed(&"its introduction is that of another address"));
        }
        let Some(token) = token.map(str::to_owned) else {
            return Ok(Some(Met { introduced, token: None }));
        };
        // Of no use to others meanwhile: a menu may have torrents behind it.
        let proving = tokio::task::spawn_blocking(move || {
            let token = introduced.proven(&token, &asker);
            Met { introduced, token }
        });
        let met = proving.await.map_err(|cause| Error::Setup(cause.to_string()))?;
        Ok(Some(met))
    }

    /// A change of the catalogue, signed when there is a token, and which tracker has shown that
    /// it knows it. A tracker that wants none gets none: what was typed was meant.
    async fn change(
        &self,
        method: Method,
        name: &str,
        body: &[u8],
        token: Option<&str>,
    ) -> Result<(RequestBuilder, Option<TrackerKey>), Error> {
        let request = self.ready().await?.request(method.clone(), self.url_of(name)?);
        if token.is_none() {
            return Ok((request, None));
        }
        let base = self.base.clone();
        let Some(Met { introduced, token }) = self.introduce(token).await? else {
            return Err(Error::CannotProve { base });
        };
        match token {
            Some(token) => {
                let (method, body) = (method.as_str(), &body_hash(body));
                let change = Change { nonce: &introduced.nonce, method, name, body };
                let signed = SignedChange::new(&token, &change).to_header();
                Ok((request.header(AUTHORIZATION, signed), Some(introduced.key)))
            }
            None if introduced.wants_token() || self.is_found => Err(Error::Unproven { base }),
            None => Ok((request, None)),
        }
    }

    /// The body of a good answer, of at most `max_bytes`.
    async fn answer(
        &self,
        request: RequestBuilder,
        what: &'static str,
        max_bytes: usize,
    ) -> Result<Vec<u8>, Error> {
        let response = request.send().await.map_err(|cause| self.network(&cause))?;
        self.good_body(response, what, max_bytes).await
    }

    async fn good_body(
        &self,
        response: Response,
        what: &'static str,
        max_bytes: usize,
    ) -> Result<Vec<u8>, Error> {
        let status = response.status();
        if status.is_success() {
            return self.body(response, what, max_bytes).await;
        }
        let body = self.body(response, "an answer", WORDS_LEN_MAX).await.unwrap_or_default();
        let said = serde_json::from_slice::<SentError>(&body).ok().map(|sent| sent.error);
        let mut why = said.unwrap_or_else(|| format!("status {}", status.as_u16()));
        why.truncate(why.floor_char_boundary(WHY_LEN_MAX));
        Err(Error::Refused { base: self.base.clone(), status: status.as_u16(), why })
    }

    /// Unpacked bytes count, so that a small body that unpacks to a large one ends there.
    async fn body(
        &self,
        mut response: Response,
        what: &'static str,
        max_bytes: usize,
    ) -> Result<Vec<u8>, Error> {
        let too_long = || Error::TooLong { base: self.base.clone(), what, max_bytes };
        if response.content_length().is_some_and(|len| len > max_bytes as u64) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|cause| self.network(&cause))? {
            if body.len().saturating_add(part.len()) > max_bytes {
                return Err(too_long());
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    fn malformed(&self, why: &dyn std::fmt::Display) -> Error {
        let mut why = why.to_string();
        why.truncate(why.floor_char_boundary(WHY_LEN_MAX));
        Error::Malformed { base: self.base.clone(), why }
    }

    /// The innermost cause, which says what happened; the outer ones repeat the URL.
    fn network(&self, cause: &reqwest::Error) -> Error {
        let mut innermost: &dyn std::error::Error = cause;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        let cause = match cause.is_timeout() {
            true => "no answer in time".to_owned(),
            false => innermost.to_string(),
        };
        Error::Network { base: self.base.clone(), cause }
    }
}

fn read_list(answer: &[u8]) -> serde_json::Result<Listing> {
    let sent: SentList = serde_json::from_slice(answer)?;
    let count = sent.torrents.len();
    let torrents: Vec<Listed> = sent.torrents.into_iter().filter_map(listed).collect();
    Ok(Listing { left_out: count - torrents.len(), torrents })
}

/// None for what cannot be in a catalogue.
fn listed(sent: SentEntry) -> Option<Listed> {
    check_name(&sent.name).ok()?;
    let hash = data_encoding::HEXLOWER_PERMISSIVE.decode(sent.info_hash.as_bytes()).ok()?;
    let share = |holder: Holder| Holder { share: holder.share.clamp(0.0, 1.0), ..holder };
    Some(Listed {
        name: sent.name,
        info_hash: InfoHash(hash.try_into().ok()?),
        size: sent.size,
        files: sent.files,
        pieces: sent.pieces,
        seeds: sent.seeds,
        leeches: sent.leeches,
        holders: sent.holders.into_iter().map(share).collect(),
    })
}

fn base_of(address: &str) -> Result<String, Error> {
    let address = address.trim();
    let url = match (address.contains("://"), address.contains(':')) {
        (true, _) => Url::parse(address),
        (false, true) => Url::parse(&format!("http://{address}")),
        (false, false) => Url::parse(&format!("http://{address}:{PORT}")),
    };
    let url = url.map_err(|_| Error::Url("it cannot be read as a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::Url("only http and https are supported"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Error::Url("it has a ? or #"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Url("it has a user's name or password"));
    }
    let base = url.as_str().trim_end_matches('/');
    Ok(base.strip_suffix("/announce").unwrap_or(base).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracker_is_known_by_all_that_people_call_it() {
        for (address, base) in [
            ("http://10.0.0.2:6969", "http://10.0.0.2:6969"),
            ("http://10.0.0.2:6969/announce", "http://10.0.0.2:6969"),
            (" http://10.0.0.2:6969/ ", "http://10.0.0.2:6969"),
            ("HTTPS://Lab.example/x/announce", "https://lab.example/x"),
            ("10.0.0.2", "http://10.0.0.2:6969"),
            ("localhost:7000", "http://localhost:7000"),
        ] {
            assert_eq!(base_of(address).as_deref(), Ok(base), "{address}");
        }
        for bad in ["udp://10.0.0.2:6969", "file:///etc/passwd", "", "http://a/?x", "http://u@a/"] {
            assert!(matches!(base_of(bad), Err(Error::Url(_))), "{bad}");
        }
    }

    #[test]
    fn names_are_one_segment_of_the_path() {
        let client = CatalogueClient::new("10.0.0.2", &Egress::default()).unwrap();
        let url = client.url_of("100% – a?b#c").unwrap();
        assert_eq!(url, "http://10.0.0.2:6969/catalogue/100%25%20%E2%80%93%20a%3Fb%23c");
        for trick in ["../stats", "..", ".", "a/b", ""] {
            assert!(matches!(client.url_of(trick), Err(Error::Name(_))), "{trick}");
        }
    }

    #[tokio::test]
    async fn tokens_that_nobody_can_type_are_refused_before_anything_is_sent() {
        let client = CatalogueClient::new("10.0.0.2", &Egress::default()).unwrap();
        for token in ["", "a b", "a\r\nX: y", "é"] {
            let refused = client.knock("a", Some(token)).await;
            assert_eq!(refused, Err(Error::Token), "{token:?}");
        }
    }

    #[test]
    fn entries_with_tricks_are_left_out() {
        let entry = |name: &str, info_hash: &str| SentEntry {
            name: name.to_owned(),
            info_hash: info_hash.to_owned(),
            size: 1,
            files: 1,
            pieces: 1,
            seeds: 0,
            leeches: 0,
            holders: vec![Holder { address: ([10, 0, 0, 2], 1).into(), share: 7.0 }],
        };
        let hash = "ab".repeat(20);
        assert_eq!(listed(entry("a", &hash)).unwrap().holders[0].share, 1.0);
        for name in ["../../etc/passwd", "/etc/passwd", "\x1b[2J", "txt.\u{202e}exe", ""] {
            assert_eq!(listed(entry(name, &hash)), None, "{name:?}");
        }
        for hash in ["", "ab", "zz", &hash[1..]] {
            assert_eq!(listed(entry("a", hash)), None, "{hash:?}");
        }
    }

    #[test]
    fn fuzz_lists() {
        crate::fuzz::run("tracker_list", |bytes| {
            for entry in read_list(bytes).map(|list| list.torrents).unwrap_or_default() {
                assert_eq!(check_name(&entry.name), Ok(()));
                assert!(entry.holders.iter().all(|holder| (0.0..=1.0).contains(&holder.share)));
            }
        });
    }
}
