//! Linear regression by least squares, with intervals.

use super::mean::{average, t_quantile};

/// y = intercept + slope x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Straight {
    /// y at x = 0.
    pub intercept: f64,
    /// The slope of the line.
    pub slope: f64,
    /// The number of points.
    pub n: usize,
    mean_x: f64,
    /// The sum of the squares of x - mean x.
    spread: f64,
    /// The standard deviation of the points around the line, over n - 2.
    deviation: f64,
}

/// The line with the smallest sum of squares; none with fewer than two distinct x.
pub fn least_squares(points: &[(f64, f64)]) -> Option<Straight> {
    let (x, y): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
    let (mean_x, mean_y) = (average(&x)?, average(&y)?);
    let spread: f64 = x.iter().map(|x| (x - mean_x).powi(2)).sum();
    if !(spread > 0.0 && spread.is_finite()) {
        return None;
    }
    let joint: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let slope = joint / spread;
    let intercept = mean_y - slope * mean_x;
    let squares: f64 = points.iter().map(|(x, y)| (y - intercept - slope * x).powi(2)).sum();
    let n = points.len();
    let deviation = (squares / (n.max(3) - 2) as f64).sqrt();
    Some(Straight { intercept, slope, n, mean_x, spread, deviation })
}

impl Straight {
    /// The value y of the line at x.
    pub fn at(&self, x: f64) -> f64 {
        self.intercept + self.slope * x
    }

    /// Half the width of the 95 % t interval of the slope; none with fewer than 4 points: with 3 points it is
    /// 12.7 standard errors, too wide to be useful.
    pub fn slope_half(&self) -> Option<f64> {
        Some(self.t()? * self.deviation / self.spread.sqrt())
    }

    /// The same for the line at x: for the mean y at that point, not for one more observation.
    pub fn half_at(&self, x: f64) -> Option<f64> {
        let share = 1.0 / self.n as f64 + (x - self.mean_x).powi(2) / self.spread;
        Some(self.t()? * self.deviation * share.sqrt())
    }

    fn t(&self) -> Option<f64> {
        (self.n >= 4).then(|| t_quantile(0.975, (self.n - 2) as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::golden;

    #[test]
    fn by_hand() {
        // Means 2 and 3; slope ((-1)(-2) + 0 + 1 * 1) / 2 = 1.5; residuals 0.5, -1, 0.5.
        let line = least_squares(&[(1.0, 1.0), (2.0, 4.0), (3.0, 4.0)]).unwrap();
        assert_eq!((line.slope, line.intercept, line.n), (1.5, 0.0, 3));
        assert!((line.deviation - 1.5_f64.sqrt()).abs() < 1e-12);
        assert_eq!(line.slope_half(), None);
        assert_eq!(least_squares(&[(1.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(least_squares(&[]), None);
    }

    #[test]
    fn scipy_and_statsmodels_agree() {
        for case in golden("line").as_array().unwrap() {
            let points: Vec<(f64, f64)> = serde_json::from_value(case["points"].clone()).unwrap();
            let line = least_squares(&points).unwrap();
            let near = |got: f64, key: &str| {
                let wanted = case[key].as_f64().unwrap();
                assert!(
                    (got - wanted).abs() < 1e-9 * wanted.abs().max(1.0),
                    "{key} {got} {wanted}"
                );
            };
            near(line.slope, "slope");
            near(line.intercept, "intercept");
            near(line.slope_half().unwrap(), "slope_half");
            near(line.half_at(0.0).unwrap(), "intercept_half");
            let x = case["x"].as_f64().unwrap();
            near(line.at(x) - line.half_at(x).unwrap(), "low");
            near(line.at(x) + line.half_at(x).unwrap(), "high");
        }
    }

    #[test]
    fn few_points_have_no_interval() {
        let points = [(0.0, 0.0), (1.0, 1.0), (2.0, 2.5)];
        assert_eq!(least_squares(&points).unwrap().half_at(1.0), None);
        assert_eq!(least_squares(&points).unwrap().slope_half(), None);
    }
}
