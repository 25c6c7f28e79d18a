//! The section of one task and backbone.

use super::{
    Page,
    figures::Figures,
    html::{pair, part},
    traces,
};
use crate::{
    Error, Setting, Table, comparison::comparison_of, series::Hues, verbs::against_baseline,
};

/// The tables and plots of a setting.
pub(super) fn section(page: &Page, hues: &Hues, setting: &Setting) -> Result<String, Error> {
    let figures = Figures::new(page, hues, setting);
    let tables = comparison_of(setting, &page.query);
    let mut body: String = tables.iter().map(Table::to_html).collect();
    body += &part("Verdicts", &verdicts(page, setting)?);
    body += &part("Quality and cost", &pair(&figures.quality));
    body += &part("Learning curves", &pair(&figures.learning));
    body += &part("Routing over time", &pair(&figures.routing));
    body += &part("Load of the experts", &pair(&figures.loads));
    body += &traces::section(&page.traces, setting.task);
    Ok(body)
}

fn verdicts(page: &Page, setting: &Setting) -> Result<String, Error> {
    // Each setting has its own methods; the baseline need not be among them.
    let baseline = page.baseline.as_deref().filter(|base| setting.methods.contains(base));
    let found = against_baseline(setting, &page.query, baseline, page.margin)?;
    Ok(found.iter().map(|found| found.table(page.margin).to_html()).collect())
}
