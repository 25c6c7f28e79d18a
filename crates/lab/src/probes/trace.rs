//! `--trace`: records the routing of a run's network.
//!
//! At the start, with each evaluation and at the end, the network processes examples of the validation split
//! and every choice is recorded; see `report::trace` for the format. The size is bounded: at most [`UNITS`]
//! units per file.

use backbones::AnyBackbone;
use burn::prelude::*;
use moe::{Domain, Input, Pass, RoutingProbe, TokenIds};
use report::trace::{About, Layer, Pixels, Property, Trace};
use tasks::{Batch, Split, Task};
use training::{EVALUATION_BATCH, put_batch_facts};

use crate::spec::RunSpec;

/// The largest number of units in a file.
pub(crate) const UNITS: usize = 4096;
/// The number of images that are kept for display.
const IMAGES: usize = 24;

/// The trace of a network's routing on the validation split; none if it has no MoE layers, or if it reads
/// pairs, which have two traces (`pair_trace.rs`).
pub(crate) fn record(
    spec: &RunSpec,
    task: &dyn Task,
    model: &AnyBackbone,
    step: usize,
    device: &Device,
) -> Option<Trace> {
    let examples = examples(task, model.tokens());
    record_of(
        spec,
        task,
        model,
        TracedExamples { split: Split::Valid, examples: &examples, step },
        device,
    )
}

/// The examples that a network is traced on, after `step` steps of training.
#[derive(Clone, Copy)]
pub(crate) struct TracedExamples<'a> {
    pub(crate) split: Split,
    pub(crate) examples: &'a [usize],
    pub(crate) step: usize,
}

/// The trace on the given examples.
pub(crate) fn record_of(
    spec: &RunSpec,
    task: &dyn Task,
    model: &AnyBackbone,
    TracedExamples { split, examples, step }: TracedExamples,
    device: &Device,
) -> Option<Trace> {
    if matches!(task.domain(), Domain::Pair { .. }) {
        return None;
    }
    let about = About { split: split.name().into(), ..about(spec, task, step) };
    let mut trace = Trace { about, ..Trace::default() };
    let mut choices: Vec<Vec<Vec<(usize, f32)>>> = Vec::new();
    for examples in of_one_length(task, split, examples) {
        let batch = task.batch(split, examples, device).drawn(split, examples);
        let (probe, ids) = probed(model, task, &batch);
        let first = probe.layers.first()?;
        let tokens = real_tokens(&batch, examples, model.tokens());
        units(&mut trace, examples, &batch, &ids, (first.plan.n_units(), tokens));
        pixels(&mut trace, &batch, model.tokens());
        choices.resize_with(probe.layers.len(), Vec::new);
        trace.about.experts = probe.layers.iter().map(|capture| capture.plan.n_experts()).collect();
        for (all, capture) in choices.iter_mut().zip(&probe.layers) {
            all.extend(capture.plan.choices());
        }
    }
    let layers = trace.about.experts.iter().zip(&choices);
    trace.layers = layers.map(|(n, choices)| Layer::new(*n, choices)).collect();
    Some(trace)
}

/// The examples in batches of sequences of one length, which a probe requires; an example with padding is a
/// batch of its own.
fn of_one_length<'a>(
    task: &dyn Task,
    split: Split,
    examples: &'a [usize],
) -> impl Iterator<Item = &'a [usize]> {
    let whole = task.as_stream().map_or(usize::MAX, |stream| stream.len_without_padding(split));
    let together = move |a: &usize, b: &usize| *a < whole && *b < whole;
    examples.chunk_by(together).flat_map(|examples| examples.chunks(EVALUATION_BATCH))
}

/// The number of real tokens of each example of a batch, for a network of `tokens` tokens.
fn real_tokens(batch: &Batch, examples: &[usize], tokens: usize) -> usize {
    match (&batch.text, examples) {
        (Some(text), [_]) => text.count[0],
        _ => tokens,
    }
}

pub(super) fn about(spec: &RunSpec, task: &dyn Task, step: usize) -> About {
    let (letters, properties) = task.as_text().map_or_else(Default::default, |text| {
        let tokens = text.tokenizer();
        let letters = (0..tokens.vocab()).map(|id| tokens.show(id)).collect();
        (letters, text.properties().iter().map(property).collect())
    });
    About {
        run: spec.id.clone(),
        method: spec.method.clone(),
        task: spec.config.task.kind.clone(),
        seed: spec.seed,
        split: Split::Valid.name().into(),
        step: step as u64,
        letters,
        properties,
        ..About::default()
    }
}

fn property(property: &tasks::Property) -> Property {
    let tasks::Property { name, values, of } = property.clone();
    Property { name: name.into(), values, of }
}

/// Examples without padding, spread evenly over the validation split. The first of them, whose images are
/// kept, are spread evenly too.
pub(crate) fn examples(task: &dyn Task, tokens: usize) -> Vec<usize> {
    let all = match task.as_stream() {
        Some(stream) => stream.len_without_padding(Split::Valid),
        None => task.len(Split::Valid),
    };
    let n = (UNITS / tokens.max(1)).clamp(1, all.max(1)).min(all);
    let spread: Vec<usize> = (0..n).map(|at| at * all / n).collect();
    let few = IMAGES.min(n);
    let first: Vec<usize> = (0..few).map(|at| spread[at * n / few]).collect();
    let rest = spread.into_iter().filter(|example| !first.contains(example));
    first.iter().copied().chain(rest).collect()
}

/// Runs a network on a batch: the routing of its layers, and the ids of the tokens, `[B, T]` row by row.
fn probed(model: &AnyBackbone, task: &dyn Task, batch: &Batch) -> (RoutingProbe, Vec<i32>) {
    let mut pass = Pass::eval();
    pass.put(RoutingProbe::default());
    put_batch_facts(&mut pass, task, batch);
    model.forward(&mut pass, batch.input.clone());
    let ids = pass.get::<TokenIds>().map_or_else(Vec::new, |TokenIds(ids)| ints(ids));
    (pass.take::<RoutingProbe>().unwrap_or_default(), ids)
}

fn ints(tensor: &Tensor<2, Int>) -> Vec<i32> {
    tensor.to_data().iter::<i32>().collect()
}

/// Adds the units of a batch: tokens, slices of tokens one after the other, or whole examples.
fn units(
    trace: &mut Trace,
    examples: &[usize],
    batch: &Batch,
    ids: &[i32],
    (n, tokens): (usize, usize),
) {
    let (labels, answers) = (ints(&batch.labels), batch.labels.dims()[1]);
    let slices = n / (examples.len() * tokens).max(1);
    for unit in 0..n {
        let (example, position) = match slices {
            0 => (unit.min(examples.len() - 1), None),
            _ => (unit / slices / tokens, Some(unit / slices % tokens)),
        };
        let token = position.and_then(|at| ids.get(example * tokens + at));
        let label = position.filter(|at| *at < answers).unwrap_or(0);
        trace.example.push(examples[example] as i32);
        trace.position.push(position.map_or(-1, |at| at as i32));
        trace.token.push(token.copied().unwrap_or(-1));
        trace.label.push(labels[example * answers + label]);
        let source = batch.text.as_ref().map_or(&[][..], |text| &text.source);
        let source = source.get(example * tokens + position.unwrap_or(0));
        trace.text.extend(source.map(|text| *text as i32));
    }
}

/// Keeps the first images in grey, scaled from 0 to 1, with the number of patches.
fn pixels(trace: &mut Trace, batch: &Batch, tokens: usize) {
    let (Input::Image(pixels), None) = (&batch.input, &trace.pixels) else { return };
    let [b, _, h, w] = pixels.dims();
    let n = b.min(IMAGES);
    let grey = pixels.clone().narrow(0, 0, n).mean_dim(1).into_data();
    let grey: Vec<f32> = grey.iter::<f32>().collect();
    let ends = grey.iter().fold((f32::MAX, f32::MIN), |(a, b), x| (a.min(*x), b.max(*x)));
    let span = (ends.1 - ends.0).max(f32::MIN_POSITIVE);
    let grey = grey.iter().map(|x| (x - ends.0) / span).collect();
    trace.pixels = Some(Pixels { shape: [n, h, w], grey });
    let rows = (tokens as f64 * h as f64 / w as f64).sqrt().round() as usize;
    trace.about.patches =
        (rows > 0 && rows * (tokens / rows) == tokens).then_some([rows, tokens / rows.max(1)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        probes::trace_files::write,
        testing::{Begun, begin},
    };

    #[test]
    fn a_window_that_is_not_full_has_its_own_tokens_only() {
        let text = TEXT.replace("length = 32", "length = 32, stream = \"contiguous\"");
        let Begun { spec, task, model, folder: _folder } = begin(&format!(
            "[base]\nmoe = {{ layers = \"last 1\", experts = 4 }}\n{text}\n[[method]]\nmoe.router = \"top-k\"\n"
        ));
        let all = task.len(Split::Test);
        let whole = task.as_stream().unwrap().len_without_padding(Split::Test);
        assert!(whole < all, "the last window is not full");
        let examples: Vec<usize> = (all - 3..all).collect();
        let shown = TracedExamples { split: Split::Test, examples: &examples, step: 0 };
        let trace = record_of(&spec, &*task, &model, shown, &Device::flex()).unwrap();
        let last = task.batch(Split::Test, &[all - 1], &Device::flex());
        let count = last.text.unwrap().count[0];
        assert!(count < 32, "{count}");
        let of_last = trace.example.iter().filter(|example| **example == all as i32 - 1).count();
        assert_eq!((of_last, trace.about.split.as_str()), (count, "test"));
        assert_eq!(trace.len(), 32 * (whole - (all - 3)) + count);
    }

    fn traced(method: &str, task: &str) -> Trace {
        traced_with_groups(method, task).0
    }

    /// The trace, and the group of each class.
    fn traced_with_groups(method: &str, task: &str) -> (Trace, Option<Vec<usize>>) {
        let Begun { spec, task, model, folder } = begin(&format!(
            "[base]\nmoe = {{ layers = \"last 1\", experts = 4 }}\n{task}\n[[method]]\n{method}\n"
        ));
        write(&spec, &*task, folder.path(), &model, 7, &Device::flex()).unwrap();
        let bytes = std::fs::read(folder.path().join(Trace::file_name(7))).unwrap();
        let trace = Trace::parse("trace", &bytes).unwrap();
        let groups = task.as_clustered().and_then(|task| task.super_classes());
        (trace, groups.map(<[usize]>::to_vec))
    }

    #[test]
    fn a_run_with_groups_is_traced_with_them() {
        let method =
            "moe.router = \"oracle\"\nmoe.experts = 3\ngroups = { count = 3, by = \"random\" }";
        let (trace, groups) = traced_with_groups(method, DIGITS);
        let groups = groups.unwrap();
        for (label, unit) in trace.label.iter().zip(trace.layers[0].units()) {
            assert_eq!(unit[0].0, groups[*label as usize], "class {label}");
        }
        assert!(groups.iter().enumerate().any(|(class, group)| class % 3 != *group));
    }

    const DIGITS: &str = "[[task]]\ntask = \"digits\"\nbackbone = { kind = \"vit\", patch = 4, width = 8, depth = 2, heads = 2 }";
    const TEXT: &str = "[[task]]\ntask = { kind = \"tanaka-lm\", length = 32 }\nbackbone = { kind = \"transformer-lm\", width = 8, depth = 2, heads = 2 }";

    #[test]
    fn images_have_patches_classes_and_pixels() {
        let trace = traced("moe.router = { kind = \"top-k\", k = 2 }", DIGITS);
        assert_eq!((trace.len(), trace.about.patches), (355 * 4, Some([2, 2])));
        assert_eq!(trace.layers[0].k, 2);
        assert_eq!(trace.pixels.as_ref().unwrap().shape, [IMAGES, 8, 8]);
        let classes: std::collections::HashSet<i32> =
            trace.label[..IMAGES * 4].iter().copied().collect();
        assert!(classes.len() >= 9, "images of all classes: {classes:?}");
        assert_eq!(trace.position[..5], [0, 1, 2, 3, 0]);
        assert_eq!(trace.about.step, 7);
    }

    #[test]
    fn text_has_letters_and_the_size_is_bounded() {
        let trace = traced("moe.router = { kind = \"switch\" }", TEXT);
        assert_eq!(trace.len(), UNITS);
        assert_eq!(trace.about.letters.len(), 97);
        // The label of a token is the next token.
        assert_eq!(trace.token[1..31], trace.label[..30]);
    }

    #[test]
    fn experts_that_choose_and_whole_images() {
        let trace = traced("moe.router = \"expert-choice\"", DIGITS);
        let chosen: usize = trace.layers[0].units().map(|unit| unit.len()).sum();
        assert!(chosen >= trace.len(), "{chosen}");
        let trace = traced("moe.router = \"top-k\"\nmoe.level = \"sequence\"", DIGITS);
        assert_eq!((trace.len(), trace.position[0], trace.token[0]), (355, -1, -1));
    }
}
