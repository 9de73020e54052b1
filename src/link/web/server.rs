//! A server of files as links know it: the URL that somebody named, and what it is of.

use std::sync::Arc;

use crate::base::extents::Extents;
use crate::base::ids::FileIndex;
use crate::base::url::{Site, Url};
use crate::metainfo::{Spelling, Torrent};
use crate::net::reach::Hop;
use crate::web::url::file_url;

/// Who named a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NamedBy {
    /// The user, who may name one of the own network.
    User,
    /// The torrent, or whoever made its link. Such a URL is asked in the own network only when it
    /// has no query, with which it could do something there.
    Torrent,
}

/// A server of files of a torrent (BEP 19).
#[derive(Debug)]
pub struct Server {
    url: Url,
    torrent: Arc<Torrent>,
    pub(super) extents: Arc<Extents>,
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
        Some(Self { url: Url::parse(url)?, torrent, extents, file, named_by })
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

    /// The URL of a file, as the torrent spells it; none when it cannot be had there.
    pub(super) fn url_of(&self, file: FileIndex, spelling: Spelling) -> Option<Url> {
        if let Some(only) = self.file {
            let is_it = only == file && spelling == Spelling::Preferred;
            return is_it.then(|| self.url.clone());
        }
        let path = self.torrent.written_path(file, spelling)?;
        file_url(&self.url, self.torrent.is_single_file(), &path)
    }

    /// The first step to the server.
    pub(super) fn hop(&self, allows_local: bool) -> Hop {
        let is_harmless = self.named_by == NamedBy::User || self.url.query().is_none();
        Hop { is_believed: is_harmless || allows_local, previous: None }
    }
}
