//! A network whose experts are made of the dense networks of the run that it starts from.

use anyhow::{anyhow, ensure};
use backbones::AnyBackbone;
use burn::module::Module;
use moe::{Init, Pass, RoutingProbe};
use pruning::{UpcycleConfig, divided, factor, upcycle};
use tasks::{Split, same_answers};

use super::model_builder::ModelBuilder;
use crate::spec::RunSpec;

impl ModelBuilder<'_> {
    /// The network `fresh` with the weights of `dense`, and with experts that are made of its feed-forward
    /// networks.
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
                "upcycle: the dense run has learned another task"
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
        divided(network, &factors).map_err(wrong)
    }
}
