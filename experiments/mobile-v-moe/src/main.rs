//! Tests whether small networks gain from routing whole images to experts of their super-class.
//! `cargo run --release -p mobile-v-moe`; see README.md.

use lab::prelude::*;

fn main() -> ExitCode {
    let suite = lab::suite!("mobile-v-moe", "../suite.toml");
    let sizes = lab::suite!("mobile-v-moe-sizes", "../sizes.toml");
    let cifar10 = lab::suite!("mobile-v-moe-cifar10", "../cifar10.toml");
    let sizes_cifar10 = lab::suite!("mobile-v-moe-sizes-cifar10", "../sizes-cifar10.toml");
    lab::main(Plugins::default(), &[suite, sizes, cifar10, sizes_cifar10])
}
