//! Rotary positions with any angles, on halves or on neighbours; stretched by one factor or by YaRN. The rule
//! of Llama 3.1 is in `llama3.rs`.
//!
//! Su et al. *RoFormer*. 2021. <https://arxiv.org/abs/2104.09864>
//! Peng et al. *YaRN: Efficient Context Window Extension of Large Language Models*. ICLR 2024.
//! <https://arxiv.org/abs/2309.00071>
//! Chen et al. *Extending Context Window of Large Language Models via Positional Interpolation*. 2023.
//! <https://arxiv.org/abs/2306.15595>
//!
//! t_i   = theta^(-2i / d)                                                (15)
//! r(x)  = d ln(L / (2 pi x)) / (2 ln theta): the pair that turns x times within L tokens
//! g_i   = 1 - clamp((i - r(beta_fast)) / (r(beta_slow) - r(beta_fast)))  (18), by pairs
//! t'_i  = (1 - g_i) t_i / s + g_i t_i                                    (19)
//! m     = 0.1 ln(s) + 1, a factor on the turned queries and keys         (22)
//! t'_i  = t_i / s, positions that are interpolated                       (4) of Chen et al.
//!
//! Differs from the paper: as in the published code of the models, the ramp is linear in the number of the
//! pair rather than in the number of turns; without `truncate` its ends are no whole numbers.

use burn::prelude::*;
use moe::config;

use super::AttentionParts;

config! {
    /// Rotary positions for texts `factor` times as long as those of training.
    pub struct YarnConfig {
        /// The factor s.
        pub factor: f64 = 1.0,
        /// The length of texts in training, L.
        pub original_length: usize = 4096,
        /// Pairs that turn more often than this within L are unchanged.
        pub beta_fast: f64 = 32.0,
        /// Pairs that turn less often than this are slowed down by the factor.
        pub beta_slow: f64 = 1.0,
        /// Whether the ends of the ramp are rounded to whole numbers.
        pub truncate: bool = true,
        /// The factor m on turned queries and keys; by default (22).
        #[serde(skip_serializing_if = "Option::is_none")]
        pub magnitude: Option<f64> = None,
    }
}

impl YarnConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { factor, original_length, beta_fast, beta_slow, .. } = *self;
        let finite = [factor, beta_fast, beta_slow].iter().all(|x| x.is_finite() && *x > 0.0);
        match finite && factor >= 1.0 && beta_fast >= beta_slow && original_length > 0 {
            true => Ok(()),
            false => Err(format!(
                "attention.yarn: factor = {factor} must be at least 1, beta_fast = {beta_fast} at least \
                 beta_slow = {beta_slow}, and original_length = {original_length} at least 1"
            )),
        }
    }

    /// The angles for width `d` and base `theta` (19).
    fn angles(&self, d: usize, theta: f64) -> Vec<f64> {
        let end = |turns: f64| {
            let length = self.original_length as f64;
            d as f64 * (length / (turns * std::f64::consts::TAU)).ln() / (2.0 * theta.ln())
        };
        let (low, high) = (end(self.beta_fast), end(self.beta_slow));
        let (low, high) = if self.truncate { (low.floor(), high.ceil()) } else { (low, high) };
        let (low, high) = (low.max(0.0), high.min(d as f64 - 1.0));
        let high = if low == high { high + 0.001 } else { high };
        let angle = |(i, t): (usize, f64)| {
            let slow = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
            t / self.factor * slow + t * (1.0 - slow)
        };
        plain(d, theta).into_iter().enumerate().map(angle).collect()
    }

    fn magnitude(&self) -> f64 {
        self.magnitude.unwrap_or(0.1 * self.factor.ln() + 1.0) // (22); the logarithm of 1 is 0
    }
}

/// t_i of all pairs of `d` numbers.
pub(super) fn plain(d: usize, theta: f64) -> Vec<f64> {
    (0..d / 2).map(|i| theta.powf(-2.0 * i as f64 / d as f64)).collect() // (15)
}

/// The rotations of a head.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    angles: Vec<f64>,
    magnitude: f64,
    /// Whether pairs are neighbours (2i, 2i + 1); otherwise (i, i + d / 2).
    neighbours: bool,
}

impl Turns {
    /// The rotations for `d` numbers, stretched according to the parts.
    pub(crate) fn new(d: usize, theta: f64, parts: &AttentionParts, neighbours: bool) -> Self {
        let angles = match parts {
            AttentionParts { yarn: Some(yarn), .. } => yarn.angles(d, theta),
            AttentionParts { llama3: Some(llama3), .. } => llama3.angles(d, theta),
            _ => {
                let s = parts.interpolation.unwrap_or(1.0);
                plain(d, theta).into_iter().map(|t| t / s).collect() // (4)
            }
        };
        let magnitude = parts.yarn.as_ref().map_or(1.0, YarnConfig::magnitude);
        Self { angles, magnitude, neighbours }
    }

    /// Rotates `[B, heads, T, d]` by the positions from `start`.
    pub(crate) fn turn(&self, x: Tensor<4>, start: usize) -> Tensor<4> {
        let [b, h, t, d] = x.dims();
        let n = d / 2;
        let device = x.device().inner();
        let table = |f: fn(f64) -> f64| {
            let of = |i: usize| self.magnitude * f((start + i / n) as f64 * self.angles[i % n]);
            let values: Vec<f32> = (0..t * n).map(|i| of(i) as f32).collect();
            Tensor::<4>::from_data(TensorData::new(values, [1, 1, t, n]), &device)
        };
        let (cos, sin) = (table(f64::cos), table(f64::sin));
        // The two numbers of each pair.
        let (first, second) = match self.neighbours {
            true => {
                let pairs = x.reshape([b, h, t, n, 2]);
                let half = |i| pairs.clone().narrow(4, i, 1).squeeze_dim::<4>(4);
                (half(0), half(1))
            }
            false => (x.clone().narrow(3, 0, n), x.narrow(3, n, n)),
        };
        let one = first.clone() * cos.clone() - second.clone() * sin.clone();
        let two = second * cos + first * sin;
        match self.neighbours {
            true => Tensor::stack::<5>(vec![one, two], 4).reshape([b, h, t, d]),
            false => Tensor::cat(vec![one, two], 3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_and_halves_are_a_permutation_apart() {
        let x = Tensor::<4>::from_floats([[[[1.0, 2.0, 3.0, 4.0]]]], &Device::flex());
        let y = |neighbours| {
            let turns = Turns::new(4, 100.0, &AttentionParts::default(), neighbours);
            let y: Vec<f32> = turns.turn(x.clone(), 3).into_data().iter().collect();
            y
        };
        // Angles 3 and 0.3 for the pairs.
        let turn = |a: f32, b: f32, angle: f32| {
            [a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()]
        };
        let ([a, b], [c, d]) = (turn(1.0, 2.0, 3.0), turn(3.0, 4.0, 0.3));
        let near = |found: Vec<f32>, expected: [f32; 4]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
        };
        near(y(true), [a, b, c, d]);
        let ([a, b], [c, d]) = (turn(1.0, 3.0, 3.0), turn(2.0, 4.0, 0.3));
        near(y(false), [a, c, b, d]);
    }

    #[test]
    fn yarn_slows_the_slow_pairs_and_leaves_the_fast_ones() {
        let yarn = YarnConfig { factor: 4.0, original_length: 4096, ..YarnConfig::default() };
        let (stretched, plain) = (yarn.angles(64, 10_000.0), plain(64, 10_000.0));
        assert_eq!(stretched[..8], plain[..8]);
        assert!((stretched[31] * 4.0 - plain[31]).abs() < 1e-15);
        assert!((yarn.magnitude() - 1.138_629_436).abs() < 1e-9);
        assert!(YarnConfig { factor: 0.5, ..yarn }.check().unwrap_err().contains("factor = 0.5"));
    }

    #[test]
    fn interpolated_positions_are_those_of_a_shorter_text() {
        let x = Tensor::<4>::from_floats([[[[1.0, 2.0, 3.0, 4.0]]]], &Device::flex());
        let parts = |interpolation| AttentionParts { interpolation, ..AttentionParts::default() };
        let turn = |factor, start| {
            Turns::new(4, 100.0, &parts(factor), false).turn(x.clone(), start).into_data()
        };
        assert_eq!(turn(Some(4.0), 12), turn(None, 3));
        assert_ne!(turn(Some(4.0), 12), turn(None, 12));
    }
}
