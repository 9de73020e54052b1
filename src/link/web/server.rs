//! A server of files as links know it: the URL that somebody named, and what it is of. A script
//! that gives pieces (BEP 17) is one, too: each piece is a file of it.

use std::sync::Arc;

use crate::base::extents::Extents;
use crate::base::ids::{FileIndex, InfoHash};
use crate::base::url::{Site, Url};
use crate::metainfo::{Spelling, Torrent};
use crate::net::reach::Hop;
use crate::web::url::{file_url, script_url};

/// Who named a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NamedBy {
    /// The user, who may name one of the own network.
    User,
    /// The torrent, or whoever made its link. Such a URL is asked in the own network only when it
    /// has no query, with which it could do something there, and no user, as who it could.
    Torrent,
}

/// A server of files of a torrent (BEP 19), or of its pieces (BEP 17).
#[derive(Debug)]
pub struct Server {
    url: Url,
    torrent: Arc<Torrent>,
    /// The files that it has, or the pieces.
    pub(super) extents: Arc<Extents>,
    /// It is a script, which is asked by this hash.
    script: Option<InfoHash>,
    /// The one file that the URL is of; all are below it when none.
    file: Option<FileIndex>,
    named_by: NamedBy,
}

impl Server {
    /// The server at a URL that was named; `extents` are those of the torrent. None when it is no
    /// URL of http or https.
    pub fn new(
        url: &str,
        named_by: NamedBy,
        torrent: Arc<Torrent>,
        extents: Arc<Extents>,
        file: Option<FileIndex>,
    ) -> Option<Self> {
        Some(Self { url: Url::parse(url)?, torrent, extents, script: None, file, named_by })
    }

    /// The script at a URL that was named (BEP 17). None when it is no URL of http or https, or the
    /// torrent has no pieces of version 1.
    pub fn script(url: &str, named_by: NamedBy, torrent: Arc<Torrent>) -> Option<Self> {
        let layout = torrent.layout?;
        let pieces = layout.pieces().map(|piece| (u64::from(layout.len_of(piece)), false));
        let extents = Arc::new(Extents::new(pieces));
        let script = Some(torrent.info_hash_v1?);
        Some(Self { url: Url::parse(url)?, torrent, extents, script, file: None, named_by })
    }

    /// Is it a script that gives pieces?
    pub fn is_script(&self) -> bool {
        self.script.is_some()
    }

    /// The URL that was named.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whose connections it takes; also what people are told it is called.
    pub fn site(&self) -> Site {
        self.url.origin().site()
    }

    /// The one file that it has; all when none.
    pub fn file(&self) -> Option<FileIndex> {
        self.file
    }

    /// The URL of a file, as the torrent spells it, or of a piece; none when it cannot be had
    /// there.
    pub(super) fn url_of(&self, file: FileIndex, spelling: Spelling) -> Option<Url> {
        if let Some(info_hash) = self.script {
            let is_it = spelling == Spelling::Preferred;
            return is_it.then(|| script_url(&self.url, info_hash, file.0));
        }
        if let Some(only) = self.file {
            let is_it = only == file && spelling == Spelling::Preferred;
            return is_it.then(|| self.url.clone());
        }
        let path = self.torrent.written_path(file, spelling)?;
        file_url(&self.url, self.torrent.is_single_file(), &path)
    }

    /// The first step to the server.
    pub(super) fn hop(&self, allows_local: bool) -> Hop {
        // A script is always asked with a query.
        let has_query = self.is_script() || self.url.query().is_some();
        let has_user = self.url.credentials().is_some();
        let is_harmless = self.named_by == NamedBy::User || !has_query && !has_user;
        Hop { is_believed: is_harmless || allows_local, previous: None }
    }
}
