//! A table shows the requested results, or nothing.

mod common;

use std::fs;

use common::{Place, ended};

const SUITE: &str = r#"
seeds = [0, 1]
[base]
train = { steps = 4, batch = 8, log_every = 2 }
[[task]]
task = "digits"
backbone = { kind = "vit", patch = 4, width = 8, depth = 2, heads = 2 }
[[method]]
name = "NAME"
"#;

/// A place with two suites with the same file name.
fn two_suites() -> Place {
    let place = Place::new();
    for name in ["one", "two"] {
        fs::create_dir_all(place.path(name)).unwrap();
        fs::write(place.path(name).join("suite.toml"), SUITE.replace("NAME", name)).unwrap();
    }
    place
}

#[test]
fn two_suites_of_one_file_name_have_results_of_their_own() {
    let place = two_suites();
    let run = |name: &str| ended(&place.run(&["run", &format!("{name}/suite.toml")]), 0).0;
    let (one, two) = (run("one"), run("two"));
    assert!(one.contains("one-suite") && two.contains("two-suite"), "{one}{two}");
    let table = |name: &str| ended(&place.run(&["table", &format!("{name}/suite.toml")]), 0).0;
    assert_eq!((table("one"), table("two")), (one, two));
    // A suite whose results would have the same file name is distinguished nevertheless.
    fs::copy(place.path("two/suite.toml"), place.path("one-suite.toml")).unwrap();
    let (_, err) = ended(&place.run(&["table", "one-suite.toml"]), 2);
    assert!(err.contains("one-suite.csv belongs to another suite or to an older version"), "{err}");
}

#[test]
fn options_do_not_write_over_the_results_of_the_whole_suite() {
    let place = two_suites();
    let suite = "one/suite.toml";
    let run = |more: &[&str]| ended(&place.run(&[&["run", suite][..], more].concat()), 0).0;
    let table =
        |more: &[&str], code| ended(&place.run(&[&["table", suite][..], more].concat()), code);
    let whole = run(&[]);
    let seed = run(&["--seeds", "0"]);
    assert_ne!(whole, seed);
    run(&["--smoke"]);
    run(&["--set", "train.lr=0.5"]);
    assert_eq!(table(&[], 0).0, whole);
    assert_eq!(table(&["--seeds", "0"], 0).0, seed);
    let (out, err) = table(&["--seeds", "0..3"], 2);
    assert_eq!(out, "");
    assert!(err.contains("no results of one/suite.toml --seeds 0,1,2"), "{err}");
    assert!(err.contains("there are results of one/suite.toml, of"), "{err}");
    // Another suite of the same name has no results yet.
    let text = fs::read_to_string(place.path(suite)).unwrap();
    fs::write(place.path(suite), text.replace("steps = 4", "steps = 5")).unwrap();
    assert!(table(&[], 2).1.contains("or to an older version of one/suite.toml"));
}

const TEXT: &str = r#"
[base]
train = { steps = 40, batch = 4, log_every = 2, checkpoint_every = 2 }
[[task]]
task = { kind = "text-lm", file = "all.txt", length = 8 }
backbone = { kind = "transformer-lm", width = 8, depth = 1, heads = 2 }
[[method]]
moe = { layers = "none" }
"#;

/// A run on other data is another run, even if one on the old data was interrupted.
#[test]
fn other_data_are_another_run() {
    let place = Place::with_suite(TEXT);
    fs::create_dir_all(place.path("data")).unwrap();
    let write = |text: &str| fs::write(place.path("data/all.txt"), text.repeat(400)).unwrap();
    let run = || ended(&place.run(&["run", "tiny.toml", "--data-dir", "data"]), 0).0;
    write("one and two ");
    run();
    let first = place.runs("runs");
    assert_eq!(first.len(), 1);
    run();
    assert_eq!(place.runs("runs"), first, "nothing is trained twice");
    // The state after an interruption before the data changed.
    fs::remove_file(first[0].join("result.json")).unwrap();
    write("two and one ");
    run();
    let both = place.runs("runs");
    assert!(both.len() == 2 && !first[0].join("result.json").exists());
    let second = both.iter().find(|run| **run != first[0]).unwrap();
    let metrics = |run: &std::path::Path| fs::read_to_string(run.join("metrics.csv")).unwrap();
    assert_ne!(metrics(&first[0]), metrics(second));
    // A run is not used with data other than its own.
    let name = second.file_name().unwrap().to_string_lossy().to_string();
    let sample = ["sample", &name, "--data-dir", "data", "--tokens", "2"];
    ended(&place.run(&sample), 0);
    write("one or two ");
    let (_, err) = ended(&place.run(&sample), 2);
    assert!(err.contains("have changed since it was trained: all.txt"), "{err}");
}

/// A run is another run if the data of the run from which it starts change.
#[test]
fn other_data_of_the_run_before_are_another_run() {
    let from = "from = { task.file = \"first.txt\" }\nmoe = { layers";
    let place = Place::with_suite(&TEXT.replace("moe = { layers", from));
    fs::create_dir_all(place.path("data")).unwrap();
    let write = |file: &str, text: &str| {
        fs::write(place.path("data").join(file), text.repeat(400)).unwrap();
    };
    let run = || ended(&place.run(&["run", "tiny.toml", "--data-dir", "data"]), 0).0;
    write("all.txt", "one and two ");
    write("first.txt", "two or one ");
    run();
    assert_eq!(place.runs("runs").len(), 2);
    write("first.txt", "two and one");
    run();
    assert_eq!(place.runs("runs").len(), 4);
}

#[test]
fn a_part_of_a_suite_is_not_published() {
    let place = two_suites();
    for option in [&["--smoke"][..], &["--seeds", "0"], &["--only", "seed=0"], &["--shard", "1/2"]]
    {
        let args = [&["run", "one/suite.toml", "--publish"][..], option].concat();
        let (_, err) = ended(&place.run(&args), 2);
        assert!(err.contains("--publish needs a whole suite"), "{err}");
    }
    let (_, err) = ended(&place.run(&["run", "one/suite.toml", "--publish"]), 2);
    assert!(err.contains("no git revision"), "{err}");
    assert!(place.runs("runs").is_empty() && !place.path("results").exists());
}

#[test]
fn products_of_the_library_make_another_run() {
    let place = two_suites();
    let run = |device: &str| {
        let command = ["run", "one/suite.toml", "--seeds", "0", "--device", device];
        ended(&place.run(&command), 0);
    };
    run("flex");
    run("flex:fast");
    let runs = fs::read_dir(place.path("runs")).unwrap().flatten().map(|entry| entry.path());
    let environments = runs.filter_map(|run| fs::read_to_string(run.join("environment.json")).ok());
    let devices = environments.map(|text| {
        let environment: serde_json::Value = serde_json::from_str(&text).unwrap();
        environment["device"].as_str().unwrap().to_string()
    });
    let mut devices: Vec<String> = devices.collect();
    devices.sort();
    assert_eq!(devices, ["flex", "flex:fast"]);
}
