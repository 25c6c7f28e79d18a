//! What an experiment depends on: plug-ins, suites, and the command line.
//!
//! An experiment is a router in a file and one line:
//!
//! ```no_run
//! use lab::prelude::*;
//! # const MY_SUITE: lab::Suite = lab::Suite { name: "", file: "", text: "", program: lab::Program::NONE };
//! fn main() -> ExitCode {
//!     lab::main(Plugins::default(), &[MY_SUITE])
//! }
//! ```

mod cli;
mod cost;
mod digest;
mod exec;
mod facts;
mod options;
mod planning;
mod plugins;
pub mod prelude;
mod probes;
mod results;
mod settings;
mod spec;
mod store;
#[cfg(test)]
mod testing;
mod verbs;

pub use exec::device;
#[doc(hidden)]
pub use include_dir;
pub use plugins::Plugins;
pub use spec::{By, GroupsConfig, Program, PruneConfig, RunConfig, Suite};

use std::process::ExitCode;

/// The whole command line over these plug-ins and suites; the first suite is the default one.
/// Exits with 0, with 2 if something that was typed or read is wrong, with 130 after Ctrl-C.
pub fn main(plugins: Plugins, suites: &[Suite]) -> ExitCode {
    cli::main(&plugins, suites)
}

/// The tutorial's code is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/add-a-router.md")]
struct AddARouter;
