//! `speed --step`: a whole training step of a small network: forward, loss, backward, clipping, AdamW.
//!
//! The networks are small: blocks with four heads, every second of which has experts. The variants are
//! measured in alternation. `scripts/peers/step.py` is the same in PyTorch.

use std::time::Instant;

use anyhow::{anyhow, ensure};
use backbones::{AnyBackbone, BackboneSpec};
use burn::{
    module::Module,
    optim::{GradientsParams, ModuleOptimizer},
    prelude::*,
    tensor::Distribution,
};
use lab::Plugins;
use moe::{Choice, Domain, Engine, Init, Input, MoeConfig, Pass, Placement};
use training::{TrainConfig, clip_global_norm, optimizer};

use super::{
    args::{Speed, Step},
    times::{EngineSpeed, Times},
};

impl Step {
    fn domain(self) -> Domain {
        match self {
            Step::Vit => Domain::Image { channels: 1, height: 8, width: 8 },
            Step::Decoder => Domain::Text { vocab: 97, length: 64 },
        }
    }

    /// The number of tokens of an input, and of classes or vocabulary entries.
    fn sizes(self) -> [usize; 2] {
        match self {
            Step::Vit => [16, 10],
            Step::Decoder => [64, 97],
        }
    }

    /// `batch` inputs, and the targets `[N]`.
    fn batch(self, batch: usize, device: &Device) -> (Input, Tensor<1, Int>) {
        let ids = |n: usize, below: usize| {
            let values: Vec<i32> = (0..n).map(|i| (i * 7919 % below) as i32).collect();
            Tensor::<1, Int>::from_data(TensorData::from(values.as_slice()), device)
        };
        match self {
            Step::Vit => {
                let pixels = Tensor::random([batch, 1, 8, 8], Distribution::Default, device);
                (Input::Image(pixels), ids(batch, 10))
            }
            Step::Decoder => {
                (Input::Tokens(ids(batch * 64, 97).reshape([batch, 64])), ids(batch * 64, 89))
            }
        }
    }
}

/// A network in training, and its optimizer.
struct Training {
    name: &'static str,
    model: AnyBackbone,
    optimizer: ModuleOptimizer,
    step: usize,
}

/// Measures the times of the dense baseline and of the engines. `forward` is the loss of a batch in
/// evaluation, `forward_backward` the whole step.
pub(crate) fn measure(
    step: Step,
    setting: &Speed,
    engines: &[(&'static str, Engine)],
    plugins: &Plugins,
    device: &Device,
) -> anyhow::Result<Vec<(&'static str, Times)>> {
    let [length, outputs] = step.sizes();
    ensure!(
        setting.tokens.is_multiple_of(length),
        "--tokens {}: inputs of --step {} have {length} tokens each",
        setting.tokens,
        step.name()
    );
    let config = TrainConfig::default();
    let dense = ("dense", Engine::Auto, Placement::NONE);
    let layers = engines.iter().map(|(name, engine)| (*name, *engine, Placement::Every(2)));
    let mut all = Vec::new();
    for (name, engine, layers) in std::iter::once(dense).chain(layers) {
        let model = network(step, outputs, setting, (engine, layers), plugins, device)?;
        let optimizer = optimizer(&config, &model);
        all.push(Training { name, model, optimizer, step: 0 });
    }
    let (input, labels) = step.batch(setting.tokens / length, device);
    let mut times: Vec<(&str, Times)> =
        all.iter().map(|training| (training.name, Times::default())).collect();
    for round in 0..=setting.repeat {
        for (training, (_, times)) in all.iter_mut().zip(&mut times) {
            let forward = training.evaluate(&input, &labels, device)?;
            let both = training.step(&input, &labels, &config, device)?;
            // The first round is a warm-up.
            if round > 0 {
                times.add(forward, both);
            }
        }
    }
    Ok(times)
}

/// A number of blocks, one of which has experts.
fn blocks(depth: usize) -> anyhow::Result<usize> {
    ensure!((2..=64).contains(&depth), "--depth {depth}: expected 2 to 64 blocks");
    Ok(depth)
}

fn network(
    step: Step,
    outputs: usize,
    setting: &Speed,
    (engine, layers): (Engine, Placement),
    plugins: &Plugins,
    device: &Device,
) -> anyhow::Result<AnyBackbone> {
    let expert = |hidden: usize| Choice::of(&setting.kind).with("hidden", hidden);
    let moe = MoeConfig {
        layers,
        experts: setting.experts,
        router: setting.router(),
        expert: expert(setting.hidden),
        engine,
        expert_dtype: setting.expert_dtype,
        ..MoeConfig::default()
    };
    let dense = serde_json::to_value(expert(setting.hidden * setting.k))?;
    let config = Choice::of(match step {
        Step::Vit => "vit",
        Step::Decoder => "transformer-lm",
    });
    let config =
        config.with("width", setting.width).with("heads", 4).with("depth", blocks(setting.depth)?);
    let config = config.with("dense", dense);
    let config = if step == Step::Vit { config.with("patch", 2) } else { config };
    let spec =
        BackboneSpec { domain: step.domain(), outputs, moe: &moe, library: &plugins.library };
    let build = plugins.backbones.get(&config.kind)?.build.init;
    Ok(build(&config, &spec, &Init::new(0, &device.clone().autodiff()))?)
}

impl Training {
    fn loss(
        model: &AnyBackbone,
        pass: &mut Pass,
        input: Input,
        labels: Tensor<1, Int>,
    ) -> Tensor<1> {
        let output = model.forward(pass, input);
        let [b, t, v] = output.dims();
        kernels::mean(kernels::cross_entropy(output.reshape([b * t, v]), labels))
    }

    /// Milliseconds of a loss in evaluation.
    fn evaluate(
        &self,
        input: &Input,
        labels: &Tensor<1, Int>,
        device: &Device,
    ) -> anyhow::Result<f64> {
        let model = self.model.valid();
        device.sync()?;
        let started = Instant::now();
        let loss = Self::loss(&model, &mut Pass::eval(), input.clone(), labels.clone());
        loss.into_scalar::<f32>();
        Ok(started.elapsed().as_secs_f64() * 1e3)
    }

    /// Milliseconds of a training step.
    fn step(
        &mut self,
        input: &Input,
        labels: &Tensor<1, Int>,
        config: &TrainConfig,
        device: &Device,
    ) -> anyhow::Result<f64> {
        device.sync()?;
        let started = Instant::now();
        let mut pass = Pass::train(0, self.step, 0.0);
        let loss = Self::loss(&self.model, &mut pass, input.clone(), labels.clone());
        let objective = pass.total_loss().map_or(loss.clone(), |own| loss.clone() + own);
        let mut grads = GradientsParams::from_grads(objective.backward(), &self.model);
        let _ = clip_global_norm(&self.model, &mut grads, config.clip);
        self.model = self.optimizer.step(1e-3, self.model.clone(), grads);
        let loss = loss.into_scalar::<f32>();
        self.step += 1;
        let time = started.elapsed().as_secs_f64() * 1e3;
        loss.is_finite().then_some(time).ok_or_else(|| anyhow!("the loss is {loss}"))
    }
}

pub(crate) fn table(step: Step, rows: &[EngineSpeed]) -> String {
    let mut text = format!(
        "A training step of --step {}\n\n{:<10} {:>11} {:>9} {:>11} {:>9}\n",
        step.name(),
        "engine",
        "forward ms",
        "min",
        "step ms",
        "min"
    );
    for row in rows {
        text += &format!(
            "{:<10} {:>11.2} {:>9.2} {:>11.2} {:>9.2}\n",
            row.engine,
            row.forward_ms,
            row.forward_min_ms,
            row.forward_backward_ms,
            row.forward_backward_min_ms,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{
        super::args::{setting, wanted},
        *,
    };

    #[test]
    fn both_networks_make_steps() {
        let engines = vec!["dropless".to_string()];
        let setting = Speed { tokens: 64, width: 8, engines, ..setting() };
        for step in [Step::Vit, Step::Decoder] {
            let engines: Vec<_> = wanted(&setting, false).collect();
            let (plugins, device) = (Plugins::default(), Device::flex());
            let rows = measure(step, &setting, &engines, &plugins, &device).unwrap();
            let names: Vec<_> = rows.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, ["dense", "dropless"]);
            assert!(rows.iter().all(|(_, times)| times.both.len() == 2));
        }
    }

    #[test]
    fn a_network_without_experts_is_refused() {
        assert_eq!(blocks(2).unwrap(), 2);
        for depth in [0, 1, 65] {
            let err = blocks(depth).unwrap_err().to_string();
            assert_eq!(err, format!("--depth {depth}: expected 2 to 64 blocks"));
        }
    }
}
