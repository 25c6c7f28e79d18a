//! A report of made-up runs, to view in a browser: `cargo run -p report --example made-up-page -- page.html`.
//! The numbers have no meaning.

use std::{error::Error, path::PathBuf};

use report::{Curve, Load, Page, Row, Runs, page};

const METHODS: [(&str, f64, f64); 8] = [
    ("dense", 0.951, 49_152.0),
    ("top-k", 0.969, 49_664.0),
    ("switch", 0.962, 37_200.0),
    ("expert-choice", 0.974, 49_664.0),
    ("soft", 0.978, 112_000.0),
    ("hash", 0.955, 49_152.0),
    ("random", 0.948, 49_152.0),
    ("sticky-routing", 0.966, 49_664.0),
];

fn main() -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from(std::env::args().nth(1).unwrap_or("page.html".into()));
    let mut noise = Noise(1);
    let mut runs = Runs::default();
    let (mut curves, mut loads) = (Vec::new(), Vec::new());
    for (task, metric, sign) in [("digits", "accuracy", 1.0), ("tanaka-lm", "bits_per_byte", -1.0)]
    {
        for (method, quality, flops) in METHODS {
            for seed in 0..8 {
                let value = if sign > 0.0 { quality } else { 3.1 - quality };
                let value = value + 0.004 * noise.next();
                let row = made_up(task, method, seed, flops);
                let gap = task == "tanaka-lm" && ["soft", "expert-choice"].contains(&method);
                if gap {
                    let note = "refused: sees later tokens".into();
                    runs.rows.push(Row { metric: "refused".into(), note, ..row });
                    continue;
                }
                let with = |metric: &str, value| Row {
                    metric: metric.into(),
                    value: Some(value),
                    ..row.clone()
                };
                let load = if method == "soft" { 1.0 } else { 1.4 + 0.2 * noise.next() };
                runs.rows.extend([
                    with(metric, value),
                    with("tokens_per_second", 21_000.0 + 900.0 * noise.next()),
                    with("max_over_mean_load", load),
                    with("dropped_share", 0.0),
                ]);
                curves.push(training_curve(
                    task,
                    method,
                    seed,
                    "train/loss",
                    |t| 2.3 * (-4.0 * t).exp() + 1.0 - quality,
                    &mut noise,
                ));
                curves.push(training_curve(
                    task,
                    method,
                    seed,
                    "entropy",
                    |t| 1.4 - quality * t * 0.5,
                    &mut noise,
                ));
                if seed == 0 && method != "dense" {
                    loads.extend(load_history(task, method, &mut noise));
                }
            }
        }
    }
    let made_up = Page {
        curves,
        loads,
        margin: Some(0.01),
        environment: vec![("processor".into(), "none: these numbers are made up".into())],
        commands: vec!["cargo run -p report --example made-up-page -- page.html".into()],
        ..Page::new("Made-up runs", &runs)
    };
    std::fs::write(&path, page(&made_up)?)?;
    Ok(())
}

fn made_up(task: &str, method: &str, seed: u64, flops: f64) -> Row {
    Row {
        suite: "made-up".into(),
        task: task.into(),
        backbone: if task == "digits" { "vit" } else { "transformer-lm" }.into(),
        method: method.into(),
        router: method.into(),
        seed,
        split: "test".into(),
        step: Some(400),
        params: Some(61_450),
        active_params: Some(24_586),
        flops_per_token: Some(flops),
        seconds: Some(flops / 4000.0 + seed as f64 * 0.1),
        device: "cpu".into(),
        revision: "made-up".into(),
        run: format!("{task}-{method}-{seed}"),
        ..Row::default()
    }
}

fn training_curve(
    task: &str,
    method: &str,
    seed: u64,
    name: &str,
    value: impl Fn(f64) -> f64,
    noise: &mut Noise,
) -> Curve {
    let points = (0..=400)
        .map(|step| (step as f64, value(step as f64 / 400.0) + 0.03 * noise.next()))
        .collect();
    Curve { method: method.into(), task: task.into(), seed, name: name.into(), points }
}

fn load_history(task: &str, method: &str, noise: &mut Noise) -> Vec<Load> {
    let mut loads = Vec::new();
    for layer in [1, 3] {
        let drift: Vec<f64> = (0..8).map(|_| noise.next()).collect();
        for step in (0..=400).step_by(5) {
            let t = step as f64 / 400.0;
            let per_expert =
                drift.iter().map(|d| (1.3 * d * t + 0.2 * noise.next()).exp()).collect();
            let (method, task) = (method.into(), task.into());
            loads.push(Load { method, task, seed: 0, layer, step, per_expert });
        }
    }
    loads
}

/// Roughly normal numbers.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        let mut uniform = || {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1_u64 << 53) as f64
        };
        (0..12).map(|_| uniform()).sum::<f64>() - 6.0
    }
}
