//! A server of files as links know it: the URL that somebody named, and what it is of. A script
//! that gives pieces (BEP 17) is one, too: each piece is a file of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::extents::Extents;
use crate::base::ids::{FileIndex, InfoHash};
use crate::base::url::{Site, Url};
use crate::metainfo::{Spelling, Torrent};
use crate::net::reach::{Hop, Trust};
use crate::web::url::{file_url, script_url};

use super::lease::Policy;

/// Who named a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NamedBy {
    /// The user, who may name one of the own network, unless it is somebody who only asks.
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
    /// The files that it has, each at a URL of its own; all are below its URL when none.
    files: Option<BTreeMap<FileIndex, Url>>,
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
    ) -> Option<Self> {
        Some(Self { url: Url::parse(url)?, torrent, extents, script: None, files: None, named_by })
    }

    /// The server that has these files, each at the URL that is said, whatever the torrent calls
    /// it. They may lie at several sites: it takes the connections of the first one's. None when
    /// there are no files.
    pub fn exact(
        files: BTreeMap<FileIndex, Url>,
        named_by: NamedBy,
        torrent: Arc<Torrent>,
        extents: Arc<Extents>,
    ) -> Option<Self> {
        let url = files.values().next()?.clone();
        Some(Self { url, torrent, extents, script: None, files: Some(files), named_by })
    }

    /// The script at a URL that was named (BEP 17). None when it is no URL of http or https, or the
    /// torrent has no pieces of version 1.
    pub fn script(url: &str, named_by: NamedBy, torrent: Arc<Torrent>) -> Option<Self> {
        let layout = torrent.layout?;
        let pieces = layout.pieces().map(|piece| (u64::from(layout.len_of(piece)), false));
        let extents = Arc::new(Extents::new(pieces));
        let script = Some(torrent.info_hash_v1?);
        Some(Self { url: Url::parse(url)?, torrent, extents, script, files: None, named_by })
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

    /// Who names it.
    pub fn named_by(&self) -> NamedBy {
        self.named_by
    }

    /// The files that it has, each at a URL of its own; all when none.
    pub fn files(&self) -> Option<&BTreeMap<FileIndex, Url>> {
        self.files.as_ref()
    }

    /// The URL of a file, as the torrent spells it, or of a piece; none when it cannot be had
    /// there.
    pub fn url_of(&self, file: FileIndex, spelling: Spelling) -> Option<Url> {
        if let Some(info_hash) = self.script {
            let is_it = spelling == Spelling::Preferred;
            return is_it.then(|| script_url(&self.url, info_hash, file.0));
        }
        if let Some(files) = &self.files {
            return files.get(&file).filter(|_| spelling == Spelling::Preferred).cloned();
        }
        let path = self.torrent.written_path(file, spelling)?;
        file_url(&self.url, self.torrent.is_single_file(), &path)
    }

    /// The first step to one of its URLs.
    pub(super) fn hop(&self, url: &Url, policy: &Policy) -> Hop {
        // A script is always asked with a query.
        let has_query = self.is_script() || url.query().is_some();
        let has_user = url.credentials().is_some();
        let trust = match self.named_by {
            _ if policy.allows_local => Trust::Full,
            NamedBy::User if policy.believes_users => Trust::Full,
            NamedBy::Torrent if !has_query && !has_user => Trust::Inside,
            _ => Trust::None,
        };
        Hop { trust, previous: None }
    }
}
