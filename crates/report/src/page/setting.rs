//! The section of one task and backbone.

use super::{
    Page,
    html::{figure, pair, part},
};
use crate::{
    Ask, Better, Curve, Error, Load, Row, Setting,
    comparison::comparison_of,
    direction,
    plot::{Cost, Dots, curves, heat, intervals, pareto},
    series::{hue, lines},
    setting::distinct,
    stats::mean,
    verbs::against_in,
};

/// The tables and plots of a setting.
pub(super) fn section(page: &Page, setting: &Setting) -> Result<String, Error> {
    let order = page.methods();
    let mut body = comparison_of(setting, &page.ask).to_html();
    body += &part("Verdicts", &verdicts(page, setting)?);
    body += &part("Quality and cost", &quality(&page.ask, setting, &order));
    let (learning, routing): (Vec<&Curve>, Vec<&Curve>) = page
        .curves
        .iter()
        .filter(|curve| curve.task == setting.task)
        .partition(|curve| is_quality(&curve.name));
    body += &part("Learning curves", &courses(&learning, &order));
    body += &part("Routing over time", &courses(&routing, &order));
    body += &part("Load of the experts", &loads(page, setting.task));
    Ok(body)
}

fn verdicts(page: &Page, setting: &Setting) -> Result<String, Error> {
    // Each setting has its own methods; the baseline need not be among them.
    let baseline = page.baseline.as_deref().filter(|base| setting.methods.contains(base));
    let tables = against_in(setting, &page.ask, baseline, page.margin)?;
    Ok(tables.iter().map(crate::Table::to_html).collect())
}

/// For each metric: the seeds, and the quality against FLOPs and against time.
fn quality(ask: &Ask, setting: &Setting, order: &[&str]) -> String {
    let mut figures = Vec::new();
    for metric in ask.metrics(setting) {
        let rows = dots(ask, setting, metric, order);
        figures.push(figure(
            &intervals(&format!("{}: {metric}", setting.task), metric, &rows),
            &format!(
                "{metric}: mean with 95 % t interval (none with fewer than 3 seeds), and every seed \
                 as a faint dot."
            ),
        ));
        let Some(better) = ask.better(metric) else { continue };
        let flops = Against {
            metric,
            better,
            label: "active FLOPs per token",
            cost: |row| row.flops_per_token,
        };
        let seconds = Against { label: "seconds per run", cost: |row| row.seconds, ..flops };
        figures.extend([flops, seconds].iter().filter_map(|plot| plot.figure(setting, &rows)));
    }
    pair(&figures)
}

fn dots(ask: &Ask, setting: &Setting, metric: &str, order: &[&str]) -> Vec<Dots> {
    let split = ask.split(setting);
    let row = |method: &str| {
        let scores = setting.scores(method, metric, split)?;
        Some(Dots {
            name: method.into(),
            hue: hue(method, order),
            values: scores.values().copied().collect(),
        })
    };
    ask.methods(setting).into_iter().filter_map(row).collect()
}

/// Quality against a cost, with the words under it.
struct Against<'a> {
    metric: &'a str,
    better: Better,
    label: &'a str,
    cost: fn(&Row) -> Option<f64>,
}

impl Against<'_> {
    fn figure(&self, setting: &Setting, rows: &[Dots]) -> Option<String> {
        let Self { metric, better, label, cost } = self;
        let point = |dots: &Dots| {
            let costs: Vec<f64> = setting.rows(&dots.name).filter_map(cost).collect();
            let (cost, quality) = (mean(&costs)?.mean, mean(&dots.values)?);
            Some(Cost { name: dots.name.clone(), hue: dots.hue, cost, quality })
        };
        let points: Vec<Cost> = rows.iter().filter_map(point).collect();
        let title = format!("{}: {metric} against {label}", setting.task);
        let caption = format!(
            "{metric} ({better} is better) against {label}, with 95 % t intervals; the dashed line \
             is the Pareto front of the means."
        );
        let svg = pareto(&title, label, metric, &points, *better);
        (!points.is_empty()).then(|| figure(&svg, &caption))
    }
}

/// Is it a curve of quality? A name may have a split before it: `valid/accuracy`, `train_loss`.
fn is_quality(name: &str) -> bool {
    let bare = name.rsplit('/').next().unwrap_or(name);
    let bare = ["train_", "valid_", "test_"]
        .iter()
        .find_map(|split| bare.strip_prefix(split))
        .unwrap_or(bare);
    direction(bare).is_some()
}

/// One plot for each name of a curve.
fn courses(all: &[&Curve], order: &[&str]) -> String {
    let names = distinct(all.iter().map(|curve| curve.name.as_str()));
    let plot = |name: &&str| {
        let of_name: Vec<&Curve> = all.iter().copied().filter(|c| c.name == **name).collect();
        let svg = curves(&format!("{name} over the steps"), "step", name, &lines(&of_name, order));
        let caption =
            format!("{name}: mean over seeds; the band is the 95 % t interval of 3 seeds or more.");
        figure(&svg, &caption)
    };
    pair(&names.iter().map(plot).collect::<Vec<_>>())
}

/// One heat map for each method: experts of two seeds are not the same experts, so it is of one.
fn loads(page: &Page, task: &str) -> String {
    let here: Vec<&Load> = page.loads.iter().filter(|load| load.task == task).collect();
    let methods = distinct(here.iter().map(|load| load.method.as_str()));
    let plot = |method: &&str| {
        let of_method = || here.iter().copied().filter(|load| load.method == **method);
        let seed = of_method().map(|load| load.seed).min()?;
        let loads: Vec<&Load> = of_method().filter(|load| load.seed == seed).collect();
        let map = heat(&format!("{method}: load of the experts"), &loads);
        let busiest = map.last.iter().map(|(layer, ratio)| format!("{ratio:.2} in layer {layer}"));
        let caption = format!(
            "{method}, seed {seed}: a row for each expert, time from left to right. Busiest expert \
             over the mean at the end: {}.",
            busiest.collect::<Vec<_>>().join(", ")
        );
        Some(figure(&map.svg, &caption))
    };
    pair(&methods.iter().filter_map(plot).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_of_quality_are_known_with_their_split() {
        assert!(["loss", "valid/accuracy", "train_loss"].iter().all(|name| is_quality(name)));
        assert!(["entropy", "layer0/entropy", "dropped_share"].iter().all(|n| !is_quality(n)));
    }
}
