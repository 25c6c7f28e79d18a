//! The interface of a verb. A program has the verbs of `lab` and may add its own.

use clap::{ArgMatches, Args, Command};

use super::{output::Answer, session::Session};

/// A verb: its arguments, and what it does.
pub trait Verb: Args {
    /// As it is typed.
    const NAME: &'static str;
    /// One line of help, without a full stop.
    const ABOUT: &'static str;
    /// Whether all processes of MPI run it, and not the first one alone.
    const TOGETHER: bool = false;
    /// Whether it only reads results, and computes with no network.
    const READS: bool = false;

    /// Runs the verb, and returns the output.
    ///
    /// # Errors
    /// On errors in the input of a user; the program prints the message and exits with 2.
    fn run(&self, session: &Session) -> anyhow::Result<Answer>;
}

/// A verb as a value.
#[derive(Clone, Copy)]
pub struct VerbEntry {
    pub(super) name: &'static str,
    pub(super) together: bool,
    pub(super) reads: bool,
    pub(super) command: fn() -> Command,
    pub(super) run: fn(&ArgMatches, &Session) -> anyhow::Result<Answer>,
}

impl VerbEntry {
    /// The entry of a verb.
    pub fn of<V: Verb>() -> Self {
        Self {
            name: V::NAME,
            together: V::TOGETHER,
            reads: V::READS,
            // The arguments bring texts of their own, which come before these.
            command: || V::augment_args(Command::new(V::NAME)).about(V::ABOUT).long_about(None),
            run: |matches, session| V::from_arg_matches(matches)?.run(session),
        }
    }
}
