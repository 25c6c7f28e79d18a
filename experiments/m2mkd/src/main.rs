//! Tests module-to-module distillation on modular networks: `cargo run --release -p m2mkd`
//! on digits with wrong labels, `run m2mkd-clean` with right ones, `run m2mkd-omniglot` and
//! `run m2mkd-omniglot-clean` on handwritten characters, `run m2mkd-nac` and `run m2mkd-nac-omniglot` with a neural
//! attentive circuit as the student; see README.md. The algorithms are in the library; the suites say what is
//! compared.

use lab::prelude::*;

fn main() -> ExitCode {
    let suite = lab::suite!("m2mkd", "../suite.toml");
    let clean = lab::suite!("m2mkd-clean", "../clean.toml");
    let omniglot = lab::suite!("m2mkd-omniglot", "../omniglot.toml");
    let omniglot_clean = lab::suite!("m2mkd-omniglot-clean", "../omniglot-clean.toml");
    let nac = lab::suite!("m2mkd-nac", "../nac.toml");
    let nac_omniglot = lab::suite!("m2mkd-nac-omniglot", "../nac-omniglot.toml");
    let suites = [suite, clean, omniglot, omniglot_clean, nac, nac_omniglot];
    lab::main(Plugins::default(), &suites)
}
