//! Conversion of a network to numbers, layer by layer, and back.

use std::collections::BTreeMap;

use burn::prelude::*;
use moe::{numbers_of, with_parameters};

/// The parameters that are synchronised together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SyncedLayer {
    /// The name of the layer: `blocks.0`, `embedding`.
    pub(crate) name: String,
    /// Whether the numbers are trained by gradients; if not, a rule updates them.
    pub(crate) trained: bool,
    /// Path, shape and number of elements of each parameter.
    parameters: Vec<(String, Vec<usize>, usize)>,
    /// The numbers of all parameters, concatenated.
    pub(crate) numbers: Vec<f64>,
}

/// The layers of a network on an autodiff device. Trained parameters and states that a rule updates are two
/// entries of the same name. Pending updates of running states must be applied before.
pub(crate) fn layers<M: Module>(model: &M) -> Vec<SyncedLayer> {
    let mut layers: Vec<SyncedLayer> = Vec::new();
    for (parameter, data) in numbers_of(model, |_| true) {
        let (name, trained) = (layer_of(&parameter.path), parameter.trained);
        let known = layers.iter().position(|l| l.name == name && l.trained == trained);
        let at = known.unwrap_or_else(|| {
            layers.push(SyncedLayer { name, trained, parameters: vec![], numbers: vec![] });
            layers.len() - 1
        });
        layers[at].parameters.push((parameter.path, parameter.shape, data.num_elements()));
        layers[at].numbers.extend(data.iter::<f32>().map(f64::from));
    }
    layers
}

/// The network with the numbers of these layers.
///
/// # Panics
/// If the layers belong to another network.
pub(crate) fn with_layers<M: Module>(model: M, layers: &[SyncedLayer]) -> M {
    let mut numbers = BTreeMap::new();
    for layer in layers {
        let mut from = 0;
        for (path, shape, count) in &layer.parameters {
            let values = &layer.numbers[from..from + count];
            let values: Vec<f32> = values.iter().map(|x| *x as f32).collect();
            numbers.insert(path.clone(), TensorData::new(values, shape.clone()));
            from += count;
        }
    }
    with_parameters(model, numbers).expect("the layers must be those of the network")
}

/// The name of the layer of a parameter: its path up to the first number, or the first component of the path.
fn layer_of(path: &str) -> String {
    let words: Vec<&str> = path.split('.').collect();
    let number = words.iter().position(|word| word.parse::<usize>().is_ok());
    words[..=number.unwrap_or(0)].join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learner::replica;
    use burn::{module::RunningState, nn::Linear};
    use moe::Init;

    #[derive(Module, Debug)]
    struct Block {
        gate: Linear,
        bias: RunningState<Tensor<1>>,
    }

    #[derive(Module, Debug)]
    struct Network {
        blocks: Vec<Block>,
        head: Linear,
    }

    fn network() -> Network {
        let init = Init::new(0, &Device::flex().autodiff());
        let block = |n: usize| Block {
            gate: init.at(n).linear("gate", 2, 3, true),
            bias: init.at(n).state("bias", Tensor::ones([3], &Device::flex())),
        };
        Network { blocks: vec![block(0), block(1)], head: init.linear("head", 3, 1, false) }
    }

    #[test]
    fn a_block_is_a_layer_and_its_states_are_apart() {
        let layers = layers(&network());
        let found: Vec<_> =
            layers.iter().map(|l| (l.name.as_str(), l.trained, l.numbers.len())).collect();
        let expected = [
            ("blocks.0", true, 9),
            ("blocks.0", false, 3),
            ("blocks.1", true, 9),
            ("blocks.1", false, 3),
            ("head", true, 3),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn numbers_go_back_where_they_were_and_stay_trained() {
        let mut changed = layers(&network());
        changed.iter_mut().flat_map(|layer| &mut layer.numbers).for_each(|x| *x += 1.0);
        assert_eq!(layers(&with_layers(network(), &changed)), {
            changed.iter_mut().flat_map(|l| &mut l.numbers).for_each(|x| *x = f64::from(*x as f32));
            changed
        });
    }

    #[test]
    fn a_replica_has_states_of_its_own() {
        let first = network();
        let (clone, second) = (first.clone(), replica(&first));
        let zero = Tensor::zeros([3], &Device::flex());
        first.blocks[0].bias.update(zero);
        let sum = |network: &Network| network.blocks[0].bias.value_sync().sum();
        assert_eq!(sum(&clone).into_scalar::<f32>(), 0.0);
        assert_eq!(sum(&second).into_scalar::<f32>(), 3.0);
        assert_eq!(layers(&second)[0], layers(&first)[0]);
    }
}
