//! Accuracy of a language model on multiple-choice questions, by the likelihoods of the choices.
//!
//! nll(c)  = - sum over the tokens t of choice c of  log p(t | context, tokens before t)
//! answer  = argmin nll(c), argmin nll(c) / tokens, argmin nll(c) / characters
//!
//! See `tasks::Question` for the source. Among equal choices the first is taken.

use backbones::AnyBackbone;
use burn::prelude::*;
use moe::{Input, Pass, RealTokens};
use tasks::{AnswerChoice, CHOICE_METRICS, Question, Score, cross_entropy};

use crate::EVALUATION_BATCH;

/// Adds the accuracies of `model` on questions to a score.
pub(crate) fn judge(
    model: &AnyBackbone,
    questions: &[Question],
    score: &mut Score,
    device: &Device,
) {
    let all: Vec<&AnswerChoice> =
        questions.iter().flat_map(|question| &question.candidates).collect();
    let chunks = all.chunks(EVALUATION_BATCH).flat_map(|chunk| nats(model, chunk, device));
    let mut nats = chunks.collect::<Vec<f64>>().into_iter();
    for question in questions {
        let costs: Vec<[f64; 3]> = question
            .candidates
            .iter()
            .zip(&mut nats)
            .map(|(candidate, nats)| {
                let tokens = candidate.tokens.len() - candidate.start;
                [nats, nats / tokens as f64, nats / candidate.characters as f64]
            })
            .collect();
        for (by, name) in CHOICE_METRICS.into_iter().enumerate() {
            let right = least(&costs, by) == question.answer;
            score.add(name, if right { 1.0 } else { 0.0 }, 1);
        }
    }
}

/// The first candidate with the lowest cost.
fn least(costs: &[[f64; 3]], by: usize) -> usize {
    (1..costs.len()).fold(0, |best, at| if costs[at][by] < costs[best][by] { at } else { best })
}

/// The negative log-likelihood of each choice. Windows that are not full are padded after the choice, where a
/// causal network cannot see the padding.
fn nats(model: &AnyBackbone, candidates: &[&AnswerChoice], device: &Device) -> Vec<f64> {
    let (length, b) = (model.tokens(), candidates.len());
    let cut = |shift: usize| {
        let ids = candidates.iter().flat_map(|AnswerChoice { tokens, .. }| {
            (0..length).map(move |at| tokens[(at + shift).min(tokens.len() - 1)])
        });
        let ids = ids.collect::<Vec<i32>>();
        Tensor::<2, Int>::from_data(TensorData::new(ids, [b, length]), device)
    };
    let mut pass = Pass::eval();
    pass.put(RealTokens(candidates.iter().map(|c| c.tokens.len().min(length)).collect()));
    let output = model.forward(&mut pass, Input::Tokens(cut(0)));
    let nats: Vec<f32> = cross_entropy(output, cut(1)).into_data().iter::<f32>().collect();
    // The target at a position is the next token.
    let sum = |(candidate, nats): (&&AnswerChoice, &[f32])| {
        let asked = &nats[candidate.start - 1..candidate.tokens.len() - 1];
        asked.iter().map(|nats| f64::from(*nats)).sum()
    };
    candidates.iter().zip(nats.chunks(length)).map(sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_divided_by_decides() {
        // In total the first choice has the lowest cost, per token the second, per character the third.
        let costs = [[2.0, 2.0, 1.0], [3.0, 1.0, 0.5], [4.0, 1.0, 0.25]];
        assert_eq!([0, 1, 2].map(|by| least(&costs, by)), [0, 1, 2]);
    }
}
