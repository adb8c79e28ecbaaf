//! The memory that this process may use: the smallest limit of its control groups, else the machine's memory.

use std::path::{Path, PathBuf};

/// Reads it, in bytes; `None` where there is no Linux `/proc`.
pub(super) fn read() -> Option<u64> {
    read_in(Path::new("/"))
}

fn read_in(root: &Path) -> Option<u64> {
    let machine = text(&root.join("proc/meminfo"))
        .as_deref()
        .and_then(mem_total);
    let groups = text(&root.join("proc/self/cgroup")).unwrap_or_default();
    groups
        .lines()
        .filter_map(limit_files)
        .filter_map(|(mount, path, file)| smallest(&root.join(mount), &path, file))
        .chain(machine)
        .min()
}

/// From a line of `/proc/self/cgroup` (cgroups(7)): where the hierarchy is mounted, the group's path in it, and the name
/// of the file with the limit. `None` for a hierarchy that has no say in memory.
fn limit_files(line: &str) -> Option<(&'static str, PathBuf, &'static str)> {
    let mut parts = line.splitn(3, ':');
    let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let path = PathBuf::from(path.trim_start_matches('/'));
    if number == "0" && controllers.is_empty() {
        return Some(("sys/fs/cgroup", path, "memory.max"));
    }
    let has_memory = controllers.split(',').any(|one| one == "memory");
    has_memory.then_some(("sys/fs/cgroup/memory", path, "memory.limit_in_bytes"))
}

/// The smallest limit of a group and all above it. In a container the path may be that of the host, of which only the
/// root is to be seen: what is not there has no limit.
fn smallest(mount: &Path, path: &Path, file: &str) -> Option<u64> {
    // `memory.max` says "max" where there is no limit, which is no number.
    let limit = |group: &Path| text(&mount.join(group).join(file))?.trim().parse().ok();
    path.ancestors().filter_map(limit).min()
}

fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn text(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:        8000 kB\nMemFree:  1 kB\n";

    fn found(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        read_in(root.path())
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let files = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/memory.max", "1000\n"),
        ];
        assert_eq!(found(&files), Some(1000));
    }

    #[test]
    fn the_first_version_is_read_too() {
        let files = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "4:cpu,memory:/x\n0::/\n"),
            ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "2000\n"),
        ];
        assert_eq!(found(&files), Some(2000));
    }

    #[test]
    fn without_a_limit_or_with_one_beyond_the_machine_its_memory_counts() {
        let machine = ("proc/meminfo", MEMINFO);
        assert_eq!(found(&[machine]), Some(8000 * 1024));
        let unlimited = "9223372036854771712\n";
        let files = [
            machine,
            ("proc/self/cgroup", "4:memory:/of/the/host\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", unlimited),
        ];
        assert_eq!(found(&files), Some(8000 * 1024));
        assert_eq!(found(&[]), None);
    }
}
