//! `prune`: drops experts of a trained run. The smaller network is a separate run that starts from the old
//! one and may be trained further.

use std::{path::Path, time::Instant};

use anyhow::{Context, bail};
use backbones::AnyBackbone;
use clap::Args;
use moe::{Gone, typed};
use pruning::{PruningRule, Ratio};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tasks::Split;
use training::{Checkpoint, Evaluation, evaluate, params_of};

use crate::{
    Plugins,
    cli::{
        Answer, DeviceArgs, JsonArgs, Session, ThreadsArgs, Verb,
        args::{DataArgs, StoreArgs},
        watch::WatchArgs,
    },
    exec::ModelBuilder,
    planning::{TrainedRun, trained_run},
    settings::{SettingTree, at},
    spec::{Program, PruneConfig, RunConfig, RunSpec},
    store::{Ended, Environment, Origin, Selected, after, read_json},
};

/// Arguments of `prune`.
#[derive(Args, Clone)]
pub(crate) struct Prune {
    /// A run: its folder, or its name in the folder of runs
    run: String,
    /// Share of experts to drop: one for all MoE layers, or one for each, for example 0.5,0,0.25
    #[arg(long, value_name = "SHARE", value_parser = parse_ratio)]
    ratio: Ratio,
    /// Score by which experts are dropped: router-norm-change (of arXiv 2405.16646),
    /// reversed-router-norm-change, abs-router-norm-change, router-norm, expert-norm-change, expert-norm,
    /// load, importance, random; or merge, which averages experts of similar outputs
    #[arg(long, default_value = "router-norm-change", value_parser = parse_name::<PruningRule>)]
    rule: PruningRule,
    /// Choices of a dropped expert: zero (it adds nothing), renormalize (the other weights grow to the same
    /// sum), remove (the router chooses among the others); default: zero, and remove for routers of expert
    /// choice and for merge
    #[arg(long, value_parser = parse_name::<Gone>)]
    gone: Option<Gone>,
    /// Steps of training afterwards, with the run's own settings; --set train.lr=... changes them
    #[arg(long, default_value_t = 0)]
    steps: usize,
    /// Set a value of the smaller run, for example train.lr=0.001; can be given several times
    #[arg(long, value_name = "A.B=C")]
    set: Vec<String>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadsArgs,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    json: JsonArgs,
}

/// The size, the work and the quality of a network.
#[derive(Serialize)]
struct NetworkFacts {
    experts: Vec<usize>,
    params: f64,
    expert_params: f64,
    active_params: f64,
    checkpoint_bytes: u64,
    flops_per_token: f64,
    tokens_per_second: f64,
    valid: Vec<(String, f64)>,
    test: Vec<(String, f64)>,
}

impl Verb for Prune {
    const NAME: &'static str = "prune";
    const ABOUT: &'static str =
        "Prune experts of a trained run, and print size, speed and quality before and after";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let plugins = session.plugins;
        let TrainedRun { store, spec: before, .. } =
            trained_run(&self.run, &self.store.runs, &self.data.dir(), plugins)?;
        let program = session.suites.first().map_or(Program::NONE, |suite| suite.program);
        let after = smaller(self, &before, plugins, &program.digest())?;
        let device = self.device.open()?;
        let environment = Environment::now(&self.device.device, self.threads.count());
        session.catch_signals();
        self.watch.train(&after, (&store, &device, &environment), session)?;
        if let Some(Ended::Failed { step, cause }) = store.ended(&after.id)? {
            bail!("training failed at step {step}: {cause}");
        }
        let builder = ModelBuilder { plugins, store: &store, device: &device };
        let [old, new] = self.threads.install(|| facts(&builder, [&before, &after]))??;
        let folder = store.folder(&after.id);
        let selected: Option<Selected> = read_json(&folder, "pruned.json")?;
        let selected = selected.context("the smaller run has no pruned.json")?;
        if self.json.is_json() {
            let all = json!({
                "run": after.id, "rule": self.rule, "gone": selected.pruned.gone,
                "kept": selected.pruned.kept, "scores": selected.scores, "before": old, "after": new,
            });
            return Ok((serde_json::to_string_pretty(&all)? + "\n").into());
        }
        Ok((table(&old, &new) + &closing(&selected, &folder)).into())
    }
}

/// The run that starts from another one without some of its experts.
fn smaller(
    args: &Prune,
    before: &RunSpec,
    plugins: &Plugins,
    program: &str,
) -> anyhow::Result<RunSpec> {
    let Prune { ratio, rule, gone, steps, .. } = args.clone();
    let mut config = before.config.clone();
    // The parts, the teacher and the upcycling of the old run do not apply to the smaller one.
    config.parts.clear();
    (config.teacher, config.distill, config.upcycle) = (None, None, None);
    config.from = Some(Box::new(before.config.clone()));
    config.prune = Some(PruneConfig { ratio, rule, gone, draw: None });
    config.train.steps = steps;
    let mut value = SettingTree::plain(serde_json::to_value(&config)?, "the run");
    for text in &args.set {
        let mut setting = SettingTree::assignment(text)?;
        setting.rename_old_keys();
        value.lay(&setting);
    }
    let settings = value.without(&["from"]);
    let config: RunConfig =
        typed(settings.value()).map_err(|(path, why)| at(&settings, &path, why))?;
    let config = RunConfig { from: Some(Box::new(before.config.clone())), ..config };
    config.check(&settings, plugins, &*before.data)?;
    // The old run may come from other code than this program's, so its name is part of the identity.
    let origin = Origin { plugins, program, device: &args.device.device };
    let id = after(&origin.run_id(&config, &before.digest, before.seed, false), &before.id);
    let method = format!("{}, pruned", before.method);
    Ok(RunSpec { method, config, from: Some(Box::new(before.clone())), id, ..before.clone() })
}

/// The facts of both networks, evaluated in alternation, so that disturbances of the machine affect both.
fn facts(builder: &ModelBuilder, specs: [&RunSpec; 2]) -> anyhow::Result<[NetworkFacts; 2]> {
    const ROUNDS: usize = 3;
    let models = [builder.trained(specs[0])?.0, builder.trained(specs[1])?.0];
    let (data, mut best) = (builder.task_for(specs[0])?, [f64::INFINITY; 2]);
    for _ in 0..ROUNDS {
        for (model, best) in models.iter().zip(&mut best) {
            let started = Instant::now();
            evaluate(model, &*data, Split::Test, builder.device);
            *best = best.min(started.elapsed().as_secs_f64());
        }
    }
    let of = |which: usize| of_network(builder, specs[which], &models[which], best[which]);
    Ok([of(0)?, of(1)?])
}

fn of_network(
    builder: &ModelBuilder,
    spec: &RunSpec,
    model: &AnyBackbone,
    seconds: f64,
) -> anyhow::Result<NetworkFacts> {
    let data = builder.task_for(spec)?;
    let [valid, test] =
        [Split::Valid, Split::Test].map(|split| evaluate(model, &*data, split, builder.device));
    let path = Checkpoint::path(&builder.store.folder(&spec.id));
    let bytes = std::fs::metadata(&path).with_context(|| path.display().to_string())?.len();
    let numbers = |evaluation: &Evaluation| {
        evaluation.metrics.iter().map(|(name, value)| (name.to_string(), *value)).collect()
    };
    Ok(NetworkFacts {
        experts: test.layers.iter().map(|layer| layer.load.len()).collect(),
        params: test.params,
        expert_params: params_of(model, "experts") as f64,
        active_params: test.active_params,
        checkpoint_bytes: bytes,
        flops_per_token: test.flops_per_token,
        tokens_per_second: (spec.data.len(Split::Test) * model.tokens()) as f64 / seconds,
        valid: numbers(&valid),
        test: numbers(&test),
    })
}

fn table(old: &NetworkFacts, new: &NetworkFacts) -> String {
    let mut text = format!("{:<22} {:>14} {:>14} {:>9}\n", "", "before", "after", "change");
    let mut row = |name: &str, before: f64, after: f64, digits: usize| {
        let change = match before == 0.0 {
            true => String::new(),
            false => format!("{:+.1} %", 100.0 * (after / before - 1.0)),
        };
        text += &format!("{name:<22} {before:>14.digits$} {after:>14.digits$} {change:>9}\n");
    };
    let sum = |experts: &[usize]| experts.iter().sum::<usize>() as f64;
    row("experts", sum(&old.experts), sum(&new.experts), 0);
    row("parameters", old.params, new.params, 0);
    row("  of experts", old.expert_params, new.expert_params, 0);
    row("  active on a token", old.active_params, new.active_params, 0);
    row("checkpoint, bytes", old.checkpoint_bytes as f64, new.checkpoint_bytes as f64, 0);
    row("FLOPs per token", old.flops_per_token, new.flops_per_token, 0);
    row("tokens per second", old.tokens_per_second, new.tokens_per_second, 0);
    for (split, before, after) in
        [("valid", &old.valid, &new.valid), ("test", &old.test, &new.test)]
    {
        for ((name, before), (_, after)) in before.iter().zip(after) {
            row(&format!("{name}, {split}"), *before, *after, 4);
        }
    }
    text
}

fn closing(selected: &Selected, folder: &Path) -> String {
    let mut text = "\n".to_string();
    for (layer, kept) in selected.pruned.kept.iter().enumerate() {
        let kept: Vec<String> = kept.iter().map(usize::to_string).collect();
        text += &format!("layer {layer} keeps {}\n", kept.join(", "));
    }
    text + &format!("The smaller run is {}\n", folder.display())
}

fn parse_ratio(text: &str) -> Result<Ratio, String> {
    let share = |text: &str| match text.trim().parse::<f64>() {
        Ok(share) if share.is_finite() => Ok(share),
        Ok(_) => Err(format!("{text:?}: must be at least 0 and below 1")),
        Err(_) => Err(format!("{text:?} is not a number")),
    };
    match text.contains(',') {
        true => text.split(',').map(share).collect::<Result<_, _>>().map(Ratio::Layers),
        false => share(text).map(Ratio::All),
    }
}

/// Parses a name as it is written in configs; the error lists the known names.
fn parse_name<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    typed(Value::String(text.into())).map_err(|(_, why)| why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_one_share_or_several() {
        assert_eq!(parse_ratio("0.5"), Ok(Ratio::All(0.5)));
        assert_eq!(parse_ratio("0.5, 0"), Ok(Ratio::Layers(vec![0.5, 0.0])));
        assert!(parse_ratio("half").is_err());
        for text in ["nan", "inf", "0.5,-inf", "1e400"] {
            let err = parse_ratio(text).unwrap_err();
            assert!(err.ends_with("must be at least 0 and below 1"), "{err}");
        }
    }

    #[test]
    fn an_unknown_rule_is_told_the_known_ones() {
        let err = parse_name::<PruningRule>("norm").unwrap_err();
        assert!(err.contains("unknown value `norm`") && err.contains("router-norm-change"));
    }
}
