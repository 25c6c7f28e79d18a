//! The standard suites over the standard plug-ins. `cargo run --release -p bench` compares them.

use std::process::ExitCode;

use lab::{Plugins, suite};

fn main() -> ExitCode {
    let suites = [
        suite!("default", "../suites/default.toml"),
        suite!("smoke", "../suites/smoke.toml"),
        suite!("routers", "../suites/routers.toml"),
        suite!("storage", "../suites/storage.toml"),
    ];
    lab::main(Plugins::default(), &suites)
}
