//! The arguments of `speed`, and their checks.

use anyhow::{bail, ensure};
use clap::{Args, ValueEnum};
use lab::{DeviceArgs, FormatArgs, ThreadsArgs};
use moe::{Choice, Engine, ExpertDtype};

/// Which network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Images of 8 x 8 pixels in patches of 2 x 2: 16 tokens each
    Vit,
    /// Text of 64 tokens from 97
    Decoder,
}

impl Step {
    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Step::Vit => "vit",
            Step::Decoder => "decoder",
        }
    }
}

/// The layers to measure.
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
    pub(crate) engines: Vec<String>,
    /// Also route all tokens as one unit, to the same experts
    #[arg(long, conflicts_with_all = ["step", "routers", "syncs"])]
    pub(crate) whole: bool,
    /// Measurements of each variant
    #[arg(long, default_value_t = 7)]
    pub(crate) repeat: usize,
    /// Measure a whole training step instead, of a small network with such layers
    #[arg(long, value_enum)]
    pub(crate) step: Option<Step>,
    /// Blocks of that network; every second one has experts
    #[arg(long, default_value_t = 2, requires = "step")]
    pub(crate) depth: usize,
    /// Measure all routers instead, the decision alone, at 8 and at 64 experts
    #[arg(long, conflicts_with_all = ["step", "engines", "hidden", "experts", "k", "kind", "expert_dtype"])]
    pub(crate) routers: bool,
    /// Count read-backs instead, of layers by engine, order of dropping and router, with the operations of a
    /// graphics card
    #[arg(long, conflicts_with_all = ["routers", "step", "engines", "repeat", "threads"])]
    pub(crate) syncs: bool,
    /// For machines, the same as --format json
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) threads: ThreadsArgs,
}

const ENGINES: [(&str, Engine); 3] =
    [("reference", Engine::Reference), ("dropless", Engine::Dropless), ("padded", Engine::Padded)];

/// The engines of `--engines`; all by default, the slow reference only if `with_reference`.
pub(crate) fn wanted(
    setting: &Speed,
    with_reference: bool,
) -> impl Iterator<Item = (&'static str, Engine)> {
    ENGINES.into_iter().filter(move |(name, _)| match setting.engines.is_empty() {
        true => with_reference || *name != "reference",
        false => setting.engines.iter().any(|engine| engine == name),
    })
}

impl Speed {
    /// Refuses sizes of 0, sizes that exceed the memory of most machines, and unknown engines.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        const MOST: usize = 10_000_000;
        const NUMBERS: f64 = 1e9;
        let sizes = [self.tokens, self.width, self.hidden, self.experts];
        for (name, size) in ["tokens", "width", "hidden", "experts"].iter().zip(sizes) {
            ensure!((1..=MOST).contains(&size), "--{name} {size}: must be from 1 to {MOST}");
        }
        ensure!(self.repeat > 0, "--repeat 0: must be at least 1");
        ensure!(
            self.k <= self.experts,
            "--k {}: must be at most --experts {}",
            self.k,
            self.experts
        );
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
            Some(engine) => {
                bail!("--engines {engine}: unknown engine; known: {}", known.join(", "))
            }
            None => Ok(()),
        }
    }

    /// A top-k router; with a single choice the weight is its probability, since a constant weight is
    /// refused.
    pub(crate) fn router(&self) -> Choice {
        let router = Choice::of("top-k").with("k", self.k);
        if self.k == 1 { router.with("weights", "softmax") } else { router }
    }
}

fn expert_dtype(name: &str) -> Result<ExpertDtype, String> {
    serde_json::from_value(name.into()).map_err(|_| "known: f32, bf16, f16".to_string())
}

/// Small sizes and all variants.
#[cfg(test)]
pub(super) fn setting() -> Speed {
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
        depth: 4,
        routers: false,
        syncs: false,
        json: true,
        format: FormatArgs::default(),
        device: DeviceArgs::default(),
        threads: ThreadsArgs::default(),
    }
}
