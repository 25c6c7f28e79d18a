//! Routing of single units in single runs: co-activation, classes, images, text.

use super::{
    Figure,
    html::{escape, pair, part},
};
use crate::{
    analysis::{choice_entropy, coactivation, label_name, load_entropy, saturation, usage},
    plot::{matrix, patches, tint},
    series::Curve,
    trace::Trace,
};

/// More classes than that make no figure.
const CLASSES: usize = 64;
/// Characters of text that are shown.
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

/// Entropy and saturation over the steps, as curves.
pub(super) fn curves(traces: &[Trace]) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    let mut traces: Vec<&Trace> = traces.iter().collect();
    traces.sort_by_key(|trace| trace.about.step);
    for trace in &traces {
        let last = traces.iter().rev().find(|last| last.about.run == trace.about.run);
        for (number, layer) in trace.layers.iter().enumerate() {
            let mut values = vec![
                (format!("choice entropy, layer {number}"), choice_entropy(layer)),
                (format!("load entropy, layer {number}"), load_entropy(layer)),
            ];
            if let Some(last) = last.filter(|last| last.about.step > 0) {
                let share = saturation(layer, &last.layers[number]);
                values.push((format!("saturation, layer {number}"), share));
            }
            for (name, value) in values {
                let point = (trace.about.step as f64, value);
                let about = &trace.about;
                let same = |c: &&mut Curve| {
                    (&c.method, &c.task, c.seed, &c.name)
                        == (&about.method, &about.task, about.seed, &name)
                };
                match curves.iter_mut().find(same) {
                    Some(curve) => curve.points.push(point),
                    None => curves.push(Curve {
                        method: about.method.clone(),
                        task: about.task.clone(),
                        seed: about.seed,
                        name,
                        points: vec![point],
                    }),
                }
            }
        }
    }
    curves
}

/// Co-activation, use by class and figures of a trace.
pub(super) fn figures(trace: &Trace) -> Vec<Figure> {
    let about = &trace.about;
    let (task, method) = (about.task.as_str(), about.method.as_str());
    let of = format!("{method}, seed {}, {} split, step {}", about.seed, about.split, about.step);
    let mut figures = Vec::new();
    for (number, layer) in trace.layers.iter().enumerate() {
        let at = number.to_string();
        let experts: Vec<String> = (0..layer.n_experts).map(|expert| expert.to_string()).collect();
        if layer.k > 1 {
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
        let use_of = usage(layer, &trace.label);
        if label_name(trace).1 && use_of.len() <= CLASSES {
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

/// The section of all traces of a task; empty if there are none.
pub(super) fn section(traces: &[Trace], task: &str) -> String {
    let mut body = String::new();
    for trace in last_of(traces, task) {
        let texts: String = (0..trace.layers.len()).map(|layer| text(trace, layer)).collect();
        body += &part(&format!("Inside {}", trace.about.method), &(pair(&figures(trace)) + &texts));
    }
    body
}

/// Text with each token on the colour of its expert; empty where there is none.
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
    for run in units.chunk_by(|a, b| a.1 == b.1 && a.2 == b.2) {
        if example.replace(run[0].2) != Some(run[0].2) {
            html += "<br>";
        }
        let letter = |token: &i32| usize::try_from(*token).ok().and_then(|at| letters.get(at));
        let shown = run.iter().filter_map(|(token, ..)| letter(token));
        let space = if letters.iter().all(|letter| letter.chars().count() == 1) { "" } else { " " };
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
        let curves = curves(&traces);
        let saturation = curves.iter().find(|c| c.name == "saturation, layer 0" && c.seed == 0);
        assert_eq!(saturation.unwrap().points, [(3.0, 1.0), (6.0, 1.0)]);
    }
}
