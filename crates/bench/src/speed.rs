//! `speed`: how fast the layer of experts is, engine by engine, beside a dense network of the same
//! active size and beside the largest rate that this machine reaches in a matrix product.
//!
//! Times are of one layer: route, dispatch, experts, combine. The variants take turns, so that what
//! disturbs the machine disturbs all of them.

use std::time::Instant;

use anyhow::{bail, ensure};
use burn::{prelude::*, tensor::Distribution};
use clap::Args;
use lab::{Answer, DeviceArgs, FormatArgs, Plugins, Session, ThreadsArgs, Verb};
use moe::{
    AnyExperts, Choice, Dims, Engine, ExpertDtype, Init, Level, Library, MoeConfig, MoeLayer, Pass,
};
use report::Format;
use serde::Serialize;

use crate::{
    peak::Peak,
    router_speed,
    step_speed::{self, Step},
    syncs,
};

/// What to measure.
#[derive(Args, Clone)]
pub(crate) struct Speed {
    /// Tokens in the batch
    #[arg(long, default_value_t = 2048)]
    pub(crate) tokens: usize,
    /// Width of the stream
    #[arg(long, default_value_t = 256)]
    pub(crate) width: usize,
    /// Hidden width of one expert
    #[arg(long, default_value_t = 512)]
    pub(crate) hidden: usize,
    /// Experts
    #[arg(long, default_value_t = 8)]
    pub(crate) experts: usize,
    /// Experts for each token
    #[arg(long, default_value_t = 2)]
    pub(crate) k: usize,
    /// Kind of experts: ffn, swiglu
    #[arg(long, default_value = "ffn")]
    pub(crate) kind: String,
    /// Number format of the experts' matrices: f32, bf16, f16
    #[arg(long, alias = "storage", default_value = "f32", value_parser = expert_dtype)]
    pub(crate) expert_dtype: ExpertDtype,
    /// Only these engines, beside the dense bound: reference, dropless, padded
    #[arg(long, value_delimiter = ',')]
    engines: Vec<String>,
    /// Also route all tokens as one unit, to the same experts
    #[arg(long, conflicts_with_all = ["step", "routers", "syncs"])]
    whole: bool,
    /// Measurements of each variant
    #[arg(long, default_value_t = 7)]
    pub(crate) repeat: usize,
    /// Measure a whole training step instead, of a small network with such layers
    #[arg(long, value_enum)]
    step: Option<Step>,
    /// Measure all routers instead, the decision alone, at 8 and at 64 experts
    #[arg(long, conflicts_with_all = ["step", "engines", "hidden", "experts", "k", "kind", "expert_dtype"])]
    routers: bool,
    /// Count read-backs instead, of layers by engine, order of dropping and router, with the operations of a
    /// graphics card
    #[arg(long, conflicts_with_all = ["routers", "step", "engines", "repeat", "threads"])]
    syncs: bool,
    /// For machines, the same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadsArgs,
}

impl Verb for Speed {
    const NAME: &'static str = "speed";
    const ABOUT: &'static str =
        "Measure the speed of an MoE layer by engine, of a training step, or of routers";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        self.check()?;
        speed(self, session.plugins).map(Answer::from)
    }
}

impl Speed {
    /// Refuses sizes of 0, more than fits into the memory of most machines, and engines that are not known.
    fn check(&self) -> anyhow::Result<()> {
        const MOST: usize = 10_000_000;
        const NUMBERS: f64 = 1e9;
        let sizes = [self.tokens, self.width, self.hidden, self.experts];
        for (name, size) in ["tokens", "width", "hidden", "experts"].iter().zip(sizes) {
            ensure!((1..=MOST).contains(&size), "--{name} {size}: must be from 1 to {MOST}");
        }
        ensure!(self.repeat > 0, "--repeat 0: must be at least 1");
        ensure!(self.k <= self.experts, "--k {} of --experts {}", self.k, self.experts);
        let [n, d, h, e] = sizes.map(|size| size as f64);
        for (what, numbers) in [
            ("the matrices of the experts (width x hidden x experts)", d * h * e),
            ("the tokens (tokens x width)", n * d),
            ("the scores of the router (tokens x experts)", n * e),
            ("the hidden units (tokens x hidden)", n * h),
        ] {
            ensure!(numbers <= NUMBERS, "{what} have {numbers:.1e} numbers; at most {NUMBERS:.0e}");
        }
        let known = ENGINES.map(|(name, _)| name);
        match self.engines.iter().find(|engine| !known.contains(&engine.as_str())) {
            Some(engine) => bail!("--engines {engine}: known are {}", known.join(", ")),
            None => Ok(()),
        }
    }

    /// Top-k; the weight of a single choice is its probability, since a constant one is refused.
    pub(crate) fn router(&self) -> Choice {
        let router = Choice::of("top-k").with("k", self.k);
        if self.k == 1 { router.with("weights", "softmax") } else { router }
    }
}

fn expert_dtype(name: &str) -> Result<ExpertDtype, String> {
    serde_json::from_value(name.into()).map_err(|_| "known are f32, bf16, f16".to_string())
}

/// One row.
#[derive(Serialize)]
pub(crate) struct EngineSpeed {
    pub(crate) engine: &'static str,
    kind: String,
    tokens: usize,
    width: usize,
    hidden: usize,
    experts: usize,
    k: usize,
    threads: usize,
    pub(crate) forward_ms: f64,
    pub(crate) forward_backward_ms: f64,
    pub(crate) forward_min_ms: f64,
    pub(crate) forward_backward_min_ms: f64,
    /// Of the experts' products in the forward pass, at the minimum.
    gflops: f64,
    /// Of the device, where a layer was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak: Option<Peak>,
}

/// Measures, and gives a table or JSON.
fn speed(setting: &Speed, plugins: &Plugins) -> anyhow::Result<String> {
    let format = if setting.json { Format::Json } else { setting.format.get() };
    ensure!(
        matches!(format, Format::Text | Format::Json) || setting.routers && format == Format::Csv,
        "--format: speed prints text or json, and csv with --routers"
    );
    let (threads, device) = (setting.threads.count(), setting.device.open()?);
    if setting.syncs {
        let rows = syncs_of(setting, plugins, &device)?;
        return Ok(match format {
            Format::Json => serde_json::to_string_pretty(&rows)? + "\n",
            _ => syncs::table(&rows),
        });
    }
    if setting.routers {
        ensure!(
            setting.expert_dtype == ExpertDtype::F32,
            "--expert-dtype: --routers measures no experts"
        );
        let sizes = [setting.tokens, setting.width];
        let routers = &plugins.library.routers;
        let measure = || router_speed::measure(routers, sizes, setting.repeat, &device);
        let rows = setting.threads.install(measure)??;
        return Ok(match format {
            Format::Json => serde_json::to_string_pretty(&rows)? + "\n",
            Format::Csv => router_speed::csv(&rows),
            _ => router_speed::table(&rows),
        });
    }
    if let Some(step) = setting.step {
        let engines: Vec<_> = wanted(setting, false).collect();
        let measure = || step_speed::measure(step, setting, &engines, plugins, &device);
        let rows = setting.threads.install(measure)??;
        let rows: Vec<EngineSpeed> = rows.into_iter().map(|of| row(setting, threads, of)).collect();
        return Ok(match format {
            Format::Json => serde_json::to_string_pretty(&rows)? + "\n",
            _ => step_speed::table(step, &rows),
        });
    }
    let (rows, peak) =
        setting.threads.install(|| measure(setting, threads, plugins, &device))??;
    Ok(match format {
        Format::Json => serde_json::to_string_pretty(&rows)? + "\n",
        _ => table(setting, &rows, peak),
    })
}

fn syncs_of(
    setting: &Speed,
    plugins: &Plugins,
    device: &Device,
) -> anyhow::Result<Vec<syncs::Syncs>> {
    let expert = Choice::of(&setting.kind).with("hidden", setting.hidden);
    let (experts, router) = (setting.experts, setting.router());
    let config = MoeConfig { experts, router, expert, ..MoeConfig::default() };
    syncs::count(&plugins.library, &config, [setting.tokens, setting.width], device)
}

const ENGINES: [(&str, Engine); 3] =
    [("reference", Engine::Reference), ("dropless", Engine::Dropless), ("padded", Engine::Padded)];

/// The engines that were asked for; without a wish all, the slow reference if it is `bearable`.
fn wanted(setting: &Speed, bearable: bool) -> impl Iterator<Item = (&'static str, Engine)> {
    ENGINES.into_iter().filter(move |(name, _)| match setting.engines.is_empty() {
        true => bearable || *name != "reference",
        false => setting.engines.iter().any(|engine| engine == name),
    })
}

/// Milliseconds, round by round.
#[derive(Clone, Default)]
pub(crate) struct Times {
    forward: Vec<f64>,
    both: Vec<f64>,
}

impl Times {
    /// Adds a round.
    pub(crate) fn add(&mut self, forward: f64, both: f64) {
        self.forward.push(forward);
        self.both.push(both);
    }
}

/// A variant: its name, and itself for evaluation and for training.
struct Variant {
    name: &'static str,
    eval: Subject,
    train: Subject,
}

/// What is timed.
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

fn measure(
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
            // The first round warms up.
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
    // The reference works on tokens x experts x tokens numbers: beyond this it is a test of patience.
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

/// Milliseconds of one forward and backward pass, gradients of input and weights.
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

fn row(setting: &Speed, threads: usize, (engine, times): (&'static str, Times)) -> EngineSpeed {
    let Times { mut forward, mut both } = times;
    forward.sort_by(f64::total_cmp);
    both.sort_by(f64::total_cmp);
    let Speed { tokens, width, hidden, experts, k, .. } = *setting;
    EngineSpeed {
        engine,
        kind: setting.kind.clone(),
        tokens,
        width,
        hidden,
        experts,
        k,
        threads,
        forward_ms: median(&forward),
        forward_backward_ms: median(&both),
        forward_min_ms: forward[0],
        forward_backward_min_ms: both[0],
        gflops: flops(setting) / forward[0] / 1e6,
        peak: None,
    }
}

/// Of sorted numbers.
fn median(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0
}

/// The experts' products in one forward pass.
fn flops(setting: &Speed) -> f64 {
    let matrices = if setting.kind == "swiglu" { 3 } else { 2 };
    (2 * matrices * setting.tokens * setting.k * setting.width * setting.hidden) as f64
}

fn table(setting: &Speed, rows: &[EngineSpeed], peak: Peak) -> String {
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
    use super::*;

    fn setting() -> Speed {
        Speed {
            tokens: 12,
            width: 4,
            hidden: 3,
            experts: 4,
            k: 2,
            kind: "swiglu".into(),
            expert_dtype: ExpertDtype::Bf16,
            engines: Vec::new(),
            whole: true,
            repeat: 2,
            step: None,
            routers: false,
            syncs: false,
            json: true,
            format: FormatArgs::default(),
            device: DeviceArgs::default(),
            threads: ThreadsArgs::default(),
        }
    }

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
    fn both_networks_make_steps() {
        let engines = vec!["dropless".to_string()];
        let setting = Speed { tokens: 64, width: 8, engines, ..setting() };
        for step in [Step::Vit, Step::Decoder] {
            let engines: Vec<_> = wanted(&setting, false).collect();
            let (plugins, device) = (Plugins::default(), Device::flex());
            let rows = step_speed::measure(step, &setting, &engines, &plugins, &device).unwrap();
            let names: Vec<_> = rows.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, ["dense", "dropless"]);
            assert!(rows.iter().all(|(_, times)| times.both.len() == 2));
        }
    }

    #[test]
    fn flops_and_medians_by_hand() {
        assert_eq!(flops(&setting()), (2 * 3 * 12 * 2 * 4 * 3) as f64);
        assert_eq!((median(&[1.0, 2.0, 4.0]), median(&[1.0, 2.0])), (2.0, 1.5));
    }

    #[test]
    fn unknown_kinds_are_named() {
        let wrong = Speed { kind: "fnf".into(), ..setting() };
        let err = variants(&wrong, &Plugins::default().library, &Device::flex());
        assert!(err.err().unwrap().to_string().contains("\"fnf\""));
    }
}
