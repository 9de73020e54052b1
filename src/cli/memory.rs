//! How much memory a run may use: what was asked for with `--memory`, or a share of what the
//! machine lets us have. Here the machine is asked; who gets what of it is `session::Memory`.
//!
//! Sources: proc_meminfo(5), proc_pid_mountinfo(5), cgroups(7), getrlimit(2), and the kernel's
//! documents on `memory.max` (cgroup v2) and `memory.limit_in_bytes` (v1).

use std::fs::read_to_string;
use std::path::{Component, Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use crate::base::units::size;
use crate::session::Memory;

use super::args::Common;
use super::exit::Failure;

/// What is assumed where the system does not tell.
const UNKNOWN: u64 = 1 << 30;

/// The most that we may have, and who says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Limit {
    bytes: u64,
    whose: &'static str,
}

/// The memory of a run with these options, split.
///
/// # Errors
/// When more is asked for than there is beside the program itself.
pub fn memory_for(common: &Common) -> Result<Memory, Failure> {
    Ok(Memory::split(budget(common.memory, limit())?, cores()))
}

/// The budget that is asked for, or the default, as `driver config` tells it.
///
/// # Errors
/// As [`memory_for`].
pub fn told(common: &Common) -> Result<String, Failure> {
    let limit = limit();
    let budget = budget(common.memory, limit)?;
    let memory = Memory::split(budget, cores());
    Ok(format!(
        "memory {} of {} that {} has: blocks {}, checks {}, {} network threads and other \
         buffers {}",
        size(budget),
        size(limit.bytes),
        limit.whose,
        size(memory.pool_bytes as u64),
        size(memory.check_bytes as u64),
        memory.threads,
        size(memory.buffer_bytes as u64),
    ))
}

fn budget(asked: Option<u64>, limit: Limit) -> Result<u64, Failure> {
    match asked {
        None => Ok(Memory::default_budget(limit.bytes)),
        Some(bytes) if bytes > Memory::most(limit.bytes) => Err(Failure::usage(format!(
            "--memory {} is too much: {} has {}, and the program takes {} besides; ask for {} \
             at most",
            size(bytes),
            limit.whose,
            size(limit.bytes),
            size(Memory::BESIDE),
            size(Memory::most(limit.bytes)),
        ))),
        Some(bytes) => Ok(bytes),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The smallest of what the machine has, what our control group may have, and our address space.
fn limit() -> Limit {
    let address_space = getrlimit(Resource::As).current.unwrap_or(u64::MAX);
    smallest([
        Limit { bytes: machine(Path::new("/")).unwrap_or(UNKNOWN), whose: "this machine" },
        Limit { bytes: group(Path::new("/")), whose: "the control group" },
        Limit { bytes: address_space, whose: "the address space (ulimit -v)" },
    ])
}

fn smallest(limits: [Limit; 3]) -> Limit {
    let [first, rest @ ..] = limits;
    rest.into_iter()
        .fold(first, |least, limit| if limit.bytes < least.bytes { limit } else { least })
}

/// All memory of the machine whose files lie below `root`, in bytes.
fn machine(root: &Path) -> Option<u64> {
    let text = read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What the control group of this process and all those around it may have, in bytes; the
/// largest number when nothing is said.
fn group(root: &Path) -> u64 {
    let Ok(groups) = read_to_string(root.join("proc/self/cgroup")) else { return u64::MAX };
    let Ok(mounts) = read_to_string(root.join("proc/self/mountinfo")) else { return u64::MAX };
    let limits = groups.lines().filter_map(|line| limit_of(root, &mounts, line));
    limits.min().unwrap_or(u64::MAX)
}

/// The limit by one line of `/proc/self/cgroup`: `4:memory:/a/b` or, for version 2, `0::/a/b`.
fn limit_of(root: &Path, mounts: &str, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (kind, option, file) = match controllers {
        "" => ("cgroup2", None, "memory.max"),
        names if names.split(',').any(|name| name == "memory") => {
            ("cgroup", Some("memory"), "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let (top, mounted_at) = mounts.lines().find_map(|line| mount(line, kind, option))?;
    // In a container the mount may show a part of the tree that our path is not below.
    let below = Path::new(path).strip_prefix(&top).unwrap_or(Path::new(""));
    let is_plain = below.components().all(|part| matches!(part, Component::Normal(_)));
    let below = if is_plain { below } else { Path::new("") };
    let base = root.join(mounted_at.strip_prefix("/").ok()?);
    // Each group is held to the limits of those around it too.
    let limits = below.ancestors().filter_map(|group| {
        // Version 2 writes "max" for none.
        read_to_string(base.join(group).join(file)).ok()?.trim().parse().ok()
    });
    limits.min()
}

/// Of a line of mountinfo: which part of the tree of groups is mounted, and where; none when
/// it is another kind of mount.
fn mount(line: &str, kind: &str, option: Option<&str>) -> Option<(PathBuf, PathBuf)> {
    let (place, what) = line.split_once(" - ")?;
    let mut what = what.split(' ');
    let is_kind = what.next() == Some(kind);
    let options = what.nth(1).unwrap_or_default();
    let has = |name: &str| options.split(',').any(|other| other == name);
    let mut place = place.split(' ').skip(3);
    let (top, at) = (place.next()?, place.next()?);
    (is_kind && option.is_none_or(has)).then(|| (top.into(), at.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A machine in a directory.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new(files: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = dir.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Self(dir)
        }

        fn group(&self) -> u64 {
            group(self.0.path())
        }
    }

    const V2: &str = "24 1 0:22 / /sys rw shared:2 - sysfs sysfs rw\n\
        30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "33 24 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
        34 24 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

    #[test]
    fn version_2_is_read_up_to_the_top() {
        let machine = Machine::new(&[
            ("proc/self/cgroup", "0::/a/b/c\n"),
            ("proc/self/mountinfo", V2),
            ("sys/fs/cgroup/a/b/c/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/memory.max", "268435456\n"),
            ("sys/fs/cgroup/a/memory.max", "536870912\n"),
        ]);
        assert_eq!(machine.group(), 256 * MIB);
    }

    #[test]
    fn version_1_is_read_where_memory_is_mounted() {
        let machine = Machine::new(&[
            ("proc/self/cgroup", "5:cpu:/x\n4:memory:/a/b\n0::/\n"),
            ("proc/self/mountinfo", V1),
            ("sys/fs/cgroup/cpu/x/memory.limit_in_bytes", "1\n"),
            ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "134217728\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        assert_eq!(machine.group(), 128 * MIB);
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_top() {
        let mounts = V1.replace("0:30 / ", "0:30 /docker/1f ");
        let files = [
            ("proc/self/mountinfo", mounts.as_str()),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n"),
        ];
        for group in ["4:memory:/docker/1f\n", "4:memory:/\n", "4:memory:/../../x\n"] {
            let machine = Machine::new(&[&files[..], &[("proc/self/cgroup", group)]].concat());
            assert_eq!(machine.group(), 64 * MIB, "{group}");
        }
    }

    #[test]
    fn nothing_said_is_no_limit() {
        assert_eq!(Machine::new(&[]).group(), u64::MAX);
        let no_mount =
            [("proc/self/cgroup", "0::/a\n:\nx\n"), ("proc/self/mountinfo", "- \n 1 - cgroup2")];
        assert_eq!(Machine::new(&no_mount).group(), u64::MAX);
        assert_eq!(machine(Machine::new(&[]).0.path()), None);
    }

    #[test]
    fn the_machine_tells_its_memory() {
        let files = [("proc/meminfo", "MemTotal:       16384 kB\nMemFree:  1 kB\n")];
        assert_eq!(machine(Machine::new(&files).0.path()), Some(16 * MIB));
        // This one has some as well.
        assert!(limit().bytes >= MIB);
    }

    #[test]
    fn more_than_there_is_is_refused() {
        let limit = Limit { bytes: 512 * MIB, whose: "the control group" };
        assert_eq!(budget(None, limit), Ok(52 * MIB));
        assert_eq!(budget(Some(480 * MIB), limit), Ok(480 * MIB));
        let refused = budget(Some(481 * MIB), limit).unwrap_err();
        assert_eq!(refused.exit, crate::cli::exit::Exit::Usage);
        let expected = "--memory 481.0 MiB is too much: the control group has 512.0 MiB, and the \
                        program takes 32.0 MiB besides; ask for 480.0 MiB at most";
        assert_eq!(refused.message, expected);
        let small = Limit { bytes: 24 * MIB, ..limit };
        assert_eq!((budget(None, small), budget(Some(8 * MIB), small)), (Ok(8 * MIB), Ok(8 * MIB)));
        assert!(budget(Some(24 * MIB), small).is_err());
    }
}
