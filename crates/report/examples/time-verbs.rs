//! The time that every reading verb takes on a csv of 100,000 rows: `cargo run --release -p report --example
//! time-verbs`. With `FILE VERB` it times one verb on a file, and prints the peak memory.

#![allow(clippy::print_stdout, reason = "an example tells what it found")]

use std::{error::Error, hint::black_box, path::Path, time::Instant};

use report::{
    Curve, Expect, Format, Load, Page, Query, Row, Runs, check, cmp, comparison, ledger, page,
    plots, power, rank, render,
};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [file, verb] = &words[..] {
        return one(Path::new(file), verb);
    }
    let path = std::env::temp_dir().join("report-time-verbs.csv");
    std::fs::write(&path, made_up().to_csv())?;
    let mut expect: Expect = serde_json::from_str(r#"{"metric": "accuracy", "between": [0, 1]}"#)?;
    expect.place.insert("method".into(), "method 3".into());
    let query = Query::default();
    time("table", &path, |runs| Ok(render(&comparison(runs, &query)?, Format::Text).len()))?;
    time("cmp", &path, |runs| Ok(cmp(runs, &query, "method 1", "method 2", Some(0.01))?.len()))?;
    time("rank", &path, |runs| Ok(rank(runs, &query)?.methods.len()))?;
    time("power", &path, |runs| Ok(power(runs, &query, None, Some(0.01))?.len()))?;
    time("check", &path, |runs| Ok(check(runs, &[expect.clone()])?.len()))?;
    time("ledger", &path, |runs| Ok(ledger(runs, false)?.rows.len()))?;
    time("plot", &path, |runs| Ok(plots(&Page::new("time", runs))?.len()))?;
    time("report", &path, |runs| Ok(page(&Page::new("time", runs))?.len()))?;
    let (curves, loads) = (made_up_curves(), made_up_loads());
    let points: usize = curves.iter().map(|curve| curve.points.len()).sum();
    println!("the same with {} curves of {points} points and {} loads:", curves.len(), loads.len());
    time("plot", &path, |runs| Ok(plots(&full(runs, &curves, &loads))?.len()))?;
    time("report", &path, |runs| Ok(page(&full(runs, &curves, &loads))?.len()))?;
    std::fs::remove_file(&path)?;
    Ok(())
}

/// Times one verb on a file.
fn one(path: &Path, verb: &str) -> Result<(), Box<dyn Error>> {
    let query = Query::default();
    let first = |runs: &Runs| runs.rows.first().map(|row| row.method.clone()).unwrap_or_default();
    time(verb, path, |runs| {
        Ok(match verb {
            "table" => render(&comparison(runs, &query)?, Format::Text).len(),
            "cmp" => cmp(runs, &query, &first(runs), &first(runs), Some(0.01))?.len(),
            "rank" => rank(runs, &query)?.methods.len(),
            "power" => power(runs, &query, None, Some(0.01))?.len(),
            "ledger" => ledger(runs, false)?.render(Format::Text).len(),
            "plot" => plots(&Page::new("time", runs))?.iter().map(|figure| figure.svg.len()).sum(),
            "report" => page(&Page::new("time", runs))?.len(),
            "read" => 0,
            other => return Err(report::Error::Query(format!("no verb is named {other:?}"))),
        })
    })?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!("{most}");
    Ok(())
}

fn full<'a>(runs: &'a Runs, curves: &[Curve], loads: &[Load]) -> Page<'a> {
    Page { curves: curves.to_vec(), loads: loads.to_vec(), ..Page::new("time", runs) }
}

/// Reads the file and computes the answer, as the command line does.
fn time(
    verb: &str,
    path: &Path,
    answer: impl Fn(&Runs) -> Result<usize, report::Error>,
) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let runs = Runs::read(path)?;
    let read = start.elapsed();
    black_box(answer(&runs)?);
    let all = start.elapsed();
    println!(
        "{verb:8} {:6.0} ms, of them {:4.0} ms reading {} rows",
        1e3 * all.as_secs_f64(),
        1e3 * read.as_secs_f64(),
        runs.rows.len()
    );
    Ok(())
}

/// 10 tasks, 20 methods, 10 seeds, 5 names, 25 points.
fn made_up_curves() -> Vec<Curve> {
    const NAMES: [&str; 5] = ["loss", "valid/loss", "valid/accuracy", "grad_norm", "balance"];
    let curve = |at: usize| Curve {
        method: format!("method {}", at / 50 % 20),
        task: format!("task {}", at / 1000),
        seed: (at / 5 % 10) as u64,
        name: NAMES[at % 5].into(),
        points: (0..25).map(|x| (40.0 * f64::from(x), 1.0 / (1.0 + f64::from(x)))).collect(),
    };
    (0..10_000).map(curve).collect()
}

/// 10 tasks, 20 methods, 2 layers, 10 steps, 16 experts.
fn made_up_loads() -> Vec<Load> {
    let load = |at: usize| Load {
        method: format!("method {}", at / 20 % 20),
        task: format!("task {}", at / 400),
        seed: 0,
        layer: at % 2,
        step: (at / 2 % 10) as u64 * 100,
        per_expert: (0..16).map(|expert| ((at + expert) % 7) as f64).collect(),
    };
    (0..4000).map(load).collect()
}

/// 10 tasks, 20 methods, 100 seeds, 5 metrics.
fn made_up() -> Runs {
    const METRICS: [&str; 5] =
        ["accuracy", "loss", "tokens_per_second", "max_over_mean_load", "dropped_share"];
    let mut rows = Vec::new();
    for at in 0..100_000_u64 {
        let (metric, seed) = (METRICS[at as usize % 5], at / 5 % 100);
        let (method, task) = (at / 500 % 20, at / 10_000);
        // A value that looks random, between 0 and 1.
        let noise = (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / (1_u64 << 24) as f64;
        rows.push(Row {
            suite: "large".into(),
            task: format!("task {task}"),
            backbone: "vit".into(),
            method: format!("method {method}"),
            router: format!("router {method}"),
            seed,
            split: "test".into(),
            metric: metric.into(),
            value: Some(0.8 + 0.002 * method as f64 + 0.1 * noise),
            step: Some(1000),
            params: Some(61_450),
            active_params: Some(24_586),
            flops_per_token: Some(49_172.0),
            seconds: Some(10.0 + noise),
            device: "cpu".into(),
            revision: "cafe".into(),
            run: format!("{task}-{method}-{seed}"),
            ..Row::default()
        });
    }
    Runs::of(rows)
}
