//! What processes are called, for people.

use std::fs;

/// A process's name and number, where the system tells.
pub fn name_of(pid: i32) -> Option<String> {
    let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    // A program may call itself anything.
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = name.trim_ascii();
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    Some(if is_plain { format!("{name} (process {pid})") } else { format!("process {pid}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_name_ends_with_our_number() {
        let ours = std::process::id();
        let name = name_of(i32::try_from(ours).unwrap()).unwrap();
        assert!(name.ends_with(&format!("process {ours})")), "{name}");
        assert_eq!((name_of(0), name_of(-1)), (None, None));
    }
}
