//! Small fixed data for the tests of this crate.

use crate::{
    ExampleRow, ExampleScores, Row, Runs,
    trace::{About, Layer, Trace},
};

/// One measurement on the test split.
pub(crate) fn row(method: &str, seed: u64, metric: &str, value: f64) -> Row {
    Row {
        suite: "default".into(),
        task: "digits".into(),
        backbone: "vit".into(),
        method: method.into(),
        router: method.into(),
        seed,
        split: "test".into(),
        metric: metric.into(),
        value: Some(value),
        step: Some(400),
        params: Some(61_450),
        active_params: Some(24_586),
        flops_per_token: Some(49_172.0),
        seconds: Some(12.5),
        device: "cpu".into(),
        revision: "cafe".into(),
        run: format!("{method}-{seed}"),
        ..Row::default()
    }
}

/// The row that marks a run without a result.
pub(crate) fn gap(method: &str, seed: u64, mark: &str, note: &str) -> Row {
    Row { value: None, note: note.into(), ..row(method, seed, mark, 0.0) }
}

/// Runs with everything that a comparison table can show: clear winners and losers, a failed run, a refused
/// method, a method with too few seeds, and one without a metric.
pub(crate) fn runs() -> Runs {
    let mut rows = Vec::new();
    let mut add = |method: &str, accuracy: &[f64], load: f64, dropped: Option<f64>| {
        for (seed, accuracy) in (0..).zip(accuracy) {
            let small = 0.01 * seed as f64;
            rows.push(row(method, seed, "accuracy", *accuracy));
            rows.push(row(method, seed, "loss", 1.0 - accuracy));
            rows.push(row(method, seed, "tokens_per_second", 12_300.0 + 100.0 * seed as f64));
            rows.push(row(method, seed, "max_over_mean_load", load + small));
            rows.extend(dropped.map(|d| row(method, seed, "dropped_share", d + small)));
        }
    };
    add("dense", &[0.952, 0.948, 0.957, 0.950, 0.949], 1.0, None);
    add("switch", &[0.971, 0.975, 0.969, 0.978, 0.973], 1.32, Some(0.02));
    add("top-k", &[0.972, 0.974, 0.971, 0.976, 0.975], 1.25, Some(0.0));
    add("soft", &[0.990, 0.985], 1.0, Some(0.0));
    add("naïve-路由", &[0.961, 0.965, 0.958, 0.967], 2.9, Some(0.11));
    rows.push(gap("naïve-路由", 4, "failed", "failed at step 120"));
    rows.push(gap("expert-choice", 0, "refused", "sees later tokens"));
    Runs::of(rows)
}

/// Two methods with 5 seeds and 40 test examples; the difference varies more over the examples than over the
/// seeds.
pub(crate) fn runs_with_examples() -> Runs {
    let (mut rows, mut examples) = (Vec::new(), ExampleScores::default());
    for (method, better) in [("a", 6), ("b", 0)] {
        for seed in 0..5_u64 {
            // Example by example: right, wrong, or right only for one method or for some seeds.
            let right = |example: u64| {
                example >= 20 || example < better || (example * 7 + seed * 3).is_multiple_of(20)
            };
            let sums: Vec<f64> = (0..40).map(|e| f64::from(u8::from(right(e)))).collect();
            let row = row(method, seed, "accuracy", sums.iter().sum::<f64>() / 40.0);
            examples.push(ExampleRow {
                run: row.run.clone(),
                split: row.split.clone(),
                metric: row.metric.clone(),
                sums,
                counts: vec![1.0; 40],
            });
            rows.push(row);
        }
    }
    Runs { rows, examples }
}

/// Four units, two choices each, three experts, two layers; expert 2 of layer 1 is dead.
pub(crate) fn trace() -> Trace {
    let layer = |choices: [Vec<(usize, f32)>; 4]| Layer::new(3, &choices);
    Trace {
        about: About { task: "digits".into(), step: 10, experts: vec![3, 3], ..About::default() },
        layers: vec![
            layer([
                vec![(0, 0.75), (1, 0.25)],
                vec![(0, 0.5), (2, 0.5)],
                vec![(1, 1.0)],
                vec![(0, 0.75), (1, 0.25)],
            ]),
            layer([vec![(0, 1.0)], vec![(0, 1.0)], vec![(1, 1.0)], vec![]]),
        ],
        example: vec![0, 0, 1, 1],
        position: vec![0, 1, 0, 1],
        token: vec![0, 1, 0, 1],
        label: vec![5, 5, 7, 7],
        text: Vec::new(),
        pixels: None,
    }
}
