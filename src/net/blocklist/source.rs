//! Where a blocklist comes from: a file, or a URL.

use std::path::PathBuf;

use super::error::Error;
use crate::base::url::Url;

/// Where a list comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A file, which is read again when it changes.
    File(PathBuf),
    /// A URL, which is asked again each day.
    Url {
        /// As it is asked.
        url: String,
        /// As it is told: without user, password and query.
        shown: String,
    },
}

impl Source {
    /// What somebody wrote: a URL if it begins as one does, else a file.
    ///
    /// # Errors
    /// `Url` when it only begins as one.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let is_url = ["http://", "https://"].iter().any(|scheme| {
            text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
        });
        if !is_url {
            return Ok(Self::File(text.into()));
        }
        match Url::parse(text) {
            Some(parsed) => Ok(Self::Url { url: text.to_owned(), shown: parsed.to_string() }),
            // Whatever is secret in it is not told.
            None => Err(Error::Url),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url { shown, .. } => f.write_str(shown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_without_their_secrets_and_all_else_is_a_file() {
        let shown = |text| Source::parse(text).map(|source| source.to_string());
        assert_eq!(shown("/etc/a.p2p").unwrap(), "/etc/a.p2p");
        assert_eq!(shown("list: new.p2p").unwrap(), "list: new.p2p");
        let url = "HTTPS://me:pw@lists.example/a.gz?pin=1234";
        assert_eq!(shown(url).unwrap(), "https://lists.example/a.gz?...");
        let Ok(Source::Url { url: asked, .. }) = Source::parse(url) else { panic!() };
        assert_eq!(asked, url);
        let refused = shown("http://me:pw@:70000/").unwrap_err().to_string();
        assert!(refused.contains("not a URL") && !refused.contains("pw"), "{refused}");
    }
}
