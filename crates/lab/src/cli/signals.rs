//! The signals that end a program: INT from Ctrl-C, TERM, and HUP when the terminal is closed.
//!
//! They end the program at once, after half-written files were removed. While runs are trained, the first
//! signal asks them to write checkpoints and stop, and the second one ends the program; while a text is
//! generated, the first signal asks for the text so far. A HUP that is ignored when the program starts, as
//! with `nohup`, stays ignored; so does an INT of a program in the background of a script, until runs are
//! trained.

use std::sync::{Arc, atomic::AtomicBool};

/// From this call on, a signal ends the program, or sets the flag `stop` while the flag `gentle` is set.
#[cfg(unix)]
pub(super) fn watch(stop: &Arc<AtomicBool>, gentle: &Arc<AtomicBool>) -> anyhow::Result<()> {
    use std::{fs::read_to_string, sync::atomic::Ordering, thread};

    use anyhow::Context;
    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM},
        iterator::Signals,
    };

    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let mask = ignored(&status).unwrap_or(0);
    let is_ignored = move |signal: i32| mask >> (signal - 1) & 1 == 1;
    let caught = [SIGINT, SIGTERM, SIGHUP];
    let kept = if is_ignored(SIGHUP) { 2 } else { 3 };
    let (stop, gentle) = (stop.clone(), gentle.clone());
    let wait = move || {
        // If signals cannot be caught, they end the program by their default action.
        let Ok(mut signals) = Signals::new(&caught[..kept]) else { return };
        for signal in signals.forever() {
            match gentle.load(Ordering::Relaxed) {
                true if stop.swap(true, Ordering::Relaxed) => end_by(None),
                false if !is_ignored(signal) => end_by(Some(signal)),
                _ => {}
            }
        }
    };
    thread::Builder::new().spawn(wait).context("signals cannot be caught")?;
    Ok(())
}

/// Ends the program as this signal would by default, or with the exit code of a program that was interrupted
/// twice.
#[cfg(unix)]
fn end_by(signal: Option<i32>) -> ! {
    files::abandon_parts();
    match signal {
        // Returns only for signals that it does not know.
        Some(signal) => drop(signal_hook::low_level::emulate_default_handler(signal)),
        None => crate::exec::close_screen(),
    }
    std::process::exit(130)
}

/// On other systems Ctrl-C ends the program, and the runs resume from their last checkpoints.
#[cfg(not(unix))]
pub(super) fn watch(_stop: &Arc<AtomicBool>, _gentle: &Arc<AtomicBool>) -> anyhow::Result<()> {
    Ok(())
}

/// The mask of the signals that were ignored when the program started; bit 0 is signal 1, HUP. See SigIgn in
/// `man 5 proc`.
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
