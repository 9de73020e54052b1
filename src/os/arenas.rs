//! How many arenas the C library's allocator may open. Each takes 64 MiB of address space at
//! once, and one opens for each thread as long as there is room: where the address space is
//! limited (`ulimit -v`) they would fill it, and the next buffer or stack finds none left.
//!
//! Source: mallopt(3), `M_ARENA_MAX`, and `HEAP_MAX_SIZE` of glibc's `malloc/arena.c`.

/// What an arena reserves.
const ARENA: u64 = 64 << 20;
/// Which share of the address space they may take all together.
const SHARE: u64 = 8;

/// Holds the allocator to few arenas when that is all the address space there is, in bytes. To be
/// called before threads are started; does nothing where the C library is not glibc.
pub fn fit_into(address_space: Option<u64>) {
    if let Some(bytes) = address_space {
        hold_to(arenas_in(bytes));
    }
}

/// One is always there, and grows as any heap does.
fn arenas_in(bytes: u64) -> i32 {
    i32::try_from(bytes / SHARE / ARENA).unwrap_or(i32::MAX).max(1)
}

#[cfg(target_env = "gnu")]
fn hold_to(arenas: i32) {
    // SAFETY: `mallopt` takes two numbers and sets one; it may be called at any time.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas) };
}

#[cfg(not(target_env = "gnu"))]
fn hold_to(_arenas: i32) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arenas_take_a_share_of_the_address_space() {
        assert_eq!(arenas_in(0), 1);
        assert_eq!(arenas_in(256 << 20), 1);
        assert_eq!(arenas_in(4 << 30), 8);
        assert_eq!(arenas_in(u64::MAX - 1), i32::MAX);
    }
}
