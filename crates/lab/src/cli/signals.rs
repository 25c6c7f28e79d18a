//! The signals that end a program: INT of Ctrl-C, TERM, and HUP of a terminal that is closed.
//!
//! They end it at once, as of any program, until runs are trained. Then the first one asks the runs to write
//! checkpoints and stop, and the second one ends the program. A HUP that is ignored when the program starts,
//! as `nohup` does, stays ignored.

use std::sync::{Arc, atomic::AtomicBool};

/// Lets the first signal set a flag.
#[cfg(unix)]
pub(super) fn catch_signals(stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
    use std::{sync::atomic::Ordering, thread};

    use anyhow::Context;
    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM},
        iterator::Signals,
    };

    use crate::exec::close_screen;

    let caught = [SIGINT, SIGTERM, SIGHUP];
    let kept = if hangup_is_ignored() { 2 } else { 3 };
    let mut signals = Signals::new(&caught[..kept]).context("signals cannot be caught")?;
    let stop = stop.clone();
    thread::spawn(move || {
        for _ in signals.forever() {
            if stop.swap(true, Ordering::Relaxed) {
                close_screen();
                std::process::exit(130);
            }
        }
    });
    Ok(())
}

/// Elsewhere Ctrl-C ends the program, and the runs go on from their last checkpoints.
#[cfg(not(unix))]
pub(super) fn catch_signals(_stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
    Ok(())
}

/// Whether whoever started the program wants it to ignore HUP; `man 5 proc`: SigIgn.
#[cfg(unix)]
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status).is_some_and(|mask| mask & 1 == 1)
}

/// The mask of ignored signals; bit 0 is signal 1, HUP.
#[cfg(unix)]
fn ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_read() {
        assert_eq!(ignored("SigBlk:\t0000\nSigIgn:\t0000000000001001\n"), Some(0x1001));
        assert_eq!(ignored("SigIgn:\tx\n"), None);
        assert_eq!(ignored(""), None);
    }
}
