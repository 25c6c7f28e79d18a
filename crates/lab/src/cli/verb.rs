//! The interface of a verb. A program has the verbs of `lab` and may add its own ones.

use clap::{ArgMatches, Args, Command};

use super::{output::Answer, session::Session};

/// A verb: its arguments and its action.
pub trait Verb: Args {
    /// The name as it is typed.
    const NAME: &'static str;
    /// One line of help, without a full stop.
    const ABOUT: &'static str;
    /// Whether all processes of MPI run the verb, or only the first one.
    const TOGETHER: bool = false;
    /// Whether the verb only reads results and computes no network.
    const READS: bool = false;

    /// Runs the verb and returns its answer.
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
    /// The entry of the verb `V`.
    pub fn of<V: Verb>() -> Self {
        Self {
            name: V::NAME,
            together: V::TOGETHER,
            reads: V::READS,
            // `augment_args` sets texts of its own, so these are set after it.
            command: || V::augment_args(Command::new(V::NAME)).about(V::ABOUT).long_about(None),
            run: |matches, session| V::from_arg_matches(matches)?.run(session),
        }
    }
}
