//! The routing of single units in single runs: co-activation, classes, images, text.

use std::collections::{BTreeSet, HashMap};

use super::{
    Figure,
    html::{escape, pair, part},
};
use crate::{
    analysis::{choice_entropy, coactivation, label_name, load_entropy, saturation, usage},
    plot::{matrix, patches, tint},
    series::Curve,
    trace::{About, Trace},
};

/// The largest number of classes of a figure.
const CLASSES: usize = 64;
/// The largest number of experts of a matrix figure.
const EXPERTS: usize = 256;
/// The largest number of layers with figures and curves.
const LAYERS: usize = 32;
/// The largest number of characters of text that are shown.
const LETTERS: usize = 640;

/// The last trace of each method of a task, of its first seed.
pub(super) fn last_of<'a>(traces: &'a [Trace], task: &str) -> Vec<&'a Trace> {
    let mut last: Vec<&Trace> = Vec::new();
    for trace in traces.iter().filter(|trace| trace.about.task == task) {
        let key = |trace: &Trace| (u64::MAX - trace.about.seed, trace.about.step);
        match last.iter_mut().find(|known| known.about.method == trace.about.method) {
            Some(known) if key(trace) > key(known) => *known = trace,
            Some(_) => {}
            None => last.push(trace),
        }
    }
    last
}

/// The entropy and saturation of a task's traces over the steps, as curves.
pub(super) fn curves(traces: &[Trace], task: &str) -> Vec<Curve> {
    let mut traces: Vec<&Trace> = traces.iter().filter(|trace| trace.about.task == task).collect();
    traces.sort_by_key(|trace| trace.about.step);
    let last: HashMap<&str, &Trace> =
        traces.iter().map(|trace| (trace.about.run.as_str(), *trace)).collect();
    let (mut curves, mut places): (Vec<Curve>, HashMap<_, usize>) = Default::default();
    for trace in traces {
        let About { run, method, seed, step, .. } = &trace.about;
        for (number, layer) in trace.layers.iter().enumerate().take(LAYERS) {
            let end = last[run.as_str()].layers.get(number).filter(|_| *step > 0);
            let values = [
                ("choice entropy", Some(choice_entropy(layer))),
                ("load entropy", Some(load_entropy(layer))),
                ("saturation", end.map(|end| saturation(layer, end))),
            ];
            for (what, value) in values {
                let Some(value) = value else { continue };
                let place = *places.entry((method, *seed, what, number)).or_insert(curves.len());
                if place == curves.len() {
                    let (method, task, points) = (method.clone(), task.to_string(), Vec::new());
                    let name = format!("{what}, layer {number}");
                    curves.push(Curve { method, task, seed: *seed, name, points });
                }
                curves[place].points.push((*step as f64, value));
            }
        }
    }
    curves
}

/// The figures of a trace's first layers: co-activation, use by class, and images.
pub(super) fn figures(trace: &Trace) -> Vec<Figure> {
    let about = &trace.about;
    let (task, method) = (about.task.as_str(), about.method.as_str());
    let of = format!("{method}, seed {}, {} split, step {}", about.seed, about.split, about.step);
    let classes = trace.label.iter().collect::<BTreeSet<_>>().len();
    let has_classes = label_name(trace).1 && classes <= CLASSES;
    let mut figures = Vec::new();
    for (number, layer) in trace.layers.iter().enumerate().take(LAYERS) {
        let at = number.to_string();
        if layer.k > 1 && layer.n_experts <= EXPERTS {
            let experts: Vec<String> = (0..layer.n_experts).map(|e| e.to_string()).collect();
            let title = format!("{method}: experts that work together, layer {number}");
            figures.push(Figure::new(
                &[task, method, "coactivation", &at],
                matrix(&title, "expert", &experts, &coactivation(layer)),
                format!(
                    "{of}, layer {number}: of the units of an expert (row), the share that another \
                     (column) works on too."
                ),
            ));
        }
        if has_classes && layer.n_experts <= EXPERTS {
            let use_of = usage(layer, &trace.label);
            let title = format!("{method}: experts by class, layer {number}");
            let names: Vec<String> = use_of.keys().map(i32::to_string).collect();
            let rows: Vec<Vec<f64>> = use_of.into_values().collect();
            figures.push(Figure::new(
                &[task, method, "classes", &at],
                matrix(&title, "class", &names, &rows),
                format!(
                    "{of}, layer {number}: the share of each expert in the choices of a class."
                ),
            ));
        }
        let title = format!("{method}: patches by expert, layer {number}");
        figures.extend(patches(&title, trace, number).map(|svg| {
            let caption = format!(
                "{of}, layer {number}: each patch has the colour of the expert with the largest \
                 weight; patches without colour have none. Below: the class."
            );
            Figure::new(&[task, method, "patches", &at], svg, caption)
        }));
    }
    figures
}

/// The section on all traces of a task; empty if there are none.
pub(super) fn section(traces: &[Trace], task: &str) -> String {
    let mut body = String::new();
    for trace in last_of(traces, task) {
        let layers = trace.layers.len().min(LAYERS);
        let texts: String = (0..layers).map(|layer| text(trace, layer)).collect();
        body += &part(&format!("Inside {}", trace.about.method), &(pair(&figures(trace)) + &texts));
    }
    body
}

/// Text in which each token has the background colour of its expert; empty if there is no text.
fn text(trace: &Trace, number: usize) -> String {
    let letters = &trace.about.letters;
    if letters.is_empty() {
        return String::new();
    }
    let mut html = String::new();
    let layer = &trace.layers[number];
    let units = trace.token.iter().zip(layer.first()).zip(&trace.example).take(LETTERS);
    let units: Vec<_> = units.map(|((token, first), example)| (token, first, example)).collect();
    let mut example = units.first().map(|unit| unit.2);
    let space = if letters.iter().all(|letter| letter.chars().count() == 1) { "" } else { " " };
    for run in units.chunk_by(|a, b| a.1 == b.1 && a.2 == b.2) {
        if example.replace(run[0].2) != Some(run[0].2) {
            html += "<br>";
        }
        let letter = |token: &i32| usize::try_from(*token).ok().and_then(|at| letters.get(at));
        let shown = run.iter().filter_map(|(token, ..)| letter(token));
        let shown: String = shown.map(|token| token.replace('\n', "⏎") + space).collect();
        html += &match run[0].1 {
            Some(expert) => format!(
                "<span style=\"background:{}66\" title=\"expert {expert}\">{}</span>",
                tint(expert),
                escape(&shown)
            ),
            None => escape(&shown),
        };
        html += "<wbr>";
    }
    let key = |expert: usize| {
        format!("<span style=\"background:{}66\">expert {expert}</span> ", tint(expert))
    };
    let key: String = (0..layer.n_experts.min(12)).map(key).collect();
    format!(
        "<figure>\n<p class=\"text\">{html}</p>\n<figcaption>Layer {number}, {} split, step {}: each \
         token has the colour of the expert with the largest weight. {key}</figcaption>\n</figure>\n",
        trace.about.split, trace.about.step
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::trace;

    #[test]
    fn text_has_the_colours_of_its_experts() {
        let mut trace = trace();
        trace.about.letters = vec!["<".into(), "\n".into()];
        let html = text(&trace, 0);
        let expected = "title=\"expert 0\">&lt;⏎</span><wbr>";
        assert!(html.contains(expected), "{html}");
        assert!(html.contains("title=\"expert 1\">&lt;</span>"), "{html}");
    }

    #[test]
    fn the_last_trace_of_the_first_seed_is_shown() {
        let of = |seed, step| {
            let mut trace = trace();
            (trace.about.seed, trace.about.step) = (seed, step);
            trace
        };
        let traces = [of(1, 9), of(0, 3), of(0, 6)];
        let last = last_of(&traces, "digits");
        assert_eq!((last.len(), last[0].about.seed, last[0].about.step), (1, 0, 6));
        let names: Vec<String> = figures(last[0]).into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["digits--coactivation-0", "digits--classes-0", "digits--classes-1"]);
        let curves = curves(&traces, "digits");
        let saturation = curves.iter().find(|c| c.name == "saturation, layer 0" && c.seed == 0);
        assert_eq!(saturation.unwrap().points, [(3.0, 1.0), (6.0, 1.0)]);
    }

    #[test]
    fn large_and_odd_traces_make_few_figures() {
        let names = |trace: &Trace| {
            figures(trace).into_iter().map(|figure| figure.name).collect::<Vec<_>>()
        };
        let mut wide = trace();
        wide.layers[0].n_experts = 60_000;
        assert_eq!(names(&wide), ["digits--classes-1"]);
        let mut deep = trace();
        deep.layers = vec![deep.layers[1].clone(); 2 * LAYERS];
        assert_eq!(names(&deep).len(), LAYERS);
        assert_eq!(curves(&[deep], "digits").len(), 3 * LAYERS);
        assert_eq!(curves(&[trace()], "another"), []);
        let mut short = trace();
        short.layers.pop();
        short.about.step = 20;
        let curves = curves(&[trace(), short], "digits");
        let points = |name: &str| curves.iter().find(|c| c.name == name).map(|c| c.points.len());
        assert_eq!(points("saturation, layer 0"), Some(2));
        assert_eq!(points("saturation, layer 1"), None);
    }
}
