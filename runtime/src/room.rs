//! The memory that is free: what prepare would take beyond it is refused before it is allocated, where the system would end the process.

use std::sync::OnceLock;

/// Bytes that are taken without asking how many there are.
const UNASKED: u64 = 1 << 28;

/// The memory that was free when it was first asked for.
#[derive(Clone, Debug, Default)]
pub struct Room {
    free: OnceLock<u64>,
}

impl Room {
    /// As if so many bytes were free.
    pub fn of(bytes: u64) -> Room {
        Room { free: OnceLock::from(bytes) }
    }

    /// Whether so many bytes fit. Little always does, and so does everything where the system does not tell.
    pub fn holds(&self, bytes: u64) -> bool {
        bytes.saturating_sub(UNASKED) == 0 || bytes <= *self.free.get_or_init(free)
    }

    /// The free bytes, if they have been asked for.
    pub fn known(&self) -> Option<u64> {
        self.free.get().copied()
    }
}

/// Free memory with free swap space, but no more than the limit of the control group.
fn free() -> u64 {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let table = read("/proc/meminfo");
    let limit = read("/sys/fs/cgroup/memory.max").trim().parse().unwrap_or(u64::MAX);
    limit.min(listed(&table).unwrap_or(u64::MAX))
}

/// Bytes of free memory and free swap space in a table of the system: lines such as `SwapFree:  2048 kB`.
fn listed(table: &str) -> Option<u64> {
    let entry = |name: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(entry("MemAvailable")?.saturating_add(entry("SwapFree").unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_fits_and_much_does_where_it_is_free() {
        let room = Room::of(1 << 30);
        assert!(room.holds(0) && room.holds(UNASKED) && room.holds(1 << 30));
        assert!(!room.holds((1 << 30) + 1) && !room.holds(u64::MAX));
        assert!(Room::of(0).holds(UNASKED) && !Room::of(0).holds(UNASKED + 1));
        assert_eq!(Room::default().known(), None);
        assert!(!Room::default().holds(u64::MAX - 1) || free() == u64::MAX);
    }

    #[test]
    fn free_memory_is_read_from_a_table() {
        assert_eq!(listed("MemFree: 1 kB\nMemAvailable:   3 kB\nSwapFree: 2 kB\n"), Some(5 * 1024));
        assert_eq!(listed("MemAvailable: 3 kB"), Some(3 * 1024));
        assert_eq!(listed(""), None);
        assert_eq!(listed("MemAvailable: many kB"), None);
    }
}
