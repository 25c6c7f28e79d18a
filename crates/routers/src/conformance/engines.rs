//! The fast engines agree with the reference: output, gradient of the input and of every parameter.

use moe::Engine;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::subject::{LEVELS, Setup, Step, Subject, distance, step};

/// Checks a few shapes drawn at random, at every level.
pub(super) fn agree(subject: &Subject) -> Result<(), String> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for seed in 0..3 {
        let shape = [rng.random_range(1..4), rng.random_range(1..16)];
        for level in LEVELS {
            let run = |engine| {
                let setup = Setup { level, engine, shape, seed, ..Setup::PLAIN };
                Ok::<_, String>(step(subject, &subject.training_layer(setup)?, setup))
            };
            let slow = run(Engine::Reference)?;
            for engine in [Engine::Dropless, Engine::Padded] {
                same(&slow, &run(engine)?).map_err(|why| {
                    format!("{engine:?}, at level {level:?} with {shape:?} tokens: {why}")
                })?;
            }
        }
    }
    Ok(())
}

/// Compares two training passes.
pub(super) fn same(slow: &Step, fast: &Step) -> Result<(), String> {
    let near = |what: &str, a: &[f32], b: &[f32]| match distance(a, b) {
        gap if gap <= 1e-5 => Ok(()),
        gap => Err(format!("{what} differs between the engines by {gap}")),
    };
    near("the output", &slow.output, &fast.output)?;
    for (path, gradient) in &slow.gradients {
        let gradient = gradient.as_deref().unwrap_or_default();
        let other = fast.gradients.get(path).and_then(|gradient| gradient.as_deref());
        near(&format!("the gradient of {path}"), gradient, other.unwrap_or_default())?;
    }
    Ok(())
}
