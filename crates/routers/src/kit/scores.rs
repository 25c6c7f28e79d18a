//! The processing of a router's scores before its choice: the noise of a warm-up, the copy for other parts
//! of the program, and skipped ranks.

use burn::prelude::*;
use moe::{Pass, RouterLogits, SkipTopExperts, one_hot, top_k, top_k_indices};

use crate::kit::noise;

/// Scores that fade in from noise: stored in the pass by the router `warm-up` for its inner router.
pub(crate) struct FadeIn {
    /// The share of the scores in the sum, 0 to 1.
    pub(crate) share: f64,
    /// `[2]`: the mean of scores, and of their squares.
    pub(crate) moments: Tensor<1>,
    /// `[3]`: the sums of scores and of their squares, and their number; none until a router has called
    /// [`settle`].
    pub(crate) seen: Option<Tensor<1>>,
}

/// The scores by which a router chooses, `[G, U, E]`, from the scores that it has computed. Every router
/// with scores calls this function once per pass.
///
/// In a warm-up, noise replaces a part of the scores. The result is kept in the pass as [`RouterLogits`]
/// until the layer has its plan: `bench route` writes it.
pub fn settle(pass: &mut Pass, scores: Tensor<3>) -> Tensor<3> {
    let scores = match pass.take::<FadeIn>() {
        Some(mut fade) => {
            let draws = noise::normal(pass, scores.dims(), &scores.device().inner());
            fade.seen = Some(sums(scores.clone().detach().inner()));
            let faded = fade_in(scores, draws, fade.moments.clone(), fade.share);
            pass.put(fade);
            faded
        }
        None => scores,
    };
    pass.put(RouterLogits(scores.clone()));
    scores
}

/// The k best experts of each unit by `scores`, `[G, U, E]`, and their scores, both `[G, U, K]`. If the
/// pass has [`SkipTopExperts`] and there are enough experts, the best ones are skipped.
pub fn choose(pass: &mut Pass, scores: Tensor<3>, k: usize) -> (Tensor<3, Int>, Tensor<3>) {
    let experts = best(pass, scores.clone(), k);
    (experts.clone(), scores.gather(2, experts))
}

/// The experts of [`choose`] alone.
pub fn best(pass: &mut Pass, scores: Tensor<3>, k: usize) -> Tensor<3, Int> {
    let room = scores.dims()[2] - k;
    match over(pass, room) {
        0 => top_k_indices(scores, k),
        over => top_k_indices(scores, k + over).narrow(2, over, k),
    }
}

/// Weights `[G, U, E]`, of which any number may be above 0, with the largest set to 0 if the pass has
/// [`SkipTopExperts`]: no further expert replaces them.
pub(crate) fn without_best(pass: &mut Pass, weights: Tensor<3>) -> Tensor<3> {
    let e = weights.dims()[2];
    match over(pass, e) {
        0 => weights,
        over => {
            let (best, _) = top_k(weights.clone(), over);
            let best = one_hot(best, e).sum_dim(2).squeeze_dim::<3>(2).greater_scalar(0.0);
            weights.mask_fill(best, 0.0)
        }
    }
}

/// Whether the best experts are skipped in this pass.
pub(crate) fn skips(pass: &Pass) -> bool {
    pass.get::<SkipTopExperts>().is_some_and(|asked| asked.ranks > 0)
}

/// The number of top experts to skip; 0 if too few experts would be left.
fn over(pass: &mut Pass, room: usize) -> usize {
    let Some(mut asked) = pass.take::<SkipTopExperts>() else { return 0 };
    let over = if asked.ranks <= room { asked.ranks } else { 0 };
    asked.obeyed |= over > 0;
    pass.put(asked);
    over
}

/// `[3]`: the sums of scores and of their squares, and their number.
fn sums(scores: Tensor<3>) -> Tensor<1> {
    let count = scores.dims().iter().product::<usize>() as f32;
    let count = Tensor::<1>::full([1], count, &scores.device());
    Tensor::cat(vec![scores.clone().sum(), scores.square().sum(), count], 0)
}

/// a s + (1 - a) (mu + sigma N), with a = `share`; scores and draws are `[G, U, E]`, the moments `[2]`.
pub(crate) fn fade_in(
    scores: Tensor<3>,
    draws: Tensor<3>,
    moments: Tensor<1>,
    share: f64,
) -> Tensor<3> {
    let mean = moments.clone().narrow(0, 0, 1);
    let deviation = (moments.narrow(0, 1, 1) - mean.clone().square()).clamp_min(0.0).sqrt();
    let noise = draws * deviation.unsqueeze::<3>() + mean.unsqueeze::<3>();
    scores * share + noise * (1.0 - share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, fill, values};

    #[test]
    fn the_formula_in_double_precision_gives_the_same() {
        // The mean and deviation of the scores themselves.
        let (mean, deviation) = (0.248113_f32, 0.419736_f32);
        let moments = [mean, deviation * deviation + mean * mean];
        let moments = Tensor::<1>::from_floats(moments, &Device::flex());
        let s = fill(302, [1, 2, 4], 2.0);
        let s = fade_in(s, fill(303, [1, 2, 4], 2.0), moments, 0.25);
        close(&values(s)[..4], &[0.459788, 0.602440, 0.159046, 0.360380]);
    }

    #[test]
    fn without_a_warm_up_scores_stay_and_can_be_found() {
        let mut pass = Pass::train(0, 0, 0.0);
        let s = Tensor::<3>::from_floats([[[1.0, 2.0]]], &Device::flex());
        close(&values(settle(&mut pass, s)), &[1.0, 2.0]);
        let RouterLogits(found) = pass.take().unwrap();
        close(&values(found), &[1.0, 2.0]);
    }

    #[test]
    fn ranks_are_passed_over_where_that_is_asked() {
        let s = Tensor::<3>::from_floats([[[1.0, 4.0, 2.0, 3.0]]], &Device::flex());
        let chosen = |ranks| {
            let mut pass = Pass::eval();
            pass.put(SkipTopExperts { ranks, obeyed: false });
            let (experts, values) = choose(&mut pass, s.clone(), 2);
            (crate::testing::ints(experts), values.into_data().iter().collect(), pass.take())
        };
        for (ranks, expected) in [(0, [1, 3]), (1, [3, 2]), (2, [2, 0]), (3, [1, 3])] {
            let (experts, values, asked): (_, Vec<f32>, Option<SkipTopExperts>) = chosen(ranks);
            assert_eq!(experts, expected, "{ranks}");
            assert_eq!(values, expected.map(|e| [1.0, 4.0, 2.0, 3.0][e as usize]));
            assert_eq!(asked.unwrap().obeyed, [1, 2].contains(&ranks));
        }
        assert_eq!(crate::testing::ints(choose(&mut Pass::eval(), s.clone(), 1).0), [1]);
        let mut pass = Pass::eval();
        pass.put(SkipTopExperts { ranks: 2, obeyed: false });
        close(&values(without_best(&mut pass, s)), &[1.0, 0.0, 2.0, 0.0]);
    }

    #[test]
    fn a_warm_up_learns_the_sums_of_the_clean_scores() {
        let (device, mut pass) = (Device::flex(), Pass::train(0, 0, 0.0));
        let moments = Tensor::from_floats([5.0, 25.0], &device);
        pass.put(FadeIn { share: 0.25, moments, seen: None });
        // The deviation is 0, so the noise is the mean alone.
        let s = settle(&mut pass, Tensor::from_floats([[[1.0, 3.0]]], &device));
        close(&values(s), &[4.0, 4.5]);
        let seen = pass.take::<FadeIn>().unwrap().seen.unwrap();
        close(&values(seen), &[4.0, 10.0, 2.0]);
    }
}
