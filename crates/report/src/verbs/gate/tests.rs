//! Tests of the conditions of gates.

use super::*;
use crate::{Format, SuiteConditions, conditions_table, fixture};

fn gate() -> SuiteGate {
    let json = r#"{"metric": "accuracy", "reference": "moe", "control": "dense"}"#;
    serde_json::from_str(json).unwrap()
}

/// Results of two methods that pass every condition.
fn good() -> Runs {
    let mut rows = Vec::new();
    for seed in 0..4 {
        let noise = 0.001 * seed as f64;
        for (method, accuracy) in [("moe", 0.90 + noise), ("dense", 0.80 - noise)] {
            rows.push(fixture::row(method, seed, "accuracy", accuracy));
            rows.push(fixture::row(method, seed, "trivial_accuracy", 0.7));
            for (metric, value) in
                [(LATE_CHANGE, 0.002 + noise), (RATES_TRIED, 3.0), (RATE_AT_EDGE, 0.0)]
            {
                let row = fixture::row(method, seed, metric, value);
                rows.push(Row { split: "valid".into(), ..row });
            }
        }
    }
    Runs::of(rows)
}

fn judge(runs: &Runs) -> Gated {
    gates(runs, &[gate()]).unwrap().remove(0)
}

const NONE: [&GateCondition; 0] = [];

/// The one condition that does not hold.
fn only(runs: &Runs) -> GateCondition {
    let gated = judge(runs);
    let [broken] = gated.broken()[..] else { panic!("{gated:?}") };
    broken.clone()
}

fn set(runs: &mut Runs, metric: &str, value: f64) {
    let rows = runs.rows.iter_mut().filter(|row| row.metric == metric);
    rows.for_each(|row| row.value = Some(value));
}

fn broken(metric: &str, value: f64) -> String {
    let mut runs = good();
    set(&mut runs, metric, value);
    judge(&runs).broken().first().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn every_condition_can_hold_and_can_fail() {
    assert_eq!(judge(&good()).broken(), NONE);
    assert!(broken("trivial_accuracy", 0.95).starts_with("beats a trivial baseline: \"moe\""));
    assert!(broken(LATE_CHANGE, 0.03).contains("by 3.00 %"));
    // A loss that rises at the end has not converged either.
    assert!(broken(LATE_CHANGE, -0.03).contains("by 3.00 %"));
    assert!(broken(RATES_TRIED, 2.0).contains("2 learning rates were tried"));
    assert!(broken(RATE_AT_EDGE, 1.0).contains("is the smallest or the largest that was tried"));
}

#[test]
fn references_are_shown_beside_trivial_baselines() {
    let gated = judge(&good());
    let [value, trivial] = gated.means.map(Option::unwrap);
    assert!((value - 0.9015).abs() < 1e-12 && trivial == 0.7, "{value} {trivial}");
    let mut bare = good();
    bare.rows.retain(|row| row.metric != "trivial_accuracy");
    let suites = [good(), bare].map(|runs| SuiteConditions {
        suite: "s".into(),
        gates: vec![judge(&runs)],
        seconds: 5400.0,
    });
    let text = conditions_table(&suites).render(Format::Markdown);
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| s ")).collect();
    assert!(
        rows[0].starts_with("| s | accuracy | moe | 0.902 | 0.700 | \"dense\": +0.103, "),
        "{text}"
    );
    assert!(rows[0].ends_with("| holds | 90 |"), "{text}");
    assert!(rows[1].ends_with("| does not hold: beats a trivial baseline | 90 |"), "{text}");
    assert!(rows[1].contains("| 0.902 | not measured |"), "{text}");
}

#[test]
fn who_only_evaluates_another_network_is_neither_trained_nor_tuned() {
    let mut runs = good();
    let evaluated = fixture::row("moe, half the capacity", 0, "accuracy", 0.85);
    runs.rows.push(Row { step: Some(0), ..evaluated.clone() });
    assert_eq!(judge(&runs).broken(), NONE);
    runs.rows.push(evaluated);
    assert!(!judge(&runs).broken().is_empty(), "it was trained");
}

#[test]
fn who_prepares_others_is_trained_but_need_not_be_tuned() {
    let row = |metric: &str, value: f64| fixture::row("teacher", 0, metric, value);
    let valid = |metric, value| Row { split: "valid".into(), ..row(metric, value) };
    let mut runs = good();
    runs.rows.push(row("accuracy", 0.95));
    runs.rows.push(valid(LATE_CHANGE, 0.002));
    assert!(only(&runs).text.contains(RATES_TRIED), "nothing is stated");
    runs.rows.push(valid(RATES_TRIED, 0.0));
    let gated = judge(&runs);
    assert_eq!((gated.broken(), &gated.stated[..]), (vec![], &["teacher".to_string()][..]));
    assert_eq!(gated.not_tuned(["moe", "dense"]), None);
    let why = "is tuned: the learning rate of \"teacher\" is stated by the suite (`tune = false`)";
    assert_eq!(gated.not_tuned(["moe", "teacher"]).unwrap(), why);
    set(&mut runs, RATES_TRIED, 0.0);
    let broken = "is tuned: 0 learning rates were tried for \"moe\", the fewest";
    assert_eq!(only(&runs).to_string(), broken);
    let mut runs = good();
    runs.rows.push(row("accuracy", 0.95));
    runs.rows.extend([valid(LATE_CHANGE, 0.02), valid(RATES_TRIED, 0.0)]);
    assert_eq!(only(&runs).name, "is trained");
}

#[test]
fn a_network_that_is_no_run_of_the_suite_is_judged_too() {
    let with = |method: &str, step: Option<u64>, metric: &str, value: f64| {
        let row = fixture::row(method, 0, metric, value);
        Row { split: "valid".into(), step, ..row }
    };
    // The run whose weights the candidates of a search have.
    let mut runs = good();
    runs.rows.push(with("supernet", None, LATE_CHANGE, 0.002));
    assert!(only(&runs).text.contains(RATES_TRIED));
    runs.rows.push(with("supernet", None, RATES_TRIED, 3.0));
    assert_eq!(judge(&runs).broken(), NONE);
    runs.rows.push(with("supernet", None, RATE_AT_EDGE, 1.0));
    assert!(only(&runs).text.contains("\"supernet\""));
    set(&mut runs, RATE_AT_EDGE, 0.0);
    set(&mut runs, LATE_CHANGE, 0.02);
    assert_eq!(only(&runs).name, "is trained");
    // A run that is evaluated without steps of its own counts as trained as the run from which it starts.
    let mut runs = good();
    runs.rows.push(with("weights of a supernet", Some(0), LATE_CHANGE, 0.002));
    assert_eq!(judge(&runs).broken(), NONE);
    runs.rows.push(with("weights of another", Some(0), LATE_CHANGE, -0.02));
    assert!(only(&runs).text.contains("\"weights of another\" by 2.00 %"));
}

#[test]
fn what_was_not_measured_does_not_hold() {
    for metric in ["trivial_accuracy", LATE_CHANGE, RATES_TRIED] {
        let mut runs = good();
        runs.rows.retain(|row| row.metric != metric);
        let broken = only(&runs).text;
        assert_eq!(broken, format!("not measured: these results have no {metric}"));
    }
}

#[test]
fn a_margin_has_to_tell_the_control_from_the_reference() {
    // The reference is 0.103 above the control.
    let gated = judge(&good());
    assert_eq!(gated.too_wide(0.03, false), None);
    let wide = "the margin, 0.0400, is more than a third of the distance to \"dense\", 0.0343";
    assert_eq!(gated.too_wide(0.04, false).unwrap(), wide);
    // Between dense networks the trivial baseline is the control.
    let Some([mean, ..]) = gated.over_trivial else { panic!("it was measured") };
    assert_eq!(gated.too_wide(mean / 3.1, true), None);
    let err = gated.too_wide(mean / 2.9, true).unwrap();
    assert!(err.contains("a third of the distance to the trivial baseline"), "{err}");
    let mut noisy = good();
    let control = |row: &&mut Row| row.method == "dense" && row.metric == "accuracy";
    let values = [1.2, 0.4, 1.2, 0.4];
    for (row, value) in noisy.rows.iter_mut().filter(control).zip(values) {
        row.value = Some(value);
    }
    assert!(judge(&noisy).too_wide(0.03, false).unwrap().contains("not shown to lie outside"));
}

#[test]
fn a_gate_without_a_place_refuses_results_of_two_tasks() {
    let mut runs = good();
    let of_text = |row: Row| Row { task: "text".into(), ..row };
    runs.rows.extend(good().rows.into_iter().map(of_text));
    let err = gates(&runs, &[gate()]).unwrap_err().to_string();
    assert!(err.contains("several runs of \"moe\" have seed 0; select one with `where`"), "{err}");
    let mut on_text = gate();
    on_text.place.insert("task".into(), "text".into());
    assert_eq!(gates(&runs, &[on_text]).unwrap()[0].broken(), NONE);
}

#[test]
fn a_gate_does_not_hold_if_a_run_of_the_reference_failed() {
    let mut runs = good();
    let lost = |row: &Row| row.method == "moe" && row.seed == 3;
    runs.rows.retain(|row| !lost(row));
    assert_eq!(judge(&runs).broken(), NONE);
    runs.rows.push(fixture::row("moe", 3, "failed", 1.0));
    assert_eq!(only(&runs).text, "1 run of \"moe\" failed");
}

#[test]
fn the_most_particular_gate_is_a_claims() {
    let mut on_digits = gate();
    on_digits.place.insert("task".into(), "digits".into());
    let all = gates(&good(), &[gate(), on_digits]).unwrap();
    let place = |task: &str| BTreeMap::from([("task".to_string(), Value::from(task))]);
    assert_eq!(gate_of(&all, "accuracy", &place("digits")).unwrap().gate.place.len(), 1);
    assert_eq!(gate_of(&all, "accuracy", &place("text")).unwrap().gate.place.len(), 0);
    assert_eq!(gate_of(&all, "loss", &place("digits")), None);
    let also = SuiteGate { also: vec!["loss".into()], ..gate() };
    let all = gates(&good(), &[also]).unwrap();
    assert!(gate_of(&all, "loss", &place("digits")).is_some());
}

#[test]
fn bounds_that_say_nothing_are_refused() {
    let read = |bound: &str| {
        let names = r#""metric": "accuracy", "reference": "moe", "control": "dense""#;
        serde_json::from_str::<SuiteGate>(&format!("{{{names}, {bound}}}"))
    };
    for bound in ["-1e308", "0", "1.5"] {
        let err = read(&format!("\"late_change\": {bound}")).unwrap_err().to_string();
        assert!(err.contains("is not a share: must be above 0 and at most 1"), "{err}");
    }
    let err = read("\"rates\": 0").unwrap_err().to_string();
    assert!(err.contains("0 rates: must be at least 1"), "{err}");
    let gate = read("\"late_change\": 1, \"rates\": 1").unwrap();
    assert_eq!((gate.late_change, gate.rates), (1.0, 1));
}

#[test]
fn a_metric_without_a_direction_is_refused() {
    let gate = SuiteGate { metric: "colour".into(), ..gate() };
    let err = gates(&good(), &[gate]).unwrap_err().to_string();
    assert!(err.contains("the direction of metric \"colour\""), "{err}");
}
