//! Extreme sizes: one expert, as many choices as experts, no unit at all. A router refuses sizes that it
//! does not support, with a reason.

use burn::prelude::*;
use moe::{Choice, Engine, Pass};

use super::subject::{EXPERTS, Objective, Setup, Subject, WIDTH, step_on, values};

/// Checks each extreme, in training and in evaluation.
pub(super) fn at_the_edge(subject: &Subject) -> Result<(), String> {
    one(subject, "one expert", subject.router.clone(), Setup { experts: 1, ..Setup::PLAIN })?;
    if let Some(k) = subject.number_of_choices() {
        // With one expert there is only one choice.
        let single = subject.router.clone().with(k, 1);
        one(subject, "one expert and one choice", single, Setup { experts: 1, ..Setup::PLAIN })?;
        let all = subject.router.clone().with(k, EXPERTS);
        one(subject, "as many choices as experts", all, Setup::PLAIN)?;
    }
    no_unit(subject)
}

fn one(subject: &Subject, what: &str, router: Choice, setup: Setup) -> Result<(), String> {
    let subject = subject.with(router);
    let Ok(layer) = subject.layer(setup) else { return Ok(()) }; // refused
    let (mut pass, x) = subject.input(setup, false);
    let evaluated = values(layer.forward(&mut pass, x.clone()));
    let (pass, _) = subject.input(setup, true);
    let step = step_on(&subject, &subject.training_layer(setup)?, pass, x, Objective::Total);
    let gradients = step.gradients.values().flatten().flatten();
    let mut all = evaluated.iter().chain(&step.output).chain(gradients);
    match all.find(|value| !value.is_finite()) {
        Some(value) => Err(format!("with {what}, outputs or gradients contain {value}")),
        None => Ok(()),
    }
}

/// Checks that the output for a batch without sequences, or of sequences without tokens, has the shape of
/// the input.
fn no_unit(subject: &Subject) -> Result<(), String> {
    for engine in [Engine::Reference, Engine::Dropless, Engine::Padded] {
        for shape in [[0, 10], [3, 0]] {
            let setup = Setup { engine, ..Setup::PLAIN };
            let x = Tensor::<3>::zeros([shape[0], shape[1], WIDTH], &Device::flex());
            let y = subject
                .layer(setup)?
                .forward(&mut subject.with_facts(Pass::eval(), shape), x.clone());
            if y.dims() != x.dims() {
                return Err(format!(
                    "the input has the shape {:?}, but the output {:?}",
                    x.dims(),
                    y.dims()
                ));
            }
        }
    }
    Ok(())
}
