//! Padding: tokens after the last real one of a sequence, which bring all sequences of a batch to one
//! length.
//!
//! Padding is not routed. A layer processes the sequences of each length separately and without their
//! padding, like the micro-batches of a step. So padding takes no slot and contributes to no loss,
//! metric, router state or report, whatever the router and the level. The output at padding is 0.
//!
//! Losses and metrics of the parts are averaged, weighted by their numbers of tokens. Units compete over a
//! whole batch (sequences at `level = "sequence"`, `capacity.group`) only within a part.

use burn::{prelude::*, tensor::Int};

use crate::{
    layer::RoutingProbe,
    routing::{BlockInput, Clusters, ExampleIndices, Pass, TokenIds},
};

/// The number of real tokens of each sequence of the batch, counted from the first one; the tokens after
/// them are padding. If the pass does not have it, all tokens are real.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealTokens(pub Vec<usize>);

/// The sequences of one length.
struct Part {
    rows: Vec<usize>,
    length: usize,
}

impl Part {
    fn tokens(&self) -> usize {
        self.rows.len() * self.length
    }

    fn indices(&self, device: &Device) -> Tensor<1, Int> {
        ints(&self.rows, device)
    }

    /// The real tokens of the part, `[B, T, D] -> [rows, length, D]`.
    fn of(&self, x: Tensor<3>) -> Tensor<3> {
        let rows = self.indices(&x.device().inner());
        x.select(0, rows).narrow(1, 0, self.length)
    }

    /// The examples of the part.
    fn of_examples(&self, ExampleIndices { split, rows }: &ExampleIndices) -> ExampleIndices {
        ExampleIndices {
            split,
            rows: self.rows.iter().filter_map(|row| rows.get(*row).copied()).collect(),
        }
    }

    /// The real tokens of the part in indices `[B, T]`, or its rows of indices `[B, 1]`, one for each
    /// sequence.
    fn of_ints(&self, x: Tensor<2, Int>) -> Tensor<2, Int> {
        let tokens = self.length.min(x.dims()[1]);
        let rows = self.indices(&x.device());
        x.select(0, rows).narrow(1, 0, tokens)
    }
}

/// The parts of a batch `[B, T]` with padding, the longest first; sequences without tokens are in no part.
/// None if all tokens are real.
///
/// # Panics
/// If the pass has the token counts of another number of sequences, or a count above T.
fn parts(pass: &Pass, [b, t]: [usize; 2]) -> Option<Vec<Part>> {
    let RealTokens(counts) = pass.get()?;
    assert!(
        counts.len() == b && counts.iter().all(|count| *count <= t),
        "the counts of real tokens {counts:?} do not fit a batch of {b} sequences of {t} tokens"
    );
    if counts.iter().all(|count| *count == t) {
        return None;
    }
    let mut lengths: Vec<usize> = counts.iter().copied().filter(|count| *count > 0).collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    lengths.dedup();
    let part = |length| {
        let rows = (0..b).filter(|row| counts[*row] == length).collect();
        Part { rows, length }
    };
    Some(lengths.into_iter().map(part).collect())
}

/// The number of different lengths of the sequences of a batch `[B, T]`, each of which is processed
/// separately; none if the pass has no counts of real tokens.
pub(super) fn lengths(pass: &Pass, shape: [usize; 2]) -> Option<usize> {
    pass.get::<RealTokens>()?;
    Some(parts(pass, shape).map_or(1, |parts| parts.len()))
}

/// Applies `forward` to the real tokens of `x`, `[B, T, D] -> [B, T, D]`.
pub(crate) fn on_real_tokens(
    pass: &mut Pass,
    x: Tensor<3>,
    forward: impl Fn(&mut Pass, Tensor<3>) -> Tensor<3>,
) -> Tensor<3> {
    let [b, t, d] = x.dims();
    let Some(parts) = parts(pass, [b, t]) else { return forward(pass, x) };
    assert!(
        parts.len() < 2 || pass.get::<RoutingProbe>().is_none(),
        "a routing probe requires sequences of equal length"
    );
    let mut rest = Vec::new();
    let counts = pass.take::<RealTokens>();
    let outputs = pass.in_parts(&parts, Part::tokens, |pass, part| {
        let shared = narrow_shared(pass, part);
        let y = forward(pass, part.of(x.clone()));
        restore_shared(pass, shared);
        let padding = Tensor::zeros([part.rows.len(), t - part.length, d], &x.device());
        rest.extend(&part.rows);
        Tensor::cat(vec![y, padding], 1)
    });
    pass.put_back(counts);
    let empty: Vec<usize> = (0..b).filter(|row| !rest.contains(row)).collect();
    let zeros = Tensor::zeros([empty.len(), t, d], &x.device());
    let outputs = outputs.into_iter().chain((!empty.is_empty()).then_some(zeros)).collect();
    rest.extend(empty);
    let mut place = vec![0; b];
    rest.iter().enumerate().for_each(|(at, row)| place[*row] = at);
    Tensor::cat(outputs, 0).select(0, ints(&place, &x.device().inner()))
}

/// The values in the pass that have one entry for each token or sequence of the whole batch.
struct SharedFacts(Option<TokenIds>, Option<Clusters>, Option<BlockInput>, Option<ExampleIndices>);

/// Replaces the values in the pass by those of a part; returns those of the whole batch.
fn narrow_shared(pass: &mut Pass, part: &Part) -> SharedFacts {
    let shared = SharedFacts(pass.take(), pass.take(), pass.take(), pass.take());
    let SharedFacts(ids, clusters, input, examples) = &shared;
    if let Some(TokenIds(ids)) = ids {
        pass.put(TokenIds(part.of_ints(ids.clone())));
    }
    if let Some(Clusters(clusters)) = clusters {
        pass.put(Clusters(part.of_ints(clusters.clone())));
    }
    if let Some(BlockInput(input)) = input {
        pass.put(BlockInput(part.of(input.clone())));
    }
    if let Some(examples) = examples {
        pass.put(part.of_examples(examples));
    }
    shared
}

fn restore_shared(pass: &mut Pass, SharedFacts(ids, clusters, input, examples): SharedFacts) {
    pass.put_back(ids);
    pass.put_back(clusters);
    pass.put_back(input);
    pass.put_back(examples);
}

fn ints(values: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.iter().map(|value| *value as i32).collect();
    Tensor::from_data(TensorData::from(values.as_slice()), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::LayerReport;

    /// The recorded arguments of a layer's `forward`: shape, ids, examples, whether the step ends.
    type Seen = Vec<([usize; 3], Vec<i32>, Vec<usize>, bool)>;

    fn values(x: Tensor<3>) -> Vec<f32> {
        x.into_data().iter::<f32>().collect()
    }

    /// A batch of four sequences of three tokens, of which 3, 1, 0 and 1 are real, through two layers.
    fn through_two_layers() -> (Vec<f32>, Seen, Pass) {
        let device = Device::flex();
        let x = Tensor::<1, Int>::arange(1..13, &device).float().reshape([4, 3, 1]);
        let ids = Tensor::<1, Int>::arange(0..12, &device).reshape([4, 3]);
        let mut pass = Pass::train(0, 0, 0.0).with_reports();
        pass.put(RealTokens(vec![3, 1, 0, 1]));
        pass.put(TokenIds(ids));
        pass.put(ExampleIndices { split: "train", rows: vec![20, 21, 22, 23] });
        let seen = std::cell::RefCell::new(Vec::new());
        let layer = |pass: &mut Pass, x: Tensor<3>| {
            let TokenIds(ids) = pass.get().unwrap();
            let ids = ids.to_data().iter::<i32>().collect();
            let rows = pass.get::<ExampleIndices>().unwrap().rows.clone();
            seen.borrow_mut().push((x.dims(), ids, rows, pass.ends_step()));
            pass.loss("mean", x.clone().mean());
            let before = pass.take::<f32>().unwrap_or(0.0);
            pass.put(before + x.dims()[0] as f32);
            pass.metric("left by the layer before", Tensor::from_floats([before], &x.device()));
            let layer = pass.next_layer();
            let units = x.dims()[0] * x.dims()[1];
            pass.report(|| LayerReport { layer, units, ..LayerReport::default() });
            x * 10.0
        };
        let y = on_real_tokens(&mut pass, x, layer);
        let y = on_real_tokens(&mut pass, y, layer);
        (values(y), seen.into_inner(), pass)
    }

    #[test]
    fn sequences_of_one_length_are_seen_together_and_padding_is_not() {
        let (y, seen, pass) = through_two_layers();
        // Sequence 0 has three tokens; 1 and 3 have one, with the values 4 and 10.
        let long = ([1, 3, 1], vec![0, 1, 2], vec![20], false);
        let short = ([2, 1, 1], vec![3, 9], vec![21, 23], true);
        assert_eq!(seen, [long.clone(), short.clone(), long, short]);
        let zero = 0.0;
        assert_eq!(
            y,
            [100.0, 200.0, 300.0, 400.0, zero, zero, zero, zero, zero, 1000.0, zero, zero]
        );
        assert!(pass.ends_step());
        assert_eq!(pass.get::<RealTokens>(), Some(&RealTokens(vec![3, 1, 0, 1])));
        assert_eq!(pass.get::<TokenIds>().unwrap().0.dims(), [4, 3]);
    }

    #[test]
    fn losses_metrics_and_reports_are_of_the_real_tokens() {
        let (.., pass) = through_two_layers();
        // (1 + 2 + 3 + 4 + 10) / 5 in the first layer, ten times as much in the second.
        let [(_, loss)] = &pass.losses()[..] else { panic!("{:?}", pass.losses()) };
        assert!((loss - 22.0).abs() < 1e-5, "{loss}");
        // 0 in the first layer; in the second 1 for three tokens and 2 for two.
        let [(_, left)] = &pass.metrics()[..] else { panic!("{:?}", pass.metrics()) };
        assert!((left - 0.7).abs() < 1e-6, "{left}");
        let reports: Vec<_> = pass.reports().iter().map(|r| (r.layer, r.units)).collect();
        assert_eq!(reports, [(0, 5), (1, 5)]);
    }

    #[test]
    fn without_padding_nothing_is_cut() {
        let x = Tensor::<3>::ones([2, 3, 1], &Device::flex());
        let mut pass = Pass::eval();
        pass.put(RealTokens(vec![3, 3]));
        let y = on_real_tokens(&mut pass, x, |_, x| {
            assert_eq!(x.dims(), [2, 3, 1]);
            x * 2.0
        });
        assert_eq!(values(y), [2.0; 6]);
        pass.put(RealTokens(vec![0, 0]));
        let y = on_real_tokens(&mut pass, Tensor::ones([2, 3, 1], &Device::flex()), |_, _| {
            unreachable!("there is no real token")
        });
        assert_eq!(values(y), [0.0; 6]);
    }

    #[test]
    #[should_panic(expected = "real tokens [3] do not fit a batch of 2 sequences of 3")]
    fn counts_of_another_batch_are_named() {
        let mut pass = Pass::eval();
        pass.put(RealTokens(vec![3]));
        on_real_tokens(&mut pass, Tensor::ones([2, 3, 1], &Device::flex()), |_, x| x);
    }
}
