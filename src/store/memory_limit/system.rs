//! How much memory the process may have: what its control groups say, or else the RAM of the machine.

use std::path::Path;

use crate::vfs::{Access, Vfs};

/// What is read of a file at most.
const MOST_BYTES: usize = 8192;

/// A limit above this is what version 1 of control groups says where there is none.
const NO_LIMIT: u64 = 1 << 62;

/// Bytes that the process may have at most; `None` if nothing tells.
pub fn available_bytes(vfs: &dyn Vfs) -> Option<u64> {
    let read = |path: &str| read(vfs, path);
    let ram = read("/proc/meminfo").and_then(|text| ram_bytes(&text));
    let limit = read("/proc/self/cgroup").and_then(|text| lowest_limit(&text, &read));
    ram.into_iter().chain(limit).min()
}

/// The text of a small file, which need not know its own length: the end is where not even a byte can be read.
fn read(vfs: &dyn Vfs, path: &str) -> Option<String> {
    let file = vfs.open(Path::new(path), Access::Read).ok()?;
    let mut text = vec![0; MOST_BYTES];
    let (mut length, mut step) = (0, MOST_BYTES);
    while step > 0 && length < MOST_BYTES {
        let end = MOST_BYTES.min(length + step);
        match file.read_exact_at(&mut text[length..end], length as u64) {
            Ok(()) => length = end,
            Err(_) => step /= 2,
        }
    }
    text.truncate(length);
    Some(text.into_iter().map(char::from).collect())
}

/// `MemTotal` of /proc/meminfo.
fn ram_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The lowest limit of the groups that `cgroups`, the text of /proc/self/cgroup, names, and of those that these are in.
fn lowest_limit(cgroups: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let limits = cgroups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next()?, parts.next()?);
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|it| it == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        lowest_on_the_way_up(root, group, file, read)
    });
    limits.min()
}

fn lowest_on_the_way_up(
    root: &str,
    group: &str,
    file: &str,
    read: &dyn Fn(&str) -> Option<String>,
) -> Option<u64> {
    let mut group = group.trim_end_matches('/');
    let mut lowest = None;
    loop {
        let text = read(&format!("{root}{group}/{file}"));
        let limit = text.and_then(|text| text.trim().parse().ok());
        let limit = limit.filter(|limit| *limit < NO_LIMIT);
        lowest = lowest.into_iter().chain(limit).min();
        match group.rfind('/') {
            Some(end) => group = &group[..end],
            None => return lowest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn limit(cgroups: &str, files: &[(&str, &str)]) -> Option<u64> {
        let files: HashMap<&str, &str> = files.iter().copied().collect();
        lowest_limit(cgroups, &|path| files.get(path).map(|text| (*text).into()))
    }

    #[test]
    fn the_lowest_limit_of_the_groups_around_the_process_counts() {
        let files = [
            ("/sys/fs/cgroup/a/b/c/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "4096000\n"),
            ("/sys/fs/cgroup/a/memory.max", "2048000\n"),
            ("/sys/fs/cgroup/other/memory.max", "1\n"),
        ];
        assert_eq!(limit("0::/a/b/c\n", &files), Some(2_048_000));
        assert_eq!(limit("0::/a/b/c\n", &files[..2]), Some(4_096_000));
        assert_eq!(limit("0::/a/b/c\n", &files[..1]), None);
    }

    #[test]
    fn in_a_container_the_group_is_the_root_and_has_the_limit() {
        let files = [("/sys/fs/cgroup/memory.max", "536870912\n")];
        assert_eq!(limit("0::/\n", &files), Some(512 << 20));
        // A path of the host that the container does not see.
        assert_eq!(limit("0::/docker/0123\n", &files), Some(512 << 20));
    }

    #[test]
    fn version_1_is_read_where_the_memory_controller_is() {
        let cgroups = "5:cpu,cpuacct:/x\n4:memory:/docker/0123\n1:name=systemd:/y\n0::/\n";
        let files = [
            (
                "/sys/fs/cgroup/memory/docker/0123/memory.limit_in_bytes",
                "9223372036854771712",
            ),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824"),
            ("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "7"),
        ];
        assert_eq!(limit(cgroups, &files), Some(1 << 30));
        assert_eq!(limit(cgroups, &files[..1]), None);
    }

    #[test]
    fn what_is_no_list_of_groups_tells_nothing() {
        for text in ["", "\n", "0:", "nonsense", "::::", "4:memory"] {
            assert_eq!(limit(text, &[]), None, "{text:?}");
        }
    }

    #[test]
    fn ram_is_told_in_kibibytes() {
        let text = "MemTotal:       16384 kB\nMemFree: 1 kB\n";
        assert_eq!(ram_bytes(text), Some(16 << 20));
        for text in ["", "MemTotal: x kB", "MemFree: 1 kB", "MemTotal: 5"] {
            assert_eq!(ram_bytes(text), None, "{text:?}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_some_memory() {
        let bytes = available_bytes(&crate::vfs::RealVfs).unwrap();
        assert!(bytes > 1 << 20);
    }
}
