use super::*;
use crate::fixture;

fn claim(json: &str) -> Claim {
    let head = r#"{"claim": "It is so", "effect": "a lot", "metric": "accuracy", "#;
    serde_json::from_str(&format!("{head}{json}}}")).unwrap()
}

fn test(json: &str) -> Tested {
    claims(&fixture::runs(), &[claim(json)], &[]).unwrap().remove(0)
}

#[test]
fn the_three_findings() {
    // switch minus dense is 0.022, with an interval of about 0.008 to each side.
    let against = r#""method": "switch", "against": "dense""#;
    let finding = |bounds: &str| test(&format!("{against}, {bounds}")).finding;
    assert_eq!(finding(r#""above": 0.0"#), Finding::Reproduced);
    assert_eq!(finding(r#""above": 0.02"#), Finding::Undecided);
    assert_eq!(finding(r#""above": 0.05"#), Finding::NotReproduced);
    assert_eq!(finding(r#""above": -0.01, "below": 0.01"#), Finding::NotReproduced);
    assert_eq!(finding(r#""above": 0.0, "below": 0.05"#), Finding::Reproduced);
    // In the other direction.
    let turned = test(r#""method": "dense", "against": "switch", "above": 0.0"#);
    assert_eq!(turned.finding, Finding::NotReproduced);
    assert!((turned.measured.unwrap().mean + 0.022).abs() < 1e-12);
}

#[test]
fn equality_has_to_be_shown() {
    // The difference is 0.022, with an interval of about 0.008; dense has about 0.9.
    let of = |within: f64| {
        let claim = r#""method": "switch", "against": "dense", "within""#;
        test(&format!("{claim}: {within}"))
    };
    assert_eq!(of(0.05).finding, Finding::Reproduced);
    assert_eq!(of(0.025).finding, Finding::Undecided);
    assert_eq!(of(0.01).finding, Finding::NotReproduced);
    let least = of(0.05).least.unwrap();
    assert!(0.025 < least && least < 0.05, "{least}");
    assert_eq!(of(least * 1.001).finding, Finding::Reproduced);
    assert_eq!(of(least * 0.999).finding, Finding::Undecided);
    // In the other direction the result is the same.
    let turned = test(r#""method": "dense", "against": "switch", "within": 0.05"#);
    assert_eq!(turned.finding, Finding::Reproduced);
}

#[test]
fn no_difference_at_all_is_no_improvement() {
    let same = test(r#""method": "switch", "against": "switch", "above": 0.0"#);
    assert_eq!((same.measured.unwrap().mean, same.finding), (0.0, Finding::NotReproduced));
}

#[test]
fn too_few_runs_decide_nothing() {
    let two = test(r#""method": "soft", "against": "dense", "above": 0.0"#);
    assert_eq!((two.measured.unwrap().seeds, two.finding), (2, Finding::Undecided));
    let none = test(r#""method": "nobody", "above": 0.0"#);
    assert_eq!((none.measured, none.finding), (None, Finding::Undecided));
}

/// `within` is judged like two bounds: by the 95 % interval, with 2.5 % on each side.
#[test]
fn one_level_for_every_kind_of_claim() {
    let against = r#""method": "switch", "against": "dense""#;
    let share = test(&format!(r#"{against}, "within": 0.05"#)).least.unwrap();
    let whole = 0.9512; // dense
    for factor in [0.999, 1.001] {
        let margin = share * whole * factor;
        let bounds = test(&format!(r#"{against}, "above": -{margin}, "below": {margin}"#));
        let within = test(&format!(r#"{against}, "within": {}"#, share * factor));
        assert_eq!(bounds.finding, within.finding, "{factor}");
    }
}

#[test]
fn an_interval_stays_in_the_range_of_its_metric() {
    let values = [0.6, 1.0, 1.0, 1.0];
    let row = |(seed, value): (u64, &f64)| fixture::row("a", seed, "accuracy", *value);
    let runs = Runs::of((0..).zip(&values).map(row));
    let tested = claims(&runs, &[claim(r#""method": "a", "above": 0.99"#)], &[]).unwrap().remove(0);
    let interval = tested.measured.unwrap().interval.unwrap();
    assert_eq!((interval.high, tested.finding), (1.0, Finding::Undecided));
}

#[test]
fn a_failed_run_decides_nothing() {
    let mut runs = fixture::runs();
    let of = |runs: &Runs, json: &str| claims(runs, &[claim(json)], &[]).unwrap().remove(0);
    let better = r#""method": "switch", "against": "dense", "above": 0"#;
    let alone = r#""method": "switch", "above": 0.9"#;
    assert_eq!(of(&runs, better).finding, Finding::Reproduced);
    runs.rows.push(fixture::gap("switch", 5, "failed", "at step 3, the loss is NaN"));
    for json in [better, alone] {
        let tested = of(&runs, json);
        assert_eq!((tested.finding, tested.measured.unwrap().failed), (Finding::Undecided, 1));
    }
    // Both methods failed on that seed, which favours neither.
    runs.rows.push(fixture::gap("dense", 5, "failed", "at step 3, the loss is NaN"));
    assert_eq!(of(&runs, better).finding, Finding::Reproduced);
}

#[test]
fn test_examples_are_covered_where_they_are_kept() {
    let runs = fixture::runs_with_examples();
    let of = |runs: &Runs, json: &str| claims(runs, &[claim(json)], &[]).unwrap().remove(0);
    for json in [r#""method": "a", "above": 0"#, r#""method": "a", "against": "b", "above": 0"#] {
        let with = of(&runs, json).measured.unwrap();
        let alone = of(&Runs::of(runs.rows.clone()), json).measured.unwrap();
        assert_eq!((with.examples, alone.examples), (Some(40), None));
        let width = |m: crate::verbs::claim::ClaimEvidence| {
            let interval = m.interval.unwrap();
            interval.high - interval.low
        };
        assert!(width(with) > 1.2 * width(alone), "{json}");
    }
}

#[test]
fn bad_claims_are_named() {
    let err = |runs: &Runs, json: &str| claims(runs, &[claim(json)], &[]).unwrap_err().to_string();
    let runs = fixture::runs();
    assert!(
        err(&runs, r#""method": "switch""#).contains("\"It is so\": expected `above` or `below`")
    );
    assert!(
        err(&runs, r#""method": "switch", "within": 0.1"#).contains("`within` requires `against`")
    );
    let both = r#""method": "switch", "against": "dense", "within": 0.1, "below": 0.1"#;
    assert!(err(&runs, both).contains("cannot be combined"));
    let mut twice = runs.clone();
    twice.rows.extend(runs.rows.into_iter().map(|row| crate::Row { task: "b".into(), ..row }));
    let err = err(&twice, r#""method": "switch", "above": 0.0"#);
    assert!(err.contains("several runs of \"switch\" have seed 0; select one"), "{err}");
    let bad = r#"{"claim": "", "effect": "", "metric": "", "method": "", "abve": 0.0}"#;
    assert!(serde_json::from_str::<Claim>(bad).unwrap_err().to_string().contains("abve"));
}

#[test]
fn an_effect_short_of_the_papers_is_called_smaller() {
    // switch minus dense is 0.022, with an interval of about 0.008 to each side.
    let of =
        |more: &str| test(&format!(r#""method": "switch", "against": "dense", {more}"#)).finding;
    assert_eq!(of(r#""above": 0.0, "paper": 0.02"#), Finding::Reproduced);
    assert_eq!(of(r#""above": 0.0, "paper": 0.1"#), Finding::Smaller);
    // The claim itself is undecided, but the paper's effect is excluded.
    assert_eq!(of(r#""above": 0.02, "paper": 0.1"#), Finding::Smaller);
    assert_eq!(of(r#""above": 0.05, "paper": 0.1"#), Finding::NotReproduced);
    let lower = r#""method": "dense", "against": "switch", "below": 0.0, "paper": -0.1"#;
    assert_eq!(test(lower).finding, Finding::Smaller);
}

#[test]
fn what_follows_from_the_set_up_is_no_evidence() {
    let json = r#""method": "switch", "above": 0.9, "by_construction": true"#;
    let tested = test(json);
    assert_eq!((tested.finding, tested.corrected), (Finding::ByConstruction, None));
}

/// An end of the interval is at a bound if and only if the p value is 2.5 %.
#[test]
fn p_values_go_with_intervals_and_are_corrected_for_their_number() {
    let against = r#""method": "switch", "against": "dense""#;
    let Interval { low, .. } =
        test(&format!(r#"{against}, "above": 0.0"#)).measured.unwrap().interval.unwrap();
    let at = claim(&format!(r#"{against}, "above": {low}"#));
    let alone = claims(&fixture::runs(), std::slice::from_ref(&at), &[]).unwrap().remove(0);
    assert!((alone.corrected.unwrap() - 0.025).abs() < 1e-9);
    let clear = claim(&format!(r#"{against}, "above": -1.0"#));
    let both = claims(&fixture::runs(), &[at, clear], &[]).unwrap();
    // The second largest of two p values counts once, the smallest twice.
    assert!((both[0].corrected.unwrap() - 0.025).abs() < 1e-9);
    assert!(both[1].survives_correction());
}

#[test]
fn a_claim_behind_a_closed_gate_is_not_testable() {
    let gate = r#"{"metric": "accuracy", "reference": "switch", "control": "dense"}"#;
    let gate = serde_json::from_str(gate).unwrap();
    let gates = crate::gates(&fixture::runs(), &[gate]).unwrap();
    let all = [
        claim(r#""method": "switch", "against": "dense", "above": 0.0"#),
        claim(r#""method": "switch", "above": 0.9, "by_construction": true"#),
        claim(r#""method": "nobody", "above": 0.9"#),
    ];
    let tested = claims(&fixture::runs(), &all, &gates).unwrap();
    assert_eq!(tested[2].finding, Finding::Undecided, "it has no runs");
    assert_eq!(tested[0].finding, Finding::NotTestable);
    assert!(tested[0].gate.as_ref().unwrap().starts_with("beats a trivial baseline: not measured"));
    assert_eq!(tested[1].finding, Finding::ByConstruction);
    assert!(tested[0].gated && !tested[2].gated);
}

/// A teacher with a learning rate stated by the suite only prepares other runs; no claim is about it.
#[test]
fn a_claim_on_a_method_that_was_not_tuned_is_not_testable() {
    let gate = r#"{"metric": "accuracy", "reference": "switch", "control": "dense"}"#;
    let gate = serde_json::from_str(gate).unwrap();
    let mut gated = crate::gates(&fixture::runs(), &[gate]).unwrap().remove(0);
    gated.conditions.clear();
    gated.stated = vec!["soft".into()];
    let finding = |json: &str, gated: &Gated| {
        let tested = claims(&fixture::runs(), &[claim(json)], std::slice::from_ref(gated));
        tested.unwrap().remove(0).finding
    };
    let against = r#""method": "switch", "against": "dense", "above": 0.0"#;
    assert_eq!(finding(against, &gated), Finding::Reproduced);
    let beyond = r#", "beyond": { "method": "soft", "against": "dense" }"#;
    assert_eq!(finding(&format!("{against}{beyond}"), &gated), Finding::NotTestable);
    for stated in ["switch", "dense"] {
        gated.stated = vec![stated.into()];
        assert_eq!(finding(against, &gated), Finding::NotTestable, "{stated}");
    }
}

/// Claims of the other suite of a paper count too.
/// The control, dense, is 0.022 below the reference.
#[test]
fn a_margin_wider_than_the_gap_to_the_control_tests_nothing() {
    let gate = r#"{"metric": "accuracy", "reference": "switch", "control": "dense"}"#;
    let mut gated =
        crate::gates(&fixture::runs(), &[serde_json::from_str(gate).unwrap()]).unwrap().remove(0);
    gated.conditions.clear();
    let of = |runs: &Runs, bounds: &str| {
        let claim = claim(&format!(r#""method": "switch", "against": "switch", {bounds}"#));
        claims(runs, &[claim], std::slice::from_ref(&gated)).unwrap().remove(0)
    };
    let runs = fixture::runs();
    for small in [r#""above": -0.006, "below": 0.006"#, r#""above": -0.006"#, r#""below": 0.006"#] {
        assert_eq!(of(&runs, small).finding, Finding::Reproduced, "{small}");
    }
    for wide in [r#""above": -0.006, "below": 0.01"#, r#""above": -0.01"#, r#""below": 0.01"#] {
        let tested = of(&runs, wide);
        assert_eq!(tested.finding, Finding::NotTestable, "{wide}");
        assert!(tested.gate.unwrap().starts_with("the margin, 0.0100, is more than a third"));
    }
    // It is refuted nevertheless by a difference beyond it, here 0.022.
    let worse = claim(r#""method": "dense", "against": "switch", "above": -0.01"#);
    let worse = claims(&runs, &[worse], std::slice::from_ref(&gated)).unwrap().remove(0);
    assert_eq!(worse.finding, Finding::NotReproduced);
    // A bound on the other side of 0 is no margin.
    assert_eq!(of(&runs, r#""below": -0.01"#).finding, Finding::NotReproduced);
    // Two dense networks: the distance to the trivial baseline was not measured.
    let mut dense = fixture::runs();
    for row in &mut dense.rows {
        row.router = "none".into();
        row.active_params = row.params;
    }
    let why = of(&dense, r#""above": -0.001"#).gate.unwrap();
    assert!(why.starts_with("the trivial baseline has no runs"), "{why}");
}

/// Differences of equal numbers may differ from 0 by rounding.
#[test]
fn what_rounding_leaves_is_no_difference() {
    let mut runs = fixture::runs();
    for (i, row) in runs.rows.iter_mut().enumerate() {
        row.value = Some(if i % 2 == 0 { 2e-17 } else { -1e-17 });
    }
    let of = |bounds: &str| {
        let claim = claim(&format!(r#""method": "switch", {bounds}"#));
        claims(&runs, &[claim], &[]).unwrap().remove(0)
    };
    let found = of(r#""above": 0.0"#);
    assert_eq!((found.finding, found.p), (Finding::NotReproduced, None));
    assert_eq!(of(r#""above": -0.1"#).finding, Finding::Reproduced);
}

#[test]
fn claims_of_several_suites_are_corrected_together() {
    let of = |above: f64| {
        let claim = format!(r#""method": "switch", "against": "dense", "above": {above}"#);
        test(&claim)
    };
    let (mut one, mut other) = (vec![of(0.0)], vec![of(0.01)]);
    let [first, second] = [one[0].p.unwrap(), other[0].p.unwrap()];
    assert!(first < second && one[0].corrected == Some(first));
    correct(one.iter_mut().chain(&mut other));
    assert_eq!([one[0].corrected, other[0].corrected], [Some(2.0 * first), Some(second)]);
}

#[test]
fn runs_that_are_too_few_for_the_papers_effect_test_nothing() {
    // switch minus dense is 0.022; the error over 5 seeds is the half-width over 2.776, and 4 degrees of
    // freedom have 2.776 + 0.941 of it.
    let of = |more: &str| test(&format!(r#""method": "switch", "against": "dense", {more}"#));
    let found = of(r#""above": 0.0"#).measured.unwrap();
    let interval = found.interval.unwrap();
    let least = (interval.high - interval.low) / 2.0 * (1.0 + 0.94096 / 2.77645);
    assert!((found.detects().unwrap() - least).abs() < 1e-5 * least);
    let few = of(r#""above": 0.0, "paper": 0.01"#);
    assert_eq!(few.finding, Finding::NotTestable);
    // It counts among the claims that are corrected together.
    let mut both = [of(r#""above": 0.0"#), few.clone()];
    correct(&mut both);
    assert_eq!(both[0].corrected, both[0].p.map(|p| 2.0 * p));
    assert!(few.gate.unwrap().ends_with("is not below the paper's, 0.010"));
    assert_eq!(of(r#""above": 0.02, "paper": 0.01"#).finding, Finding::NotTestable);
    assert_eq!(of(r#""above": 0.0, "paper": 0.012"#).finding, Finding::Reproduced);
    // A verdict against the paper requires no power.
    assert_eq!(of(r#""above": 0.05, "paper": 0.01"#).finding, Finding::NotReproduced);
}

#[test]
fn a_gain_is_compared_with_another_one() {
    let of = |other: &str| {
        let gain = r#""method": "switch", "against": "dense", "above": 0.0"#;
        test(&format!(r#"{gain}, "beyond": {other}"#))
    };
    // Beyond a gain of zero it is the whole gain; beyond its opposite, twice the gain.
    let whole = of(r#"{"method": "dense", "against": "dense"}"#);
    let measured = whole.measured.unwrap();
    assert!((measured.mean - 0.022).abs() < 1e-12, "{measured:?}");
    assert_eq!((whole.finding, measured.examples), (Finding::Reproduced, None));
    let twice = of(r#"{"method": "dense", "against": "switch"}"#).measured.unwrap();
    assert!((twice.mean - 0.044).abs() < 1e-12, "{twice:?}");
    let same = of(r#"{"method": "switch", "against": "dense"}"#);
    assert_eq!((same.measured.unwrap().mean, same.finding), (0.0, Finding::NotReproduced));
    // The seeds that all four methods have.
    let two = of(r#"{"method": "soft", "against": "dense"}"#).measured.unwrap();
    assert_eq!((two.seeds, two.interval), (2, None));

    let alone = r#""method": "dense", "above": 0.0, "beyond": {"method": "a", "against": "b"}"#;
    let err = claims(&fixture::runs(), &[claim(alone)], &[]).unwrap_err().to_string();
    assert!(err.contains("`beyond` requires `against`"), "{err}");
}

#[test]
fn costs_of_runs_are_claimed_as_metrics_are() {
    let mut runs = fixture::runs();
    for row in &mut runs.rows {
        let more = if row.method == "switch" { 2_000 + 7 * row.seed } else { 10 * row.seed };
        row.peak_memory = Some(100_000 + more);
    }
    let of = |metric: &str| {
        let claim = format!(
            r#"{{"claim": "It costs nothing", "effect": "no number", "metric": "{metric}",
                "method": "switch", "against": "dense", "within": 0.05}}"#
        );
        let claim = serde_json::from_str(&claim).unwrap();
        claims(&runs, &[claim], &[]).unwrap().remove(0)
    };
    let memory = of("peak_memory");
    let measured = memory.measured.unwrap();
    // Each run once, though it has several metrics: 2,000 less three for each seed from 0 to 4.
    assert_eq!((memory.finding, measured.seeds), (Finding::Reproduced, 5));
    assert!((measured.mean - 1_994.0).abs() < 1e-9);
    assert_eq!(of("train_flops").measured, None);
}
