//! The gradient reaches every parameter. What an update rule moves is a state, not a parameter.

use burn::module::Module;
use moe::parameters;

use super::subject::{Setup, Subject, step};

/// In one training pass, with the losses of the pass added, every parameter has a gradient that is
/// finite and not zero everywhere.
pub(super) fn reach_every_parameter(subject: &Subject) -> Result<(), String> {
    let layer = subject.training_layer(Setup::PLAIN)?;
    for (path, gradient) in step(subject, &layer, Setup::PLAIN).gradients {
        match gradient {
            None => return Err(format!("{path} has no gradient: nothing depends on it")),
            Some(gradient) if gradient.iter().any(|g| !g.is_finite()) => {
                return Err(format!("the gradient of {path} is not finite"));
            }
            Some(gradient) if gradient.iter().all(|g| *g == 0.0) => {
                return Err(format!("the gradient of {path} is zero everywhere"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The paths of the parameters that gradients train.
pub(crate) fn trained(module: &impl Module) -> Vec<String> {
    let trained = parameters(module).into_iter().filter(|known| known.trained);
    trained.map(|known| known.path).collect()
}
