//! Tests whether small networks gain by sending whole images to experts of their super-class.
//! `cargo run --release -p mobile-v-moe`; see README.md.

use lab::prelude::*;

fn main() -> ExitCode {
    let suite = lab::suite!("mobile-v-moe", "../suite.toml");
    let sizes = lab::suite!("mobile-v-moe-sizes", "../sizes.toml");
    lab::main(Plugins::default(), &[suite, sizes])
}
