//! The report: one HTML file without scripts and external resources.
//!
//! It is readable in light and dark mode, on paper, and by a screen reader: every plot has a description in
//! words, and its numbers are in a table. Parts without data are left out.

mod figures;
mod html;
mod lengths;
mod overview;
mod ranking;
mod setting;
mod traces;

use std::io;

use rayon::prelude::*;

use crate::{
    Curve, Error, Load, Query, Runs, Setting,
    plot::{Figure, distinct_names},
    series::Hues,
    setting::distinct,
    trace::{Trace, check_layers},
    verbs::{Detail, ledger_html, rank_in},
};
use figures::Figures;
use html::{escape, id};

/// The number of sections that are rendered at once; all at once would take much memory.
const AT_ONCE: usize = 4;

/// The largest number of methods that are drawn, over all settings.
const DRAWN: usize = 5_000;

/// The contents of a report.
pub struct Page<'a> {
    /// Its title.
    pub title: String,
    /// The results.
    pub runs: &'a Runs,
    /// The selection of the results.
    pub query: Query,
    /// The method with which the others are compared; if none, the first of each setting.
    pub baseline: Option<String>,
    /// The size below which a difference does not matter.
    pub margin: Option<f64>,
    /// The training curves of the runs.
    pub curves: Vec<Curve>,
    /// The loads of the experts.
    pub loads: Vec<Load>,
    /// Routing traces of runs.
    pub traces: Vec<Trace>,
    /// The machine and the software, by name.
    pub environment: Vec<(String, String)>,
    /// The commands that reproduce the results.
    pub commands: Vec<String>,
}

impl<'a> Page<'a> {
    /// A report of these results, without curves, traces and environment.
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

    /// The colour of each method, the same in all plots.
    fn hues(&self) -> Hues<'_> {
        Hues::new(&distinct(self.runs.rows.iter().map(|row| row.method.as_str())))
    }
}

/// The report as one HTML file.
///
/// # Errors
/// If results cannot be compared, or traces of one run have different numbers of layers.
pub fn page(page: &Page) -> Result<String, Error> {
    let mut html = Vec::new();
    page_into(page, &mut html)?.expect("a vector takes every byte");
    Ok(String::from_utf8(html).expect("it is made of text"))
}

/// Writes the report section by section, since that of very many results is large.
///
/// # Errors
/// The same as those of [`page`]; the inner result is that of the writer.
pub fn page_into(page: &Page, to: &mut dyn io::Write) -> Result<io::Result<()>, Error> {
    check_layers(&page.traces)?;
    let (settings, hues) = (page.query.settings(page.runs)?, page.hues());
    // If there are not two methods with results everywhere, there is no ranking, which is not an error.
    let ranking = rank_in(&settings, &page.query, Detail::Page).ok();
    let ranking = ranking.map(|ranking| ranking::section(&ranking, &hues));
    let of_setting = |setting: &Setting| format!("{}, {}", setting.task, setting.backbone);
    let mut titles: Vec<String> = settings.iter().map(of_setting).collect();
    titles.extend(ranking.iter().map(|_| "Over all tasks".into()));
    titles.push("Ledger".into());
    titles.extend((!page.environment.is_empty()).then(|| "Environment".into()));
    titles.extend((!page.commands.is_empty()).then(|| "To make it again".into()));
    let mut html = Html::new(&page.title, &titles, to);
    let drawn = drawn(&settings);
    let section = |(at, setting): (usize, &Setting)| match at < drawn {
        true => setting::section(page, &hues, setting),
        false => setting::tables_alone(page, setting, drawn),
    };
    let all: Vec<(usize, &Setting)> = settings.iter().enumerate().collect();
    for some in all.chunks(AT_ONCE) {
        let bodies = some.par_iter().map(|one| section(*one));
        for body in bodies.collect::<Result<Vec<_>, _>>()? {
            html.section(|text| *text += &body);
        }
    }
    if let Some(ranking) = ranking {
        html.section(|text| *text += &ranking);
    }
    html.section(|text| ledger_html(&settings, text));
    if !page.environment.is_empty() {
        html.section(|text| *text += &environment(&page.environment));
    }
    if !page.commands.is_empty() {
        let commands = escape(&page.commands.join("\n"));
        html.section(|text| *text += &format!("<pre><code>{commands}</code></pre>\n"));
    }
    Ok(html.finish())
}

/// The plots of the traces of one run: its entropy and saturation over the steps, and its routing at the last
/// step.
pub fn trace_figures(traces: &[Trace]) -> Vec<Figure> {
    let Some(last) = traces.last() else { return Vec::new() };
    let curves = traces::curves(traces, &last.about.task);
    let curves: Vec<&Curve> = curves.iter().collect();
    let hues = Hues::new(&[last.about.method.as_str()]);
    let mut figures = figures::training_curves(&curves, &last.about.task, &hues);
    figures.extend(traces::figures(last));
    distinct_names(figures)
}

/// The number of settings that are drawn: the first ones, up to [`DRAWN`] methods in all, and at least one.
fn drawn(settings: &[Setting]) -> usize {
    let so_far = settings.iter().scan(0, |methods, setting| {
        *methods += setting.methods.len();
        Some(*methods)
    });
    so_far.take_while(|methods| *methods <= DRAWN).count().max(1)
}

/// The plots of the report as separate files, which can be used in a paper unchanged. Of very many settings
/// only the first ones are drawn, up to 5,000 methods in all.
///
/// # Errors
/// The same as those of [`page`].
pub fn plots(page: &Page) -> Result<Vec<Figure>, Error> {
    check_layers(&page.traces)?;
    let (settings, hues) = (page.query.settings(page.runs)?, page.hues());
    let of_setting = |setting| Figures::new(page, &hues, setting).into_all();
    let some = settings.par_iter().take(drawn(&settings));
    let mut figures: Vec<Figure> = some.flat_map_iter(of_setting).collect();
    figures.extend(overview::figure(page, &settings)?);
    if let Ok(ranking) = rank_in(&settings, &page.query, Detail::Plots) {
        figures.extend(ranking::figures(&ranking, &hues));
    }
    Ok(distinct_names(figures))
}

fn environment(facts: &[(String, String)]) -> String {
    let fact = |(name, value): &(String, String)| {
        format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value))
    };
    format!("<dl>\n{}</dl>\n", facts.iter().map(fact).collect::<String>())
}

/// The page while it is written: each section is written as soon as it is made.
struct Html<'a> {
    /// The text that is not yet written.
    text: String,
    to: &'a mut dyn io::Write,
    /// The result of writing so far.
    written: io::Result<()>,
    titles: &'a [String],
    /// The number of sections so far.
    sections: usize,
}

impl<'a> Html<'a> {
    /// The head, with links to the sections.
    fn new(title: &str, titles: &'a [String], to: &'a mut dyn io::Write) -> Self {
        let (title, style) = (escape(title), include_str!("style.css"));
        let link = |(at, name): (usize, &String)| {
            format!("<li><a href=\"#{}\">{}</a></li>\n", id(at), escape(name))
        };
        let links: String = titles.iter().enumerate().map(link).collect();
        let text = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta \
             name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>\n{style}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n</header>\n<nav \
             aria-label=\"Sections\"><ul>\n{links}</ul></nav>\n<main>\n"
        );
        Self { text, to, written: Ok(()), titles, sections: 0 }
    }

    /// Adds the next section.
    fn section(&mut self, body: impl FnOnce(&mut String)) {
        let (id, name) = (id(self.sections), escape(&self.titles[self.sections]));
        self.text += &format!("<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{name}</h2>\n");
        body(&mut self.text);
        self.text += "</section>\n";
        self.sections += 1;
        self.write();
    }

    fn write(&mut self) {
        if self.written.is_ok() {
            self.written = self.to.write_all(self.text.as_bytes());
        }
        self.text.clear();
    }

    fn finish(mut self) -> io::Result<()> {
        self.text += "</main>\n</body>\n</html>\n";
        self.write();
        self.written
    }
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
    fn of_very_many_settings_the_first_are_drawn_and_all_have_tables() {
        let row = |task: usize, method: usize| crate::Row {
            task: format!("task{task}"),
            ..fixture::row(&format!("m{method}"), 0, "accuracy", 0.5)
        };
        let rows = |tasks| (0..tasks).flat_map(move |task| (0..2000).map(move |m| row(task, m)));
        let few = Runs::of(rows(2).collect::<Vec<_>>());
        assert!(!page(&Page::new("t", &few)).unwrap().contains("Not drawn"));
        let runs = Runs::of(rows(3).collect::<Vec<_>>());
        let html = page(&Page::new("t", &runs)).unwrap();
        assert_eq!(html.matches("Not drawn: ").count(), 1);
        assert!(html.contains("the plots of the first 2 settings"));
        assert_eq!(html.matches("vit: test split of suite").count(), 3);
        let figures = plots(&Page::new("t", &runs)).unwrap();
        let has = |task: &str| figures.iter().any(|figure| figure.name.starts_with(task));
        assert_eq!((has("task1"), has("task2")), (true, false));
        assert_eq!(drawn(&Setting::all(&Runs::of(Vec::new()), false).unwrap()), 1);
    }

    #[test]
    fn a_page_leaves_tests_of_very_many_pairs_to_rank() {
        let rows = |methods: usize| {
            let row = |at: usize| {
                fixture::row(
                    &format!("m{}", at % methods),
                    (at / methods) as u64,
                    "accuracy",
                    at as f64,
                )
            };
            Runs::of((0..3 * methods).map(row).collect::<Vec<_>>())
        };
        let says = |methods, text| page(&Page::new("t", &rows(methods))).unwrap().contains(text);
        assert!(says(200, "with Holm&#39;s correction over all pairs"));
        assert!(says(202, "p to the first is left out: with 202 methods"));
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
    fn every_section_has_its_link() {
        let html = page(&full(&fixture::runs())).unwrap();
        let links = html.matches("<li><a href=\"#section-").count();
        assert_eq!((links, html.matches("<section aria-labelledby=").count()), (5, 5));
        let named = "<h2 id=\"section-5\">To make it again</h2>\n<pre><code>bench run default";
        assert!(html.contains(named) && html.ends_with("</section>\n</main>\n</body>\n</html>\n"));
    }

    #[test]
    fn traces_of_one_run_have_the_same_layers() {
        let runs = fixture::runs();
        let mut short = fixture::trace();
        short.layers.pop();
        short.about.step = 20;
        let traces = vec![fixture::trace(), short];
        assert!(!trace_figures(&traces).is_empty());
        let odd = Page { traces, ..Page::new("t", &runs) };
        for err in [page(&odd).unwrap_err(), plots(&odd).unwrap_err()] {
            assert!(err.to_string().contains("at step 20 has 1 layers, but 2 at step 10"), "{err}");
        }
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
