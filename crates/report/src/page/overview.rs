//! The figure at the head of a page: all methods against the first one, in each setting.

use std::collections::HashMap;

use super::{Figure, Page};
use crate::{
    Better, Comparison, Error, Setting,
    plot::{Against, Difference, OverviewFinding, Panel, overview},
    setting::distinct,
    stats::{Interval, Verdict},
    verbs::{Baseline, differences_to_baseline},
};

/// A figure with one panel for each setting, by its first metric; none if no setting has two methods.
pub(super) fn figure(page: &Page, settings: &[Setting]) -> Result<Option<Figure>, Error> {
    let (mut bases, mut panels) = (Vec::new(), Vec::new());
    for setting in settings {
        let of_setting =
            differences_to_baseline(setting, &page.query, page.baseline.as_deref(), page.margin)?;
        if let Some(found) = of_setting.into_iter().next().filter(|found| !found.rows.is_empty()) {
            bases.push(found.base);
            panels.push(panel(&found));
        }
    }
    // Panels share their rows, so they must have the same baseline.
    let [base] = distinct(bases)[..] else { return Ok(None) };
    let all = panels.iter().flat_map(|panel| panel.rows.iter().map(|row| row.name.as_str()));
    let names: Vec<String> = distinct(all).into_iter().map(String::from).collect();
    let panels: Vec<Panel> = panels.into_iter().map(|panel| in_order(panel, &names)).collect();
    let title = format!("{}: every method against {base}", page.title);
    let svg = overview(&title, base, &panels);
    let caption = format!("Differences to {base} on shared seeds with 95 % intervals.");
    Ok(Some(Figure::new(&["overview"], svg, caption)))
}

/// The panel of a setting with its methods.
fn panel(found: &Baseline) -> Panel {
    let row = |c: &Comparison| Against {
        name: c.a.clone(),
        difference: difference(c).ok_or_else(|| why_not(found, c)),
    };
    let (metric, words) = (found.metric.replace('_', " "), found.better());
    let label = match words {
        Better::Higher => format!("{metric} gained →"),
        Better::Lower => format!("{metric} saved →"),
    };
    let Setting { task, backbone, .. } = found.setting;
    Panel {
        title: format!("{task}, {backbone}"),
        label,
        rows: found.rows.iter().map(row).collect(),
    }
}

/// The panel with one row for each name.
fn in_order(panel: Panel, names: &[String]) -> Panel {
    let rows = panel.rows.into_iter().rev().map(|row| (row.name, row.difference));
    let mut known: HashMap<String, _> = rows.collect();
    let row = |name: &String| Against {
        name: name.clone(),
        difference: known.remove(name).unwrap_or_else(|| Err("not in this task".into())),
    };
    Panel { rows: names.iter().map(row).collect(), ..panel }
}

/// The difference, oriented so that higher is better.
fn difference(c: &Comparison) -> Option<Difference> {
    let paired = match c.better {
        Better::Higher => c.paired?,
        Better::Lower => c.paired?.turned(),
    };
    let finding = match c.verdict {
        Verdict::Better => OverviewFinding::Better,
        Verdict::Worse => OverviewFinding::Worse,
        _ => OverviewFinding::Open,
    };
    let interval = Interval { low: paired.low, high: paired.high };
    Some(Difference { mean: paired.difference, interval, finding })
}

/// The reason why there is no difference: the reason of the first run without a value, or else the verdict.
fn why_not(found: &Baseline, c: &Comparison) -> String {
    let gaps = found.setting.gaps(&c.a, found.metric, &c.split);
    match gaps.first() {
        Some((_, why)) => why.to_string(),
        None => c.verdict.to_string(),
    }
}
