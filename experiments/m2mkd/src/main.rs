//! Tests module-to-module distillation on modular networks: `cargo run --release -p m2mkd`
//! on digits with wrong labels, `run m2mkd-nac` with a neural attentive circuit as the student, and
//! `run m2mkd-cifar10` and `run m2mkd-nac-cifar10` on CIFAR-10, for the claims of the paper; see README.md. The
//! algorithms are in the library; the suites define the comparisons.

use lab::prelude::*;

fn main() -> ExitCode {
    let suite = lab::suite!("m2mkd", "../suite.toml");
    let nac = lab::suite!("m2mkd-nac", "../nac.toml");
    let cifar10 = lab::suite!("m2mkd-cifar10", "../cifar10.toml");
    let nac_cifar10 = lab::suite!("m2mkd-nac-cifar10", "../nac-cifar10.toml");
    lab::main(Plugins::default(), &[suite, nac, cifar10, nac_cifar10])
}
