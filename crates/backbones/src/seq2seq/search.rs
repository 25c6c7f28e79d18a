//! Decoding of a target: greedy, or by beam search.
//!
//! Beam search as in fairseq: Ott et al. *fairseq: A Fast, Extensible Toolkit for Sequence Modeling*.
//! NAACL 2019. <https://arxiv.org/abs/1904.01038>
//!
//! score(y) = sum_t log p(y_t | y_<t, x)                     (1)
//! rank(y)  = score(y) / |y|^alpha                           (2), |y| with the token that ends it
//!
//! At each step the 2 b best continuations of the b live targets are examined, the best first. A continuation
//! with the end token is done if it is among the first b; the first b others stay live. A source is done when
//! b targets are done, or at the maximum length, where all live targets are ended. The answer is the target
//! with the best rank.
//!
//! For equal scores the earlier target, then the smaller token is taken. The rank (2) is not the length
//! penalty ((5 + |y|) / 6)^alpha of Wu et al. 2016.

use burn::prelude::*;
use moe::Pass;

use super::{Memory, SequenceToSequence};

/// The settings of the search for a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BeamSearch {
    /// The beam width: the number of targets followed at once, b; 1 is greedy.
    pub beam: usize,
    /// Alpha: 0 favours short targets, 1 takes the mean per token.
    pub length_penalty: f64,
    /// The maximum number of tokens of an answer, without the end token; it is limited to the network's
    /// longest target, which includes the begin token.
    pub most: usize,
    /// The token before the first token of a target.
    pub begin: i32,
    /// The token after the last token of a target.
    pub end: i32,
}

/// The answers to sources of at least one token each, without the end token.
pub fn translate(
    network: &dyn SequenceToSequence,
    sources: &[Vec<i32>],
    search: &BeamSearch,
    device: &Device,
) -> Vec<Vec<i32>> {
    match search.beam {
        1 => greedy(network, sources, search, device),
        _ => beam_search(network, sources, search, device),
    }
}

/// The maximum number of tokens of an answer of this network.
fn most(network: &dyn SequenceToSequence, search: &BeamSearch) -> usize {
    search.most.min(network.longest()[1].saturating_sub(1))
}

/// Reads the sources of a batch, padded to the longest.
fn read(network: &dyn SequenceToSequence, sources: &[Vec<i32>], device: &Device) -> Memory {
    let counts: Vec<usize> = sources.iter().map(Vec::len).collect();
    let longest = counts.iter().copied().max().unwrap_or(0);
    let filled = |source: &Vec<i32>| {
        let mut ids = source.clone();
        ids.resize(longest, 0);
        ids
    };
    let ids: Vec<i32> = sources.iter().flat_map(filled).collect();
    let ids = Tensor::from_data(TensorData::new(ids, [sources.len(), longest]), device);
    network.read(&mut Pass::eval(), ids, counts)
}

/// The scores of the vocabulary after one more token of each target, row by row.
fn scores(
    network: &dyn SequenceToSequence,
    memory: &mut Memory,
    last: &[i32],
    device: &Device,
) -> Vec<Vec<f32>> {
    let ids = Tensor::from_data(TensorData::new(last.to_vec(), [last.len(), 1]), device);
    let y = network.answer(&mut Pass::eval(), ids, memory);
    let [_, _, vocab] = y.dims();
    let values: Vec<f32> = kernels::read_back(y).iter().collect();
    values.chunks_exact(vocab).map(<[f32]>::to_vec).collect()
}

/// Greedy decoding: the likeliest token at each step.
pub fn greedy(
    network: &dyn SequenceToSequence,
    sources: &[Vec<i32>],
    search: &BeamSearch,
    device: &Device,
) -> Vec<Vec<i32>> {
    let mut answers = vec![Vec::new(); sources.len()];
    let mut live: Vec<usize> = (0..sources.len()).collect();
    if live.is_empty() {
        return answers;
    }
    let mut memory = read(network, sources, device);
    for _ in 0..most(network, search) {
        let last: Vec<i32> =
            live.iter().map(|row| *answers[*row].last().unwrap_or(&search.begin)).collect();
        let scores = scores(network, &mut memory, &last, device);
        let mut kept = Vec::new();
        for (at, scores) in scores.iter().enumerate() {
            let best = (1..scores.len())
                .fold(0, |best, i| if scores[i] > scores[best] { i } else { best });
            if best as i32 != search.end {
                answers[live[at]].push(best as i32);
                kept.push(at);
            }
        }
        if kept.is_empty() {
            break;
        }
        if kept.len() < live.len() {
            memory = memory.select(&kept);
            live = kept.iter().map(|at| live[*at]).collect();
        }
    }
    answers
}

/// A target so far, and its score (1).
#[derive(Clone, Debug, Default)]
struct Target {
    ids: Vec<i32>,
    score: f64,
}

/// The targets of one source.
struct Beam {
    source: usize,
    live: Vec<Target>,
    /// The ended targets, each with its rank (2).
    done: Vec<(f64, Vec<i32>)>,
}

/// One more token of a live target.
#[derive(Clone, Copy)]
struct Continuation {
    from: usize,
    token: usize,
    score: f64,
}

/// The answers with the best rank (2) by beam search, without the end token.
///
/// # Panics
/// If the beam is 0.
pub fn beam_search(
    network: &dyn SequenceToSequence,
    sources: &[Vec<i32>],
    search: &BeamSearch,
    device: &Device,
) -> Vec<Vec<i32>> {
    assert!(search.beam > 0, "the beam must be at least 1");
    let mut answers = vec![Vec::new(); sources.len()];
    if sources.is_empty() {
        return answers;
    }
    let beam = |source| Beam { source, live: vec![Target::default()], done: Vec::new() };
    let mut beams: Vec<Beam> = (0..sources.len()).map(beam).collect();
    let mut memory = read(network, sources, device);
    let most = most(network, search);
    for step in 0..=most {
        let targets = beams.iter().flat_map(|beam| &beam.live);
        let last: Vec<i32> =
            targets.map(|target| *target.ids.last().unwrap_or(&search.begin)).collect();
        let mut scores = scores(network, &mut memory, &last, device).into_iter();
        let (mut rows, mut first) = (Vec::new(), 0);
        for beam in &mut beams {
            let n = beam.live.len();
            let log_p: Vec<Vec<f64>> =
                scores.by_ref().take(n).map(|row| log_softmax(&row)).collect();
            let from = beam.advance(&log_p, search, step == most);
            rows.extend(from.into_iter().map(|from| first + from));
            first += n;
        }
        beams.retain_mut(|beam| {
            if beam.live.is_empty() {
                answers[beam.source] = beam.best();
            }
            !beam.live.is_empty()
        });
        if beams.is_empty() {
            break;
        }
        memory = memory.select(&rows);
    }
    answers
}

impl Beam {
    /// Makes one step; returns for each new live target the index of the one that it continues. No target is
    /// live when the source is done.
    fn advance(&mut self, log_p: &[Vec<f64>], search: &BeamSearch, at_end: bool) -> Vec<usize> {
        let end = search.end as usize;
        let best = match at_end {
            true => self.continuations(log_p, self.live.len(), |token| token == end),
            false => self.continuations(log_p, 2 * search.beam, |_| true),
        };
        let (mut live, mut from) = (Vec::new(), Vec::new());
        for (place, next) in best.into_iter().enumerate() {
            let mut ids = self.live[next.from].ids.clone();
            if next.token == end {
                if place < search.beam {
                    let rank = next.score / (ids.len() as f64 + 1.0).powf(search.length_penalty);
                    self.done.push((rank, ids));
                }
            } else if live.len() < search.beam {
                ids.push(next.token as i32);
                live.push(Target { ids, score: next.score });
                from.push(next.from);
            }
        }
        let done = at_end || self.done.len() >= search.beam;
        self.live = if done { Vec::new() } else { live };
        if done { Vec::new() } else { from }
    }

    /// The best `count` continuations with tokens that `may` accepts, the best first.
    fn continuations(
        &self,
        log_p: &[Vec<f64>],
        count: usize,
        may: impl Fn(usize) -> bool,
    ) -> Vec<Continuation> {
        let rows = self.live.iter().zip(log_p).enumerate();
        let mut all: Vec<Continuation> = rows
            .flat_map(|(from, (target, log_p))| {
                let one = move |(token, log_p): (usize, &f64)| Continuation {
                    from,
                    token,
                    score: target.score + log_p,
                };
                log_p.iter().enumerate().map(one)
            })
            .filter(|next| may(next.token))
            .collect();
        let order = |a: &Continuation, b: &Continuation| {
            b.score.total_cmp(&a.score).then(a.from.cmp(&b.from)).then(a.token.cmp(&b.token))
        };
        if count < all.len() {
            all.select_nth_unstable_by(count, order);
            all.truncate(count);
        }
        all.sort_unstable_by(order);
        all
    }

    /// The answer with the best rank, the first among equals.
    fn best(&mut self) -> Vec<i32> {
        let better = |a: (f64, Vec<i32>), b: (f64, Vec<i32>)| if b.0 > a.0 { b } else { a };
        self.done.drain(..).reduce(better).map(|(_, ids)| ids).unwrap_or_default()
    }
}

/// The log probabilities of scores.
fn log_softmax(scores: &[f32]) -> Vec<f64> {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = scores.iter().map(|score| f64::from(score - most).exp()).sum();
    let log_sum = f64::from(most) + sum.ln();
    scores.iter().map(|score| f64::from(*score) - log_sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seq2seq::{KeysValues, LayerMemory};

    /// A language whose next token depends only on the previous one, by a table of log p; the memory is only
    /// counted.
    struct Chain(Vec<Vec<f32>>);

    impl SequenceToSequence for Chain {
        fn read(&self, _pass: &mut Pass, source: Tensor<2, Int>, _counts: Vec<usize>) -> Memory {
            let nothing = Tensor::<3>::zeros([source.dims()[0], 1, 1], &Device::flex());
            let source = KeysValues { keys: nothing.clone(), values: nothing };
            Memory { layers: vec![LayerMemory { own: None, source, mask: None }] }
        }

        fn answer(
            &self,
            _pass: &mut Pass,
            target: Tensor<2, Int>,
            memory: &mut Memory,
        ) -> Tensor<3> {
            assert_eq!(
                memory.layers[0].source.keys.dims()[0],
                target.dims()[0],
                "rows go together"
            );
            let last: Vec<i32> = target.into_data().iter().collect();
            let rows: Vec<f32> = last.iter().flat_map(|id| self.0[*id as usize].clone()).collect();
            let (b, v) = (last.len(), self.0.len());
            Tensor::from_data(TensorData::new(rows, [b, 1, v]), &Device::flex())
        }

        fn longest(&self) -> [usize; 2] {
            [4, 5]
        }
    }

    const SEARCH: BeamSearch =
        BeamSearch { beam: 1, length_penalty: 0.0, most: 4, begin: 0, end: 1 };

    /// Tokens: 0 begins, 1 ends. Greedy decoding takes 2 (0.6), after which the next token is uncertain;
    /// after 3 (0.4) everything is certain.
    fn chain() -> Chain {
        let rows = [[0.0, 0.0, 0.6, 0.4], [0.25; 4], [0.0, 0.4, 0.3, 0.3], [0.0, 1.0, 0.0, 0.0]];
        Chain(rows.map(|row: [f32; 4]| row.map(|p| p.max(1e-30).ln()).to_vec()).to_vec())
    }

    #[test]
    fn a_beam_finds_what_greed_passes_by() {
        let (chain, device) = (chain(), Device::flex());
        let sources = [vec![5], vec![5, 6]];
        assert_eq!(greedy(&chain, &sources, &SEARCH, &device), [[2], [2]]);
        let two = BeamSearch { beam: 2, ..SEARCH };
        assert_eq!(translate(&chain, &sources, &two, &device), [[3], [3]]);
        assert_eq!(translate(&chain, &[], &two, &device), [[0; 0]; 0]);
    }

    #[test]
    fn a_beam_of_one_is_greedy_whatever_the_penalty() {
        let (chain, device) = (chain(), Device::flex());
        for length_penalty in [0.0, 0.6, 2.0] {
            let search = BeamSearch { length_penalty, ..SEARCH };
            let answers = beam_search(&chain, &[vec![5]], &search, &device);
            assert_eq!(answers, greedy(&chain, &[vec![5]], &search, &device));
        }
    }

    #[test]
    fn the_penalty_by_hand() {
        // After 2: end has p = 1/2, another 2 the other half. By (1) [2] with 1/2 is best; with alpha = 2
        // each longer one ranks better: ln(2^-n) / (n + 1)^2 for n twos grows with n.
        let rows = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]];
        let rows = rows.map(|row: [f32; 3]| row.map(|p| p.max(1e-30).ln()).to_vec()).to_vec();
        let answer = |length_penalty: f64| {
            // The beam is so wide that nothing is done before the longest target.
            let search = BeamSearch { beam: 20, length_penalty, ..SEARCH };
            beam_search(&Chain(rows.clone()), &[vec![5]], &search, &Device::flex()).remove(0)
        };
        assert_eq!(answer(0.0), [2]);
        assert_eq!(answer(2.0), [2, 2, 2, 2]);
    }

    #[test]
    fn an_answer_has_at_most_the_tokens_of_the_setting() {
        let rows = vec![vec![0.0, -9.0, 5.0]; 3];
        let search = BeamSearch { most: 3, ..SEARCH };
        let sources = [vec![5]];
        let network = Chain(rows);
        assert_eq!(greedy(&network, &sources, &search, &Device::flex()), [[2, 2, 2]]);
        let two = BeamSearch { beam: 2, ..search };
        assert_eq!(beam_search(&network, &sources, &two, &Device::flex()), [[2, 2, 2]]);
    }
}
