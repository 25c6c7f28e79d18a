//! The context of a verb in addition to its own arguments.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::anyhow;
use clap::{ArgAction, Args, Command};
use distributed::Communicator;

use super::output::print_message;
use crate::{Plugins, spec::Suite};

/// Arguments for the amount of messages.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Verbosity {
    /// Print results and errors only
    #[arg(short, long, global = true, action = ArgAction::SetTrue)]
    quiet: bool,
}

/// One call of the program.
pub struct Session<'a> {
    /// All plug-ins.
    pub plugins: &'a Plugins,
    /// The program's suites; the first one is the default.
    pub suites: &'a [Suite],
    /// The whole command line, for completions.
    pub(crate) command: Command,
    pub(crate) verbosity: Verbosity,
    /// Set by Ctrl-C: runs write a checkpoint and stop.
    pub(crate) stop: Arc<AtomicBool>,
    /// Whether Ctrl-C sets `stop`; if not, Ctrl-C ends the program.
    pub(crate) gentle: Arc<AtomicBool>,
    /// The processes that were started together with this one.
    pub(crate) world: Arc<dyn Communicator>,
}

impl Session<'_> {
    /// Prints a message to the standard error, unless `--quiet` is given.
    pub fn say(&self, text: &str) {
        if !self.is_quiet() {
            print_message(text);
        }
    }

    /// The processes that were started together with this one.
    pub fn world(&self) -> &Arc<dyn Communicator> {
        &self.world
    }

    /// Whether `--quiet` is given, or another process prints the messages.
    pub(crate) fn is_quiet(&self) -> bool {
        self.verbosity.quiet || !self.leads()
    }

    /// Whether this process is the one that prints and writes.
    pub(crate) fn leads(&self) -> bool {
        self.world.rank() == 0
    }

    /// The given name, or the name of the default suite.
    pub(crate) fn suite_or_default<'n>(&'n self, name: Option<&'n str>) -> anyhow::Result<&'n str> {
        let first = || self.suites.first().map(|suite| suite.name);
        name.or_else(first).ok_or_else(|| anyhow!("this program has no suite"))
    }

    /// From this call on the first signal only sets `stop`: runs stop after their current step.
    pub(crate) fn catch_signals(&self) {
        self.gentle.store(true, Ordering::Relaxed);
    }

    /// Whether Ctrl-C has been pressed since [`Self::catch_signals`].
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
