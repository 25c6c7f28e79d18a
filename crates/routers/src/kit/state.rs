//! State that is changed by update rules: biases, thresholds, multipliers.

use burn::{module::RunningState, prelude::*};
use moe::Init;

/// A state with this value in every entry.
pub(crate) fn new<const D: usize>(
    init: &Init,
    name: &str,
    shape: [usize; D],
    value: f32,
) -> RunningState<Tensor<D>> {
    init.state(name, Tensor::full(shape, value, &init.device().clone().inner()))
}

/// The present value, without a gradient.
pub(crate) fn get<const D: usize>(state: &RunningState<Tensor<D>>) -> Tensor<D> {
    state.value_sync().detach()
}

/// Sets the state. In Burn an update becomes visible only with the next one, and a record taken in between
/// would lack it, so the update is applied at once.
pub(crate) fn set<const D: usize>(state: &RunningState<Tensor<D>>, value: Tensor<D>) {
    state.update(value.detach().inner());
    state.value_sync();
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::{Module, ModuleVisitor, Param};

    struct Seen(Vec<f32>);

    impl ModuleVisitor for Seen {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            assert!(!param.val().is_require_grad());
            self.0 = param.val().into_data().iter::<f32>().collect();
        }
    }

    #[test]
    fn a_record_sees_the_last_update() {
        for device in [Device::flex(), Device::flex().autodiff()] {
            let state = new(&Init::new(0, &device), "bias", [2], 0.0);
            set(&state, Tensor::<1>::ones([2], &device).require_grad_if(device.is_autodiff()));
            let mut seen = Seen(Vec::new());
            state.visit(&mut seen);
            assert_eq!(seen.0, [1.0, 1.0]);
        }
    }

    trait RequireGradIf {
        fn require_grad_if(self, yes: bool) -> Self;
    }

    impl RequireGradIf for Tensor<1> {
        fn require_grad_if(self, yes: bool) -> Self {
            if yes { self.require_grad() } else { self }
        }
    }
}
