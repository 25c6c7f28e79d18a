//! The section of one task and backbone.

use super::{
    Page,
    figures::Figures,
    html::{pair, part},
    traces,
};
use crate::{
    Error, Setting, Table, comparison::comparison_of, series::Hues, verbs::differences_to_baseline,
};

/// The tables and plots of a setting.
pub(super) fn section(page: &Page, hues: &Hues, setting: &Setting) -> Result<String, Error> {
    let figures = Figures::new(page, hues, setting);
    let mut body = tables(page, setting)?;
    body += &part("Quality and cost", &pair(&figures.quality));
    body += &part("Learning curves", &pair(&figures.learning));
    body += &part("Routing over time", &pair(&figures.routing));
    body += &part("Load of the experts", &pair(&figures.loads));
    body += &traces::section(&page.traces, setting.task);
    Ok(body)
}

/// The tables of a setting that is not drawn, with the reason.
pub(super) fn tables_alone(page: &Page, setting: &Setting, drawn: usize) -> Result<String, Error> {
    let note = format!(
        "<p class=\"note\">Not drawn: there are many methods and tasks, so only the plots of the first \
         {drawn} settings are on this page. To draw it, make a page of results with this task alone.</p>\n"
    );
    Ok(tables(page, setting)? + &note)
}

fn tables(page: &Page, setting: &Setting) -> Result<String, Error> {
    let tables = comparison_of(setting, &page.query);
    let body: String = tables.iter().map(Table::to_html).collect();
    Ok(body + &part("Verdicts", &verdicts(page, setting)?))
}

/// The verdicts relative to the baseline; empty for a single method.
fn verdicts(page: &Page, setting: &Setting) -> Result<String, Error> {
    if setting.methods.len() < 2 {
        return Ok(String::new());
    }
    // Each setting has its own methods, which need not include the baseline.
    let baseline = page.baseline.as_deref().filter(|base| setting.methods.contains(base));
    let found = differences_to_baseline(setting, &page.query, baseline, page.margin)?;
    Ok(found.iter().map(|found| found.table(page.margin).to_html()).collect())
}
