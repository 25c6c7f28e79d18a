//! The framework of an experiment: plug-ins, suites, training of runs, results, and the command line.
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
mod exec;
mod facts;
#[cfg(test)]
mod fuzz;
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

pub use cli::{
    Answer, DeviceArgs, FormatArgs, JsonArgs, OwnResults, Session, ThreadsArgs, Verb, VerbEntry,
    args::QueryArgs, save_files, verbs::new::workspace, write_out,
};
pub use exec::device;
pub use facts::Facts;
#[doc(hidden)]
pub use include_dir;
pub use planning::{claims_of, gates_of, memory::held as resident_memory};
pub use plugins::Plugins;
pub use results::committed;
pub use settings::{Place, SettingTree, known_keys, tables, typed_table, typed_tables};
pub use spec::{
    By, CheckpointConfig, GroupsConfig, PartConfig, Program, PruneConfig, RunConfig, Suite,
};
pub use store::{read_traces, revision};

use std::process::ExitCode;

/// Runs the whole command line over these plug-ins and suites; the first suite is the default one. Exits with
/// 0, with 2 if the command line or an input file is invalid, with 130 after Ctrl-C.
pub fn main(plugins: Plugins, suites: &[Suite]) -> ExitCode {
    main_with(plugins, suites, &[])
}

/// The same with additional verbs of the program.
pub fn main_with(plugins: Plugins, suites: &[Suite], verbs: &[VerbEntry]) -> ExitCode {
    cli::main(&plugins, suites, verbs)
}

/// The pages of the documentation; their code is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/add-a-router.md")]
#[doc = include_str!("../../../docs/add-an-expert.md")]
#[doc = include_str!("../../../docs/add-a-residual-rule.md")]
#[doc = include_str!("../../../docs/add-a-task.md")]
#[doc = include_str!("../../../docs/add-a-backbone.md")]
struct Pages;

/// The router of the first page.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct FirstPage;
