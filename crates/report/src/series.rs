//! Training curves of runs, and their mean over the seeds of a method.

use std::collections::{BTreeMap, HashMap};

use crate::{
    metric::{metric_of_curve, range},
    number::is_measure,
    setting::distinct,
    stats::{Mean, mean},
};

/// One number over the steps of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// The method.
    pub method: String,
    /// The task.
    pub task: String,
    /// The seed.
    pub seed: u64,
    /// The metric: `loss`, `valid/accuracy`, `entropy`.
    pub name: String,
    /// Step and value.
    pub points: Vec<(f64, f64)>,
}

/// The load of the experts of one layer at one step of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// The method.
    pub method: String,
    /// The task.
    pub task: String,
    /// The seed.
    pub seed: u64,
    /// The layer.
    pub layer: usize,
    /// The step.
    pub step: u64,
    /// The load of each expert, in any unit.
    pub per_expert: Vec<f64>,
}

/// A line over the steps, with the mean over the seeds at each point.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its name in the legend.
    pub name: String,
    /// The colour index: the same method has the same one in every plot.
    pub hue: usize,
    /// Step, and mean over seeds.
    pub points: Vec<(f64, Mean)>,
    /// The range of the values, to which the band of the interval is clipped.
    pub range: [f64; 2],
}

/// The largest number of points of a line; values within a bin are averaged.
const POINTS: usize = 80;

/// One line for each method, in order of appearance, from the curves of one name and task. Its colour follows
/// from its index among all methods, and its range is that of the metric. Steps are put into equal bins; each
/// seed counts once in a bin.
pub(crate) fn lines(curves: &[&Curve], hues: &Hues) -> Vec<Line> {
    let steps = || curves.iter().flat_map(|curve| &curve.points).map(|point| point.0);
    let (first, last) = (steps().fold(f64::MAX, f64::min), steps().fold(f64::MIN, f64::max));
    let width = ((last - first) / POINTS as f64).max(f64::MIN_POSITIVE);
    let name = curves.first().map_or("", |curve| &curve.name);
    let range = range(&metric_of_curve(name));
    let methods = distinct(curves.iter().map(|curve| curve.method.as_str()));
    let mut of_method: HashMap<&str, Vec<&Curve>> = HashMap::new();
    for curve in curves {
        of_method.entry(&curve.method).or_default().push(curve);
    }
    let line = |method: &str| {
        let mut bins: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
        for curve in &of_method[method] {
            for (bin, point) in binned(curve, first, width) {
                bins.entry(bin).or_default().push(point);
            }
        }
        let points = bins.into_values().filter_map(joined).collect();
        Line { name: method.into(), hue: hues.of(method), points, range }
    };
    methods.into_iter().map(line).filter(|line| !line.points.is_empty()).collect()
}

/// The colour indices of methods: the index of each method among all.
pub(crate) struct Hues<'a>(HashMap<&'a str, usize>);

impl<'a> Hues<'a> {
    /// The indices of distinct methods, in their order.
    pub(crate) fn new(order: &[&'a str]) -> Self {
        Self(order.iter().enumerate().map(|(at, method)| (*method, at)).collect())
    }

    /// The index of a method; the index after all others if it is unknown.
    pub(crate) fn of(&self, method: &str) -> usize {
        self.0.get(method).copied().unwrap_or(self.0.len())
    }
}

/// The mean step and value of one run in each bin. Values that statistics do not accept are left out.
fn binned(curve: &Curve, first: f64, width: f64) -> Vec<(usize, (f64, f64))> {
    let mut bins: BTreeMap<usize, (f64, f64, f64)> = BTreeMap::new();
    for (step, value) in curve.points.iter().filter(|(_, value)| is_measure(*value)) {
        let bin = (((step - first) / width) as usize).min(POINTS - 1);
        let sums = bins.entry(bin).or_default();
        *sums = (sums.0 + step, sums.1 + value, sums.2 + 1.0);
    }
    bins.into_iter().map(|(bin, (step, value, n))| (bin, (step / n, value / n))).collect()
}

fn joined(points: Vec<(f64, f64)>) -> Option<(f64, Mean)> {
    let (steps, values): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
    Some((mean(&steps)?.mean, mean(&values)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(method: &str, seed: u64, points: &[(f64, f64)]) -> Curve {
        let (method, points) = (method.into(), points.to_vec());
        Curve { method, seed, points, ..Curve::default() }
    }

    #[test]
    fn seeds_meet_at_their_steps() {
        let a = curve("a", 0, &[(0.0, 1.0), (100.0, 5.0)]);
        let b = curve("a", 1, &[(0.0, 3.0), (100.0, f64::NAN)]);
        let other = curve("b", 0, &[(50.0, 9.0)]);
        let lines = lines(&[&a, &other, &b], &Hues::new(&["b"]));
        assert_eq!(lines.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((lines[0].hue, lines[1].hue), (1, 0));
        let points: Vec<_> = lines[0].points.iter().map(|(x, m)| (*x, m.mean, m.n)).collect();
        assert_eq!(points, [(0.0, 2.0, 2), (100.0, 5.0, 1)]);
    }

    #[test]
    fn many_points_become_few() {
        let points: Vec<_> = (0..1000).map(|step| (step as f64, step as f64)).collect();
        let lines = lines(&[&curve("a", 0, &points)], &Hues::new(&[]));
        assert_eq!(lines[0].points.len(), POINTS);
        // The first bin contains steps 0 to 12: the width is 999 / 80 = 12.49.
        assert_eq!(lines[0].points[0].0, 6.0);
    }
}
