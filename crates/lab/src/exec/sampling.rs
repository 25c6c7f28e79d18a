//! Sampling of the next token from the scores of a network.
//!
//! p = softmax(s / temperature)                 (1), 0 stands for the largest score alone
//!
//! The `top_k` most probable tokens are kept (Fan, Lewis, Dauphin. *Hierarchical Neural Story Generation*.
//! ACL 2018. <https://arxiv.org/abs/1805.04833>), and of those the smallest set that has a share `top_p` of
//! their probability (Holtzman et al. *The Curious Case of Neural Text Degeneration*. ICLR 2020.
//! <https://arxiv.org/abs/1904.09751>).

use anyhow::ensure;
use clap::Args;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The settings of sampling.
#[derive(Args, Clone)]
pub(crate) struct Sampling {
    /// Temperature of the softmax: below 1 likely tokens are drawn more often; 0 always takes the likeliest
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// Draw from the K likeliest tokens only; from all if left out
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Draw from the smallest set of likeliest tokens whose probabilities sum to this share
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    top_p: f64,
}

impl Sampling {
    /// The first option whose value is not the default, if any.
    pub(crate) fn changed(&self) -> Option<&'static str> {
        let Self { temperature, top_k, top_p } = *self;
        let all = [
            ("--temperature", temperature != 1.0),
            ("--top-k", top_k.is_some()),
            ("--top-p", top_p != 1.0),
        ];
        all.into_iter().find(|(_, changed)| *changed).map(|(option, _)| option)
    }

    /// Checks the ranges of the options.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let Self { temperature, top_k, top_p } = *self;
        let warm = temperature >= 0.0 && temperature.is_finite();
        ensure!(warm, "--temperature {temperature}: must be 0 or larger");
        ensure!(top_k != Some(0), "--top-k 0: must be at least 1");
        ensure!(top_p > 0.0 && top_p <= 1.0, "--top-p {top_p}: must be above 0, and at most 1");
        Ok(())
    }

    /// Draws a token by the scores of all tokens.
    pub(crate) fn draw(&self, scores: &[f32], rng: &mut ChaCha8Rng) -> usize {
        let left = self.left(scores);
        let all: f64 = left.iter().map(|(_, p)| p).sum();
        let mut rest = rng.random::<f64>() * all;
        for (token, p) in &left {
            rest -= p;
            if rest < 0.0 {
                return *token;
            }
        }
        left[left.len() - 1].0
    }

    /// The tokens that may be drawn, most probable first, with their probabilities in (1). Ties keep the
    /// order of the tokens.
    fn left(&self, scores: &[f32]) -> Vec<(usize, f64)> {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        if self.temperature == 0.0 {
            return vec![(order[0], 1.0)];
        }
        order.truncate(self.top_k.unwrap_or(order.len()));
        let most = f64::from(scores[order[0]]);
        let weight = |token: usize| ((f64::from(scores[token]) - most) / self.temperature).exp();
        let all: f64 = order.iter().map(|token| weight(*token)).sum();
        let mut before = 0.0;
        let enough = |(_, p): &(usize, f64)| {
            let goes_on = before < self.top_p;
            before += p;
            goes_on
        };
        order.into_iter().map(|token| (token, weight(token) / all)).take_while(enough).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const PLAIN: Sampling = Sampling { temperature: 1.0, top_k: None, top_p: 1.0 };

    /// Probabilities 0.1, 0.5, 0.15, 0.25.
    fn scores() -> Vec<f32> {
        [0.1_f32, 0.5, 0.15, 0.25].map(|p| p.ln() + 3.0).into()
    }

    fn left(sampling: &Sampling) -> Vec<(usize, f64)> {
        let round = |(token, p): (usize, f64)| (token, (p * 1e4).round() / 1e4);
        sampling.left(&scores()).into_iter().map(round).collect()
    }

    #[test]
    fn who_is_left_and_with_which_probability() {
        assert_eq!(left(&PLAIN), [(1, 0.5), (3, 0.25), (2, 0.15), (0, 0.1)]);
        let two = Sampling { top_k: Some(2), ..PLAIN };
        assert_eq!(left(&two), [(1, 0.6667), (3, 0.3333)]);
        // A half is enough for 0.5 and no more; for 0.6 a second one is needed.
        assert_eq!(left(&Sampling { top_p: 0.45, ..PLAIN }), [(1, 0.5)]);
        assert_eq!(left(&Sampling { top_p: 0.6, ..PLAIN }), [(1, 0.5), (3, 0.25)]);
        // Squares of the probabilities, over their sum 0.345.
        let cold = Sampling { temperature: 0.5, top_k: Some(1), ..PLAIN };
        assert_eq!(left(&cold), [(1, 1.0)]);
        let cold = Sampling { temperature: 0.5, ..PLAIN };
        assert_eq!(left(&cold)[0], (1, 0.7246));
        let frozen = Sampling { temperature: 0.0, ..PLAIN };
        assert_eq!(frozen.left(&[1.0, 2.0, 2.0]), [(1, 1.0)]);
    }

    #[test]
    fn draws_are_as_frequent_as_likely() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut counts = [0.0_f64; 4];
        for _ in 0..4000 {
            counts[PLAIN.draw(&scores(), &mut rng)] += 1.0 / 4000.0;
        }
        // The standard error of 0.5 is 0.008.
        for (count, p) in counts.iter().zip([0.1, 0.5, 0.15, 0.25]) {
            assert!((count - p).abs() < 4.0 * 0.008, "{count}, not {p}");
        }
    }

    #[test]
    fn impossible_wishes_are_named() {
        let wrong = |sampling: Sampling| sampling.check().unwrap_err().to_string();
        assert!(wrong(Sampling { temperature: -1.0, ..PLAIN }).contains("--temperature -1"));
        assert!(wrong(Sampling { top_k: Some(0), ..PLAIN }).contains("--top-k 0"));
        assert!(wrong(Sampling { top_p: 1.5, ..PLAIN }).contains("--top-p 1.5"));
        assert!(PLAIN.check().is_ok());
    }
}
