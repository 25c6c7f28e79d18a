//! Trained language models continue a text, end to end.

mod common;

use std::fs;

use common::{Place, ended, vouch};
use serde_json::Value;

const SUITE: &str = r#"
seeds = [0]
[base]
moe = { layers = "all", experts = 4, expert = { kind = "swiglu", hidden = 8 } }
train = { steps = 30, batch = 8, lr = 1e-2, warmup = 5 }
[[task]]
task = { kind = "tanaka-lm", length = 16 }
backbone = { kind = "transformer-lm", width = 16, depth = 2, heads = 4, kv_heads = 2, head = { norm = "column" } }
[[method]]
moe.router = "top-k"
[[method]]
name = "relative"
backbone = { positions = "relative", wiring = "double-residual", kv_heads = 4 }
moe.router = "top-k"
[[method]]
moe.router = "round-robin"
[[method]]
name = "full"
moe = { router = "top-k", capacity = { factor = 1.0 } }
[[method]]
name = "images"
task = "digits"
backbone = { kind = "vit", patch = 4, width = 8, depth = 2, heads = 2 }
moe.router = "top-k"
"#;

/// The folder with trained runs, and the runs by method.
fn trained() -> (Place, impl Fn(&str) -> String) {
    let place = Place::with_suite(SUITE);
    ended(&place.run(&["run", "tiny.toml"]), 0);
    let of = |folder: &std::path::PathBuf| {
        let config = fs::read_to_string(folder.join("config.json")).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        let name = folder.file_name().unwrap().to_string_lossy().to_string();
        (config["method"].as_str().unwrap().to_string(), name)
    };
    let runs: Vec<(String, String)> = place.runs("runs").iter().map(of).collect();
    let named = move |method: &str| {
        let found = runs.iter().find(|(known, _)| known == method);
        found.unwrap_or_else(|| panic!("{method}: {runs:?}")).1.clone()
    };
    (place, named)
}

const TRANSLATION: &str = r#"
seeds = [0]
[[task]]
task = { kind = "translation", pairs = 300, tokens = "byte", length = 64, batch_tokens = 256, valid_sentences = 2, test_sentences = 2 }
backbone = { kind = "transformer-seq2seq", width = 16, dense = { kind = "ffn", hidden = 16, activation = "relu" } }
train = { steps = 2, batch = 1 }
[[method]]
name = "dense"
moe.layers = "none"
"#;

#[test]
fn a_translator_translates_and_its_scores_have_a_signature() {
    let place = Place::with_suite(TRANSLATION);
    let (out, _) = ended(&place.run(&["run", "tiny.toml"]), 0);
    let signature =
        "BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0; chrF2|nrefs:1|";
    assert!(out.contains(signature), "{out}");
    let run = place.runs("runs")[0].file_name().unwrap().to_string_lossy().to_string();
    let sample =
        |more: &[&str]| place.run(&[&["sample", &run, "--prompt", "It is"], more].concat());
    let text = ended(&sample(&[]), 0).0;
    assert!(text.ends_with('\n') && text.chars().count() <= 65, "{text:?}");
    assert_eq!(ended(&sample(&[]), 0).0, text);
    let (json, _) = ended(&sample(&["--format", "json"]), 0);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["text"].as_str().unwrap(), text.trim_end_matches('\n'));
    for option in
        [&["--tokens", "5"][..], &["--temperature", "0"], &["--seed", "1"], &["--no-cache"]]
    {
        let err = ended(&sample(option), 2).1;
        assert!(err.contains(&format!("{} is only for language models", option[0])), "{err}");
    }
}

#[test]
fn trained_runs_write() {
    let (place, named) = trained();
    for method in ["top-k", "relative", "round-robin", "full"] {
        let run = named(method);
        let sample = |more: &[&str]| {
            let call = ["sample", &run, "--prompt", "It is", "--tokens", "40"];
            ended(&place.run(&[&call[..], more].concat()), 0)
        };
        let (text, said) = sample(&[]);
        assert!(text.starts_with("It is") && text.ends_with('\n'), "{text:?}");
        assert_eq!(text.chars().count(), 5 + 40 + 1, "{text:?}");
        assert_eq!(sample(&[]).0, text, "the same seed writes the same");
        assert_ne!(sample(&["--seed", "1"]).0, text);
        let cached = ["top-k", "relative"].contains(&method);
        assert_eq!(said.is_empty(), cached, "{method}: {said}");
        // The most probable text is the same with and without a cache, within one window.
        let likeliest = |more: &[&str]| {
            let call = ["sample", &run, "--tokens", "15", "--prompt", "I"];
            ended(&place.run(&[&call[..], more].concat()), 0).0
        };
        let cold = likeliest(&["--temperature", "0"]);
        assert_eq!(cold, likeliest(&["--temperature", "0", "--no-cache"]), "{method}");
        assert_eq!(cold, likeliest(&["--temperature", "3", "--top-k", "1"]), "{method}");
        let (out, _) = sample(&["--format", "json"]);
        let all: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(all["cached"], cached, "{out}");
        assert_eq!(format!("It is{}\n", all["text"].as_str().unwrap()), text);
    }
    wrong_calls(&place, &named);
    #[cfg(unix)]
    a_signal_asks_for_what_there_is(&place, &named("full"));
}

#[cfg(unix)]
fn a_signal_asks_for_what_there_is(place: &Place, run: &str) {
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };
    let mut command = place.bench(&["sample", run, "--prompt", "It is", "--tokens", "100000"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let before = said.next().unwrap().unwrap();
    assert!(before.starts_with("without a cache"), "it begins to write: {before}");
    std::thread::sleep(std::time::Duration::from_secs(1));
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let (text, _) = ended(&child.wait_with_output().unwrap(), 130);
    assert!(text.starts_with("It is") && text.chars().count() > 6, "{text:?}");
    let n = text.chars().count() - 6;
    assert_eq!(said.next().unwrap().unwrap(), format!("stopped after {n} of 100000 tokens"));
}

fn wrong_calls(place: &Place, named: &dyn Fn(&str) -> String) {
    let (text, images) = (named("top-k"), named("images"));
    for (call, expected) in [
        (vec!["nobody"], "no run is named \"nobody\" in runs; "),
        (vec![&images], "was trained on digits, which is not text; known: tanaka-lm, text-lm"),
        (vec![&text, "--prompt", "caf\u{e9}"], "\"\u{e9}\" is not one of the 97 tokens of the run"),
        (vec![&text, "--prompt", ""], "--prompt is empty"),
        (vec![&text, "--tokens", "0"], "--tokens 0: must be from 1 to 100000"),
        (vec![&text, "--top-p", "0"], "--top-p 0: must be above 0"),
        (vec![&text, "--temperature=-1"], "--temperature -1: must be 0 or larger"),
    ] {
        let (out, err) = ended(&place.run(&[&["sample"], &call[..]].concat()), 2);
        assert!(err.contains(expected) && out.is_empty(), "{call:?}: {err}");
    }
    // The state of a run that was trained elsewhere, with a router that uses later tokens.
    let run = place.path("runs").join(&text);
    let before = fs::read_to_string(run.join("config.json")).unwrap();
    let mut changed: Value = serde_json::from_str(&before).unwrap();
    changed["config"]["moe"]["router"] = serde_json::json!({ "kind": "expert-choice" });
    vouch(&run, "config.json", &changed.to_string());
    let (_, err) = ended(&place.run(&["sample", &text]), 2);
    assert!(err.contains("use later tokens (router \"expert-choice\""), "{err}");
    assert!(err.contains("routers that do not: top-k, switch"), "{err}");
    vouch(&run, "config.json", &before);
}
