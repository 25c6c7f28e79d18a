//! `speed`: one layer of experts, engine by engine, compared with a dense network of the same active size and
//! with the highest rate that this machine reaches in a matrix product.
//!
//! Times are of one layer: route, dispatch, experts, combine. The variants are measured in alternation, so
//! that disturbances of the machine affect all of them.

use std::time::Instant;

use anyhow::bail;
use burn::{prelude::*, tensor::Distribution};
use lab::Plugins;
use moe::{AnyExperts, Choice, Dims, Engine, Init, Level, Library, MoeConfig, MoeLayer, Pass};

use super::{
    args::{Speed, wanted},
    peak::Peak,
    times::{EngineSpeed, Times, flops, row},
};

/// A variant: its name, and its layer for evaluation and for training.
struct Variant {
    name: &'static str,
    eval: Subject,
    train: Subject,
}

/// The timed operation.
#[expect(clippy::large_enum_variant, reason = "there is one of them at a time")]
enum Subject {
    Layer(MoeLayer),
    Dense(AnyExperts),
}

impl Subject {
    /// `[1, N, D] -> [1, N, D]`.
    fn forward(&self, pass: &mut Pass, x: Tensor<3>) -> Tensor<3> {
        match self {
            Subject::Layer(layer) => layer.forward(pass, x),
            Subject::Dense(network) => network.forward(pass, x),
        }
    }
}

/// Measures the rows of all variants, and the device's highest rate in a product of two matrices.
pub(crate) fn measure(
    setting: &Speed,
    threads: usize,
    plugins: &Plugins,
    device: &Device,
) -> anyhow::Result<(Vec<EngineSpeed>, Peak)> {
    let variants = variants(setting, &plugins.library, device)?;
    let x = Tensor::<3>::random(
        [1, setting.tokens, setting.width],
        Distribution::Normal(0.0, 1.0),
        device,
    );
    let mut times = vec![Times::default(); variants.len()];
    let mut peak = Peak::of(device)?;
    for round in 0..=setting.repeat {
        peak.measure(device)?;
        for (variant, times) in variants.iter().zip(&mut times) {
            let (forward, both) =
                (time_forward(&variant.eval, &x)?, time_both(&variant.train, &x)?);
            // The first round is a warm-up.
            if round > 0 {
                times.add(forward, both);
            }
        }
    }
    let names = variants.iter().map(|variant| variant.name);
    let rows = names.zip(times).map(|of| row(setting, threads, of));
    Ok((rows.map(|row| EngineSpeed { peak: Some(peak), ..row }).collect(), peak))
}

fn variants(setting: &Speed, library: &Library, device: &Device) -> anyhow::Result<Vec<Variant>> {
    let Speed { tokens, width, hidden, experts, k, .. } = *setting;
    let kind = |hidden: usize| Choice::of(&setting.kind).with("hidden", hidden);
    let dims = Dims { width, n_experts: 1, units: tokens };
    let dense = |init: &Init| {
        let build = library.experts.get(&setting.kind)?.build.init;
        anyhow::Ok(Subject::Dense(build(&kind(hidden * k), dims, init)?))
    };
    let layer = |engine: Engine, level: Level, init: &Init| {
        let config = MoeConfig {
            experts,
            router: setting.router(),
            expert: kind(hidden),
            engine,
            level,
            expert_dtype: setting.expert_dtype,
            ..MoeConfig::default()
        };
        library.check(&config, [tokens, width], 2)?;
        let mut layer = MoeLayer::new(&config, library, [tokens, width], init)?;
        // In training the parameters stay in f32, and each pass rounds them.
        if !init.device().is_autodiff() {
            layer.experts = layer.experts.stored(setting.expert_dtype);
        }
        anyhow::Ok(Subject::Layer(layer))
    };
    let (eval, train) = (Init::new(0, device), Init::new(0, &device.clone().autodiff()));
    let mut variants = vec![Variant { name: "dense", eval: dense(&eval)?, train: dense(&train)? }];
    // The reference works on tokens x experts x tokens numbers, which takes too long beyond this limit.
    let reference = tokens * experts * tokens <= 40_000_000;
    for (name, engine) in wanted(setting, reference) {
        let [eval, train] = [&eval, &train].map(|init| layer(engine, Level::Token, init));
        variants.push(Variant { name, eval: eval?, train: train? });
    }
    if setting.whole {
        let [eval, train] =
            [&eval, &train].map(|init| layer(Engine::Dropless, Level::Sequence, init));
        variants.push(Variant { name: "whole", eval: eval?, train: train? });
    }
    Ok(variants)
}

/// Milliseconds of one forward pass.
fn time_forward(subject: &Subject, x: &Tensor<3>) -> anyhow::Result<f64> {
    let device = x.device();
    device.sync()?;
    let started = Instant::now();
    let y = subject.forward(&mut Pass::eval(), x.clone());
    device.sync()?;
    let time = started.elapsed().as_secs_f64() * 1e3;
    drop(y);
    Ok(time)
}

/// Milliseconds of one forward and backward pass, with the gradients of input and weights.
fn time_both(subject: &Subject, x: &Tensor<3>) -> anyhow::Result<f64> {
    let device = x.device();
    let x = Tensor::from_inner(x.clone()).require_grad();
    device.sync()?;
    let started = Instant::now();
    let mut pass = Pass::train(0, 0, 0.0);
    let loss = kernels::sum(subject.forward(&mut pass, x.clone()));
    let loss = pass.total_loss().map_or(loss.clone(), |own| loss + own);
    let grads = loss.backward();
    device.sync()?;
    let time = started.elapsed().as_secs_f64() * 1e3;
    if x.grad(&grads).is_none() {
        bail!("the input has no gradient");
    }
    Ok(time)
}

/// The table of the rows.
pub(crate) fn table(setting: &Speed, rows: &[EngineSpeed], peak: Peak) -> String {
    let Speed { tokens, width, hidden, experts, k, kind, repeat, .. } = setting;
    let threads = rows[0].threads;
    let mut text = format!(
        "{tokens} tokens, width {width}, hidden {hidden}, {experts} experts, k {k}, {kind}, threads {threads}; \
         {repeat} rounds\n\n{:<10} {:>11} {:>9} {:>11} {:>9} {:>9} {:>9} {:>8}\n",
        "engine", "forward ms", "min", "fwd+bwd ms", "min", "GFLOP/s", "fwd+bwd", "of peak",
    );
    for row in rows {
        let both = 3.0 * flops(setting) / row.forward_backward_min_ms / 1e6;
        text += &format!(
            "{:<10} {:>11.2} {:>9.2} {:>11.2} {:>9.2} {:>9.1} {:>9.1} {:>7.0}%\n",
            row.engine,
            row.forward_ms,
            row.forward_min_ms,
            row.forward_backward_ms,
            row.forward_backward_min_ms,
            row.gflops,
            both,
            100.0 * row.gflops / peak.gflops,
        );
    }
    text + &format!(
        "\nA product of {size} x {size} matrices reaches {gflops:.1} GFLOP/s. GFLOP/s are those of the \
         experts'\nproducts, at the minimum; dense is one network with the hidden width {}.\n",
        hidden * k,
        size = peak.size,
        gflops = peak.gflops,
    )
}

#[cfg(test)]
mod tests {
    use super::{super::args::setting, *};

    #[test]
    fn every_engine_has_a_row_with_times() {
        let device = Device::flex();
        let (rows, peak) = measure(&setting(), 1, &Plugins::default(), &device).unwrap();
        let names: Vec<&str> = rows.iter().map(|row| row.engine).collect();
        assert_eq!(names, ["dense", "reference", "dropless", "padded", "whole"]);
        assert!(peak.gflops > 0.0 && table(&setting(), &rows, peak).contains("1024 x 1024"));
        assert!(serde_json::to_string(&rows).unwrap().contains(r#""peak":{"size":1024,"gflops":"#));
        for row in rows {
            assert!(0.0 < row.forward_min_ms && row.forward_min_ms <= row.forward_ms);
            assert!(row.forward_backward_min_ms <= row.forward_backward_ms && row.gflops > 0.0);
        }
    }

    #[test]
    fn unknown_kinds_are_named() {
        let wrong = Speed { kind: "fnf".into(), ..setting() };
        let err = variants(&wrong, &Plugins::default().library, &Device::flex());
        assert!(err.err().unwrap().to_string().contains("\"fnf\""));
    }
}
