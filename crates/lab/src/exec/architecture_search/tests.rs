use std::sync::{Arc, atomic::AtomicBool};

use burn::prelude::*;
use tasks::DataDir;

use super::*;
use crate::{
    Plugins,
    exec::ProgressDisplay,
    planning::Source,
    spec::{Program, Selection, Suite},
    store::{Environment, Store},
};

/// Widths of experts on small images.
const SUITE: &str = r#"
seeds = [0]
[[task]]
task = { kind = "digits", train = 60, valid = 40, test = 40 }
backbone = { kind = "vit", width = 8, depth = 1, heads = 2 }
train = { steps = 3, batch = 8, log_every = 3 }
[[method]]
name = "MoE"
moe = { router = "switch", experts = 2, layers = "all" }
[search]
rank = 3
metric = "loss"
evolution = { population = 3, parents = 2, mutations = 1, crossovers = 1, iterations = 2 }
limit = { what = "params", at_most = 3000 }
[search.keys]
"moe.expert.hidden" = [4, 8, 12, 16, 20, 24, 28, 32, 2000]
"moe.experts" = [2, 3]
[search.candidate]
train.steps = 1
"#;

fn search(suite: &str, runs: &std::path::Path) -> anyhow::Result<Searched> {
    let text: &'static str = suite.to_string().leak();
    let suite = Suite { name: "s", file: "../s.toml", text, program: Program::NONE };
    let source = Source::find("s", &[suite])?;
    let (plugins, data, wanted) = (Plugins::default(), DataDir::default(), Selection::default());
    let mut searcher = source.searcher(&plugins, &data, &wanted)?.unwrap();
    let store = Store::open(runs)?;
    let runner = Runner {
        plugins: &plugins,
        store: &store,
        device: &Device::flex(),
        environment: &Environment::now("flex", 1),
        jobs: 1,
        trace: false,
        shown: ProgressDisplay::Nothing,
        on_end: &|_| {},
        tracer: None,
        group: training::ProcessGroup::alone(),
        stop: Arc::new(AtomicBool::new(false)),
    };
    runner.search(&mut searcher)
}

fn number(searched: &Searched, method: &str, name: &str) -> f64 {
    let result = searched.results.iter().find(|result| {
        result.spec.method == method && result.numbers.iter().any(|(known, _)| known == name)
    });
    let numbers = &result.unwrap().numbers;
    numbers.iter().find(|(known, _)| known == name).unwrap().1
}

#[test]
fn widths_of_experts_are_searched_and_a_second_search_trains_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let searched = search(SUITE, folder.path()).unwrap();
    let methods: Vec<&str> = searched.specs.iter().map(|spec| spec.method.as_str()).collect();
    assert_eq!(methods, ["MoE, evolution", "MoE, random"]);
    // Two parents have few distinct children, so there may be fewer than 3 + 2 * 2.
    let evaluations = number(&searched, "MoE, evolution", "evaluations");
    assert!((5.0..=7.0).contains(&evaluations), "{evaluations}");
    for (method, spec) in methods.iter().zip(&searched.specs) {
        assert_eq!(number(&searched, method, "evaluations"), evaluations);
        assert!(number(&searched, method, "best_params") <= 3000.0);
        let steps = spec.config.train.steps;
        let tried = spec.tuned.as_ref().unwrap().settings as f64;
        assert_eq!((spec.trial, steps, tried), (false, 3, evaluations));
        assert_ne!(spec.config.moe.expert.options["hidden"], 2000);
    }
    assert!(number(&searched, "MoE", "rank_mae") > 0.0);
    assert!(number(&searched, "MoE", "rank_spearman").abs() <= 1.0);

    let list = |folder: &std::path::Path| {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name(), entry.metadata().unwrap().modified().unwrap())
        });
        let mut entries: Vec<_> = entries.collect();
        entries.sort();
        entries
    };
    let before = list(folder.path());
    let again = search(SUITE, folder.path()).unwrap();
    assert_eq!(list(folder.path()), before);
    let ids = |searched: &Searched| searched.specs.iter().map(|s| s.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&searched));
}

#[test]
fn a_limit_that_nothing_keeps_is_named_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let suite = SUITE.replace("at_most = 3000", "at_most = 10");
    let err = format!("{:#}", search(&suite, folder.path()).err().unwrap());
    let expected =
        "search: MoE: the space has no member with params of at most 10: the least of 1000";
    assert!(err.starts_with(expected), "{err}");
    let runs = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(runs, 1, "the folder of histories alone");
}

/// The widths of layers in bottlenecks, with the weights of a mixture of supernets.
const BOTTLENECKS: &str = r#"
seeds = [0]
[base]
task = { kind = "masked-lm", text = { kind = "text-lm", file = "TEXT", length = 8 } }
moe.layers = "none"
train = { steps = 2, batch = 4, log_every = 2 }
[base.backbone]
kind = "supernet"
paths = "sandwich"
causal = false
space = { decoder_width = [16], decoder_layers = [2, 3], heads = [2, 4], experts = [1], hidden = [8], bottleneck = [4, 8, 12, 16] }
mixture = { kind = "neuron", hidden = 4, bottleneck = true }
[[task]]
[[method]]
name = "bottlenecks"
[search]
rank = 2
metric = "loss"
evolution = { population = 4, parents = 2, mutations = 3, crossovers = 3, iterations = 3 }
limit = { what = "flops_per_token", at_most = 6000 }
[search.keys.backbone.architecture]
decoder_layers = [2, 3]
decoder_heads = { each = [2, 4], length = 3 }
decoder_bottleneck = { each = [4, 8, 12, 16], length = 3 }
[search.candidate]
train.steps = 0
from = { backbone.architecture = "sampled", train.steps = 2 }
[search.retrained.backbone]
alone = true
paths = "single"
mixture = { kind = "none", bottleneck = false }
"#;

#[test]
fn the_widths_of_layers_in_bottlenecks_are_searched() {
    let folder = tempfile::tempdir().unwrap();
    let (text, runs) = (folder.path().join("text.txt"), folder.path().join("runs"));
    std::fs::write(&text, "each layer has a width of its own. ".repeat(60)).unwrap();
    let suite = BOTTLENECKS.replace("TEXT", text.to_str().unwrap());
    let searched = search(&suite, &runs).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for spec in &searched.specs {
        let architecture = &spec.config.backbone.options["architecture"];
        let widths: Vec<u64> =
            serde_json::from_value(architecture["decoder_bottleneck"].clone()).unwrap();
        assert!(widths.len() == 3 && widths.iter().all(|width| [4, 8, 12, 16].contains(width)));
        assert!(number(&searched, &spec.method, "best_flops_per_token") <= 6000.0);
        assert!(number(&searched, &spec.method, "evaluations") >= 6.0);
        seen.insert(spec.method.clone());
    }
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        ["bottlenecks, evolution", "bottlenecks, random"]
    );
    assert!(number(&searched, "bottlenecks", "rank_mae") > 0.0);
    let again = search(&suite, &runs).unwrap();
    let ids = |searched: &Searched| searched.specs.iter().map(|s| s.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&searched));
    let wide = suite.replace("each = [4, 8, 12, 16]", "each = [4, 8, 20]");
    let err = format!("{:#}", search(&wide, &runs).err().unwrap());
    assert!(err.contains("decoder_bottleneck = 20; known: [4, 8, 12, 16]"), "{err}");
}

#[test]
fn a_method_has_a_space_and_settings_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let own = "[[method]]\nname = \"narrow\"\nmoe = { router = \"switch\", experts = 2, layers = \"all\" }\n\
               search.by = [\"random\"]\nsearch.rank = 0\nsearch.retrained.train.steps = 2\n\
               search.keys.\"moe.expert.hidden\" = [4, 6]\n[search]\n";
    let suite = SUITE.replace("[search]\n", own);
    let searched = search(&suite, folder.path()).unwrap();
    let methods: Vec<&str> = searched.specs.iter().map(|spec| spec.method.as_str()).collect();
    assert_eq!(methods, ["MoE, evolution", "MoE, random", "narrow, random"]);
    let narrow = &searched.specs[2];
    assert!([4, 6].map(Into::into).contains(&narrow.config.moe.expert.options["hidden"]));
    assert_eq!((narrow.config.moe.experts, narrow.config.train.steps), (2, 2));
    // The search evaluates all of the small space, and nothing twice.
    assert_eq!(number(&searched, "narrow, random", "evaluations"), 2.0);
    assert_eq!(searched.specs[0].config.train.steps, 3);
    let err =
        search(&suite.replace("search.rank = 0", "search.ranks = 0"), folder.path()).err().unwrap();
    assert!(err.to_string().contains("unknown key \"ranks\"; known: by, evolution"), "{err}");
}

#[test]
fn latency_is_predicted_from_measured_members() {
    let folder = tempfile::tempdir().unwrap();
    let (text, runs) = (folder.path().join("text.txt"), folder.path().join("runs"));
    std::fs::write(&text, "each layer has a width of its own. ".repeat(60)).unwrap();
    let limit = "{ what = \"predicted_latency\", at_most = 1e6, samples = 7, \
                 predictor = { hidden = 8, layers = 1, steps = 20, batch = 4, lr = 1e-2, unit = 1.0 } }";
    let suite = BOTTLENECKS
        .replace("TEXT", text.to_str().unwrap())
        .replace("{ what = \"flops_per_token\", at_most = 6000 }", limit)
        .replace("rank = 2\n", "rank = 2\nmeasures = [\"mixture_shift\"]\n");
    let searched = search(&suite, &runs).unwrap();
    for spec in &searched.specs {
        assert!(number(&searched, &spec.method, "best_predicted_latency").is_finite());
        let error = number(&searched, &spec.method, "predictor_mae");
        assert!(error.is_finite() && error > 0.0, "{error}");
        assert!(number(&searched, &spec.method, "predictor_skill").is_finite());
    }
    assert!(number(&searched, "bottlenecks", "mixture_shift") > 0.0);
    // The measurements are in a history, so that a search resumes with the same predictor.
    let histories = || {
        let entries = std::fs::read_dir(runs.join("searches")).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            (path, text)
        });
        entries.collect::<std::collections::BTreeMap<_, _>>()
    };
    let before = histories();
    let measured = |text: &&String| text.contains("\"measured\":7");
    assert_eq!(before.values().find(measured).unwrap().lines().count(), 1 + 7);
    let again = search(&suite, &runs).unwrap();
    assert_eq!(histories(), before);
    let ids = |searched: &Searched| searched.specs.iter().map(|s| s.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&searched));
    // Only a supernet can describe its architecture as numbers.
    let foreign = SUITE.replace("what = \"params\"", "what = \"predicted_latency\"");
    let err = format!("{:#}", search(&foreign, &runs).err().unwrap());
    assert!(
        err.contains("only for the backbone \"supernet\"") && err.contains("\"latency\""),
        "{err}"
    );
    let foreign = SUITE.replace("at_most = 3000", "at_most = 3000, samples = 9");
    let err = format!("{:#}", search(&foreign, &runs).err().unwrap());
    assert!(err.contains("limit: samples: only for what = \"predicted_latency\""), "{err}");
}
