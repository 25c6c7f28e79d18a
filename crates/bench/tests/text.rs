//! Language models on text files, end to end: tokens, streams, questions, addresses, and bad files.

mod common;

use std::fs;

use common::{Place, ended};

const SUITE: &str = r#"
seeds = [0]
[base]
moe = { layers = "all", experts = 4, router = "top-k", expert = { kind = "ffn", hidden = 8 } }
train = { steps = 40, batch = 8, lr = 1e-2, warmup = 5, log_every = 10 }
[[task]]
task = { kind = "text-lm", file = "all.txt", length = 8, attack = 0.5 }
backbone = { kind = "transformer-lm", width = 16, depth = 1, heads = 2 }
[[method]]
name = "sparse"
[[method]]
name = "asked"
after = "sparse"
task.choices = "questions.jsonl"
"#;

/// A text in which "a dog" barks and "a cat" mews, and a question for each.
fn place() -> Place {
    let place = Place::with_suite(SUITE);
    fs::create_dir(place.path("data")).unwrap();
    let text = "a dog says woof .\na cat says mew .\n".repeat(200);
    fs::write(place.path("data/all.txt"), text).unwrap();
    let questions = "{\"context\": \"a dog says\", \"choices\": [\" mew .\", \" woof .\"], \"answer\": 1}\n\
                     {\"context\": \"a cat says\", \"choices\": [\" mew .\", \" woof .\"], \"answer\": 0}\n";
    fs::write(place.path("data/questions.jsonl"), questions).unwrap();
    place
}

fn value(csv: &str, method: &str, metric: &str) -> f64 {
    let mut lines = csv.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let at = |name: &str| head.iter().position(|known| *known == name).unwrap();
    let (of, named, split, worth) = (at("method"), at("metric"), at("split"), at("value"));
    let rows = lines.map(|line| line.split(',').collect::<Vec<_>>());
    let wanted = |row: &Vec<&str>| (row[of], row[named], row[split]) == (method, metric, "test");
    let found: Vec<f64> = rows.filter(wanted).map(|row| row[worth].parse().unwrap()).collect();
    assert_eq!(found.len(), 1, "{method} {metric}: {csv}");
    found[0]
}

#[test]
fn words_are_learned_and_questions_answered() {
    let place = place();
    let words = ["--data-dir", "data", "--set", "task.tokens=word"];
    ended(&place.run(&[&["run", "tiny.toml"], &words[..]].concat()), 0);
    let csv = place.csv();
    let (perplexity, loss) = (value(&csv, "sparse", "perplexity"), value(&csv, "sparse", "loss"));
    assert!((perplexity - loss.exp()).abs() < 1e-9 * perplexity, "{perplexity} {loss}");
    assert!(perplexity < 3.0, "{perplexity}");
    assert!(value(&csv, "sparse", "attacked_perplexity") > 2.0 * perplexity);
    assert!(value(&csv, "sparse", "attacked_bits_per_byte") > 0.0);
    // A method that only evaluates has the same network.
    assert_eq!(value(&csv, "asked", "loss"), loss);
    for metric in ["choice_accuracy", "choice_accuracy_per_token", "choice_accuracy_per_character"]
    {
        assert_eq!(value(&csv, "asked", metric), 1.0, "{metric}");
    }
    let (table, _) = ended(&place.run(&["table", "tiny.toml", "--set", "task.tokens=word"]), 0);
    for metric in ["attacked_perplexity: lower is better", "choice_accuracy: higher is better"] {
        assert!(table.contains(metric), "{table}");
    }
}

#[test]
fn rows_go_on_through_the_text_and_killed_runs_too() {
    let place = place();
    let set = ["--data-dir", "data", "--set", "task.stream=contiguous", "--only", "method=sparse"];
    ended(&place.run(&[&["run", "tiny.toml"], &set[..]].concat()), 0);
    let csv = place.csv();
    assert!(value(&csv, "sparse", "bits_per_byte") < 2.0, "{csv}");
    // With relative positions a window sees the end of the previous one, also in parts of a step. A run that
    // is stopped halfway continues to the same bits.
    let relative = [
        "run",
        "tiny.toml",
        "--data-dir",
        "data",
        "--only",
        "method=sparse",
        "--set",
        "task.stream=contiguous",
        "--set",
        "train.accumulate=2",
        "--set",
        "train.checkpoint_every=7",
        "--set",
        "backbone.positions=relative",
        "--set",
        "backbone.span=12",
    ];
    ended(&place.run(&[&relative[..], &["--runs", "whole"]].concat()), 0);
    ended(&place.run(&[&relative[..], &["--runs", "again"]].concat()), 0);
    assert_eq!(place.outcomes("whole"), place.outcomes("again"));
    let checkpoint =
        |place: &Place| place.runs("killed").iter().any(|run| run.join("checkpoint.bin").exists());
    let killed = [&relative[..], &["--runs", "killed"]].concat();
    let mut child = place.bench(&killed).stdout(std::process::Stdio::null()).spawn().unwrap();
    while !checkpoint(&place) && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    ended(&place.run(&killed), 0);
    assert_eq!(place.outcomes("killed"), place.outcomes("whole"));
    let many = ["--set", "train.batch=2000"];
    let (_, err) = ended(&place.run(&[&["run", "tiny.toml"], &set[..], &many].concat()), 2);
    assert!(err.contains("batch = 2000: must be at most "), "{err}");
}

#[test]
fn what_went_before_a_window_helps() {
    let place = place();
    let suite = SUITE
        .replace("attack = 0.5", "stream = \"contiguous\"")
        .replace(
            "width = 16, depth = 1, heads = 2",
            "width = 32, depth = 2, heads = 4, positions = \"relative\", span = 12",
        )
        .replace("task.choices = \"questions.jsonl\"", "task.stream = \"windows\"");
    fs::write(place.path("tiny.toml"), suite).unwrap();
    ended(&place.run(&["run", "tiny.toml", "--data-dir", "data", "--set", "train.steps=500"]), 0);
    let csv = place.csv();
    let (carried, alone) = (value(&csv, "sparse", "loss"), value(&csv, "asked", "loss"));
    // Without the states that are carried over, only the padding of the last window would make a difference.
    assert!(carried + 0.005 < alone, "the same network: {carried}, and window by window {alone}");
}

#[test]
fn experts_are_asked_about_party_and_decade() {
    let place = place();
    fs::create_dir(place.path("data/state-of-the-union")).unwrap();
    for (name, text) in [
        ("1801_thomas_jefferson_dr", "peace and commerce "),
        ("1862_abraham_lincoln_r", "the union and the war "),
        ("1935_franklin_d_roosevelt_d", "work and relief "),
    ] {
        let path = format!("data/state-of-the-union/{name}.txt");
        fs::write(place.path(&path), text.repeat(60)).unwrap();
    }
    let set = [
        "--data-dir",
        "data",
        "--only",
        "method=sparse",
        "--set",
        "task={kind='state-of-the-union', length=8}",
    ];
    ended(&place.run(&[&["run", "tiny.toml"], &set[..]].concat()), 0);
    let run = place.runs("runs")[0].file_name().unwrap().to_string_lossy().to_string();
    let call = ["analyse", &run, "--what", "specialisation", "--data-dir", "data"];
    let (tables, _) = ended(&place.run(&call), 0);
    for expected in ["party", "decade", "address", "Republican", "1930s", "1801 Thomas Jefferson"] {
        assert!(tables.contains(expected), "{expected}: {tables}");
    }
}

#[test]
fn bad_text_is_named_and_nothing_is_begun() {
    let place = place();
    fs::write(place.path("data/empty.txt"), "").unwrap();
    fs::write(place.path("data/short.txt"), "a b c").unwrap();
    fs::write(place.path("data/latin.txt"), b"caf\xe9 ".repeat(100)).unwrap();
    fs::create_dir(place.path("data/folder")).unwrap();
    let wrong = "{\"context\": \"a\", \"choices\": [\"b\", \"c\"], \"answer\": 2}\n";
    fs::write(place.path("data/wrong.jsonl"), wrong).unwrap();
    let address = place.path("data/state-of-the-union");
    for (setting, expected) in [
        ("task.file=none.txt", "cannot read data/none.txt"),
        ("task.file=empty.txt", "data/empty.txt: it is empty"),
        (
            "task.file=short.txt",
            "its train part has 0 tokens, too few for one window of length = 8",
        ),
        ("task.file=folder", "data/folder: no .txt file"),
        ("task={kind='text-lm', file='latin.txt', tokens='word'}", "not UTF-8 text at byte 3"),
        ("task.valid=none.txt", "cannot read data/none.txt"),
        (
            "task.tokens=letters",
            "no tokeniser is named \"letters\"; known: ascii, byte, character, word",
        ),
        ("task.tokens={kind='word', most=2}", "most = 2: must be at least 3"),
        ("task.tokens={kind='bpe', vocab=3}", "must be at least 256"),
        ("task.tokens={kind='word', mots=9}", "unknown key `mots`"),
        ("task.stream=rows", "unknown value `rows`, expected `windows` or `contiguous`"),
        ("task.parts=2", "parts = 2: must be at least 3"),
        ("task.length=0", "length = 0: must be at least 1"),
        ("task.attack=2.0", "attack = 2: must be from 0"),
        (
            "task.choices=wrong.jsonl",
            "wrong.jsonl: line 1: answer = 2: must be the number of a choice",
        ),
        ("task=state-of-the-union", "state-of-the-union needs files YYYY_FIRST_LAST_PARTY.txt"),
    ] {
        let call =
            ["run", "tiny.toml", "--data-dir", "data", "--only", "method=sparse", "--set", setting];
        let (out, err) = ended(&place.run(&call), 2);
        assert!(out.is_empty() && err.contains(expected), "{setting}: {err}");
    }
    assert!(!address.exists() && place.runs("runs").is_empty(), "nothing was begun");
}
