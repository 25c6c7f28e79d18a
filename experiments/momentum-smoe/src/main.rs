//! Tests momentum from layer to layer in sparse networks: `cargo run --release -p momentum-smoe`
//! on text; `stability` measures how disturbances grow under each rule. See README.md. The rules
//! are in the library; the suites define the comparisons.

mod limit;
mod stability;

use lab::{VerbEntry, prelude::*};

fn main() -> ExitCode {
    let suite = lab::suite!("momentum-smoe", "../suite.toml");
    let shakespeare = lab::suite!("momentum-smoe-shakespeare", "../shakespeare.toml");
    let union = lab::suite!("momentum-smoe-union", "../union.toml");
    let vision = lab::suite!("momentum-smoe-vision", "../vision.toml");
    let photographs = lab::suite!("momentum-smoe-vision-cifar10", "../vision-cifar10.toml");
    let settings = lab::suite!("momentum-smoe-settings", "../settings.toml");
    let cost = lab::suite!("momentum-smoe-cost", "../cost.toml");
    let suites = [suite, shakespeare, union, vision, photographs, settings, cost];
    lab::main_with(Plugins::default(), &suites, &[VerbEntry::of::<stability::Stability>()])
}
