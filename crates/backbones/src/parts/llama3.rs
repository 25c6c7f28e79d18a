//! Rotary positions of Llama 3.1, stretched for longer texts.
//!
//! Grattafiori et al. *The Llama 3 Herd of Models*. 2024. <https://arxiv.org/abs/2407.21783>; the rule is that of
//! the published code (`apply_scaling` in `llama_models`), which the paper does not have:
//!
//! w_i  = 2 pi / t_i, the tokens in which pair i turns once                          (1)
//! g_i  = clamp((L / w_i - low) / (high - low))                                      (2)
//! t'_i = (1 - g_i) t_i / s + g_i t_i                                                (3)
//!
//! So pairs that turn more than `high` times within L are unchanged, those that turn less than `low` times
//! are slowed down by the factor, and a ramp connects both ranges.

use std::f64::consts::TAU;

use moe::config;

use super::rotary::plain;

config! {
    /// Rotary positions for texts longer than those of training, by the rule of Llama 3.1.
    pub struct Llama3Config {
        /// The factor s.
        pub factor: f64 = 8.0,
        /// The length of texts in training, L.
        pub original_length: usize = 8192,
        /// Pairs that turn less often than this within L are slowed down by the factor.
        pub low: f64 = 1.0,
        /// Pairs that turn more often than this within L are unchanged.
        pub high: f64 = 4.0,
    }
}

impl Llama3Config {
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { factor, original_length, low, high } = *self;
        let finite = [factor, low, high].iter().all(|x| x.is_finite());
        match finite && factor >= 1.0 && low > 0.0 && high > low && original_length > 0 {
            true => Ok(()),
            false => Err(format!(
                "attention.llama3: factor = {factor} must be at least 1, low = {low} above 0, \
                 high = {high} above low, and original_length = {original_length} at least 1"
            )),
        }
    }

    /// The angles for width `d` and base `theta`.
    pub(super) fn angles(&self, d: usize, theta: f64) -> Vec<f64> {
        let angle = |t: f64| {
            let turns = self.original_length as f64 * t / TAU; // L / w, (1)
            let stays = ((turns - self.low) / (self.high - self.low)).clamp(0.0, 1.0); // (2)
            (1.0 - stays) * t / self.factor + stays * t // (3)
        };
        plain(d, theta).into_iter().map(angle).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with the values of `ROPE_INIT_FUNCTIONS["llama3"]` of transformers 5.24.0.
    #[test]
    fn the_published_angles() {
        let config = Llama3Config { factor: 8.0, ..Llama3Config::default() };
        let angles = config.angles(128, 5e5);
        let plain = plain(128, 5e5);
        assert_eq!(angles[..28], plain[..28]);
        let published = [
            (28, 0.003_211_446),
            (29, 0.002_166_571),
            (31, 0.000_856_751_5),
            (33, 0.000_312_693_6),
            (35, 9.556_212e-5),
            (63, 3.068_926e-7),
        ];
        for (i, expected) in published {
            assert!(
                (angles[i] / expected - 1.0).abs() < 1e-5,
                "{i}: {}, not {expected}",
                angles[i]
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let err = Llama3Config { high: 1.0, ..Llama3Config::default() }.check().unwrap_err();
        assert!(err.contains("high = 1 above low"), "{err}");
        assert!(Llama3Config { factor: f64::NAN, ..Llama3Config::default() }.check().is_err());
    }
}
