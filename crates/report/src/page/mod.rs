//! The report: one HTML file without scripts and external resources.
//!
//! It can be read in light and dark, on paper, and by a screen reader: every plot says in words
//! what it shows, and its numbers stand in a table. What there are no data for is left out.

mod figures;
mod html;
mod lengths;
mod overview;
mod ranking;
mod setting;
mod traces;

use crate::{
    Curve, Error, Load, Query, Runs,
    setting::distinct,
    trace::Trace,
    verbs::{ledger_of, rank_in},
};
pub use figures::Figure;
use figures::Figures;
use html::{escape, id};

/// The contents of a report.
pub struct Page<'a> {
    /// Its title.
    pub title: String,
    /// The results.
    pub runs: &'a Runs,
    /// The selection of them.
    pub query: Query,
    /// The method against which the verdicts are; none is the first of each setting.
    pub baseline: Option<String>,
    /// The size below which a difference does not matter.
    pub margin: Option<f64>,
    /// The training_curves of the runs.
    pub curves: Vec<Curve>,
    /// The loads of the experts.
    pub loads: Vec<Load>,
    /// Routing traces of runs.
    pub traces: Vec<Trace>,
    /// The machine and the software, by name.
    pub environment: Vec<(String, String)>,
    /// The commands that make it all again.
    pub commands: Vec<String>,
}

impl<'a> Page<'a> {
    /// A report of these results and nothing else.
    pub fn new(title: &str, runs: &'a Runs) -> Self {
        Self {
            title: title.into(),
            runs,
            query: Query::default(),
            baseline: None,
            margin: None,
            curves: Vec::new(),
            loads: Vec::new(),
            traces: Vec::new(),
            environment: Vec::new(),
            commands: Vec::new(),
        }
    }

    /// All methods, so that each has its colour throughout.
    fn methods(&self) -> Vec<&str> {
        distinct(self.runs.rows.iter().map(|row| row.method.as_str()))
    }
}

/// The report as one HTML file.
pub fn page(page: &Page) -> Result<String, Error> {
    let (settings, order) = (page.query.settings(page.runs)?, page.methods());
    let mut sections = Vec::new();
    for setting in &settings {
        let title = format!("{}, {}", setting.task, setting.backbone);
        sections.push((title, setting::section(page, &order, setting)?));
    }
    // Without two methods that have results everywhere there is no ranking, and that is no error.
    if let Ok(ranking) = rank_in(&settings, &page.query) {
        sections.push(("Over all tasks".into(), ranking::section(&ranking, &order)));
    }
    sections.push(("Ledger".into(), ledger_of(&settings, false).to_html()));
    if !page.environment.is_empty() {
        sections.push(("Environment".into(), environment(&page.environment)));
    }
    if !page.commands.is_empty() {
        let commands = escape(&page.commands.join("\n"));
        sections.push(("To make it again".into(), format!("<pre><code>{commands}</code></pre>\n")));
    }
    Ok(document(&page.title, &sections))
}

/// The plots of the traces of one run: its entropy and saturation, and what it does at last.
pub fn trace_figures(traces: &[Trace]) -> Vec<Figure> {
    let Some(last) = traces.last() else { return Vec::new() };
    let curves = traces::curves(traces);
    let curves: Vec<&Curve> = curves.iter().collect();
    let mut figures = figures::training_curves(&curves, &last.about.task, &[&last.about.method]);
    figures.extend(traces::figures(last));
    figures
}

/// The plots of the report, for files of their own: they can go into a paper as they are.
pub fn plots(page: &Page) -> Result<Vec<Figure>, Error> {
    let (settings, order) = (page.query.settings(page.runs)?, page.methods());
    let mut figures: Vec<Figure> = settings
        .iter()
        .flat_map(|setting| Figures::new(page, &order, setting).into_all())
        .collect();
    figures.extend(overview::figure(page, &settings)?);
    if let Ok(ranking) = rank_in(&settings, &page.query) {
        figures.extend(ranking::figures(&ranking, &order));
    }
    Ok(figures)
}

fn environment(facts: &[(String, String)]) -> String {
    let fact = |(name, value): &(String, String)| {
        format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value))
    };
    format!("<dl>\n{}</dl>\n", facts.iter().map(fact).collect::<String>())
}

fn document(title: &str, sections: &[(String, String)]) -> String {
    let title = escape(title);
    let link = |(at, (name, _)): (usize, &(String, String))| {
        format!("<li><a href=\"#{}\">{}</a></li>\n", id(at), escape(name))
    };
    let links: String = sections.iter().enumerate().map(link).collect();
    let section = |(at, (name, body)): (usize, &(String, String))| {
        let id = id(at);
        format!(
            "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{}</h2>\n{body}</section>\n",
            escape(name)
        )
    };
    let body: String = sections.iter().enumerate().map(section).collect();
    let style = include_str!("style.css");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta \
         name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{style}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n</header>\n<nav \
         aria-label=\"Sections\"><ul>\n{links}</ul></nav>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn full(runs: &Runs) -> Page<'_> {
        let curve = |name: &str, seed| Curve {
            method: "switch".into(),
            task: "digits".into(),
            seed,
            name: name.into(),
            points: vec![(0.0, 1.0), (10.0, 0.5)],
        };
        let load = |step| Load {
            method: "switch".into(),
            task: "digits".into(),
            step,
            per_expert: vec![3.0, 1.0],
            ..Load::default()
        };
        Page {
            curves: vec![curve("loss", 0), curve("loss", 1), curve("entropy", 0)],
            loads: vec![load(0), load(10)],
            environment: vec![("processor".into(), "<fast>".into())],
            commands: vec!["bench run default".into()],
            ..Page::new("Routers & digits", runs)
        }
    }

    #[test]
    fn every_section_has_its_data() {
        let html = page(&full(&fixture::runs())).unwrap();
        for text in [
            "Routers &amp; digits",
            "Verdicts",
            "Learning curves",
            "Routing over time",
            "Load of the experts",
            "Ledger",
            "&lt;fast&gt;",
            "bench run default",
            "undecided, ",
        ] {
            assert!(html.contains(text), "{text}");
        }
    }

    #[test]
    fn what_is_absent_is_left_out() {
        let html = page(&Page::new("t", &fixture::runs())).unwrap();
        for text in [
            "Learning curves",
            "Routing over time",
            "Load of the",
            "Environment",
            "To make it again",
        ] {
            assert!(!html.contains(text), "{text}");
        }
    }

    #[test]
    fn it_needs_nothing_from_elsewhere() {
        let html = page(&full(&fixture::runs())).unwrap();
        let html = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for text in ["http:", "https:", "<script", "src=", "@import", "url("] {
            assert!(!html.contains(text), "{text}");
        }
    }

    #[test]
    fn every_image_says_what_it_shows() {
        let html = page(&full(&fixture::runs())).unwrap();
        let figures = html.matches("<svg ").count();
        assert!(figures >= 6, "{figures}");
        assert_eq!(html.matches("role=\"img\" aria-label=\"").count(), figures);
        assert!(!html.contains("aria-label=\"\""));
        assert!(!html.contains("NaN"));
    }

    #[test]
    fn every_plot_has_a_file_of_its_own() {
        let runs = fixture::runs();
        let methods = ["dense", "switch", "top-k"].map(String::from).into();
        let query = Query { methods, ..Query::default() };
        let figures = plots(&Page { query, ..full(&runs) }).unwrap();
        let names: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
        let wanted = [
            "digits-vit-accuracy",
            "digits-vit-accuracy-against-active-flops-per-token",
            "digits-vit-accuracy-against-seconds-per-run",
            "digits-loss-curves",
            "digits-entropy-curves",
            "digits-switch-load",
            "overview",
            "critical-differences",
            "performance-profiles",
        ];
        assert_eq!(names, wanted);
        assert!(figures.iter().all(|figure| figure.svg.starts_with("<svg xmlns")));
    }
}
