//! Power laws, y = factor x^exponent: straight lines in the logarithms.
//!
//! In this form the laws of the best learning rate and batch over the training FLOPs are fitted in *Every
//! FLOP Counts*, Ling team, 2025, <https://arxiv.org/abs/2503.05139>, section 3.2, and also the FLOPs that
//! are needed to reach a loss.

use super::{
    interval::Interval,
    regression::{Straight, least_squares},
};

/// The fit of y = factor x^exponent with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerLaw {
    line: Straight,
}

/// The law through points, by least squares of the logarithms. None if a number is not above 0, or if there
/// are fewer than two distinct x.
pub fn power_law(points: &[(f64, f64)]) -> Option<PowerLaw> {
    if !points.iter().all(|(x, y)| *x > 0.0 && *y > 0.0 && x.is_finite() && y.is_finite()) {
        return None;
    }
    let logs: Vec<_> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let line = least_squares(&logs)?;
    Some(PowerLaw { line })
}

impl PowerLaw {
    /// y at x = 1.
    pub fn factor(&self) -> f64 {
        self.line.intercept.exp()
    }

    /// The power.
    pub fn exponent(&self) -> f64 {
        self.line.slope
    }

    /// The number of points.
    pub fn n(&self) -> usize {
        self.line.n
    }

    /// The value y of the curve at x.
    pub fn at(&self, x: f64) -> f64 {
        self.line.at(x.ln()).exp()
    }

    /// The 95 % t interval of the exponent; none with fewer than 4 points.
    pub fn exponent_t(&self) -> Option<Interval> {
        let half = self.line.slope_half()?;
        Some(Interval { low: self.line.slope - half, high: self.line.slope + half })
    }

    /// The 95 % t interval of the curve at x; none with fewer than 4 points.
    pub fn t_at(&self, x: f64) -> Option<Interval> {
        let (y, half) = (self.line.at(x.ln()), self.line.half_at(x.ln())?);
        Some(Interval { low: (y - half).exp(), high: (y + half).exp() })
    }
}

/// The efficiency lever, see [`lever`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lever {
    /// The FLOPs that dense networks need for the same loss, as a multiple of those of the sparse ones.
    pub times: f64,
    /// Its 95 % interval; none if a family has fewer than 4 points.
    pub t: Option<Interval>,
}

/// The efficiency lever: the ratio of the FLOPs that dense networks need to those of the sparse networks, for
/// the loss that the dense ones reach with `flops`. Points are FLOPs and losses; both families are fitted as
/// ln FLOPs = a + b / loss. None if a family has fewer than two distinct losses, or none above 0.
///
/// The interval is that of the difference of the two lines at this loss: the half-widths of both t intervals
/// are added in quadrature, which is slightly too wide if both have few points.
pub fn lever(dense: &[(f64, f64)], sparse: &[(f64, f64)], flops: f64) -> Option<Lever> {
    let family = |points: &[(f64, f64)]| {
        let valid = points.iter().all(|(flops, loss)| *flops > 0.0 && *loss > 0.0);
        let turned: Vec<_> = points.iter().map(|(flops, loss)| (1.0 / loss, flops.ln())).collect();
        valid.then(|| least_squares(&turned)).flatten()
    };
    let (dense, sparse) = (family(dense)?, family(sparse)?);
    let inverse_loss = (flops.ln() - dense.intercept) / dense.slope;
    let log_times = flops.ln() - sparse.at(inverse_loss);
    let halves = dense.half_at(inverse_loss).zip(sparse.half_at(inverse_loss));
    let t = halves.map(|(dense, sparse)| {
        let half = dense.hypot(sparse);
        Interval { low: (log_times - half).exp(), high: (log_times + half).exp() }
    });
    Some(Lever { times: log_times.exp(), t })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FLOPs from 1e18 to 6e20, as in the paper.
    fn flops() -> Vec<f64> {
        (0..12).map(|i| 1e18 * 600_f64.powf(f64::from(i) / 11.0)).collect()
    }

    #[test]
    fn the_published_laws_are_recovered() {
        for (factor, exponent) in [(0.2008, 0.3447), (1.5552, -0.1579)] {
            let points: Vec<_> = flops().iter().map(|c| (*c, factor * c.powf(exponent))).collect();
            let law = power_law(&points).unwrap();
            assert!((law.factor() - factor).abs() < 1e-6, "{}", law.factor());
            assert!((law.exponent() - exponent).abs() < 1e-6, "{}", law.exponent());
            let t = law.exponent_t().unwrap();
            assert!(t.low <= exponent + 1e-9 && exponent <= t.high + 1e-9 && t.high - t.low < 1e-6);
            assert!((law.at(1e19) / (factor * 1e19_f64.powf(exponent)) - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn noise_widens_the_interval_which_holds_the_truth() {
        // Residuals that are orthogonal to a line, alternating 10 % up and down.
        let noisy = |(i, c): (usize, &f64)| {
            let sign = [1.0, -1.0, -1.0, 1.0][i % 4];
            (*c, 0.2008 * c.powf(0.3447) * 1.1_f64.powf(sign))
        };
        let points: Vec<_> = flops().iter().enumerate().map(noisy).collect();
        let law = power_law(&points).unwrap();
        let exponent = law.exponent_t().unwrap();
        assert!(exponent.low < 0.3447 && 0.3447 < exponent.high, "{exponent:?}");
        assert!(exponent.high - exponent.low > 0.005, "{exponent:?}");
        let factor = law.t_at(1.0).unwrap();
        assert!(factor.low < 0.2008 && 0.2008 < factor.high && factor.low > 0.0, "{factor:?}");
    }

    #[test]
    fn few_points_have_no_interval_and_bad_ones_no_law() {
        let law = power_law(&[(1.0, 2.0), (2.0, 4.0), (4.0, 8.5)]).unwrap();
        assert_eq!((law.exponent_t(), law.t_at(3.0)), (None, None));
        assert_eq!(law.n(), 3);
        assert!(power_law(&[(1.0, 2.0), (2.0, -4.0)]).is_none());
        assert!(power_law(&[(1.0, 2.0), (1.0, 4.0)]).is_none());
    }

    #[test]
    fn a_lever_by_hand() {
        // ln C = 10 + 20 / L dense, ln C = 9 + 20 / L sparse: e times fewer FLOPs everywhere.
        let family = |a: f64| [2.0, 2.5, 4.0].map(|loss| ((a + 20.0 / loss).exp(), loss));
        let found = lever(&family(10.0), &family(9.0), 1e7).unwrap();
        assert!((found.times - 1_f64.exp()).abs() < 1e-9 && found.t.is_none(), "{found:?}");
        assert_eq!(lever(&family(10.0), &[(1.0, 2.0)], 1e7), None);
    }

    #[test]
    fn the_interval_of_a_lever_by_hand() {
        // The same as above, with residuals of 0.01 that are orthogonal to a line. In the middle of four
        // points the half-width of each line is t(0.975, 2) 0.01 sqrt(2) / sqrt(4), and that of the
        // difference sqrt(2) times as much.
        let family = |a: f64| {
            let points = [(0.2, 0.01), (0.3, -0.01), (0.4, -0.01), (0.5, 0.01)];
            points.map(|(x, off): (f64, f64)| ((a + 20.0 * x + off).exp(), x.recip()))
        };
        let found = lever(&family(10.0), &family(9.0), 17_f64.exp()).unwrap();
        let t = found.t.unwrap();
        assert!((found.times.ln() - 1.0).abs() < 1e-9, "{found:?}");
        assert!((t.high.ln() - 1.043_027).abs() < 1e-5, "{found:?}");
        assert!((t.low.ln() - 0.956_973).abs() < 1e-5, "{found:?}");
    }
}
