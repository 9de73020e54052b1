//! The bell of systems that have none (`bell`).

use std::io;
use std::path::Path;

use super::ready::Rung;

/// There is none.
#[derive(Debug)]
pub enum Bell {}

impl Bell {
    /// There is none.
    ///
    /// # Errors
    /// Always.
    pub fn hang(_: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never.
    ///
    /// # Errors
    /// None.
    pub async fn rung(&mut self) -> io::Result<Vec<Rung>> {
        match *self {}
    }
}
