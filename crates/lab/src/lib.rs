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

mod analyses;
mod budget;
mod cli;
mod code;
mod config;
#[cfg(test)]
mod config_numbers;
mod cost;
mod dashboard;
mod device;
mod environment;
mod facts;
mod groups;
mod memory;
mod options;
mod plugins;
pub mod prelude;
mod program;
mod progress;
mod ranks;
mod reader;
mod request;
mod rows;
mod run_spec;
mod runner;
mod safetensors;
mod sampling;
mod setting_tree;
mod start;
mod store;
mod suite;
mod timing;
mod trace;
mod tune;
mod tuning;
mod verbs;

pub use config::RunConfig;
pub use device::device;
pub use groups::{By, GroupsConfig};
#[doc(hidden)]
pub use include_dir;
pub use plugins::Plugins;
pub use program::Program;
pub use start::PruneConfig;
pub use suite::Suite;

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
