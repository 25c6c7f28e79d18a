//! Parts that the rules with momentum share: the moment, and limits of hyperparameters.
//!
//! Teo, Nguyen. *MomentumSMoE*. NeurIPS 2024. <https://arxiv.org/abs/2410.14574>
//!
//! A layer's output f is interpreted as a gradient, and depth as iteration: x - f is a step of descent.
//! The moment m has one value for each token and channel. It is passed from MoE layer to MoE layer within
//! one pass, is zero at the first, and is never detached, so that gradients of later layers flow through
//! it to earlier ones.

use burn::prelude::*;
use moe::Pass;

/// The moment m, `[B, T, D]`, after the previous layer.
struct Moment(Tensor<3>);

/// The moment m after the previous layer; none at the first layer, where it is zero.
pub(crate) fn before(pass: &Pass) -> Option<Tensor<3>> {
    pass.get::<Moment>().map(|Moment(m)| m.clone())
}

/// Computes m = mu m + f, and stores it for the next layer.
pub(crate) fn carry(pass: &mut Pass, mu: f64, f: Tensor<3>) -> Tensor<3> {
    let m = mixed(before(pass), mu, f);
    pass.put(Moment(m.clone()));
    m
}

/// mu m + f; if there is no m, it is zero.
pub(crate) fn mixed(m: Option<Tensor<3>>, mu: f64, f: Tensor<3>) -> Tensor<3> {
    match m {
        Some(m) => m * mu + f,
        None => f,
    }
}

/// Checks that the share of the previous moment is at least 0 and below 1.
pub(crate) fn share(name: &str, value: f64) -> Result<(), String> {
    match (0.0..1.0).contains(&value) {
        true => Ok(()),
        false => Err(format!("{name} = {value}: must be at least 0 and less than 1")),
    }
}

/// Checks that a factor is finite.
pub(crate) fn finite(name: &str, value: f64) -> Result<(), String> {
    match value.is_finite() {
        true => Ok(()),
        false => Err(format!("{name} = {value}: expected a finite number")),
    }
}

/// Checks that the term that keeps a root from zero is above 0.
pub(crate) fn positive(name: &str, value: f64) -> Result<(), String> {
    match value > 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(format!("{name} = {value}: must be above 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_begins_at_zero_and_goes_on() {
        let f = |value: f32| Tensor::<3>::full([1, 1, 1], value, &Device::flex());
        let mut pass = Pass::eval();
        assert!(before(&pass).is_none());
        assert_eq!(carry(&mut pass, 0.5, f(2.0)).into_scalar::<f32>(), 2.0);
        assert_eq!(carry(&mut pass, 0.5, f(1.0)).into_scalar::<f32>(), 2.0);
        assert_eq!(before(&pass).unwrap().into_scalar::<f32>(), 2.0);
    }

    #[test]
    fn limits() {
        assert!(share("mu", 0.0).is_ok() && share("mu", 1.0).is_err());
        assert!(share("mu", f64::NAN).unwrap_err().contains("mu = NaN"));
        assert!(finite("gamma", -1.0).is_ok() && finite("gamma", f64::INFINITY).is_err());
        assert!(positive("epsilon", 1e-8).is_ok() && positive("epsilon", 0.0).is_err());
    }
}
