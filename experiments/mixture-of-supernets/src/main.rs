//! Compares supernets whose weights are mixed depending on the architecture with networks trained alone.
//! `cargo run --release -p mixture-of-supernets`; see README.md. The algorithms are in the
//! library; the suites define the comparisons.

use lab::prelude::*;

fn main() -> ExitCode {
    let language = lab::suite!("mixture-of-supernets", "../suite.toml");
    let masked = lab::suite!("mixture-of-supernets-masked", "../masked.toml");
    let translation = lab::suite!("mixture-of-supernets-translation", "../translation.toml");
    let bottleneck = lab::suite!("mixture-of-supernets-bottleneck", "../bottleneck.toml");
    let multi30k = lab::suite!("mixture-of-supernets-multi30k", "../multi30k.toml");
    let suites = [language, masked, translation, bottleneck, multi30k];
    lab::main(Plugins::default(), &suites)
}
