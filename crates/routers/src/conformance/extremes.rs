//! Extreme inputs give finite outputs and gradients: zeros, huge and tiny numbers, and identical units.

use burn::prelude::*;
use moe::SkipTopExperts;

use super::subject::{Objective, Setup, Subject, step_on, values};

/// Checks training and evaluation.
pub(super) fn stay_finite(subject: &Subject) -> Result<(), String> {
    let (_, x) = subject.input(Setup::PLAIN, false);
    let one = x.clone().narrow(1, 0, 1).expand(x.dims());
    for (what, x) in [
        ("zeros", x.zeros_like()),
        ("tiny", x.clone() * 1e-20),
        ("huge", x.clone() * 1e4),
        ("enormous", x * 1e15),
        ("all the same", one),
    ] {
        finite(subject, x).map_err(|why| format!("inputs that are {what}: {why}"))?;
    }
    Ok(())
}

fn finite(subject: &Subject, x: Tensor<3>) -> Result<(), String> {
    for ranks in [0, 1, 2] {
        let (mut pass, _) = subject.input(Setup::PLAIN, false);
        pass.put(SkipTopExperts { ranks, obeyed: false });
        let y = values(subject.layer(Setup::PLAIN)?.forward(&mut pass, x.clone()));
        if y.iter().any(|y| !y.is_finite()) {
            return Err(format!("the output in evaluation without {ranks} experts is not finite"));
        }
    }
    let (pass, _) = subject.input(Setup::PLAIN, true);
    let step = step_on(subject, &subject.training_layer(Setup::PLAIN)?, pass, x, Objective::Total);
    if step.output.iter().any(|y| !y.is_finite()) {
        return Err("the output in training is not finite".into());
    }
    for (path, gradient) in step.gradients {
        if gradient.iter().flatten().any(|g| !g.is_finite()) {
            return Err(format!("the gradient of {path} is not finite"));
        }
    }
    Ok(())
}
