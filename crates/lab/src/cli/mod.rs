//! The command line. Each verb has a file in `verbs`.

pub(crate) mod args;
mod left_open;
mod out;
mod output;
mod own_results;
mod renamed;
mod session;
mod signals;
mod verb;
pub(crate) mod verbs;
mod watch;

pub use args::{DeviceArgs, FormatArgs, JsonArgs, ThreadsArgs};
pub use out::write_out;
pub use output::Answer;
pub use own_results::{OwnResults, save_files};
pub use session::Session;
pub use verb::{Verb, VerbEntry};

use std::{
    fmt::Display,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::{Plugins, spec::Suite};
use output::{error_text, print, print_message};
use session::Verbosity;
use verbs::run::RunOptions;

const ABOUT: &str =
    "Compares Mixture-of-Experts methods fairly: the same budget, several seeds, intervals";
const AFTER: &str = "Without a verb: trains the default suite, then prints its table.";

/// The command line with these verbs. Options before a verb belong to a run of the default suite.
fn command(suites: &[Suite], verbs: &[VerbEntry]) -> Command {
    let name = suites.first().map_or("moelab", |suite| suite.program.package);
    let whole = Verbosity::augment_args(RunOptions::augment_args(Command::new(name)));
    whole
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .long_about(None)
        .after_help(AFTER)
        .args_conflicts_with_subcommands(true)
        .subcommand_value_name("VERB")
        .subcommand_help_heading("Verbs")
        .subcommands(verbs.iter().map(|verb| (verb.command)()))
        .mut_subcommands(|verb| verb.mut_args(|arg| arg.allow_negative_numbers(true)))
        .mut_args(|arg| arg.allow_negative_numbers(true))
}

/// Runs the program with the verbs of `lab` and the program's own verbs.
pub(crate) fn main(plugins: &Plugins, suites: &[Suite], own: &[VerbEntry]) -> ExitCode {
    let all = [&verbs::all()[..], own].concat();
    let names: Vec<&str> = all.iter().map(|verb| verb.name).collect();
    let args: Vec<String> =
        std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into()).collect();
    if let Some(error) = renamed::error_of_old_name(&args, &names) {
        return failed(&error);
    }
    let command = command(suites, &all);
    let matches = match command.clone().try_get_matches() {
        Ok(matches) => matches,
        Err(text) if text.use_stderr() => return misused(&text),
        // The help or the version; failing to print it is an error.
        Err(text) => return shown(&text.render().to_string()),
    };
    let world = match cluster::join() {
        Ok(world) => world,
        Err(err) => return failed(&err),
    };
    let given = matches.subcommand().map_or(&matches, |(_, matches)| matches);
    let verbosity = Verbosity::from_arg_matches(given).unwrap_or_else(|err| err.exit());
    let [stop, gentle] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    if let Err(err) = signals::watch(&stop, &gentle) {
        return failed(&error_text(&err));
    }
    let session = Session { plugins, suites, command, verbosity, stop, gentle, world };
    end(run(&matches, &all, &session), &session)
}

/// Runs the verb that the command line names.
fn run(matches: &ArgMatches, all: &[VerbEntry], session: &Session) -> anyhow::Result<Answer> {
    let named = matches.subcommand_name();
    if !all.iter().any(|verb| Some(verb.name) == named && verb.reads) {
        kernels::keep_freed_memory();
    }
    match matches.subcommand() {
        Some((name, matches)) => match all.iter().find(|verb| verb.name == name) {
            Some(verb) if !verb.together && !session.leads() => Ok(String::new().into()),
            Some(verb) => (verb.run)(matches, session),
            None => anyhow::bail!("no verb is named {name:?}"),
        },
        None => RunOptions::from_arg_matches(matches)?.train(None, session),
    }
}

/// Prints the answer or the error.
fn end(answer: anyhow::Result<Answer>, session: &Session) -> ExitCode {
    match answer {
        Ok(answer) => {
            let printed = print(&answer.text);
            for err in answer.error.iter().chain(printed.as_ref().err()) {
                print_message(&format!("error: {}", error_text(err)));
            }
            ExitCode::from(if printed.is_ok() { answer.code } else { 2 })
        }
        Err(_) if !session.leads() => ExitCode::from(2),
        Err(_) if session.is_stopped() => {
            print_message("stopped; the same command resumes from here");
            ExitCode::from(130)
        }
        Err(err) => failed(&error_text(&err)),
    }
}

/// Prints an error of the command line, which quotes the words that were typed.
fn misused(text: &clap::Error) -> ExitCode {
    print_message(text.render().to_string().trim_end());
    ExitCode::from(2)
}

/// Prints the help or the version.
fn shown(text: &str) -> ExitCode {
    match print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => failed(&error_text(&err)),
    }
}

/// Prints an error.
fn failed(error: &dyn Display) -> ExitCode {
    print_message(&format!("error: {error}"));
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command(&[], &verbs::all()).debug_assert();
    }

    #[test]
    fn a_verb_takes_what_it_heeds_and_nothing_else() {
        let all = verbs::all();
        let wrong = |args: &[&str]| {
            let args = [&["moelab"][..], args].concat();
            command(&[], &all).try_get_matches_from(args).err().map(|err| err.to_string())
        };
        for args in [
            &["table", "--seeds", "0..2"][..],
            &["run", "--timing", "--publish"],
            &["--smoke", "--jobs", "2"],
            &["table", "-q"],
            &["-v"],
        ] {
            assert_eq!(wrong(args), None, "{args:?}");
        }
        for (args, option) in [
            (&["table", "--jobs", "2"][..], "--jobs"),
            (&["cmp", "a", "b", "--trace"], "--trace"),
            (&["ledger", "--metric", "loss"], "--metric"),
            (&["new", "router", "a", "--runs", "x"], "--runs"),
            (&["list", "--device", "wgpu"], "--device"),
            (&["budget", "--jobs", "2"], "--jobs"),
            (&["plot", "--format", "md"], "--format"),
        ] {
            let err = wrong(args).unwrap_or_default();
            assert!(err.contains("unexpected argument") && err.contains(option), "{args:?}: {err}");
        }
    }
}
