//! The disk: hashing, files and the record of verified pieces, by blocking code on threads
//! of its own. It decides nothing about pieces and knows neither peers nor the runtime but
//! for the channel that answers go through.
//!
//! Way of a start: [`Disk::open`] (looks at files, locks and reads the record) →
//! [`StoreHandle::check`] of what the record does not cover → [`StoreHandle::start`] with the
//! pieces that are right → [`StoreHandle::submit`]. The first three wait for the disk: call
//! them from a blocking thread.
//!
//! Words that lie close together; a record goes from `Locked` through `Loaded` to `Journal`:
//!
//! | word | what it answers |
//! |---|---|
//! | `Home` | where the files are, and what they are called there |
//! | `Ground` | which file system is below that directory, in which boot and mount |
//! | `Footing` | which directory it is, over mounts |
//! | `Gone` | what became of it when it is not at its path any more |
//! | `Subject` | whose record it is: the torrent, its geometry, its homes |
//! | `Locked` | a record that nobody else writes, and its bytes |
//! | `Replayed` | what these bytes say |
//! | `Loaded` | what of that is believed, until the torrent starts |
//! | `Journal` | the record while the torrent runs |
//! | `Standing` | what a record that is written anew is to say |
//! | `Described` | how files look by their record |
//! | `Survey` | how many of them are there |
//! | `Looked` | all that was found of a torrent, before anything is opened for good |
//! | `Started` | the pieces that it begins with, and what became of its files then |

mod adopt;
mod afloat;
mod beneath;
mod bits;
mod carry;
mod check;
mod conclude;
mod config;
pub mod create;
mod device;
mod edges;
mod erase;
mod error;
mod files;
mod folding;
mod footing;
mod gates;
mod gather;
mod glance;
mod handles;
mod in_use;
mod job;
mod lane;
mod lane_state;
mod lanes;
mod looked;
mod making;
mod memory;
mod only;
mod open;
mod outlet;
mod part_names;
mod patience;
mod piece;
mod prepare;
mod prove;
mod pulse;
mod queue;
mod rates;
mod reader;
pub mod record;
mod relocate;
mod room;
mod scan;
mod scatter;
mod silence;
mod spilled;
mod stats;
mod store;
mod store_handle;
mod sums;
mod survey;
mod sync;
mod syncer;
#[cfg(test)]
mod tests;
pub mod turn;
mod unfold;
mod verdict;
mod warmth;
mod watch;
mod watchdog;
mod worker;
mod workers;
mod writer;

pub use self::afloat::Backlog;
pub use self::carry::MoveProgress;
pub use self::check::{CheckProgress, CheckReport, CheckSnapshot, check_and_sum, check_files};
pub use self::config::{Allocate, StoreConfig, StoreFile};
pub use self::device::room_of;
pub use self::erase::{Erased, erase};
pub use self::error::{Error, remedy_apart};
pub use self::folding::folds_names;
pub use self::footing::Gone;
pub use self::gates::Leave;
pub use self::handles::{Handles, raise_fd_limit};
pub use self::job::{DiskEvent, Job, Rejected};
pub use self::looked::{AtRest, at_rest};
pub use self::memory::{Faults, MemoryStore};
pub use self::outlet::{Outlet, OutletFile};
pub use self::rates::{DiskMeter, DiskRates};
pub use self::record::{
    Home, RecordState, Reserved, forget_moved, home_in, home_of, is_used, lasting, record_of,
    reserve,
};
pub use self::relocate::{Relocating, Relocation, plan_move, refuse_move};
pub use self::scan::SCAN_BYTES_MAX;
pub use self::silence::Silence;
pub use self::stats::DiskStats;
pub use self::store::{FileNews, FileStamp, READ_LEN, Store, Unsynced};
pub use self::store_handle::{Started, StoreHandle};
pub use self::survey::{ChangedFile, Survey};
pub use self::syncer::SyncPolicy;
pub use self::verdict::{FileCheck, FileReport};
pub use self::warmth::BELIEVED as WARM_BELIEVED;
pub use self::workers::{Disk, DiskConfig, WORKERS_MAX};
