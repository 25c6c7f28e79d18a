//! `sample`: generates text with a trained language model, or translates with a trained translator.

use anyhow::{bail, ensure};
use backbones::{AnyBackbone, BackboneSpec, Decoding, gap_of_cache};
use clap::Args;
use indicatif::ProgressBar;
use moe::{Choice, Domain, Input, Placement};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tasks::{Split, Task, TranslationTask};
use training::translations;

use crate::{
    Plugins,
    cli::{
        Answer, DeviceArgs, JsonArgs, Session, ThreadsArgs, Verb,
        args::{DataArgs, StoreArgs},
    },
    exec::{ModelBuilder, Sampling},
    planning::{TrainedRun, trained_run},
    spec::RunSpec,
};

/// The default number of generated tokens.
const TOKENS: usize = 200;

/// Arguments of `sample`.
#[derive(Args, Clone)]
pub(crate) struct SampleArgs {
    /// A run on text: its folder, or its name in the folder of runs
    run: String,
    /// Text to continue, or sentence to translate
    #[arg(long, value_name = "TEXT", default_value = "\n", hide_default_value = true)]
    prompt: String,
    /// Number of tokens to generate
    #[arg(long, value_name = "N", default_value_t = TOKENS)]
    tokens: usize,
    #[command(flatten)]
    sampling: Sampling,
    /// Seed of the sampling
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Recompute the whole window for each token, without the key-value cache
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadsArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    json: JsonArgs,
}

/// The largest number of generated tokens.
const MOST_TOKENS: usize = 100_000;

impl Verb for SampleArgs {
    const NAME: &'static str = "sample";
    const ABOUT: &'static str =
        "Generate text with a trained language model, or translate with a trained translator";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        self.sampling.check()?;
        ensure!(
            (1..=MOST_TOKENS).contains(&self.tokens),
            "--tokens {}: must be from 1 to {MOST_TOKENS}",
            self.tokens
        );
        ensure!(!self.prompt.is_empty(), "--prompt is empty; at least one character is needed");
        let TrainedRun { store, spec, .. } =
            trained_run(&self.run, &self.store.runs, &self.data.dir(), session.plugins)?;
        let plugins = session.plugins;
        // The task without groups is enough: a generated text has no answers to group.
        if let Some(task) = spec.data.as_translation() {
            self.check_for_translation(&spec)?;
            let device = self.device.open()?;
            let builder = ModelBuilder { plugins, store: &store, device: &device };
            return self.translated(&spec, task, &builder);
        }
        writes(&spec, plugins)?;
        let prompt = encode(&*spec.data, &self.prompt)?;
        let device = self.device.open()?;
        let builder = ModelBuilder { plugins, store: &store, device: &device };
        let (text, tokens, cached) = self.threads.install(|| -> anyhow::Result<_> {
            let (model, _) = builder.trained(&spec)?;
            let cached = !self.no_cache && may_cache(&spec, &model, (&builder, session))?;
            let mut decoder = Decoding::new(&model, &device, cached);
            let written = self.go_on(&mut decoder, &prompt, session);
            Ok((decode(&*spec.data, &prompt, &written), written.len(), cached))
        })??;
        let text = match self.json.is_json() {
            false => format!("{}{text}\n", self.prompt),
            true => {
                let all = json!({
                    "run": spec.id, "prompt": self.prompt, "text": text, "tokens": tokens,
                    "seed": self.seed, "cached": cached,
                });
                format!("{all:#}\n")
            }
        };
        if tokens < self.tokens {
            session.say(&format!("stopped after {tokens} of {} tokens", self.tokens));
            return Ok(Answer::with_code(text, 130));
        }
        Ok(text.into())
    }
}

impl SampleArgs {
    /// Refuses options that have no effect for a translator, which searches for the most probable translation
    /// by the settings of its task.
    fn check_for_translation(&self, spec: &RunSpec) -> anyhow::Result<()> {
        let own = [
            ("--tokens", self.tokens != TOKENS),
            ("--seed", self.seed != 0),
            ("--no-cache", self.no_cache),
        ];
        let own = own.into_iter().find(|(_, changed)| *changed).map(|(option, _)| option);
        match own.or(self.sampling.changed()) {
            Some(option) => bail!(
                "{option} is only for language models, but the run {} translates: set task.beam, \
                 task.length_penalty and task.length in its suite instead",
                spec.id
            ),
            None => Ok(()),
        }
    }

    /// The translation of the prompt.
    fn translated(
        &self,
        spec: &RunSpec,
        task: &dyn TranslationTask,
        builder: &ModelBuilder,
    ) -> anyhow::Result<Answer> {
        let prompt = self.prompt.trim();
        let source =
            task.read(prompt).map_err(|err| anyhow::anyhow!("--prompt {prompt:?}: {err}"))?;
        let writing = task.writing();
        let answers = self.threads.install(|| -> anyhow::Result<_> {
            let (model, _) = builder.trained(spec)?;
            let Some(network) = model.sequence_to_sequence() else {
                bail!("the network of the run {} cannot translate", spec.id)
            };
            Ok(translations(network, writing, &[source], builder.device))
        })??;
        let text: String = answers.iter().map(|answer| task.text(answer)).collect();
        let text = match self.json.is_json() {
            false => format!("{text}\n"),
            true => {
                let all = json!({
                    "run": spec.id, "prompt": prompt, "text": text, "beam": writing.beam,
                });
                format!("{all:#}\n")
            }
        };
        Ok(text.into())
    }

    /// The tokens that follow the prompt; fewer than requested if the user interrupts.
    fn go_on(&self, decoder: &mut Decoding, prompt: &[i32], session: &Session) -> Vec<i32> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        // The bar is hidden if there is no terminal.
        let bar = ProgressBar::new(self.tokens as u64);
        let (mut written, mut scores) = (Vec::new(), decoder.read(prompt));
        session.catch_signals();
        loop {
            written.push(self.sampling.draw(&scores, &mut rng) as i32);
            bar.inc(1);
            if written.len() == self.tokens || session.is_stopped() {
                bar.finish_and_clear();
                return written;
            }
            scores = decoder.read(&written[written.len() - 1..]);
        }
    }
}

/// Checks that the run is a causal language model.
fn writes(spec: &RunSpec, plugins: &Plugins) -> anyhow::Result<()> {
    let task = &spec.config.task.kind;
    if !matches!(spec.data.domain(), Domain::Text { .. }) {
        bail!(
            "the run {} was trained on {task}, which is not text; known: tanaka-lm, text-lm, \
             state-of-the-union",
            spec.id
        );
    }
    if spec.config.refusal(plugins, &*spec.data)?.is_some() || !spec.data.causal() {
        let known: Vec<&str> = causal_routers(plugins).collect();
        bail!(
            "the run {} cannot generate text: its layers use later tokens (router {:?}, level {:?}, \
             capacity {:?}); routers that do not: {}",
            spec.id,
            spec.config.moe.router.kind,
            spec.config.moe.level,
            spec.config.moe.capacity.drop,
            known.join(", ")
        );
    }
    Ok(())
}

/// The routers that do not use later tokens with their default settings.
fn causal_routers(plugins: &Plugins) -> impl Iterator<Item = &'static str> {
    plugins.library.routers.iter().filter_map(|(name, entry)| {
        let causal = (entry.build.causal)(&Choice::of(name)).unwrap_or(false);
        causal.then_some(name)
    })
}

/// The largest number of tokens of a prompt: attention has one number for each pair of them.
const LONGEST: usize = 4096;

/// The tokens of a text.
fn encode(task: &dyn Task, text: &str) -> anyhow::Result<Vec<i32>> {
    let tokenizer = task.as_text().expect(TEXT).tokenizer();
    let tokens = tokenizer.encode(text.as_bytes());
    let unknown = |id: &i32| tokenizer.unknown() == Some(*id as usize);
    if let Some(at) = tokens.ids.iter().position(unknown) {
        let start: u32 = tokens.bytes[..at].iter().sum();
        let (start, end) = (start as usize, (start + tokens.bytes[at]) as usize);
        let piece = &text[text.floor_char_boundary(start)..text.ceil_char_boundary(end)];
        let (piece, vocab) = (piece.trim(), tokenizer.vocab());
        bail!("--prompt {text:?}: {piece:?} is not one of the {vocab} tokens of the run");
    }
    let n = tokens.ids.len();
    ensure!(n <= LONGEST, "--prompt has {n} tokens; at most {LONGEST} are allowed");
    Ok(tokens.ids)
}

/// The text that was generated after a prompt.
fn decode(task: &dyn Task, prompt: &[i32], written: &[i32]) -> String {
    let tokenizer = task.as_text().expect(TEXT).tokenizer();
    let text =
        |ids: &[i32]| tokenizer.decode(&ids.iter().map(|id| *id as usize).collect::<Vec<_>>());
    let (before, all) = (text(prompt), text(&[prompt, written].concat()));
    all.strip_prefix(&before).map_or_else(|| text(written), str::to_string)
}

/// The message if a task is not a text task, which `writes` has already excluded.
const TEXT: &str = "tasks of text have a tokeniser";

/// The largest number of tokens of the probe.
const PROBE: usize = 48;
/// The largest difference between the scores of the probe, which are of the order of 1.
const GAP: f32 = 1e-3;

/// Whether the key-value cache gives the same scores as the full window, that is, whether the layers compute
/// the same for a token alone as among others. They need not: a full expert drops tokens depending on those
/// before them, and some routers count tokens or draw random numbers for each. In doubtful cases a part of
/// the validation text is read both ways. The error says why the cache cannot be used.
fn may_cache(
    spec: &RunSpec,
    model: &AnyBackbone,
    (builder, session): (&ModelBuilder, &Session),
) -> anyhow::Result<bool> {
    let moe = &spec.config.moe;
    let limited = moe.capacity.at(false).factor.is_some() && moe.layers != Placement::NONE;
    let why = match limited {
        true => Some("its experts have a capacity".to_string()),
        false => alone(spec, builder.plugins).err().map(|err| err.to_string()),
    };
    if let Some(why) = why {
        session.say(&format!("without a cache: {why}"));
        return Ok(false);
    }
    let batch = spec.data.batch(Split::Valid, &[0], builder.device);
    let Input::Tokens(ids) = batch.input else { bail!("text is tokens") };
    let ids: Vec<i32> = ids.into_data().iter().take(PROBE).collect();
    let gap = gap_of_cache(model, builder.device, &ids);
    if gap > GAP {
        let router = &moe.router.kind;
        session.say(&format!(
            "without a cache: router {router:?} depends on earlier tokens ({gap:.3})"
        ));
    }
    Ok(gap <= GAP)
}

/// Checks that the network can be built for a single token.
fn alone(spec: &RunSpec, plugins: &Plugins) -> anyhow::Result<()> {
    let Domain::Text { vocab, .. } = spec.data.domain() else { return Ok(()) };
    let domain = Domain::Text { vocab, length: 1 };
    let backbone_spec = BackboneSpec { domain, ..spec.config.backbone_spec(plugins, &*spec.data) };
    let backbone = &spec.config.backbone;
    Ok((plugins.backbones.get(&backbone.kind)?.build.check)(backbone, &backbone_spec)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::prelude::*;
    use moe::{Init, MoeConfig};

    /// The gap of each causal router's untrained decoder, for routers that can route a single token.
    fn gaps() -> Vec<(&'static str, f32)> {
        let (plugins, device) = (Plugins::default(), Device::flex());
        let gap = |name: &'static str| {
            let moe = MoeConfig {
                router: Choice::of(name),
                layers: Placement::ALL,
                experts: 4,
                ..MoeConfig::default()
            };
            let library = &plugins.library;
            let backbone_spec = |length| BackboneSpec {
                domain: Domain::Text { vocab: 9, length },
                outputs: 9,
                moe: &moe,
                library,
            };
            let build = plugins.backbones.get("transformer-lm").unwrap().build;
            let choice = Choice::of("transformer-lm");
            (build.check)(&choice, &backbone_spec(1)).ok()?;
            let model = (build.init)(&choice, &backbone_spec(12), &Init::new(0, &device)).ok()?;
            let ids: Vec<i32> = (0..12).map(|i| (i * i + 3 * i) % 9).collect();
            Some((name, gap_of_cache(&model, &device, &ids)))
        };
        causal_routers(&plugins).filter_map(gap).collect()
    }

    #[test]
    fn the_probe_finds_the_routers_that_look_at_other_tokens() {
        let gaps = gaps();
        let (far, near): (Vec<_>, Vec<_>) = gaps.iter().partition(|(_, gap)| *gap > GAP);
        assert!(near.iter().all(|(_, gap)| *gap < 1e-5), "{near:?}");
        let far: Vec<&str> = far.iter().map(|(name, _)| *name).collect();
        assert_eq!(far, ["random", "round-robin"]);
        assert!(near.len() > 15, "{near:?}");
    }

    #[derive(serde::Deserialize)]
    struct Example {
        backbone: Choice,
        moe: MoeConfig,
    }

    #[test]
    fn the_examples_of_the_page_are_decoders() {
        let page = include_str!("../../../../../docs/decoders.md");
        let (_, toml) = page.split_once("```toml\n").unwrap();
        let (toml, _) = toml.split_once("```").unwrap();
        let (plugins, domain) = (Plugins::default(), Domain::Text { vocab: 97, length: 64 });
        for text in toml.split("\n\n") {
            let Example { backbone, moe } = toml::from_str(text).unwrap();
            let backbone_spec =
                BackboneSpec { domain, outputs: 97, moe: &moe, library: &plugins.library };
            let check = plugins.backbones.get(&backbone.kind).unwrap().build.check;
            assert!(check(&backbone, &backbone_spec).is_ok(), "{text}");
        }
        assert_eq!(toml.split("\n\n").count(), 4);
    }
}
