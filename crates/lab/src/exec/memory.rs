//! The peak memory of this program, as reported by Linux (`man 5 proc`: VmHWM).

use std::fs;

/// The high-water mark in bytes; none if there is no `/proc`.
pub(crate) fn peak() -> Option<u64> {
    parse(&fs::read_to_string("/proc/self/status").ok()?)
}

/// Resets the mark if the system can do so, for a run that is alone in the program.
pub(crate) fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5"); // else the mark is that of all runs so far
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_in_bytes() {
        assert_eq!(parse("VmPeak:\t  9 kB\nVmHWM:\t   12 kB\n"), Some(12 * 1024));
        assert_eq!(parse("VmHWM: much"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_mark_follows_what_is_held() {
        let size = 256 << 20;
        let held = vec![1_u8; size];
        assert!(held.iter().map(|x| usize::from(*x)).sum::<usize>() == size);
        assert!(peak().unwrap() > size as u64);
    }
}
