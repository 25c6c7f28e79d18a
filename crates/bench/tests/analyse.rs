//! Traces and analyses from end to end.

mod common;

use std::fs;

use common::{Place, ended};

#[test]
fn a_trace_changes_nothing_and_can_be_analysed() {
    let place = Place::new();
    ended(&place.run(&["run", "tiny.toml"]), 0);
    ended(&place.run(&["run", "tiny.toml", "--trace", "--runs", "traced"]), 0);
    assert_eq!(place.outcomes("runs"), place.outcomes("traced"));
    let run = &place.runs("traced")[0];
    let steps: Vec<_> = fs::read_dir(run.join("trace")).unwrap().flatten().collect();
    assert_eq!(steps.len(), 3, "at steps 0, 20 and 40");
    let numbers = fs::read_to_string(run.join("routing.json")).unwrap();
    for name in ["weight_entropy", "expert_change_rate", "early_load", "output_similarity"] {
        assert!(numbers.contains(name), "{name}: {numbers}");
    }
    assert!(fs::read_to_string(place.path("traced/tiny.csv")).unwrap().contains(",valid,margin,"));
    // Runs that have already ended are traced in their final state.
    ended(&place.run(&["run", "tiny.toml", "--trace"]), 0);
    let last = "trace/step-00000040.safetensors";
    let bytes = |runs: &str| fs::read(place.runs(runs)[0].join(last)).unwrap();
    assert!(bytes("runs") == bytes("traced"), "the checkpoint is the run's last state");
    let results = fs::read_to_string(place.path("runs/tiny.csv")).unwrap();
    assert!(results.contains(",valid,margin,"), "the results have the numbers of the new traces");

    let name = run.file_name().unwrap().to_string_lossy().to_string();
    let call = ["analyse", &name, "--runs", "traced", "--format", "md"];
    let (out, err) = ended(&place.run(&call), 0);
    for expected in [
        "Load at step 40",
        "Share of the final choices",
        "mutual information",
        "first expert",
        "that are not in the trace before",
        "cosine",
    ] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
    assert!(err.contains("causality is measured on text only"), "{err}");
    assert!(fs::read_dir(run.join("analysis")).unwrap().count() >= 3);
    let with_itself = ["analyse", &name, &name, "--runs", "traced", "--what", "agreement"];
    let (out, _) = ended(&place.run(&with_itself), 0);
    assert!(out.contains("1.000"), "{out}");
    let (_, err) = ended(&place.run(&["analyse", &name, "--runs", "traced", "--what", "lode"]), 2);
    assert!(err.contains("no analysis is named \"lode\"; known: load, entropy"), "{err}");
}

#[test]
fn both_sides_of_an_encoder_decoder_have_their_plots() {
    let heads = "encoder_heads = 2, decoder_heads = 2, cross_heads = 2";
    let sizes = "batch_tokens = 128, length = 32, valid_sentences = 4, test_sentences = 4";
    let place = Place::with_suite(&format!(
        "seeds = [0]\n[base]\n\
         moe = {{ layers = \"all\", experts = 4, expert = {{ kind = \"ffn\", hidden = 8 }} }}\n\
         train = {{ steps = 2, batch = 1, eval_every = 2 }}\n[[task]]\n\
         task = {{ kind = \"translation\", tokens = \"byte\", pairs = 60, {sizes} }}\n\
         backbone = {{ kind = \"transformer-seq2seq\", width = 8, {heads}, encoder_layers = 1, decoder_layers = 1 }}\n\
         [[method]]\nmoe.router = \"top-k\"\n"
    ));
    ended(&place.run(&["run", "tiny.toml"]), 0);
    let run = place.runs("runs").remove(0);
    ended(&place.run(&["analyse", run.to_str().unwrap(), "--what", "load"]), 0);
    for side in ["encoder", "decoder"] {
        let plot = format!("analysis/{side}-translation-load-entropy--layer-0-curves.svg");
        assert!(run.join(&plot).is_file(), "{plot}");
    }
}

#[test]
fn regret_is_in_the_loss_of_the_task() {
    let place = Place::new();
    // The task has one output, whose loss is not the cross-entropy of classes.
    let suite = "seeds = [0]\n[[task]]\ntask = 'planted-clusters'\n[base]\nbackbone = 'bare'\n\
                 moe = { layers = 'all', experts = 4, router = 'top-k' }\n\
                 train = { steps = 20, batch = 8 }\n[[method]]\n";
    fs::write(place.path("one.toml"), suite).unwrap();
    ended(&place.run(&["run", "one.toml", "--trace"]), 0);
    let name = place.runs("runs")[0].file_name().unwrap().to_string_lossy().to_string();
    let call = ["analyse", &name, "--what", "regret", "--format", "csv"];
    let (out, _) = ended(&place.run(&call), 0);
    assert!(out.contains("regret") && !out.to_lowercase().contains("nan"), "{out}");
}
