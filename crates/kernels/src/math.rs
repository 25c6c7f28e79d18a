//! Elementary functions without branches, so that loops over them become vector code.

/// `e^x` for `x <= 0`, relative error below 2e-7; 0 below -87, where `f32` has no normal numbers.
#[inline(always)]
pub(crate) fn exp_negative(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, so that x - n ln 2 is exact to the last bit of x.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // Not `max`, which would discard a NaN.
    let clamped = if x < -87.0 { -87.0 } else { x };
    let shifted = clamped.mul_add(LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = (-n).mul_add(LN_2_LOW, (-n).mul_add(LN_2_HIGH, clamped));
    // Taylor's series to the seventh power; |r| <= ln 2 / 2.
    let mut p = 1.0 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = r.mul_add(p, c);
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    if x < -87.0 { 0.0 } else { p * power }
}

/// The standard normal distribution: its cumulative distribution function and its density at x.
///
/// `erfc(z) = e^(-z^2) t Q(t)` with `t = 1 / (1 + 0.35 z)`: the form of Abramowitz and Stegun 7.1.26,
/// with a polynomial of degree 8 fitted to a relative error of 7e-8 on 0 <= z <= 10.
#[inline(always)]
pub(crate) fn normal(x: f32) -> (f32, f32) {
    const Q: [f32; 9] = [
        0.046_314_79,
        -0.293_174_5,
        0.594_438,
        -0.421_416_35,
        0.414_212_02,
        0.060_042_92,
        0.207_126_3,
        0.194_856_85,
        0.197_599_84,
    ];
    const INVERSE_SQRT_TAU: f32 = 0.398_942_3;
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / z.mul_add(0.35, 1.0);
    let mut q = Q[0];
    for c in &Q[1..] {
        q = t.mul_add(q, *c);
    }
    let gauss = exp_negative(-0.5 * x * x);
    let upper = 0.5 * gauss * t * q;
    let below = if x < 0.0 { upper } else { 1.0 - upper };
    (below, INVERSE_SQRT_TAU * gauss)
}

/// The logistic function.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let e = exp_negative(-x.abs());
    let small = e / (1.0 + e);
    if x < 0.0 { small } else { 1.0 - small }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The normal distribution by the series of erf, or by the continued fraction of erfc, which is
    /// accurate where the series loses digits: an independent reference in `f64`.
    pub(crate) fn cdf(x: f64) -> f64 {
        let z = x.abs() / 2_f64.sqrt();
        let upper = if z < 3.0 {
            let (mut term, mut sum) = (z, z);
            for n in 1..200 {
                term *= -z * z / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            0.5 - sum / std::f64::consts::PI.sqrt()
        } else {
            let fraction = (1..200).rev().fold(z, |f, n| z + f64::from(n) / 2.0 / f);
            0.5 * (-z * z).exp() / fraction / std::f64::consts::PI.sqrt()
        };
        if x < 0.0 { upper } else { 1.0 - upper }
    }

    fn grid() -> impl Iterator<Item = f32> {
        (-100_000..=100_000).map(|i| i as f32 * 1e-4)
    }

    #[test]
    fn the_exponential_is_right_to_a_few_ulp() {
        for x in (0..=87_000).map(|i| i as f32 / -1e3) {
            let exact = f64::from(x).exp();
            let error = (f64::from(exp_negative(x)) - exact).abs() / exact;
            assert!(error < 2e-7, "{x}: {error}");
        }
        assert_eq!((exp_negative(0.0), exp_negative(-1e9)), (1.0, 0.0));
        assert!(exp_negative(f32::NAN).is_nan());
    }

    #[test]
    fn the_normal_distribution_is_right_to_two_ten_millionths() {
        for x in grid() {
            let (below, density) = normal(x);
            let exact = cdf(f64::from(x));
            assert!((f64::from(below) - exact).abs() < 2e-7, "{x}: {below} {exact}");
            let exact = (-0.5 * f64::from(x).powi(2)).exp() / std::f64::consts::TAU.sqrt();
            assert!((f64::from(density) - exact).abs() < 2e-7, "{x}: {density} {exact}");
        }
    }

    #[test]
    fn the_lower_tail_is_right_relatively() {
        for x in grid().filter(|x| (-8.0..0.0).contains(x)) {
            let (exact, found) = (cdf(f64::from(x)), f64::from(normal(x).0));
            // The rounding of x^2 / 2 = 32 alone gives 2e-6.
            assert!((found - exact).abs() < 4e-6 * exact, "{x}: {found} {exact}");
        }
    }

    #[test]
    fn the_logistic_function_is_right() {
        for x in grid() {
            let exact = 1.0 / (1.0 + (-f64::from(x)).exp());
            assert!((f64::from(sigmoid(x)) - exact).abs() < 2e-7, "{x}");
        }
    }
}
