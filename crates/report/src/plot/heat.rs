//! The load of the experts over time: one strip for each layer, one row for each expert.

use std::collections::{BTreeMap, BTreeSet};

use super::svg::{Anchor, Canvas};
use crate::Load;

/// The shades from an idle expert, over the mean load, to four times the mean.
const SHADES: [&str; 7] =
    ["#8c2d04", "#d95f0e", "#fdae6b", "#ececec", "#9ecae1", "#3182bd", "#08306b"];
/// The upper bound of each shade, as load over the mean.
const BELOW: [f64; 6] = [0.125, 0.5, 0.8, 1.25, 2.0, 4.0];
/// The legend of the shades.
const MEANING: [&str; 7] = ["idle", "< 1/2", "< 0.8", "even", "> 1.25", "> 2", "> 4"];

const COLUMNS: usize = 60;
const WIDTH: f64 = 520.0;
const LEFT: f64 = 64.0;

/// A heat map with the numbers for its description.
#[derive(Clone, Debug, PartialEq)]
pub struct Heat {
    /// The figure.
    pub svg: String,
    /// The largest load over the mean at the last step, for each layer: (layer, ratio).
    pub last: Vec<(usize, f64)>,
}

/// Draws the loads of one run. Columns are equal ranges of steps, averaged.
pub fn heat(title: &str, loads: &[&Load]) -> Heat {
    let mut layers: BTreeMap<usize, Vec<&Load>> = BTreeMap::new();
    for load in loads {
        layers.entry(load.layer).or_default().push(load);
    }
    let steps: BTreeSet<u64> = loads.iter().map(|load| load.step).collect();
    let (first, last) = (steps.first().copied().unwrap_or(0), steps.last().copied().unwrap_or(0));
    let count = steps.len().min(COLUMNS);
    let strips: Vec<(usize, Vec<Vec<f64>>)> = layers
        .into_iter()
        .map(|(layer, loads)| (layer, strip(&loads, count, first, last)))
        .collect();
    let heights = strips.iter().map(|(_, columns)| strip_height(columns) + 10.0).sum::<f64>();
    let mut canvas = Canvas::new(LEFT + WIDTH + 110.0, heights + 44.0);
    let mut top = 6.0;
    for (layer, columns) in &strips {
        let height = strip_height(columns);
        canvas.text((LEFT - 8.0, top + height / 2.0 + 4.0), Anchor::End, &format!("layer {layer}"));
        draw(&mut canvas, columns, top);
        top += height + 10.0;
    }
    canvas.text((LEFT, top + 12.0), Anchor::Start, &format!("step {first}"));
    canvas.text((LEFT + WIDTH, top + 12.0), Anchor::End, &format!("step {last}"));
    legend(&mut canvas);
    let last: Vec<(usize, f64)> =
        strips.iter().filter_map(|(l, c)| Some((*l, busiest(c)?))).collect();
    Heat { svg: canvas.finish(title, &describe(&last)), last }
}

/// The load over the mean of each expert of a layer, in `count` columns. A column without data repeats the
/// previous one.
fn strip(loads: &[&Load], count: usize, first: u64, last: u64) -> Vec<Vec<f64>> {
    let mut sums: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for load in loads {
        let span = (last - first).max(1) as f64;
        let column = ((load.step - first) as f64 / span * count as f64) as usize;
        let sum =
            sums.entry(column.min(count - 1)).or_insert_with(|| vec![0.0; load.per_expert.len()]);
        sum.iter_mut().zip(&load.per_expert).for_each(|(sum, x)| *sum += x);
    }
    let mut before = sums.values().next().cloned().unwrap_or_default();
    let columns = (0..count).map(|column| {
        before = sums.get(&column).unwrap_or(&before).clone();
        over_mean(&before)
    });
    columns.collect()
}

fn over_mean(load: &[f64]) -> Vec<f64> {
    let mean = load.iter().sum::<f64>() / load.len() as f64;
    load.iter().map(|x| if mean > 0.0 { x / mean } else { 0.0 }).collect()
}

fn row_height(experts: usize) -> f64 {
    (110.0 / experts.max(1) as f64).clamp(2.0, 14.0)
}

fn strip_height(columns: &[Vec<f64>]) -> f64 {
    let experts = columns.first().map_or(0, Vec::len);
    row_height(experts) * experts as f64
}

/// Draws one path for each shade, with adjacent cells of the same shade merged, which keeps the file small.
fn draw(canvas: &mut Canvas, columns: &[Vec<f64>], top: f64) {
    let (width, height) = (WIDTH / columns.len() as f64, row_height(columns[0].len()));
    let mut paths = vec![String::new(); SHADES.len()];
    for expert in 0..columns[0].len() {
        let shades: Vec<usize> =
            columns.iter().map(|loads| shade(loads.get(expert).copied().unwrap_or(0.0))).collect();
        let mut from = 0;
        for run in shades.chunk_by(|a, b| a == b) {
            let (x, y) = (LEFT + width * from as f64, top + height * expert as f64);
            let long = width * run.len() as f64;
            paths[run[0]] += &format!("M{x:.1} {y:.1}h{long:.1}v{height:.1}h-{long:.1}z");
            from += run.len();
        }
    }
    for (shade, d) in SHADES.iter().zip(paths).filter(|(_, d)| !d.is_empty()) {
        canvas.add(format_args!(r#"<path fill="{shade}" d="{d}"/>"#));
    }
}

fn shade(over_mean: f64) -> usize {
    BELOW.iter().filter(|bound| over_mean >= **bound).count()
}

fn legend(canvas: &mut Canvas) {
    let x = LEFT + WIDTH + 16.0;
    canvas.text((x, 16.0), Anchor::Start, "load / mean");
    for (at, (shade, meaning)) in SHADES.iter().zip(MEANING).enumerate() {
        let y = 24.0 + 15.0 * at as f64;
        canvas.add(format_args!(
            r##"<rect x="{x:.1}" y="{y:.1}" width="14" height="12" fill="{shade}" stroke="#999" stroke-width="0.5"/>"##
        ));
        canvas.text((x + 20.0, y + 10.0), Anchor::Start, meaning);
    }
}

fn busiest(columns: &[Vec<f64>]) -> Option<f64> {
    columns.last()?.iter().copied().max_by(f64::total_cmp)
}

fn describe(last: &[(usize, f64)]) -> String {
    let layer = |(layer, ratio): &(usize, f64)| format!("layer {layer}: {ratio:.2}");
    let layers: Vec<String> = last.iter().map(layer).collect();
    format!("Largest load over the mean at the end: {}", layers.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(layer: usize, step: u64, per_expert: &[f64]) -> Load {
        Load { layer, step, per_expert: per_expert.into(), ..Load::default() }
    }

    #[test]
    fn loads_are_over_their_mean() {
        let loads = [load(0, 0, &[1.0, 1.0]), load(0, 10, &[3.0, 1.0]), load(1, 10, &[0.0, 8.0])];
        let heat = heat("t", &loads.iter().collect::<Vec<_>>());
        assert_eq!(heat.last, [(0, 1.5), (1, 2.0)]);
        assert!(heat.svg.contains("end: layer 0: 1.50; layer 1: 2.00\""), "{}", heat.svg);
        assert_eq!([0.0, 1.0, 1.5, 9.0].map(shade), [0, 3, 4, 6]);
    }

    #[test]
    fn a_layer_that_is_measured_seldom_has_as_many_columns() {
        let loads = [load(0, 0, &[1.0, 3.0]), load(0, 10, &[3.0, 1.0]), load(1, 10, &[0.0, 8.0])];
        let columns = strip(&[&loads[2]], 2, 0, 10);
        assert_eq!(columns, [[0.0, 2.0], [0.0, 2.0]]);
        assert_eq!(strip(&[&loads[0], &loads[1]], 2, 0, 10), [[0.5, 1.5], [1.5, 0.5]]);
    }

    #[test]
    fn many_layers_are_drawn_in_no_time() {
        let loads: Vec<Load> = (0..20_000).map(|at| load(at, at as u64, &[1.0])).collect();
        let start = std::time::Instant::now();
        assert_eq!(heat("t", &loads.iter().collect::<Vec<_>>()).last.len(), 20_000);
        // Iterating over all loads for each layer would take a minute.
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    }

    #[test]
    fn experts_without_work_are_no_trouble() {
        let heat = heat("t", &[&load(0, 5, &[0.0, 0.0])]);
        assert_eq!(heat.last, [(0, 0.0)]);
        assert!(!heat.svg.contains("NaN"));
    }
}
