//! The gradient of the task's loss reaches every parameter. A tensor with an update rule is a state, not a
//! parameter; a parameter with gradients from auxiliary losses only learns nothing about the task.

use burn::module::Module;
use moe::parameters;

use super::subject::{Objective, Setup, Subject, step_on};

/// The largest rounding error of a gradient that is zero, that of a quotient x / x for example.
const ROUNDING: f32 = 1e-6;

/// Checks that in one training pass, without the losses of the pass, every parameter has a gradient that
/// is finite and, apart from rounding, not zero everywhere. A single choice is checked too, unless the
/// router refuses it.
pub(super) fn reach_every_parameter(subject: &Subject) -> Result<(), String> {
    reach(subject)?;
    let Some(k) = subject.number_of_choices() else { return Ok(()) };
    let single = subject.with(subject.router.clone().with(k, 1));
    match single.layer(Setup::PLAIN) {
        Ok(_) => reach(&single).map_err(|why| format!("with {k} = 1, {why}")),
        Err(_) => Ok(()), // refused
    }
}

fn reach(subject: &Subject) -> Result<(), String> {
    let layer = subject.training_layer(Setup::PLAIN)?;
    let (pass, x) = subject.input(Setup::PLAIN, true);
    for (path, gradient) in step_on(subject, &layer, pass, x, Objective::Task).gradients {
        let wrong = match gradient {
            None => "the output does not depend on it",
            Some(gradient) if gradient.iter().any(|g| !g.is_finite()) => "it is not finite",
            Some(gradient) if gradient.iter().all(|g| g.abs() <= ROUNDING) => {
                "it is zero everywhere"
            }
            Some(_) => continue,
        };
        return Err(format!("the gradient of the task's loss does not reach {path}: {wrong}"));
    }
    Ok(())
}

/// The paths of the parameters that gradients train.
pub(crate) fn trained(module: &impl Module) -> Vec<String> {
    let trained = parameters(module).into_iter().filter(|known| known.trained);
    trained.map(|known| known.path).collect()
}
