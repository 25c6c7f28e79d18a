//! The page of claims is made from committed results, and is up to date.

mod common;

use std::{fs, path::Path, process::Command};

use common::{Place, ended};

#[test]
fn the_page_of_claims_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let place = Place::new();
    // A copy, so that pages of experiments are not rewritten while other tests read them.
    for part in ["experiments", "results"] {
        copy(&root.join(part), &place.path(part));
    }
    let mut command = place.bench(&["claims", "--out", "claims.md"]);
    ended(&command.output().unwrap(), 0);
    let how = "make it again: cargo run -p bench -- claims";
    let same = |a: &Path, b: &Path| fs::read_to_string(a).ok() == fs::read_to_string(b).ok();
    assert!(same(&place.path("claims.md"), &root.join("docs/claims.md")), "docs/claims.md: {how}");
    for experiment in fs::read_dir(root.join("experiments")).unwrap().flatten() {
        let page = experiment.path().join("README.md");
        let copy = place.path("experiments").join(experiment.file_name()).join("README.md");
        assert!(same(&page, &copy), "{}: {how}", page.display());
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else if path
            .extension()
            .is_some_and(|end| ["toml", "md", "csv", "txt"].iter().any(|e| end == *e))
        {
            fs::copy(path, to).unwrap();
        }
    }
}

const SUITE: &str = r#"
[paper]
name = "A paper"
url = "https://example.org"
[[claim]]
claim = "It is so"
effect = "a lot"
metric = "accuracy"
method = "a"
against = "b"
above = 0.0
"#;

/// An experiment in which `a` has these accuracies and `b` has 0.5.
fn experiment(accuracies: &[f64]) -> Place {
    let place = Place::new();
    fs::create_dir_all(place.path("experiments/one")).unwrap();
    fs::write(place.path("experiments/one/suite.toml"), SUITE).unwrap();
    let page = "one\n<!-- BEGIN: claims -->\n<!-- END: claims -->\n";
    fs::write(place.path("experiments/one/README.md"), page).unwrap();
    let mut csv = "suite,task,backbone,method,router,seed,split,metric,value,step,params,\
                   active_params,flops_per_token,seconds,device,revision,run\n"
        .to_string();
    for (seed, accuracy) in accuracies.iter().enumerate() {
        for (method, value) in [("a", accuracy), ("b", &0.5)] {
            csv += &format!(
                "one,t,n,{method},r,{seed},test,accuracy,{value},1,1,1,1,1,cpu,x,{method}{seed}\n"
            );
        }
    }
    fs::create_dir_all(place.path("results/one/2026-01-01")).unwrap();
    fs::write(place.path("results/one/2026-01-01/runs.csv"), csv).unwrap();
    place
}

fn claims(place: &Place) -> Command {
    place.bench(&["claims", "--out", "claims.md"])
}

#[test]
fn verdicts_follow_from_committed_results() {
    for (accuracies, verdict) in [
        (&[0.6, 0.61, 0.62][..], "| reproduced |"),
        (&[0.4, 0.41, 0.42], "| not reproduced |"),
        (&[0.4, 0.5, 0.6], "| undecided |"),
        (&[0.6, 0.61], "| undecided |"),
    ] {
        let place = experiment(accuracies);
        let (out, _) = ended(&claims(&place).output().unwrap(), 0);
        assert_eq!(out, "wrote claims.md\nwrote experiments/one/README.md\n");
        for page in ["claims.md", "experiments/one/README.md"] {
            let text = fs::read_to_string(place.path(page)).unwrap();
            assert!(text.contains(verdict), "{page}: {text}");
        }
    }
}

/// Claims of one paper are corrected for their number together, in whichever suites they are.
#[test]
fn the_suites_of_a_paper_are_corrected_together() {
    // The one-sided p is 0.020: below 2.5 %, and above half of it.
    let place = experiment(&[0.571, 0.61, 0.649]);
    let count = |verdicts: &str| {
        ended(&claims(&place).output().unwrap(), 0);
        fs::read_to_string(place.path("claims.md")).unwrap().matches(verdicts).count()
    };
    assert_eq!(count("| none | reproduced | reproduced |"), 1);
    copy(&place.path("results/one"), &place.path("results/one-more"));
    fs::write(place.path("experiments/one/more.toml"), SUITE).unwrap();
    assert_eq!(count("| none | reproduced | undecided |"), 2);
    let other = SUITE.replace("example.org", "example.com");
    fs::write(place.path("experiments/one/more.toml"), other).unwrap();
    assert_eq!(count("| none | reproduced | reproduced |"), 2);
    assert_eq!(count("2 reproduced (2 with Holm's correction)"), 1);
    assert_eq!(count("0 are behind a gate that holds; for the other 2 none was set."), 1);
}

#[test]
fn other_suites_of_an_experiment_have_claims_too() {
    let place = experiment(&[0.6, 0.61, 0.62]);
    let more = SUITE.replace("It is so", "There is more");
    fs::write(place.path("experiments/one/more.toml"), more).unwrap();
    fs::write(place.path("experiments/one/plain.toml"), "title = \"no claims\"\n").unwrap();
    ended(&claims(&place).output().unwrap(), 0);
    let page = fs::read_to_string(place.path("claims.md")).unwrap();
    assert!(page.contains("cargo run --release -p one -- run one-more`. There are no"), "{page}");
    let readme = fs::read_to_string(place.path("experiments/one/README.md")).unwrap();
    assert!(readme.contains("It is so") && readme.contains("There is more"), "{readme}");
}

#[test]
fn nothing_to_test_and_broken_claims_are_said() {
    let place = Place::new();
    let (_, err) = ended(&claims(&place).output().unwrap(), 2);
    assert!(err.contains("no suite has a [[claim]]"), "{err}");
    let place = experiment(&[0.6]);
    let wrong = SUITE.replace("above", "abve");
    fs::write(place.path("experiments/one/suite.toml"), wrong).unwrap();
    let (_, err) = ended(&claims(&place).output().unwrap(), 2);
    assert!(err.contains("experiments/one/suite.toml:11: claim: unknown key `abve`"), "{err}");
    assert!(!place.path("claims.md").exists());
}
