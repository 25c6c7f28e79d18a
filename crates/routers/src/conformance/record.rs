//! The outputs of a router follow from its record: evaluation is deterministic and changes no state, and a
//! saved layer can be loaded into a fresh one.

use burn::{module::Module, store::ModuleRecord};
use moe::MoeLayer;

use super::subject::{LEVELS, Setup, Subject, distance, values};

/// Checks that a layer evaluated twice, and again without autodiff, gives the same output and does not
/// change, and that training passes of one seed in two layers of one seed give the same output.
pub(super) fn deterministic(subject: &Subject) -> Result<(), String> {
    for level in LEVELS {
        let setup = Setup { level, ..Setup::PLAIN };
        let layer = subject.training_layer(setup)?;
        let before = bytes(&layer)?;
        let first = evaluate(subject, &layer.valid(), setup);
        if evaluate(subject, &layer.valid(), setup) != first {
            return Err(format!(
                "at level {level:?} the second evaluation differs; noise must be limited to training, \
                 and all random numbers must come from pass.rng()"
            ));
        }
        if distance(&evaluate(subject, &layer, setup), &first) > 1e-6 {
            return Err(format!("at level {level:?} valid() changes the output"));
        }
        if bytes(&layer)? != before {
            return Err("evaluation changes the layer's state".into());
        }
        let train = || {
            let (mut pass, x) = subject.input(setup, true);
            Ok::<_, String>(values(subject.layer(setup)?.forward(&mut pass, x)))
        };
        if train()? != train()? {
            return Err(format!(
                "at level {level:?} two training passes with the same seed differ; all random numbers \
                 must come from pass.rng() or from Init"
            ));
        }
    }
    Ok(())
}

/// Checks a layer that has trained for one pass, saved and loaded into a layer of another seed.
pub(super) fn round_trip(subject: &Subject) -> Result<(), String> {
    let layer = subject.training_layer(Setup::PLAIN)?;
    let (mut pass, x) = subject.input(Setup::PLAIN, true);
    layer.forward(&mut pass, x);
    let saved = ModuleRecord::from_bytes(layer.clone().into_record().into_bytes().map_err(show)?)
        .map_err(show)?;
    let fresh = subject.training_layer(Setup { seed: 1, ..Setup::PLAIN })?;
    let loaded = fresh.try_load_record(saved).map_err(show)?;
    let evaluate = |layer: &MoeLayer| evaluate(subject, &layer.valid(), Setup::PLAIN);
    if evaluate(&loaded) != evaluate(&layer) {
        return Err("a saved layer that is loaded into one of another seed gives another output; everything \
                    that depends on the seed or changes in training must be a Param or a state"
            .into());
    }
    Ok(())
}

fn evaluate(subject: &Subject, layer: &MoeLayer, setup: Setup) -> Vec<f32> {
    let (mut pass, x) = subject.input(setup, false);
    values(layer.forward(&mut pass, x))
}

fn bytes(layer: &MoeLayer) -> Result<Vec<u8>, String> {
    Ok(layer.clone().into_record().into_bytes().map_err(show)?.to_vec())
}

fn show(err: impl std::fmt::Debug) -> String {
    format!("{err:?}")
}
