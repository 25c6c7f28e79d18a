//! Dropout.
//!
//! Srivastava et al. *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*. JMLR 2014.
//! <https://jmlr.org/papers/v15/srivastava14a.html>
//!
//! In training each number is 0 with probability `rate`, and otherwise multiplied by 1 / (1 - rate). The
//! random draws depend on seed and step, and are made only for real tokens ([`RealTokens`]), so that padding
//! changes nothing.

use burn::prelude::*;
use moe::{Pass, RealTokens};
use rand::RngExt;

/// Applies dropout, `[B, T, D] -> [B, T, D]`; unchanged outside of training.
pub fn dropout(pass: &mut Pass, x: Tensor<3>, rate: f64) -> Tensor<3> {
    if rate == 0.0 || !pass.training() {
        return x;
    }
    let ([b, t, d], mut rng) = (x.dims(), pass.common_rng());
    let kept = (1.0 / (1.0 - rate)) as f32;
    let mut factors = vec![0.0; b * t * d];
    for (row, factors) in factors.chunks_exact_mut((t * d).max(1)).enumerate() {
        let real = pass.get::<RealTokens>().map_or(t, |RealTokens(counts)| counts[row]);
        for factor in &mut factors[..real * d] {
            *factor = if rng.random_bool(rate) { 0.0 } else { kept };
        }
    }
    let device = x.device().inner();
    x * Tensor::<3>::from_data(TensorData::new(factors, [b, t, d]), &device)
}

/// Checks that a rate is a probability below 1.
pub fn check_dropout(name: &str, rate: f64) -> Result<(), String> {
    match (0.0..1.0).contains(&rate) && !rate.is_sign_negative() {
        true => Ok(()),
        false => Err(format!("{name} = {rate}: must be from 0 to below 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(pass: &mut Pass, tokens: usize) -> Vec<f32> {
        let x = Tensor::<3>::ones([2, tokens, 500], &Device::flex());
        dropout(pass, x, 0.2).into_data().try_to_vec().unwrap()
    }

    #[test]
    fn some_numbers_are_dropped_and_the_mean_stays() {
        let kept = dropped(&mut Pass::train(0, 0, 0.0), 5);
        assert!(kept.iter().all(|x| [0.0, 1.25].contains(x)));
        let mean = kept.iter().sum::<f32>() / 5000.0;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        assert_eq!(dropped(&mut Pass::train(0, 0, 0.0), 5), kept);
        assert_ne!(dropped(&mut Pass::train(0, 1, 0.0), 5), kept);
        assert_eq!(dropped(&mut Pass::eval(), 5), [1.0; 5000]);
    }

    #[test]
    fn padding_draws_nothing() {
        let with = |tokens: usize| {
            let mut pass = Pass::train(0, 0, 0.0);
            pass.put(RealTokens(vec![2, 3]));
            dropped(&mut pass, tokens)
        };
        let (short, long) = (with(3), with(7));
        assert_eq!(short[..1000], long[..1000]);
        assert_eq!(short[1500..3000], long[3500..5000]);
    }

    #[test]
    fn a_rate_is_a_chance() {
        assert_eq!(check_dropout("dropout", 0.0), Ok(()));
        for rate in [1.0, -0.1, -0.0, f64::NAN] {
            let err = check_dropout("dropout", rate).unwrap_err();
            assert_eq!(err, format!("dropout = {rate}: must be from 0 to below 1"));
        }
    }
}
