//! The shared expert: a network that processes every unit, besides the routed experts.
//!
//! Dai et al. *DeepSeekMoE*. ACL 2024. <https://arxiv.org/abs/2401.06066>, section 3.2.
//! With a gate: Qwen2-MoE, <https://arxiv.org/abs/2407.10671>.
//!
//! y = sum_{i in S} g_i E_i(x) + E_s(x)                 (9)
//! y = sum_{i in S} g_i E_i(x) + sigmoid(x w) E_s(x)    with a gate
//! y = (1 - a) sum_{i in S} g_i E_i(x) + a E_s(x)       with a `share` a
//!
//! LibMoE has a = 1/2 where trained networks get experts: if all experts are copies of one network, the
//! output is that of the network. <https://arxiv.org/abs/2411.00918>
//!
//! Several shared experts of equal width are equivalent to one of their total width.

use burn::{
    module::{Module, Param},
    prelude::*,
    tensor::activation::sigmoid,
};
use kernels::matmul;

use crate::{
    experts::{AnyExperts, ExpertKinds},
    plugin::{Choice, ConfigError, Init},
    routing::{Dims, Pass},
};

crate::config! {
    /// The shared expert.
    pub struct SharedConfig {
        /// The kind of the expert.
        pub expert: Choice = Choice::of("ffn"),
        /// Whether its output is weighted by a learned gate.
        pub gate: bool = false,
        /// Its share of the output, where the routed experts have the rest; if left out, its output is
        /// added.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub share: Option<f64> = None,
    }
}

impl SharedConfig {
    /// The config in which the defaults of the expert are written out.
    pub(crate) fn complete(&self, kinds: &ExpertKinds) -> Result<Self, ConfigError> {
        Ok(Self { expert: kinds.complete(&self.expert)?, ..self.clone() })
    }

    /// Checks that the expert fits the sizes of the layer.
    pub(crate) fn check(&self, kinds: &ExpertKinds, dims: Dims) -> Result<(), ConfigError> {
        if let Some(share) = self.share.filter(|share| !(0.0..=1.0).contains(share)) {
            let message = format!("share = {share}: must be from 0 to 1");
            return Err(ConfigError::Layer { table: "moe.shared", message });
        }
        (kinds.get(&self.expert.kind)?.build.check)(&self.expert, Dims { n_experts: 1, ..dims })
    }
}

/// A network that processes every unit.
#[derive(Module, Debug)]
pub struct Shared {
    /// A stack of one expert.
    expert: AnyExperts,
    /// `[D, 1]`.
    gate: Option<Param<Tensor<2>>>,
    share: Option<f64>,
}

impl Shared {
    pub(crate) fn new(
        config: &SharedConfig,
        kinds: &ExpertKinds,
        dims: Dims,
        init: &Init,
    ) -> Result<Self, ConfigError> {
        let build = kinds.get(&config.expert.kind)?.build.init;
        let bound = 1.0 / (dims.width as f64).sqrt();
        Ok(Self {
            expert: build(&config.expert, Dims { n_experts: 1, ..dims }, &init.at("expert"))?,
            gate: config.gate.then(|| init.uniform("gate", [dims.width, 1], bound)),
            share: config.share,
        })
    }

    /// `[G, U, P] -> [G, U, P]`; each payload is an integer number of rows of width `row`.
    pub(crate) fn forward(&self, pass: &mut Pass, payload: Tensor<3>, row: usize) -> Tensor<3> {
        let shape = payload.dims();
        let rows = payload.reshape([-1, row as i64]);
        let output = self.expert.forward(pass, rows.clone().unsqueeze::<3>()).squeeze_dim::<2>(0);
        match &self.gate {
            Some(gate) => output * sigmoid(matmul(rows, gate.val())),
            None => output,
        }
        .reshape(shape)
    }

    /// Combines the outputs of the routed experts and of this one, both `[G, U, P]`.
    pub(crate) fn join(&self, chosen: Tensor<3>, shared: Tensor<3>) -> Tensor<3> {
        match self.share {
            Some(share) => chosen * (1.0 - share) + shared * share,
            None => chosen + shared, // (9)
        }
    }

    /// Floating-point operations on one row.
    pub(crate) fn flops_per_row(&self) -> f64 {
        let gate = self.gate.as_ref().map_or(0, |gate| gate.lazy_shape().num_elements());
        self.expert.flops_per_row() + 2.0 * gate as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{experts::Experts, layer::Library, plugin::NoConfig};

    /// Experts that multiply by three.
    #[derive(Module, Debug)]
    struct Triple;

    impl Experts for Triple {
        type Config = NoConfig;
        const NAME: &'static str = "triple";
        const ABOUT: &'static str = "";

        fn init(_config: &NoConfig, _dims: Dims, _init: &Init) -> Self {
            Triple
        }

        fn forward(&self, _pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
            slots * 3.0
        }

        fn flops_per_row(&self) -> f64 {
            2.0
        }
    }

    fn shared(gate: bool) -> Shared {
        let kinds = Library::default().experts.with::<Triple>();
        let config = SharedConfig { expert: Choice::of("triple"), gate, share: None };
        let dims = Dims { width: 2, n_experts: 8, units: 2 };
        Shared::new(&config, &kinds, dims, &Init::new(0, &Device::flex())).unwrap()
    }

    #[test]
    fn every_unit_visits_it() {
        // Two payloads of two rows each.
        let payload = Tensor::<3>::from_floats([[[1.0, 2.0, 3.0, 4.0], [5.0; 4]]], &Device::flex());
        let y = shared(false).forward(&mut Pass::eval(), payload, 2).into_data();
        assert_eq!(y.try_to_vec::<f32>().unwrap(), [3.0, 6.0, 9.0, 12.0, 15.0, 15.0, 15.0, 15.0]);
        assert_eq!(shared(false).flops_per_row(), 2.0);
    }

    #[test]
    fn with_a_share_both_parts_sum_to_one() {
        let of = |share| {
            let part = |x: f32| Tensor::<3>::full([1, 1, 2], x, &Device::flex());
            let y = Shared { share, ..shared(false) }.join(part(8.0), part(4.0)).into_data();
            y.try_to_vec::<f32>().unwrap()
        };
        assert_eq!((of(None), of(Some(0.25))), (vec![12.0; 2], vec![7.0; 2]));
        let kinds = Library::default().experts.with::<Triple>();
        let config = SharedConfig { expert: Choice::of("triple"), gate: false, share: Some(1.5) };
        let err = config.check(&kinds, Dims { width: 2, n_experts: 8, units: 2 }).unwrap_err();
        assert!(err.to_string().contains("share = 1.5"), "{err}");
    }

    #[test]
    fn a_gate_weighs_it_row_by_row() {
        let (device, mut shared) = (Device::flex(), shared(true));
        let gate = Tensor::<2>::from_floats([[3_f32.ln()], [0.0]], &device);
        shared.gate = Some(Param::from_tensor(gate));
        let payload = Tensor::<3>::from_floats([[[1.0, 4.0], [0.0, 4.0]]], &device);
        let y = shared.forward(&mut Pass::eval(), payload, 2).into_data();
        // Gates 3/4 and 1/2.
        let found = y.try_to_vec::<f32>().unwrap();
        let expected = [2.25, 9.0, 0.0, 6.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        assert_eq!(shared.flops_per_row(), 6.0);
    }
}
