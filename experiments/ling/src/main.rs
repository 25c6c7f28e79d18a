//! Tests parts of Ling's recipe at a small scale: `cargo run --release -p ling`; see
//! README.md. The algorithms are in the library; the suites define the comparisons.

mod cost;
mod model_cost;
mod savings;
mod stragglers;

use lab::{VerbEntry, prelude::*};

fn main() -> ExitCode {
    let warm_up = lab::suite!("ling", "../suite.toml");
    let shakespeare = lab::suite!("ling-shakespeare", "../shakespeare.toml");
    let union = lab::suite!("ling-union", "../union.toml");
    let edit = lab::suite!("ling-edit", "../edit.toml");
    let scaling = lab::suite!("ling-scaling", "../scaling.toml");
    let suites = [warm_up, shakespeare, union, edit, scaling];
    let verbs = [
        VerbEntry::of::<cost::CostArgs>(),
        VerbEntry::of::<savings::Savings>(),
        VerbEntry::of::<stragglers::Stragglers>(),
    ];
    lab::main_with(Plugins::default(), &suites, &verbs)
}
