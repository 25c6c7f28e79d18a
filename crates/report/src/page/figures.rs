//! The plots of a page, each with a file name and a caption.

use std::collections::{BTreeSet, HashMap};

use super::{Figure, Page, lengths, traces};
use crate::{
    Better, Curve, Load, Query, Row, Setting, direction,
    metric::metric_of_curve,
    plot::{CostPoint, Dots, curves, heat, intervals, pareto},
    series::{Hues, lines},
    setting::distinct,
    stats::mean,
};

/// The plots of one setting.
pub(super) struct Figures {
    pub(super) quality: Vec<Figure>,
    pub(super) learning: Vec<Figure>,
    pub(super) routing: Vec<Figure>,
    pub(super) loads: Vec<Figure>,
    /// Plots of single runs.
    pub(super) inside: Vec<Figure>,
}

impl Figures {
    /// The plots of a setting.
    pub(super) fn new(page: &Page, hues: &Hues, setting: &Setting) -> Self {
        let of_traces = traces::curves(&page.traces, setting.task);
        let (learning, routing): (Vec<&Curve>, Vec<&Curve>) = page
            .curves
            .iter()
            .chain(&of_traces)
            .filter(|curve| curve.task == setting.task)
            .partition(|curve| is_quality(&curve.name));
        Self {
            quality: quality(&page.query, setting, hues),
            learning: training_curves(&learning, setting.task, hues),
            routing: training_curves(&routing, setting.task, hues),
            loads: loads(page, setting.task),
            inside: traces::last_of(&page.traces, setting.task)
                .into_iter()
                .flat_map(traces::figures)
                .collect(),
        }
    }

    pub(super) fn into_all(self) -> impl Iterator<Item = Figure> {
        [self.quality, self.learning, self.routing, self.loads, self.inside].into_iter().flatten()
    }
}

/// For each metric: the values of the seeds, and the quality against FLOPs and against time.
fn quality(query: &Query, setting: &Setting, hues: &Hues) -> Vec<Figure> {
    let mut figures = Vec::new();
    for metric in query.metrics(setting) {
        let rows = dots(query, setting, metric, hues);
        figures.push(Figure::new(
            &[setting.task, setting.backbone, metric],
            intervals(&format!("{}: {metric}", setting.task), metric, &rows),
            format!(
                "{metric}: mean with 95 % t interval (none with fewer than 3 seeds), and every seed \
                 as a faint dot."
            ),
        ));
        figures.extend(lengths::figure(query, setting, metric));
        let Some(better) = query.better(metric) else { continue };
        let flops = CostPlot {
            metric,
            better,
            label: "active FLOPs per token",
            cost: |row| row.flops_per_token,
        };
        let seconds = CostPlot { label: "seconds per run", cost: |row| row.seconds, ..flops };
        figures.extend([flops, seconds].iter().filter_map(|plot| plot.figure(setting, &rows)));
    }
    figures
}

fn dots(query: &Query, setting: &Setting, metric: &str, hues: &Hues) -> Vec<Dots> {
    let split = query.split(setting);
    let row = |method: &str| {
        let scores = setting.scores(method, metric, split)?;
        Some(Dots {
            name: method.into(),
            hue: hues.of(method),
            values: scores.values().copied().collect(),
        })
    };
    query.methods(setting).into_iter().filter_map(row).collect()
}

/// A plot of quality against a cost with its caption; requires at least two methods.
struct CostPlot<'a> {
    metric: &'a str,
    better: Better,
    label: &'a str,
    cost: fn(&Row) -> Option<f64>,
}

impl CostPlot<'_> {
    fn figure(&self, setting: &Setting, rows: &[Dots]) -> Option<Figure> {
        let Self { metric, better, label, cost } = self;
        let point = |dots: &Dots| {
            let costs: Vec<f64> = setting.rows(&dots.name).filter_map(cost).collect();
            let (cost, quality) = (mean(&costs)?.mean, mean(&dots.values)?);
            Some(CostPoint { name: dots.name.clone(), hue: dots.hue, cost, quality })
        };
        let points: Vec<CostPoint> = rows.iter().filter_map(point).collect();
        let title = format!("{}: {metric} against {label}", setting.task);
        let caption = format!(
            "{metric} ({better} is better) against {label}, with 95 % t intervals; the dashed line \
             is the Pareto front of the means."
        );
        let svg = pareto(&title, label, metric, &points, *better);
        let name = [setting.task, setting.backbone, metric, "against", label];
        (points.len() > 1).then(|| Figure::new(&name, svg, caption))
    }
}

/// Whether a curve is of a metric of quality.
fn is_quality(name: &str) -> bool {
    direction(&metric_of_curve(name)).is_some()
}

/// One plot for each name of a curve.
pub(super) fn training_curves(all: &[&Curve], task: &str, hues: &Hues) -> Vec<Figure> {
    let names = distinct(all.iter().map(|curve| curve.name.as_str()));
    let of_names = grouped(all, |curve| &curve.name);
    let plot = |name: &&str| {
        let of_name = &of_names[*name];
        let svg = curves(&format!("{name} over the steps"), "step", name, &lines(of_name, hues));
        let seeds: BTreeSet<u64> = of_name.iter().map(|curve| curve.seed).collect();
        let caption = match seeds.len() {
            1 => format!("{name}, of one seed."),
            _ => format!(
                "{name}: mean over seeds; the band is the 95 % t interval of 3 seeds or more."
            ),
        };
        Figure::new(&[task, name, "curves"], svg, caption)
    };
    names.iter().map(plot).collect()
}

/// The items grouped by name, in their order.
fn grouped<'a, T>(items: &[&'a T], name: fn(&T) -> &str) -> HashMap<&'a str, Vec<&'a T>> {
    let mut groups: HashMap<&str, Vec<&T>> = HashMap::new();
    for item in items {
        groups.entry(name(item)).or_default().push(item);
    }
    groups
}

/// One heat map for each method, of a single seed: experts of two seeds do not correspond to each other.
fn loads(page: &Page, task: &str) -> Vec<Figure> {
    let here: Vec<&Load> = page.loads.iter().filter(|load| load.task == task).collect();
    let methods = distinct(here.iter().map(|load| load.method.as_str()));
    let of_methods = grouped(&here, |load| &load.method);
    let plot = |method: &&str| {
        let of_method = &of_methods[*method];
        let seed = of_method.iter().map(|load| load.seed).min()?;
        let loads: Vec<&Load> =
            of_method.iter().copied().filter(|load| load.seed == seed).collect();
        let map = heat(&format!("{method}: load of the experts"), &loads);
        let busiest = map.last.iter().map(|(layer, ratio)| format!("{ratio:.2} in layer {layer}"));
        let caption = format!(
            "{method}, seed {seed}: a row for each expert, time from left to right. Busiest expert \
             over the mean at the end: {}.",
            busiest.collect::<Vec<_>>().join(", ")
        );
        Some(Figure::new(&[task, method, "load"], map.svg, caption))
    };
    methods.iter().filter_map(plot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_of_quality_are_known_with_their_split() {
        assert!(["loss", "valid/accuracy", "train_loss"].iter().all(|name| is_quality(name)));
        assert!(["entropy", "layer0/entropy", "dropped_share"].iter().all(|n| !is_quality(n)));
    }

    #[test]
    fn items_of_a_name_stay_in_order() {
        let curve = |at: u64| Curve { name: format!("m{}", at % 2), seed: at, ..Curve::default() };
        let all: Vec<Curve> = (0..5).map(curve).collect();
        let groups = grouped(&all.iter().collect::<Vec<_>>(), |curve| &curve.name);
        let seeds = |name: &str| groups[name].iter().map(|c| c.seed).collect::<Vec<_>>();
        assert_eq!((groups.len(), seeds("m0"), seeds("m1")), (2, vec![0, 2, 4], vec![1, 3]));
    }
}
