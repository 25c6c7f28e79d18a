//! Activation functions and their derivatives.

use burn::tensor::{Tensor, activation};

use crate::math::{normal, sigmoid};

/// The activation function of a feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Gaussian error linear unit, exact: `x P(X <= x)` for a standard normal X.
    Gelu,
    /// The same with the distribution function approximated by
    /// `(1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`.
    GeluTanh,
    /// Rectified linear unit, `max(x, 0)`.
    Relu,
    /// Sigmoid linear unit (Swish), `x sigmoid(x)`.
    Silu,
}

impl Activation {
    /// The composition of Burn's operations.
    pub(crate) fn portable<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Activation::Gelu => gelu(x),
            Activation::GeluTanh => {
                let cubic = x.clone() + x.clone().powi_scalar(3) * f64::from(CUBIC);
                x * activation::sigmoid(cubic * f64::from(TWICE_SQRT_2_OVER_PI))
            }
            Activation::Relu => activation::relu(x),
            Activation::Silu => activation::silu(x),
        }
    }
}

/// The exact GELU as a composition. Burn's own is exact forward, but on graphics cards its backward pass
/// uses the slope of the tanh approximation, which is off by up to 5e-4.
fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let below = ((x.clone() / std::f64::consts::SQRT_2).erf() + 1.0) / 2.0;
    x * below
}

const CUBIC: f32 = 0.044_715;
/// (1 + tanh u) / 2 is sigmoid(2 u).
const TWICE_SQRT_2_OVER_PI: f32 = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::SQRT_2;

/// An activation as a type, so that loops are compiled for each activation.
pub(crate) trait Act {
    /// The value at x.
    fn value(x: f32) -> f32;
    /// The value and the derivative at x.
    fn both(x: f32) -> (f32, f32);
}

pub(crate) enum Gelu {}
pub(crate) enum GeluTanh {}
pub(crate) enum Relu {}
pub(crate) enum Silu {}

impl Act for Gelu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * normal(x).0
    }
    #[inline(always)]
    fn both(x: f32) -> (f32, f32) {
        let (below, density) = normal(x);
        (x * below, x.mul_add(density, below))
    }
}

impl Act for GeluTanh {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        Self::both(x).0
    }
    #[inline(always)]
    fn both(x: f32) -> (f32, f32) {
        let square = x * x;
        let s = sigmoid(TWICE_SQRT_2_OVER_PI * x * square.mul_add(CUBIC, 1.0));
        let slope = TWICE_SQRT_2_OVER_PI * square.mul_add(3.0 * CUBIC, 1.0);
        (x * s, s * (x * (1.0 - s)).mul_add(slope, 1.0))
    }
}

impl Act for Relu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        if x > 0.0 { x } else { 0.0 }
    }
    #[inline(always)]
    fn both(x: f32) -> (f32, f32) {
        if x > 0.0 { (x, 1.0) } else { (0.0, 0.0) }
    }
}

impl Act for Silu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * sigmoid(x)
    }
    #[inline(always)]
    fn both(x: f32) -> (f32, f32) {
        let s = sigmoid(x);
        (x * s, s * x.mul_add(1.0 - s, 1.0))
    }
}

/// Evaluates `$body` with `$act` as the type of the activation `$which`.
macro_rules! for_activation {
    ($which:expr, $act:ident => $body:expr) => {
        match $which {
            $crate::activation::Activation::Gelu => {
                type $act = $crate::activation::Gelu;
                $body
            }
            $crate::activation::Activation::GeluTanh => {
                type $act = $crate::activation::GeluTanh;
                $body
            }
            $crate::activation::Activation::Relu => {
                type $act = $crate::activation::Relu;
                $body
            }
            $crate::activation::Activation::Silu => {
                type $act = $crate::activation::Silu;
                $body
            }
        }
    };
}
pub(crate) use for_activation;

#[cfg(test)]
mod tests {
    use super::*;

    fn derivative_is_the_slope<A: Act>() {
        for x in [-5.0, -1.3, -0.2, 0.3, 0.9, 4.0_f32] {
            let step = 1e-2;
            let slope = (A::value(x + step) - A::value(x - step)) / (2.0 * step);
            let (value, derivative) = A::both(x);
            assert_eq!(value, A::value(x));
            assert!((slope - derivative).abs() < 1e-4, "{x}: {slope} {derivative}");
        }
    }

    #[test]
    fn derivatives_are_slopes() {
        derivative_is_the_slope::<Gelu>();
        derivative_is_the_slope::<GeluTanh>();
        derivative_is_the_slope::<Relu>();
        derivative_is_the_slope::<Silu>();
    }
}
