//! Scaling laws: the best learning rate and batch, and their loss, as power laws of the training
//! FLOPs.
//!
//! Runs with equal training FLOPs form a size. For each size the learning rate and batch with the smallest
//! mean loss are used; if both adjacent rates were tried as well, the rate is the vertex of the parabola
//! through the three points, over the logarithm of the rate. The sizes are the points of a power law.

use std::collections::BTreeMap;

use crate::{
    Better, Cell, Column, Error, Figure, Kind, NumberForm, Query, Row, Runs, Setting, Table,
    direction, few,
    plot::{Law, laws},
    query::known,
    series::Hues,
    setting::distinct,
    stats::{PowerLaw, lever, mean, power_law},
};

/// The relative difference of training FLOPs below which two sizes are the same.
const SAME: f64 = 0.01;

/// The best setting of one size.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    /// The FLOPs of its training.
    pub flops: f64,
    /// The best learning rate.
    pub lr: f64,
    /// The best batch, in examples.
    pub batch: f64,
    /// The smallest mean loss.
    pub loss: f64,
    /// Whether the rate is the smallest or the largest that was tried, so that a better one may be outside of
    /// the range.
    pub at_the_edge: bool,
}

/// The fit of one setting.
#[derive(Clone, Debug)]
pub struct Fit {
    /// The laws with their intervals and notes.
    pub table: Table,
    /// One plot for each quantity that varies.
    pub figures: Vec<Figure>,
}

/// The laws of each setting, separately for each kind of router. `dense` names the router relative to which
/// the efficiency lever of the others is computed; `none` means networks without MoE layers.
///
/// # Errors
/// If higher values of the requested metric are better, if runs lack their learning rate, batch or FLOPs, or
/// if there is no router of that name.
pub fn fit(runs: &Runs, query: &Query, dense: Option<&str>) -> Result<Vec<Fit>, Error> {
    let mut fits = Vec::new();
    for setting in query.settings(runs)? {
        let metric = loss_of(query, &setting)?;
        let split = query.split(&setting);
        let mut families: Vec<(&str, Vec<Best>)> = Vec::new();
        for router in routers(&setting, query) {
            families.push((router, best(&setting, query, router, metric, split)?));
        }
        let names: Vec<&str> = families.iter().map(|(name, _)| *name).collect();
        known("router", &dense.map(String::from).into_iter().collect::<Vec<_>>(), &names)?;
        fits.push(fit_of(&setting, metric, &families, dense));
    }
    Ok(fits)
}

/// The metric to fit, for which lower must be better.
fn loss_of<'a>(query: &'a Query, setting: &Setting<'a>) -> Result<&'a str, Error> {
    let split = query.split(setting);
    let lower = |metric: &&&str| {
        query.better.get(**metric).copied().or(direction(metric)) == Some(Better::Lower)
    };
    let there: Vec<&str> =
        setting.metrics.iter().copied().filter(|metric| setting.has(metric, split)).collect();
    let asked: Vec<&str> = query.metrics.iter().map(String::as_str).collect();
    let among = if asked.is_empty() { &there } else { &asked };
    among.iter().find(lower).copied().ok_or_else(|| {
        let (name, losses) = (setting.name(), there.iter().filter(lower).copied());
        Error::Query(format!(
            "{name}: {} is not a loss, of which less is better; known: {}",
            few(among),
            few(losses)
        ))
    })
}

fn routers<'a>(setting: &Setting<'a>, query: &Query) -> Vec<&'a str> {
    let methods = setting.methods.iter().filter(|method| {
        query.methods.is_empty() || query.methods.iter().any(|asked| asked == *method)
    });
    let routers = methods.filter_map(|method| Some(setting.rows(method).next()?.router.as_str()));
    distinct(routers)
}

/// The best setting of each size, by increasing FLOPs.
fn best(
    setting: &Setting,
    query: &Query,
    router: &str,
    metric: &str,
    split: &str,
) -> Result<Vec<Best>, Error> {
    let methods = setting.methods.iter().filter(|method| {
        query.methods.is_empty() || query.methods.iter().any(|asked| asked == *method)
    });
    let mut tried = Vec::new();
    for method in methods {
        // A failed run has no recorded FLOPs, but another seed of its method has.
        let flops = setting.rows(method).find_map(|row| row.train_flops);
        for row in setting.rows(method).filter(|row| row.router == router) {
            let measured = row.metric == metric && row.split == split;
            let failed = row.metric == "failed" && flops.is_some();
            if measured || failed {
                tried.push(Tried::of(row, flops)?);
            }
        }
    }
    tried.sort_by(|a, b| a.flops.total_cmp(&b.flops));
    let sizes = tried.chunk_by(|a, b| b.flops <= a.flops * (1.0 + SAME));
    Ok(sizes.filter_map(best_of_size).collect())
}

/// One run.
struct Tried {
    flops: f64,
    lr: f64,
    batch: f64,
    loss: f64,
}

impl Tried {
    fn of(row: &Row, flops: Option<f64>) -> Result<Self, Error> {
        let no = |column: &'static str| {
            Error::Query(format!(
                "run {:?} of {:?} has no {column}: a fit needs the columns train_flops, lr \
                 and batch, which `run` writes",
                row.run, row.method
            ))
        };
        Ok(Self {
            flops: row.train_flops.or(flops).ok_or_else(|| no("train_flops"))?,
            lr: row.lr.ok_or_else(|| no("lr"))?,
            batch: row.batch.ok_or_else(|| no("batch"))? as f64,
            // A failed run is worse than all others.
            loss: row.measure().unwrap_or(f64::INFINITY),
        })
    }
}

fn best_of_size(tried: &[Tried]) -> Option<Best> {
    // Positive numbers have the same order as their bits.
    let mut losses: BTreeMap<(u64, u64), Vec<f64>> = BTreeMap::new();
    for run in tried {
        losses.entry((run.batch.to_bits(), run.lr.to_bits())).or_default().push(run.loss);
    }
    let means: Vec<(f64, f64, f64)> = losses
        .into_iter()
        .filter_map(|((batch, lr), losses)| {
            Some((f64::from_bits(batch), f64::from_bits(lr), mean(&losses)?.mean))
        })
        .collect();
    let (batch, lr, loss) =
        means.iter().copied().filter(|m| m.2.is_finite()).min_by(|a, b| a.2.total_cmp(&b.2))?;
    // The settings with the same batch, by increasing rate.
    let beside: Vec<(f64, f64)> =
        means.iter().filter(|m| m.0 == batch).map(|m| (m.1, m.2)).collect();
    let at = beside.iter().position(|(other, _)| *other == lr)?;
    let flops = mean(&tried.iter().map(|run| run.flops).collect::<Vec<_>>())?.mean;
    let is_end = at == 0 || at + 1 == beside.len();
    let lr = match is_end {
        true => lr,
        false => vertex([beside[at - 1], beside[at], beside[at + 1]]),
    };
    // A single rate says nothing about the edge: other rates may have been tried elsewhere, for example by
    // `[tune]`.
    let at_the_edge = is_end && beside.len() > 1;
    Some(Best { flops, lr, batch, loss, at_the_edge })
}

/// The minimum of the parabola through three losses over ln x, of which the middle one is the smallest.
fn vertex(points: [(f64, f64); 3]) -> f64 {
    let [(a, fa), (b, fb), (c, fc)] = points.map(|(x, loss)| (x.ln(), loss));
    let (left, right) = ((b - a) * (fb - fc), (b - c) * (fb - fa));
    let (across, down) = ((b - a) * left - (b - c) * right, left - right);
    let at = b - 0.5 * across / down;
    if at.is_finite() { at.clamp(a, c).exp() } else { b.exp() }
}

/// A quantity that is modelled as a function of the FLOPs.
type Quantity = (&'static str, fn(&Best) -> f64);

const QUANTITIES: [Quantity; 3] =
    [("lr", |best| best.lr), ("batch", |best| best.batch), ("loss", |best| best.loss)];

fn fit_of(
    setting: &Setting,
    metric: &str,
    families: &[(&str, Vec<Best>)],
    dense: Option<&str>,
) -> Fit {
    let hues = Hues::new(&families.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let (mut rows, mut figures, mut notes) = (Vec::new(), Vec::new(), notes(metric));
    for (quantity, of) in QUANTITIES {
        let values = || families.iter().flat_map(|(_, best)| best.iter().map(of));
        let first = values().next();
        if values().all(|value| Some(value) == first) {
            let all = first.map_or_else(|| "no runs".into(), |value| format!("{value} everywhere"));
            notes.push(format!("{quantity}: no law, {all}."));
            continue;
        }
        let label = if quantity == "loss" { metric } else { quantity };
        let drawn: Vec<Law> =
            families.iter().map(|(name, best)| law_of(name, hues.of(name), best, of)).collect();
        rows.extend(drawn.iter().map(|law| row(&law.name, label, law.law.as_ref())));
        let title = format!("{}, {}: best {label}", setting.task, setting.backbone);
        let name = format!("fit-{}-{}-{quantity}", setting.task, setting.backbone);
        let svg = laws(&title, "training FLOPs", label, &drawn);
        figures.push(Figure { name, svg, caption: title });
    }
    notes.extend(rates_at_the_edge(families));
    notes.extend(levers(families, dense));
    Fit { table: table(setting, rows, notes), figures }
}

/// The power law of a quantity of a router's best settings, with its points.
fn law_of(name: &str, hue: usize, best: &[Best], of: fn(&Best) -> f64) -> Law {
    let points: Vec<_> = best.iter().map(|best| (best.flops, of(best))).collect();
    let law = power_law(&points);
    Law { name: name.into(), hue, points, law }
}

/// A note for each best learning rate at an end of the range.
fn rates_at_the_edge(families: &[(&str, Vec<Best>)]) -> Vec<String> {
    let all = families.iter().flat_map(|(name, best)| best.iter().map(move |best| (name, best)));
    let note = |(name, best): (&&str, &Best)| {
        format!(
            "{name}, {:.2e} FLOPs: the best lr, {}, is the smallest or largest that was tried; a \
             better one may lie beyond.",
            best.flops, best.lr
        )
    };
    all.filter(|(_, best)| best.at_the_edge).map(note).collect()
}

fn table(setting: &Setting, rows: Vec<Vec<Cell>>, notes: Vec<String>) -> Table {
    Table {
        title: format!("{}, {}: power laws of the training FLOPs", setting.task, setting.backbone),
        about: vec![
            ("suite", setting.suite.into()),
            ("task", setting.task.into()),
            ("backbone", setting.backbone.into()),
        ],
        columns: columns(),
        rows,
        bold: None,
        notes,
    }
}

fn columns() -> Vec<Column> {
    let words = |key: &str, name: &str| Column::new(key, name, Kind::Words);
    let number = |key: &str, name: &str, places| {
        Column::new(key, name, Kind::Numbers(NumberForm::Fixed(places)))
    };
    vec![
        words("router", "router"),
        words("quantity", "best"),
        number("points", "sizes", 0),
        number("factor", "factor", 4),
        number("exponent", "exponent", 4),
        number("t_low", "from", 4),
        number("t_high", "to", 4),
    ]
}

fn row(router: &str, quantity: &str, law: Option<&PowerLaw>) -> Vec<Cell> {
    let mut row = vec![Cell::Words(router.into()), Cell::Words(quantity.into())];
    let Some(law) = law else {
        row.extend(vec![Cell::Gap("fewer than 2 sizes".into()); 5]);
        return row;
    };
    let numbers = [law.n() as f64, law.factor(), law.exponent()];
    row.extend(numbers.map(Cell::Number));
    row.extend(match law.exponent_t() {
        Some(interval) => [interval.low, interval.high].map(Cell::Number),
        None => [0; 2].map(|_| Cell::Gap("fewer than 4 sizes".into())),
    });
    row
}

fn notes(metric: &str) -> Vec<String> {
    vec![format!(
        "best = factor · FLOPs^exponent, by least squares of the logarithms, of the runs with the least \
         mean {metric} at each size; FLOPs: of the whole training, matrix products, embeddings not \
         counted. from, to: the 95 % t interval of the exponent; with fewer than 4 sizes there is none. \
         The interval of a lever, in brackets, is that of the distance between the two lines at this \
         loss. A failed run counts as an infinite loss. Between rates that were tried, a parabola over \
         log lr gives the best one."
    )]
}

/// The efficiency lever at the largest FLOPs of the dense networks.
fn levers(families: &[(&str, Vec<Best>)], dense: Option<&str>) -> Vec<String> {
    let points = |best: &[Best]| best.iter().map(|b| (b.flops, b.loss)).collect::<Vec<_>>();
    let Some((name, base)) = families.iter().find(|(name, _)| Some(*name) == dense) else {
        return Vec::new();
    };
    let most = base.iter().map(|best| best.flops).fold(0.0, f64::max);
    let base_name = if *name == "none" { "a network without experts" } else { name };
    let lever = |(other, best): &(&str, Vec<Best>)| {
        Some(match lever(&points(base), &points(best), most) {
            Some(lever) => format!(
                "Efficiency lever of {other}: at the loss that {base_name} has after {most:.2e} FLOPs, it needs \
                 {:.2} times the FLOPs of {other}{}.",
                lever.times,
                lever.t.map_or(String::new(), |t| format!(" ({:.2} to {:.2})", t.low, t.high))
            ),
            None => format!("Efficiency lever of {other}: none, since there are too few sizes."),
        })
    };
    families.iter().filter(|(other, _)| other != name).filter_map(lever).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, fixture};

    fn row(size: usize, lr: f64, seed: u64, loss: f64) -> Row {
        Row {
            train_flops: Some(1e9 * 4_f64.powi(size as i32)),
            lr: Some(lr),
            batch: Some(16),
            router: "top-k".into(),
            ..fixture::row(&format!("size {size}, lr {lr}"), seed, "loss", loss)
        }
    }

    /// Runs whose best rate is 1.5552 C^-0.1579, with a loss there of 40 C^-0.1.
    fn law(sizes: usize, noise: f64) -> Runs {
        let mut rows = Vec::new();
        for size in 0..sizes {
            let flops = 1e9 * 4_f64.powi(size as i32);
            let best = 1.5552 * flops.powf(-0.1579) * if size % 2 == 0 { 1.0 + noise } else { 1.0 };
            for step in -4..=4 {
                let lr = 0.05 * 1.3_f64.powi(step);
                let loss = 40.0 * flops.powf(-0.1) + 0.2 * (lr.ln() - best.ln()).powi(2);
                rows.extend([0, 1].map(|seed| row(size, lr, seed, loss + 0.01 * seed as f64)));
            }
        }
        Runs::of(rows)
    }

    #[test]
    fn a_law_is_recovered_from_runs() {
        let fits = fit(&law(5, 0.0), &Query::default(), None).unwrap();
        let rows = &fits[0].table.rows;
        assert_eq!(rows.len(), 2); // every run has one batch
        let number = |row: usize, column: usize| match rows[row][column] {
            Cell::Number(number) => number,
            ref other => panic!("{other:?}"),
        };
        assert!((number(0, 3) - 1.5552).abs() < 1e-6 && (number(0, 4) + 0.1579).abs() < 1e-9);
        let text = fits[0].table.render(Format::Text);
        assert!(text.contains("batch: no law, 16 everywhere"), "{text}");
        assert_eq!(fits[0].figures.len(), 2);
        assert!(fits[0].figures[0].svg.contains("opacity=\"0.18\""), "a band");
    }

    #[test]
    fn few_sizes_have_no_interval_and_say_so() {
        let fits = fit(&law(3, 0.1), &Query::default(), None).unwrap();
        assert!(matches!(&fits[0].table.rows[0][5], Cell::Gap(why) if why == "fewer than 4 sizes"));
        assert!(!fits[0].figures[0].svg.contains("opacity=\"0.18\""), "no band");
        let one = fit(&law(1, 0.0), &Query::default(), None).unwrap();
        let text = one[0].table.render(Format::Text);
        assert!(text.contains("lr: no law"), "{text}");
    }

    #[test]
    fn a_best_rate_at_the_edge_is_told() {
        let rows = [(0.1, 3.0), (0.2, 2.5), (0.4, 2.0)];
        let rows = rows.iter().map(|(lr, loss)| row(0, *lr, 0, *loss));
        let runs = Runs::of(rows);
        let text = fit(&runs, &Query::default(), None).unwrap()[0].table.render(Format::Markdown);
        assert!(text.contains("the best lr, 0.4, is the smallest or largest"), "{text}");
    }

    /// A rate at which one seed fails is not the best, even if the other seed is good.
    #[test]
    fn a_failed_run_counts_against_its_rate() {
        let rates = [(0.1, 3.0), (0.2, 2.5), (0.4, 2.0)];
        let rows = rates.iter().map(|(lr, loss)| row(0, *lr, 0, *loss));
        let failed =
            Row { metric: "failed".into(), value: None, train_flops: None, ..row(0, 0.4, 1, 0.0) };
        let runs = Runs::of(rows.chain([failed]));
        let setting = Setting::all(&runs, false).unwrap().remove(0);
        let best = best(&setting, &Query::default(), "top-k", "loss", "test").unwrap();
        assert_eq!((best.len(), best[0].loss), (1, 2.5));
    }

    #[test]
    fn the_vertex_by_hand() {
        // (ln x)^2 + 1 around x = 1: at e^-1, e^0.5, e^2 the losses are 2, 1.25, 5.
        let at =
            vertex([(-1.0, 2.0), (0.5, 1.25), (2.0, 5.0)].map(|(x, f): (f64, f64)| (x.exp(), f)));
        assert!((at - 1.0).abs() < 1e-12, "{at}");
    }

    #[test]
    fn the_lever_is_between_routers() {
        let mut runs = law(4, 0.0);
        let mut dense = law(4, 0.0);
        for row in &mut dense.rows {
            row.router = "none".into();
            row.method = format!("dense {}", row.method);
            row.train_flops = row.train_flops.map(|flops| 3.0 * flops);
        }
        runs.rows.extend(dense.rows);
        let text =
            fit(&runs, &Query::default(), Some("none")).unwrap()[0].table.render(Format::Markdown);
        assert!(text.contains("it needs 3.00 times the FLOPs of top-k"), "{text}");
        let err = fit(&runs, &Query::default(), Some("dense")).unwrap_err().to_string();
        assert_eq!(err, "no router is named \"dense\"; known: top-k, none");
    }

    #[test]
    fn what_cannot_be_fitted_is_named() {
        let no_lr = Runs::of([Row { lr: None, ..row(0, 0.1, 0, 1.0) }]);
        let err = fit(&no_lr, &Query::default(), None).unwrap_err().to_string();
        assert!(err.contains("has no lr"), "{err}");
        let query = Query { metrics: vec!["accuracy".into()], ..Query::default() };
        let err = fit(&fixture::runs(), &query, None).unwrap_err().to_string();
        assert!(err.contains("accuracy is not a loss") && err.contains("known: loss"), "{err}");
    }
}
