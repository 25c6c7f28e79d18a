//! Compares the same layer on two devices: outputs and gradients, by the engine that each device selects.

use moe::Engine;

use super::subject::{LEVELS, Setup, Step, Subject, step, values};

/// The least magnitude that gaps are relative to: smaller numbers are rounding errors.
const SMALL: f32 = 1e-2;

/// The largest gap, with its location, for every level, with and without a capacity.
pub(super) fn gaps(on: [Subject; 2]) -> Result<Vec<(f32, String)>, String> {
    let mut gaps = Vec::new();
    for level in LEVELS {
        for (seed, capacity) in [(0, None), (1, Some(1.0))] {
            let setup = Setup { level, seed, capacity, engine: Engine::Auto, ..Setup::PLAIN };
            let (a, b) = (both(&on[0], setup)?, both(&on[1], setup)?);
            let (gap, path) = of_steps(&a, &b)?;
            gaps.push((gap, format!("{path}, level {level:?}, capacity {capacity:?}")));
        }
    }
    Ok(gaps)
}

/// A training step, and the output of an evaluation after it, which is stored as "evaluation" among the
/// gradients.
fn both(subject: &Subject, setup: Setup) -> Result<Step, String> {
    let mut step = step(subject, &subject.training_layer(setup)?, setup);
    let (mut pass, x) = subject.input(setup, false);
    let y = values(subject.layer(setup)?.forward(&mut pass, x));
    step.gradients.insert("evaluation".into(), Some(y));
    Ok(step)
}

/// The largest gap between two steps, and the name of the tensor that has it.
pub(super) fn of_steps(a: &Step, b: &Step) -> Result<(f32, String), String> {
    let mut worst = (relative(&a.output, &b.output), "output".to_string());
    for (path, gradient) in &a.gradients {
        let gap = match (gradient, b.gradients.get(path).unwrap_or(&None)) {
            (Some(a), Some(b)) => relative(a, b),
            (None, None) => 0.0,
            _ => return Err(format!("{path} has a gradient on only one of the devices")),
        };
        if gap > worst.0 {
            worst = (gap, path.clone());
        }
    }
    Ok(worst)
}

/// The largest difference over the largest number; infinite if any number is not finite.
fn relative(a: &[f32], b: &[f32]) -> f32 {
    let largest = a.iter().chain(b).fold(SMALL, |most, x| most.max(x.abs()));
    let one =
        |(a, b): (&f32, &f32)| if (a - b).is_finite() { (a - b).abs() } else { f32::INFINITY };
    let same = a.len() == b.len();
    if same { a.iter().zip(b).map(one).fold(0.0, f32::max) / largest } else { f32::INFINITY }
}
