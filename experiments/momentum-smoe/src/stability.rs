//! `stability`: the growth of a disturbance per layer as a function of the curvature, for each rule.

use std::path::PathBuf;

use clap::Args;
use lab::{Answer, Session, Verb, prelude::*, save_files};
use moe::AnyResidual;
use report::{Line, plot::curves, stats::mean};

use crate::limit;

/// The folder of the files.
#[derive(Args)]
pub(crate) struct Stability {
    /// The folder for stability.csv, stability.svg and runs.csv
    #[arg(default_value = "runs/stability")]
    folder: PathBuf,
}

impl Verb for Stability {
    const NAME: &'static str = "stability";
    const ABOUT: &'static str =
        "Write the growth of a disturbance under each rule, and the largest stable curvature";

    fn run(&self, _session: &Session) -> anyhow::Result<Answer> {
        let lines = lines();
        let title = "Growth of a disturbance in a layer; it dies out below 1";
        let plot = curves(title, "curvature", "growth", &lines);
        let files = [
            ("stability.csv", table(&lines)),
            ("stability.svg", plot),
            ("runs.csv", limit::limits().to_csv()),
        ];
        save_files(&self.folder, &files)
    }
}

/// The lines of the plot: a name, a rule, and mu if it is not the rule's default. Plain descent has the same
/// sign as the other rules.
const RULES: [(&str, &str, Option<f64>); 8] = [
    ("descent", "heavy-ball", Some(0.0)),
    ("heavy ball 0.3", "heavy-ball", Some(0.3)),
    ("heavy ball 0.7", "heavy-ball", Some(0.7)),
    ("heavy ball 0.9", "heavy-ball", Some(0.9)),
    ("robust", "robust", None),
    ("nag 0.7", "nag", Some(0.7)),
    ("negative 0.3", "negative", Some(0.3)),
    ("complex 0.7", "complex", Some(0.7)),
];

/// The growth of a disturbance per layer as a function of the curvature, for each rule.
fn lines() -> Vec<Line> {
    let curvatures: Vec<f64> = (1..=80).map(|i| f64::from(i) / 20.0).collect();
    let line = |(hue, (name, kind, mu)): (usize, &(&str, &str, Option<f64>))| {
        let growth = residuals::growth(&rule(kind, *mu), &curvatures, &Device::flex());
        let point = |(s, growth): (&f64, f64)| Some((*s, mean(&[growth])?));
        let points = curvatures.iter().zip(growth).filter_map(point).collect();
        Line { name: name.to_string(), hue, points, range: [0.0, f64::INFINITY] }
    };
    RULES.iter().enumerate().map(line).collect()
}

/// A rule of the library.
pub(crate) fn rule(name: &str, mu: Option<f64>) -> AnyResidual {
    let choice = mu.iter().fold(Choice::of(name), |choice, mu| choice.with("mu", mu));
    let build = residuals::all().get(name).expect("a rule of the library").build.init;
    build(&choice, 1, &Init::new(0, &Device::flex())).expect("mu is below 1")
}

/// The points of all lines as a table.
fn table(lines: &[Line]) -> String {
    let row = |line: &Line, (s, growth): &(f64, report::stats::Mean)| {
        format!("{},{s},{}\n", line.name, growth.mean)
    };
    let rows = lines.iter().flat_map(|line| line.points.iter().map(move |point| row(line, point)));
    format!("rule,curvature,growth\n{}", rows.collect::<String>())
}

#[test]
fn the_plot_shows_the_wider_range() {
    let lines = lines();
    let at = |name: &str, curvature: f64| {
        let line = lines.iter().find(|line| line.name == name).unwrap();
        line.points.iter().find(|(s, _)| (s - curvature).abs() < 1e-9).unwrap().1.mean
    };
    assert!(at("descent", 1.9) < 1.0 && at("descent", 2.1) > 1.0);
    assert!(at("heavy ball 0.7", 3.3) < 1.0 && at("heavy ball 0.7", 3.5) > 1.0);
}
