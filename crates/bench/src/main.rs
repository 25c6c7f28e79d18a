//! The standard suites over the standard plug-ins. `cargo run --release -p bench` compares them.

mod blocks;
mod claims;
mod docs;
mod register;
mod score;
mod simulate;
mod speed;
mod suite_claims;
mod tour;

use std::process::ExitCode;

use lab::{Plugins, VerbEntry, suite};

fn main() -> ExitCode {
    let suites = [
        suite!("default", "../suites/default.toml"),
        suite!("smoke", "../suites/smoke.toml"),
        suite!("routers", "../suites/routers.toml"),
        suite!("expert-dtype", "../suites/expert-dtype.toml"),
        suite!("translation", "../suites/translation.toml"),
    ];
    let verbs = [
        VerbEntry::of::<speed::Speed>(),
        VerbEntry::of::<docs::Docs>(),
        VerbEntry::of::<claims::Claims>(),
        VerbEntry::of::<register::Register>(),
        VerbEntry::of::<score::Score>(),
        VerbEntry::of::<simulate::Simulate>(),
    ];
    lab::main_with(Plugins::default(), &suites, &verbs)
}
