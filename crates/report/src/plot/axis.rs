//! An axis: maps numbers to positions, with ticks at round numbers.

use crate::number::short;

/// One axis of a plot.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) label: String,
    low: f64,
    high: f64,
    log: bool,
}

impl Axis {
    /// A linear axis with a margin around the values.
    pub(super) fn linear(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = ends(values);
        let room = if high > low { 0.05 * (high - low) } else { 0.05 * high.abs().max(1e-3) };
        Self { label: label.into(), low: low - room, high: high + room, log: false }
    }

    /// A logarithmic axis if the values are positive and span more than a factor of 4, or else a
    /// linear one.
    pub(super) fn fitting(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.into_iter().collect();
        let (low, high) = ends(values.iter().copied());
        if low <= 0.0 || high <= 4.0 * low {
            return Self::linear(label, values);
        }
        // The quotient of the ends may overflow.
        let room = (0.05 * (high.ln() - low.ln())).exp();
        let (low, high) = ((low / room).max(f64::MIN_POSITIVE), (high * room).min(f64::MAX));
        Self { label: label.into(), low, high, log: true }
    }

    /// An axis from `low` to `high`, without a margin.
    pub(super) fn exact(label: &str, low: f64, high: f64) -> Self {
        Self {
            label: label.into(),
            low,
            high: if high > low { high } else { low + 1.0 },
            log: false,
        }
    }

    /// The position of a number along the axis, from 0 to 1.
    pub(super) fn place(&self, x: f64) -> f64 {
        let (low, high, x) = match self.log {
            true => (self.low.ln(), self.high.ln(), x.ln()),
            false => (self.low, self.high, x),
        };
        (x - low) / (high - low)
    }

    /// About `wanted` round numbers along the axis, with their texts.
    pub(super) fn ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        if self.log { self.log_ticks() } else { self.linear_ticks(wanted) }
    }

    fn linear_ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        let raw = (self.high - self.low) / wanted.max(1) as f64;
        let power = 10.0_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= raw * 0.999);
        let step = step.unwrap_or(10.0 * power);
        let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        let text = |x: f64| if step >= 1000.0 { short(x) } else { format!("{x:.decimals$}") };
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        (first..=last).map(|n| n as f64 * step).map(|x| (x, text(x))).collect()
    }

    fn log_ticks(&self) -> Vec<(f64, String)> {
        let wide = self.high > 100.0 * self.low;
        let marks: &[f64] = if wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let powers = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        powers
            .flat_map(|power| marks.iter().map(move |mark| mark * 10.0_f64.powi(power)))
            .filter(|x| (self.low..=self.high).contains(x))
            .map(|x| (x, short(x)))
            .collect()
    }
}

fn ends(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    // The limit of values, so that spans and margins do not overflow.
    const MOST: f64 = 1e300;
    let least = |x: f64| if x > 0.0 { x.max(1.0 / MOST) } else { x };
    let values = values.into_iter().filter(|x| x.is_finite());
    let mut values = values.map(|x| least(x.clamp(-MOST, MOST)));
    let Some(first) = values.next() else { return (0.0, 1.0) };
    values.fold((first, first), |(low, high), x| (low.min(x), high.max(x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.ticks(5).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round() {
        let axis = Axis::linear("x", [0.0, 1.0]);
        assert_eq!(texts(&axis), ["0.0", "0.5", "1.0"]);
        assert_eq!(
            texts(&Axis::exact("x", 0.93, 0.98)),
            ["0.93", "0.94", "0.95", "0.96", "0.97", "0.98"]
        );
        assert_eq!(
            texts(&Axis::exact("x", 0.0, 10_000.0)),
            ["0", "2 k", "4 k", "6 k", "8 k", "10 k"]
        );
    }

    #[test]
    fn a_wide_span_is_logarithmic() {
        let axis = Axis::fitting("x", [1e4, 1e6]);
        assert!((axis.place(1e5) - 0.5).abs() < 1e-12);
        assert_eq!(texts(&axis), ["10 k", "100 k", "1 M"]);
        assert!((axis.place(1e4) + axis.place(1e6) - 1.0).abs() < 1e-12);
        assert!(!Axis::fitting("x", [0.0, 1e6]).log);
    }

    #[test]
    fn the_widest_spans_have_few_ticks() {
        let ends = [-f64::MAX, -1e-5, 0.0, 5e-324, 1e-5, 1.0, 1e16, f64::MAX];
        for low in ends {
            for high in ends.into_iter().filter(|high| *high >= low) {
                for axis in [Axis::fitting("x", [low, high]), Axis::linear("x", [low, high])] {
                    let (ticks, text) = (axis.ticks(5), format!("{axis:?}"));
                    assert!(ticks.len() < 700, "{text}: {} ticks", ticks.len());
                    assert!(axis.place(low.clamp(-1e300, 1e300)).is_finite(), "{text}");
                }
            }
        }
    }

    #[test]
    fn equal_or_no_values_still_make_an_axis() {
        assert!((Axis::linear("x", [3.0, 3.0]).place(3.0) - 0.5).abs() < 1e-12);
        assert!(Axis::linear("x", []).place(0.5).is_finite());
    }
}
