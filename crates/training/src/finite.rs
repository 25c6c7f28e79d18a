//! Checks for NaN and infinite numbers: a run with such a number fails, with the name of the number and the
//! step.

use backbones::AnyBackbone;
use moe::{LayerReport, numbers_of};
use tasks::Split;

use crate::{Evaluation, TrainError};

/// Fails with the first parameter or state of the network that is not finite.
pub(crate) fn check_parameters(model: &AnyBackbone, step: usize) -> Result<(), TrainError> {
    for (parameter, data) in numbers_of(model, |_| true) {
        let bad: Vec<f32> = data.iter::<f32>().filter(|x| !x.is_finite()).collect();
        if let [value, ..] = bad[..] {
            let (path, of) = (parameter.path, data.num_elements());
            let what = format!("a number of parameter {path} ({} of {of})", bad.len());
            return Err(TrainError::Diverged { step, what, value });
        }
    }
    Ok(())
}

/// Fails with the first measure of an evaluation that is not finite, or the first MoE layer whose routing
/// weights are not finite.
pub(crate) fn check_evaluation(
    found: &Evaluation,
    split: Split,
    step: usize,
) -> Result<(), TrainError> {
    let split = split.name();
    let layers = found.layers.iter().map(|layer| {
        let name = format!("the sum of the routing weights of MoE layer {}", layer.layer);
        (name, weights(layer))
    });
    match found.numbers().into_iter().chain(layers).find(|(_, value)| !value.is_finite()) {
        Some((name, value)) => {
            let what = format!("{name} on the {split} split");
            Err(TrainError::Diverged { step, what, value: value as f32 })
        }
        None => Ok(()),
    }
}

fn weights(layer: &LayerReport) -> f64 {
    layer.weight.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layer_whose_routing_weights_are_no_numbers_is_named() {
        let layer = |layer, weight: f64| LayerReport {
            layer,
            units: 4,
            load: vec![2.0, 2.0],
            weight: vec![1.0, weight],
            ..LayerReport::default()
        };
        let found = |weight| Evaluation {
            writing: None,
            metrics: vec![("loss", 0.5)],
            layer_metrics: Vec::new(),
            layers: vec![layer(0, 1.0), layer(1, weight)],
            examples: Vec::new(),
            flops_per_token: 1.0,
            params: 1.0,
            active_params: 1.0,
        };
        assert!(check_evaluation(&found(1.0), Split::Valid, 3).is_ok());
        let err = check_evaluation(&found(f64::NAN), Split::Valid, 3).unwrap_err().to_string();
        let expected = "the sum of the routing weights of MoE layer 1 on the valid split is NaN at \
                        step 3";
        assert_eq!(err, expected);
    }
}
