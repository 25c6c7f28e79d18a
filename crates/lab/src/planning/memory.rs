//! An estimate of the memory that a run needs, computed before anything is trained.
//!
//! Parameters count ten times, 4 bytes each: weights, gradients and two moments of the optimizer; while a
//! checkpoint is written, the weights and moments two more times, the second time as one block. The memory
//! that backward passes need for the activations of the layers is estimated from the sizes of a transformer:
//! 30 numbers for each token, layer and unit of width, 3 attention scores for each pair of tokens, layer and
//! head, 4 numbers for each output: scores, their logarithms, and the gradients of both, and in each MoE
//! layer 4 for each expert's score and 3 for each hidden unit of the experts that work on a token. Before
//! runs are trained, the estimates of concurrent runs are added up, together with the memory that the program
//! already holds, which includes the data. For the runs of `results/` the estimate lies between half and
//! three times what was measured.

use std::{collections::BTreeSet, fs};

use anyhow::ensure;
use burn::{
    module::{Module, Param},
    prelude::*,
};
use moe::{Choice, Domain, Init, MoeConfig, PathVisitor, Routers, visit_paths};
use serde_json::Value;

use crate::{Plugins, spec::RunSpec};

const BYTES: f64 = 4.0;
const COPIES: f64 = 10.0;
const KEPT_OF_A_TOKEN: f64 = 30.0;
const KEPT_OF_A_PAIR: f64 = 3.0;
const KEPT_OF_AN_OUTPUT: f64 = 4.0;
const KEPT_OF_A_SCORE: f64 = 4.0;
const KEPT_OF_A_HIDDEN_UNIT: f64 = 3.0;

/// The memory that a run needs, in bytes. The network is built, but its weights are not made.
pub(crate) fn needed(spec: &RunSpec, plugins: &Plugins) -> anyhow::Result<f64> {
    let backbone = plugins.backbones.get(&spec.config.backbone.kind)?;
    let backbone_spec = spec.config.backbone_spec(plugins, &*spec.data);
    let init = Init::new(0, &Device::flex());
    let model = (backbone.build.init)(&spec.config.backbone, &backbone_spec, &init)?;
    let at_once = spec.config.train.batch as f64 / spec.config.train.accumulate.max(1) as f64;
    let settings = serde_json::to_value(&spec.config.backbone)?;
    let size = |key: &str| settings.get(key).and_then(Value::as_f64).unwrap_or(1.0);
    let (tokens, depth) = (model.tokens() as f64, size("depth"));
    let of_tokens = KEPT_OF_A_TOKEN * tokens * depth * size("width");
    let of_pairs = KEPT_OF_A_PAIR * tokens * tokens * depth * size("heads");
    // A token of text has an output for each token of the vocabulary; an image has one for each class.
    let answers = match spec.data.domain() {
        Domain::Image { .. } => 1.0,
        Domain::Text { length, .. } => length as f64,
        Domain::Pair { target, .. } => target as f64,
    };
    let of_outputs = KEPT_OF_AN_OUTPUT * answers * spec.data.outputs() as f64;
    let Params { count, moe_layers } = params(&model);
    let of_experts = tokens
        * moe_layers.len() as f64
        * kept_of_experts(&spec.config.moe, &plugins.library.routers);
    let kept = at_once * (of_tokens + of_pairs + of_outputs + of_experts);
    Ok(BYTES * (COPIES * count + kept))
}

/// The number of values that a MoE layer keeps for a token: scores, and hidden units of the experts that work
/// on the token.
fn kept_of_experts(moe: &MoeConfig, routers: &Routers) -> f64 {
    let experts = moe.experts as f64;
    let at_work = experts_of_a_token(&moe.router, routers).unwrap_or(experts).min(experts);
    let hidden = number(&moe.expert, "hidden").unwrap_or(0.0);
    KEPT_OF_A_SCORE * experts + KEPT_OF_A_HIDDEN_UNIT * at_work * hidden
}

/// The number of experts that work on a token, about: k, the factor of a choice by the experts, that of an
/// inner router, what the router declares, and two for routers with slots; none for a router that may choose
/// all of them.
fn experts_of_a_token(router: &Choice, routers: &Routers) -> Option<f64> {
    const OF_SLOTS: f64 = 2.0;
    let inner = || Choice::try_from(router.options.get("router")?.clone()).ok();
    let declared = || routers.get(&router.kind).ok()?.build.experts_per_unit;
    let has_slots = ["capacity", "slots"].iter().any(|key| router.options.contains_key(*key));
    number(router, "k")
        .or_else(|| number(router, "factor"))
        .or_else(|| experts_of_a_token(&inner()?, routers))
        .or_else(|| declared().map(|n| n as f64))
        .or(has_slots.then_some(OF_SLOTS))
}

fn number(choice: &Choice, key: &str) -> Option<f64> {
    choice.options.get(key).and_then(Value::as_f64)
}

/// Refuses to evaluate a network or a router whose weights alone need more memory than the machine has.
pub(crate) fn check_weights<M: Module>(model: &M) -> anyhow::Result<()> {
    let (weights, most) = (BYTES * params(model).count, of_machine().unwrap_or(f64::INFINITY));
    let there =
        || format!("its weights need {}, but only {} are available", shown(weights), shown(most));
    ensure!(weights <= most, there());
    Ok(())
}

fn params<M: Module>(model: &M) -> Params {
    let mut params = Params::default();
    visit_paths(model, &mut params);
    params
}

/// The parameters of a network, counted without creating them.
#[derive(Default)]
struct Params {
    /// The number of parameters, as a float, so that no size overflows.
    count: f64,
    /// The paths of the MoE layers.
    moe_layers: BTreeSet<String>,
}

impl PathVisitor for Params {
    fn visit<const D: usize>(&mut self, path: &[String], param: &Param<Tensor<D>>) {
        self.count += param.lazy_shape().iter().map(|n| *n as f64).product::<f64>();
        let layer = path.iter().position(|name| name == "experts").map(|at| path[..at].join("."));
        self.moe_layers.extend(layer);
    }
}

/// Refuses a run if `jobs` concurrent runs like it need more than `most`.
///
/// # Errors
/// If the memory is too small; names the run, the needed and the available memory, and the options that
/// override the check.
pub(crate) fn check(spec: &RunSpec, needed: f64, jobs: usize, most: f64) -> anyhow::Result<()> {
    let (method, task) = (&spec.method, &spec.config.task.kind);
    let all = needed * jobs as f64 + held().unwrap_or(0.0);
    let (several, fewer) = match jobs {
        1 => (String::new(), ""),
        jobs => (format!(" for {jobs} runs at once"), "train fewer at once with --jobs, "),
    };
    ensure!(
        all <= most,
        "{method}, {task}: needs {}{several}, but {} are available; make the network smaller, {fewer}or \
         raise the limit with --memory GB",
        shown(all),
        shown(most)
    );
    Ok(())
}

/// A number of bytes in readable form: `about 3.1 GB`.
pub(crate) fn shown(bytes: f64) -> String {
    match bytes {
        few if few < 1e9 => format!("about {:.0} MB", few / 1e6),
        many => format!("about {:.1} GB", many / 1e9),
    }
}

/// The memory of this machine, or of the part of it that this program may use, in bytes; none if the system
/// does not report it.
pub(crate) fn of_machine() -> Option<f64> {
    let whole = in_kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|text| text.trim().parse::<f64>().ok());
    Some(limit.map_or(whole, |limit| limit.min(whole)))
}

/// The resident memory of this program in bytes; none if the system does not report it.
pub fn held() -> Option<f64> {
    in_kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

fn in_kilobytes(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(1024.0 * line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;

    fn spec(sizes: &str) -> RunSpec {
        let suite = format!(
            "[[task]]\ntask = \"digits\"\nbackbone = {{ kind = \"vit\", patch = 4, heads = 2, {sizes} }}\n\
             [[method]]\nmoe.router = \"top-k\"\n"
        );
        plan(&suite).unwrap().specs.remove(0)
    }

    #[test]
    fn all_experts_at_work_on_every_token_count() {
        let plugins = Plugins::default();
        let of = |router: &str| {
            let mut spec = spec("width = 8, depth = 2");
            spec.config.train.batch = 3000;
            spec.config.moe.experts = 64;
            spec.config.moe.expert.options.insert("hidden".into(), 512.into());
            let router = Choice::of(router);
            spec.config.moe.router = plugins.library.routers.complete(&router).unwrap();
            needed(&spec, &plugins).unwrap()
        };
        // One of the two layers is a MoE layer; 3.1 GB were measured.
        let (all, few) = (of("dense"), of("top-k"));
        assert!((1.5e9..9.3e9).contains(&all) && few < 0.3 * all, "{all} {few}");
        for router in ["switch", "gshard", "base", "oracle", "expert-choice", "warm-up"] {
            assert!(of(router) < 0.3 * all, "{router}");
        }
    }

    #[test]
    fn a_network_that_fits_no_machine_is_refused_before_it_is_made() {
        let plugins = Plugins::default();
        let small = needed(&spec("width = 8, depth = 2"), &plugins).unwrap();
        assert!(small < 2e9, "{small}");
        let large = spec("width = 1_000_000, depth = 100");
        let needed = needed(&large, &plugins).unwrap();
        assert!(needed > 1e16, "{needed}");
        let err = check(&large, needed, 1, 8e9).unwrap_err().to_string();
        assert!(
            err.starts_with("top-k, digits: needs about ") && err.contains("--memory GB"),
            "{err}"
        );
        assert!(err.contains("about 8.0 GB are available"), "{err}");
        assert!(check(&large, needed, 1, f64::INFINITY).is_ok());
        let err = check(&large, 5e9, 2, 8e9).unwrap_err().to_string();
        assert!(err.contains("for 2 runs at once") && err.contains("--jobs"), "{err}");
        assert!(check(&large, 5e9, 1, 8e9).is_ok());
    }

    #[test]
    fn a_large_vocabulary_counts() {
        let spec = |tokens: &str| {
            let suite = format!(
                "[[task]]\ntask = {{ kind = \"tanaka-lm\", tokens = {tokens} }}\n\
                 backbone = {{ kind = \"transformer-lm\", width = 8, depth = 1, heads = 2 }}\n\
                 [[method]]\nmoe.layers = \"none\"\n"
            );
            plan(&suite).unwrap().specs.remove(0)
        };
        let plugins = Plugins::default();
        let words = "{ kind = \"word\", most = 5000 }";
        let [small, large] =
            ["\"ascii\"", words].map(|tokens| needed(&spec(tokens), &plugins).unwrap());
        assert!(large > 5.0 * small, "{small} {large}");
    }

    #[test]
    fn the_memory_of_the_machine_is_told() {
        assert_eq!(in_kilobytes("MemTotal:       24 kB\n", "MemTotal:"), Some(24.0 * 1024.0));
        assert_eq!(in_kilobytes("", "VmRSS:"), None);
        assert_eq!([shown(3.06e9), shown(4.2e7)], ["about 3.1 GB", "about 42 MB"]);
    }
}
