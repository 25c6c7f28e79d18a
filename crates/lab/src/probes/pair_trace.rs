//! Traces of encoder-decoders, one for each side: a layer of the encoder routes tokens of the source, and one
//! of the decoder tokens of the target.

use backbones::AnyBackbone;
use burn::prelude::*;
use moe::{Input, Pass, RealTokens, RoutingProbe};
use report::trace::{Layer, Trace};
use tasks::{Split, Task};

use super::trace::{about, examples};
use crate::spec::RunSpec;

/// The sides of an encoder-decoder, which are the names of folders in a run's traces.
pub(crate) const SIDES: [&str; 2] = ["encoder", "decoder"];

/// The traces of encoder and decoder on sentences of the validation split, with the true targets. A side
/// without MoE layers has no trace, nor has a network that does not translate.
pub(crate) fn sides(
    spec: &RunSpec,
    task: &dyn Task,
    model: &AnyBackbone,
    step: usize,
    device: &Device,
) -> Vec<(&'static str, Trace)> {
    let (Some(network), Some(translation)) = (model.sequence_to_sequence(), task.as_translation())
    else {
        return Vec::new();
    };
    let letters: Vec<String> =
        (0..task.outputs()).map(|id| translation.text(&[id as i32])).collect();
    let end = translation.writing().end;
    let mut sides = SIDES.map(|side| {
        let about = about(spec, task, step);
        let method = format!("{}, {side}", about.method);
        let about = report::trace::About { method, letters: letters.clone(), ..about };
        SideTrace { trace: Trace { about, ..Trace::default() }, choices: Vec::new(), end }
    });
    for example in examples(task, model.tokens()) {
        // A routing probe requires sequences of one length, so pairs are processed one by one.
        let batch = task.batch(Split::Valid, &[example], device);
        let Input::Pair(pair) = batch.input else { return Vec::new() };
        let [source, target] =
            [(&pair.source, &pair.source_counts), (&pair.target, &pair.target_counts)]
                .map(|(ids, counts)| real(ids, counts[0]));
        let (mut memory, probe) =
            probed(|pass| network.read(pass, pair.source, pair.source_counts));
        sides[0].add(example, &source, probe);
        let (_, probe) = probed(|pass| {
            pass.put(RealTokens(pair.target_counts));
            network.answer(pass, pair.target, &mut memory)
        });
        sides[1].add(example, &target, probe);
    }
    let traced = SIDES.into_iter().zip(sides.map(SideTrace::finish));
    traced.filter(|(_, trace)| !trace.layers.is_empty()).collect()
}

/// The ids of the real tokens of one sequence.
fn real(ids: &Tensor<2, Int>, count: usize) -> Vec<i32> {
    ids.to_data().iter::<i32>().take(count).collect()
}

/// The result of `forward`, with the routing of its layers.
fn probed<T>(forward: impl FnOnce(&mut Pass) -> T) -> (T, RoutingProbe) {
    let mut pass = Pass::eval();
    pass.put(RoutingProbe::default());
    let output = forward(&mut pass);
    (output, pass.take::<RoutingProbe>().unwrap_or_default())
}

/// The trace of one side, while it is recorded.
struct SideTrace {
    trace: Trace,
    /// The choices of all units, layer by layer.
    choices: Vec<Vec<Vec<(usize, f32)>>>,
    /// The id of the end token.
    end: i32,
}

impl SideTrace {
    /// Adds the units of a sequence: tokens, slices of tokens one after the other, or the whole sequence.
    fn add(&mut self, example: usize, ids: &[i32], probe: RoutingProbe) {
        let Some(first) = probe.layers.first() else { return };
        let (n, trace) = (first.plan.n_units(), &mut self.trace);
        let slices = n / ids.len().max(1);
        for unit in 0..n {
            let position = unit.checked_div(slices);
            let token = position.and_then(|at| ids.get(at));
            let next = position.and_then(|at| ids.get(at + 1));
            trace.example.push(example as i32);
            trace.position.push(position.map_or(-1, |at| at as i32));
            trace.token.push(token.copied().unwrap_or(-1));
            trace.label.push(next.copied().unwrap_or(self.end));
        }
        trace.about.experts = probe.layers.iter().map(|layer| layer.plan.n_experts()).collect();
        self.choices.resize_with(probe.layers.len(), Vec::new);
        for (all, layer) in self.choices.iter_mut().zip(&probe.layers) {
            all.extend(layer.plan.choices());
        }
    }

    fn finish(mut self) -> Trace {
        let layers = self.trace.about.experts.iter().zip(&self.choices);
        self.trace.layers = layers.map(|(n, choices)| Layer::new(*n, choices)).collect();
        self.trace
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Begun, begin};

    #[test]
    fn each_side_has_its_own_tokens() {
        let Begun { spec, task, model, .. } = begin(
            "[base]\nmoe = { layers = \"all\", experts = 3 }\n[[task]]\n\
             task = { kind = \"translation\", pairs = 40, tokens = \"byte\", length = 40 }\n\
             backbone = { kind = \"transformer-seq2seq\", width = 8, encoder_layers = 2, decoder_layers = 1 }\n\
             [[method]]\nmoe.router = \"top-k\"\n",
        );
        let found = sides(&spec, &*task, &model, 7, &Device::flex());
        let [(first, encoder), (second, decoder)] = &found[..] else { panic!("{}", found.len()) };
        assert_eq!([*first, *second], SIDES);
        assert_eq!([encoder.layers.len(), decoder.layers.len()], [2, 1]);
        assert_eq!((&encoder.about.experts[..], decoder.about.step), (&[3, 3][..], 7));
        let translation = task.as_translation().unwrap();
        let example = encoder.example[0];
        let own = |trace: &Trace| {
            let tokens = trace.example.iter().zip(&trace.token);
            tokens.filter(|(of, _)| **of == example).map(|(_, token)| *token).collect::<Vec<_>>()
        };
        assert_eq!(own(encoder), translation.source(Split::Valid, example as usize));
        assert_eq!(own(decoder)[0], translation.writing().begin);
        // The label is the following token; for the last token it is the end token.
        let n = own(decoder).len();
        assert_eq!(decoder.label[..n - 1], own(decoder)[1..]);
        assert_eq!(decoder.label[n - 1], translation.writing().end);
        for trace in [encoder, decoder] {
            assert!(trace.layers.iter().all(|layer| layer.first().len() == trace.len()));
            assert!(trace.to_bytes().is_ok());
        }
        // The choices of a layer are the same as in a batch with padding.
        let batch =
            task.batch(Split::Valid, &[example as usize, example as usize + 1], &Device::flex());
        let mut pass = Pass::eval().with_reports();
        model.forward(&mut pass, batch.input);
        let units: usize = pass.reports()[0].units;
        let next = translation.source(Split::Valid, example as usize + 1).len();
        assert_eq!(units, own(encoder).len() + next);
    }
}
