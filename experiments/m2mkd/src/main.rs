//! Tests module-to-module distillation on modular networks: `cargo run --release -p m2mkd`
//! on digits with wrong labels, `run m2mkd-clean` with right ones, `run m2mkd-omniglot` on handwritten
//! characters, `run m2mkd-nac` with a neural attentive circuit as the student; see README.md. The algorithms are in the library; the suites say what is compared.

use lab::prelude::*;

fn main() -> ExitCode {
    let suite = lab::suite!("m2mkd", "../suite.toml");
    let clean = lab::suite!("m2mkd-clean", "../clean.toml");
    let omniglot = lab::suite!("m2mkd-omniglot", "../omniglot.toml");
    let nac = lab::suite!("m2mkd-nac", "../nac.toml");
    lab::main(Plugins::default(), &[suite, clean, omniglot, nac])
}
