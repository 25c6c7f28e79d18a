//! The figure for the head of a page: all methods against the first, in each setting.

use super::{Figure, Page};
use crate::{
    Better, Comparison, Error, Setting,
    plot::{Against, Difference, OverviewFinding, Panel, overview},
    setting::distinct,
    stats::{Interval, Verdict},
    verbs::{Baseline, against_baseline},
};

/// One panel for each setting, by its first metric; none where no setting has two methods.
pub(super) fn figure(page: &Page, settings: &[Setting]) -> Result<Option<Figure>, Error> {
    let mut found = Vec::new();
    for setting in settings {
        let of_setting =
            against_baseline(setting, &page.query, page.baseline.as_deref(), page.margin)?;
        found.extend(of_setting.into_iter().next().filter(|found| !found.rows.is_empty()));
    }
    let bases = distinct(found.iter().map(|found| found.base));
    // Panels share their rows, so they share what they are compared with.
    let [base] = bases[..] else { return Ok(None) };
    let names = distinct(found.iter().flat_map(|found| found.rows.iter().map(|c| c.a.as_str())));
    let panels: Vec<Panel> = found.iter().map(|found| panel(found, &names)).collect();
    let title = format!("{}: every method against {base}", page.title);
    let svg = overview(&title, base, &panels);
    let caption = format!("Differences to {base} on shared seeds with 95 % intervals.");
    Ok(Some(Figure::new(&["overview"], svg, caption)))
}

fn panel(found: &Baseline, names: &[&str]) -> Panel {
    let row = |name: &&str| Against {
        name: (*name).into(),
        difference: found.rows.iter().find(|c| c.a == **name).map_or_else(
            || Err("not in this task".into()),
            |c| difference(c).ok_or_else(|| why_not(found, c)),
        ),
    };
    let (metric, words) = (found.metric.replace('_', " "), found.better());
    let label = match words {
        Better::Higher => format!("{metric} gained →"),
        Better::Lower => format!("{metric} saved →"),
    };
    let Setting { task, backbone, .. } = found.setting;
    Panel { title: format!("{task}, {backbone}"), label, rows: names.iter().map(row).collect() }
}

/// The difference with a sign that makes more better.
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

/// The reason why there is no difference: that of the first run, or else the verdict.
fn why_not(found: &Baseline, c: &Comparison) -> String {
    let gaps = found.setting.gaps(&c.a, found.metric, &c.split);
    match gaps.first() {
        Some((_, why)) => why.to_string(),
        None => c.verdict.to_string(),
    }
}
