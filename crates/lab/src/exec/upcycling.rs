//! Networks whose experts are copies of the dense networks of the run from which they start.

use anyhow::{anyhow, ensure};
use backbones::AnyBackbone;
use burn::module::Module;
use moe::{Init, Pass, RoutingProbe};
use pruning::{UpcycleConfig, divided, factor, upcycle};
use tasks::{Split, same_answers};

use super::model_builder::ModelBuilder;
use crate::spec::RunSpec;

/// Outputs are equal if they differ by no more than this share of the largest output, which rounding in many
/// layers can cause.
const EQUAL: f32 = 1e-3;

impl ModelBuilder<'_> {
    /// The network `fresh` with the weights of `dense`, and with experts made from its feed-forward networks.
    /// Outputs are compared on the task without groups and folds, since only the inputs matter.
    pub(super) fn upcycled(
        &self,
        spec: &RunSpec,
        config: &UpcycleConfig,
        dense: &AnyBackbone,
        fresh: AnyBackbone,
    ) -> anyhow::Result<AnyBackbone> {
        let wrong = |why: String| anyhow!("upcycle: {why}");
        if let Some(from) = &spec.from {
            ensure!(
                same_answers(&spec.config.task, &from.config.task),
                "upcycle: the dense run was trained on a different task"
            );
        }
        let init = Init::new(spec.seed, self.device);
        let network = upcycle(dense, fresh, config, &init).map_err(wrong)?;
        if !config.equal {
            return Ok(network);
        }
        let mut pass = Pass::eval();
        pass.put(RoutingProbe::default());
        let batch = spec.data.batch(Split::Valid, &[0], self.device);
        network.valid().forward(&mut pass, batch.input);
        let layers = pass.take::<RoutingProbe>().unwrap_or_default().layers;
        let factors = layers.iter().enumerate().map(|(layer, found)| {
            let found = factor(&found.plan.choices(), config.groups);
            found.map_err(|why| anyhow!("upcycle: layer {layer}: {why}"))
        });
        let factors = factors.collect::<anyhow::Result<Vec<_>>>()?;
        let network = divided(network, &factors).map_err(wrong)?;
        if config.reinitialise > 0.0 {
            return Ok(network); // the new units give something else
        }
        let examples = spec.config.train.batch.min(spec.data.len(Split::Valid));
        let apart = self.difference(spec, examples, dense, &network);
        ensure!(
            apart <= EQUAL,
            "upcycle: equal = true, but the first outputs on {examples} examples differ from those of the \
             dense network by {apart:.1e} of the largest output: the router mixes or drops tokens; set \
             equal = false, or use another router or no capacity",
        );
        Ok(network)
    }

    /// The largest difference of the outputs of two networks on the first `examples` of validation, relative
    /// to the largest output; NaN if an output is NaN.
    fn difference(
        &self,
        spec: &RunSpec,
        examples: usize,
        dense: &AnyBackbone,
        upcycled: &AnyBackbone,
    ) -> f32 {
        let examples: Vec<usize> = (0..examples).collect();
        let outputs = [dense, upcycled].map(|network| {
            let batch = spec.data.batch(Split::Valid, &examples, self.device);
            network.valid().forward(&mut Pass::eval(), batch.input)
        });
        let [dense, upcycled] = outputs.map(|output| output.into_data());
        let pairs = dense.iter::<f32>().zip(upcycled.iter::<f32>());
        let differences: Vec<[f32; 2]> = pairs.map(|(a, b)| [(a - b).abs(), a.abs()]).collect();
        if differences.iter().any(|[apart, _]| apart.is_nan()) {
            return f32::NAN;
        }
        let most = |of: usize| differences.iter().map(|pair| pair[of]).fold(0.0, f32::max);
        most(0) / most(1).max(f32::MIN_POSITIVE)
    }
}
