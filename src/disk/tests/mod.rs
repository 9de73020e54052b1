//! Behaviour of the room as a torrent sees it.
