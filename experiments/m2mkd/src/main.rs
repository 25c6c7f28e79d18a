//! Does module-to-module distillation help a modular network? `cargo run --release -p m2mkd` answers it
//! on digits with wrong labels, `run m2mkd-clean` with right ones, `run m2mkd-omniglot` on handwritten
//! characters; see README.md. The algorithms are in the library; the suites say what is compared.

use lab::prelude::*;

fn main() -> ExitCode {
    let suite = lab::suite!("m2mkd", "../suite.toml");
    let clean = lab::suite!("m2mkd-clean", "../clean.toml");
    let omniglot = lab::suite!("m2mkd-omniglot", "../omniglot.toml");
    lab::main(Plugins::default(), &[suite, clean, omniglot])
}
