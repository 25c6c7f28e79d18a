//! `completions`: the completions of a shell.

use clap::Args;
use clap_complete::{Shell, generate};

use crate::cli::{Answer, Session, Verb};

/// For which shell.
#[derive(Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Verb for Completions {
    const NAME: &'static str = "completions";
    const ABOUT: &'static str = "Print the completions for a shell, to be sourced by it";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let mut command = session.command.clone();
        let (name, mut script) = (command.get_name().to_string(), Vec::new());
        generate(self.shell, &mut command, name, &mut script);
        Ok(String::from_utf8(script)?.into())
    }
}
