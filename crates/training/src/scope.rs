//! The parts of a network that a run trains. All other parts stay bitwise unchanged: they get no gradient, no
//! decay and no state of the optimizer, and states that a rule updates (a bias, a mean) are restored after
//! each step.

use std::collections::{BTreeMap, BTreeSet};

use burn::{
    module::{Module, Param},
    prelude::*,
};
use moe::{PathMapper, map_paths, numbers_of, with_parameters};

/// The constant states outside of the trained parts, by path.
#[derive(Clone, Default)]
pub(crate) struct Still(BTreeMap<String, TensorData>);

impl Still {
    /// The network with these states.
    pub(crate) fn put_back<M: Module>(&self, network: M) -> M {
        match self.0.is_empty() {
            true => network,
            // The paths come from the network itself.
            false => with_parameters(network, self.0.clone()).unwrap_or_else(|why| panic!("{why}")),
        }
    }
}

/// The network in which only the parameters within these parts are trained, for example `router` or
/// `experts`, at any depth; all parameters if no part is named.
///
/// # Errors
/// If a part has no trained parameters; lists the names of the parts that have some.
pub(crate) fn only<M: Module>(network: M, parts: &[String]) -> Result<(M, Still), String> {
    if parts.is_empty() {
        return Ok((network, Still::default()));
    }
    let outside = |path: &str| !path.split('.').any(|name| parts.iter().any(|part| part == name));
    let states = numbers_of(&network, |known| !known.trained && outside(&known.path));
    let states = states.into_iter().map(|(known, data)| (known.path, data)).collect();
    let mut freeze = Freeze { parts, known: BTreeSet::new() };
    let network = map_paths(network, &mut freeze);
    match parts.iter().find(|part| !freeze.known.contains(*part)) {
        Some(part) => Err(format!(
            "train.only: {part:?} has no trained parameters; parts with trained parameters: {}",
            freeze.known.into_iter().collect::<Vec<_>>().join(", ")
        )),
        None => Ok((network, Still(states))),
    }
}

struct Freeze<'a> {
    parts: &'a [String],
    /// All names in the paths of trained parameters.
    known: BTreeSet<String>,
}

impl PathMapper for Freeze<'_> {
    fn map<const D: usize>(
        &mut self,
        path: &[String],
        param: Param<Tensor<D>>,
    ) -> Param<Tensor<D>> {
        if !param.val().is_require_grad() {
            return param;
        }
        let is_name = |name: &&String| name.parse::<usize>().is_err();
        self.known.extend(path.iter().filter(is_name).cloned());
        match path.iter().any(|name| self.parts.contains(name)) {
            true => param,
            false => param.set_require_grad(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TrainConfig, optimizer};
    use burn::{module::RunningState, nn::Linear, optim::GradientsParams};
    use moe::{Init, parameters};

    #[derive(Module, Debug)]
    struct Network {
        router: Linear,
        experts: Linear,
        mean: RunningState<Tensor<1>>,
    }

    fn network() -> Network {
        let init = Init::new(0, &Device::flex().autodiff());
        Network {
            router: init.linear("router", 2, 3, true),
            experts: init.linear("experts", 3, 40, true),
            mean: init.state("mean", Tensor::ones([2], &Device::flex())),
        }
    }

    fn numbers(network: &Network) -> BTreeMap<String, Vec<u32>> {
        let bits = |data: TensorData| data.iter::<f32>().map(f32::to_bits).collect();
        let all = numbers_of(network, |_| true).into_iter();
        all.map(|(known, data)| (known.path, bits(data))).collect()
    }

    /// Three steps of AdamW with decay; also returns the number of bytes of the optimizer's state.
    fn trained(mut network: Network, still: &Still) -> (Network, usize) {
        let config = TrainConfig { weight_decay: 0.5, ..TrainConfig::default() };
        let mut optimizer = optimizer(&config, &network);
        for _ in 0..3 {
            let x = Tensor::<2>::ones([4, 2], &Device::flex().autodiff());
            network.mean.update(Tensor::zeros([2], &Device::flex()));
            network.mean.value_sync();
            let loss = network.experts.forward(network.router.forward(x)).square().sum();
            let grads = GradientsParams::from_grads(loss.backward(), &network);
            network = still.put_back(optimizer.step(0.1, network, grads));
        }
        let bytes = optimizer.into_bytes().expect("it is written").len();
        (network, bytes)
    }

    #[test]
    fn other_parts_keep_every_bit_and_have_no_state() {
        let before = numbers(&network());
        let (all, whole) = trained(network(), &Still::default());
        let after = numbers(&all);
        assert!(before.iter().all(|(path, bits)| after[path] != *bits), "all of it is trained");
        let (router, still) = only(network(), &["router".to_string()]).unwrap();
        let (router, bytes) = trained(router, &still);
        let after = numbers(&router);
        for (path, bits) in &before {
            assert_eq!(after[path] != *bits, path.starts_with("router."), "{path}");
        }
        // Two moments of the experts' 3 * 40 + 40 numbers are missing.
        assert!(whole - bytes >= 2 * 4 * 160, "{bytes} of {whole} bytes");
        let trained: Vec<_> =
            parameters(&router).into_iter().filter(|known| known.trained).collect();
        assert_eq!(trained.len(), 2);
    }

    #[test]
    fn a_part_that_is_not_there_is_named() {
        let err = only(network(), &["gate".to_string()]).err().unwrap();
        assert!(err.contains("\"gate\" has no trained parameters"), "{err}");
        assert!(err.ends_with("bias, experts, router, weight"), "{err}");
        assert!(only(network(), &["mean".to_string()]).is_err(), "a state is not trained");
    }
}
