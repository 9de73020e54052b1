//! What a torrent takes where its files go: what is copied, and what is still to be fetched. A move
//! to where there is not so much room would end in a full disk. An answer of this moment: it
//! reserves nothing.

use std::path::Path;

use crate::base::bitfield::Bitfield;
use crate::base::layout::Layout;
use crate::base::units::size;
use crate::disk::beneath::Base;
use crate::disk::error::Error;
use crate::disk::files::{FileStore, Place};

/// What a torrent takes where its files go, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Need {
    /// Of its files, as they are now.
    pub to_copy: u64,
    /// Beyond that.
    pub to_fetch: u64,
}

impl Need {
    /// Of these files with these right pieces, of which so much is copied. What is still to be
    /// fetched takes room on the same device as before, if they stay on it.
    pub fn of(
        (store, layout, have): (&FileStore, &Layout, &Bitfield),
        (from, to): (&Base, &Base),
        to_copy: u64,
    ) -> Result<Self, Error> {
        let all = Path::new("");
        let mount = |base: &Base| {
            base.mount_of(all).map_err(|error| Error::io("looking at", base.path(), error))
        };
        if mount(from)?.is_on_device_of(&mount(to)?) {
            return Ok(Self { to_copy, to_fetch: 0 });
        }
        let (mut missing, mut present) = (0u64, 0u64);
        for piece in layout.pieces() {
            let bytes = store.slices_of(layout, piece).map(|slice| slice.len).sum::<u64>();
            if have.has(piece) {
                present += bytes;
            } else if store.is_piece_wanted(layout, piece) {
                missing += bytes;
            }
        }
        // What files take beyond their right bytes is overwritten, not taken anew.
        let to_fetch = missing.saturating_sub(to_copy.saturating_sub(present));
        Ok(Self { to_copy, to_fetch })
    }

    /// Refuses a directory without so much room.
    ///
    /// # Errors
    /// `NoRoom`; `Io` when nobody can tell.
    pub fn check(self, to: &Base) -> Result<(), Error> {
        let dir = to.path().to_owned();
        let free = to.free_bytes().map_err(|error| Error::io("looking at", &dir, error))?;
        match free.filter(|free| *free < self.to_copy.saturating_add(self.to_fetch)) {
            Some(free) => Err(Error::NoRoom { dir, needed: self.words(), free: size(free) }),
            None => Ok(()),
        }
    }

    fn words(self) -> String {
        let Self { to_copy, to_fetch } = self;
        match (to_copy, to_fetch) {
            (_, 0) => format!("{} needed", size(to_copy)),
            (0, _) => format!("{} needed for what is still to be fetched", size(to_fetch)),
            _ => {
                let all = size(to_copy.saturating_add(to_fetch));
                format!("{all} needed ({} of it still to be fetched)", size(to_fetch))
            }
        }
    }
}

/// Bytes that would have to be copied of the files as they are now.
pub(super) fn to_copy(store: &FileStore, to: &Base) -> Result<u64, Error> {
    let fail = |base: &Base, path: &Path| {
        let full = base.full(path);
        move |error: std::io::Error| Error::io("looking at", full, error)
    };
    let there = to.mount_of(Path::new("")).map_err(fail(to, Path::new("")))?;
    let mut bytes = 0;
    for (file, _) in store.real().filter(|(_, entry)| entry.place() != Place::Nowhere) {
        let path = store.path_now(file);
        if store.base.mount_of(&path).map_err(fail(&store.base, &path))? != there {
            // One that somebody removed is not copied either.
            bytes += store.base.allocated(&path).unwrap_or(0);
        }
    }
    Ok(bytes)
}
