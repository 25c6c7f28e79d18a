//! Saving and restoring of states that a pass changes without a gradient.

use std::collections::BTreeMap;

use burn::prelude::*;
use moe::numbers_of;

/// The numbers without gradients, by path: states that a rule updates, and frozen parameters.
pub(crate) fn states<M: Module>(model: &M) -> BTreeMap<String, TensorData> {
    let still = numbers_of(model, |parameter| !parameter.trained);
    still.into_iter().map(|(parameter, data)| (parameter.path, data)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::{module::RunningState, nn::Linear};
    use moe::{Init, with_parameters};

    #[derive(Module, Debug)]
    struct Gate {
        linear: Linear,
        bias: RunningState<Tensor<1>>,
    }

    #[test]
    fn a_state_is_put_back_and_weights_are_left_alone() {
        let init = Init::new(0, &Device::flex().autodiff());
        let state = Tensor::ones([2], &Device::flex());
        let gate = Gate { linear: init.linear("l", 2, 2, true), bias: init.state("bias", state) };
        let before = states(&gate);
        assert_eq!(before.keys().collect::<Vec<_>>(), ["bias"]);
        gate.bias.update(Tensor::zeros([2], &Device::flex()));
        assert_eq!(gate.bias.value_sync().sum().into_scalar::<f32>(), 0.0);
        let weight = gate.linear.weight.val().into_data();
        let gate = with_parameters(gate, before).unwrap();
        assert_eq!(gate.bias.value_sync().sum().into_scalar::<f32>(), 2.0);
        assert_eq!(gate.linear.weight.val().into_data(), weight);
        assert!(gate.linear.weight.val().is_require_grad());
    }
}
