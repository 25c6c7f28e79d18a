//! Means with their intervals and every seed beside them, as dots: a bar would have to begin at 0 to be
//! honest, and would then show no difference.

use super::{
    axis::Axis,
    frame::Frame,
    svg::{Anchor, text_width},
};
use crate::{metric::range, stats::mean};

/// One row: a name and the value of each seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Dots {
    /// The method.
    pub name: String,
    /// The colour index: the same method has the same one in every plot.
    pub hue: usize,
    /// The value of each seed.
    pub values: Vec<f64>,
}

/// One row for each method, from top to bottom: its seeds, its mean and the 95 % t interval, clipped to the
/// range of the metric that `x_label` names.
pub fn intervals(title: &str, x_label: &str, rows: &[Dots]) -> String {
    let reach = rows.iter().flat_map(|row| {
        let interval = mean(&row.values).and_then(|mean| mean.interval(range(x_label)));
        let ends = interval.into_iter().flat_map(|interval| [interval.low, interval.high]);
        row.values.iter().copied().chain(ends)
    });
    let count = rows.len() as f64;
    let left = 14.0 + rows.iter().map(|row| text_width(&row.name)).fold(40.0, f64::max);
    let (x, y) = (Axis::linear(x_label, reach), Axis::exact("", 0.0, count));
    let (frame, mut canvas) = Frame::with_left(x, y, (520.0, 26.0 * count), &[], left);
    for (at, row) in rows.iter().enumerate() {
        let level = count - at as f64 - 0.5;
        let (_, y) = frame.place(0.0, level);
        canvas.text((left - 8.0, y + 4.0), Anchor::End, &row.name);
        for value in &row.values {
            canvas.disc(row.hue, frame.place(*value, level - 0.22), 2.0, 0.45);
        }
        let Some(mean) = mean(&row.values) else { continue };
        if let Some(interval) = mean.interval(range(x_label)) {
            let ends = [interval.low, interval.high].map(|x| frame.place(x, level));
            canvas.line(row.hue, &ends, 2.0);
        }
        canvas.disc(row.hue, frame.place(mean.mean, level), 4.0, 1.0);
    }
    canvas.finish(title, &describe(rows))
}

fn describe(rows: &[Dots]) -> String {
    let row = |row: &Dots| match mean(&row.values) {
        None => format!("{}: no value", row.name),
        Some(m) => match m.half {
            Some(half) => format!("{}: {:.4} ± {half:.4} ({})", row.name, m.mean, m.n),
            None => format!("{}: {:.4} ({}, no interval)", row.name, m.mean, m.n),
        },
    };
    rows.iter().map(row).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_is_a_dot() {
        let dots =
            |name: &str, values: &[f64]| Dots { name: name.into(), hue: 0, values: values.into() };
        let rows = [dots("a", &[1.0, 2.0, 3.0]), dots("b", &[1.0]), dots("c", &[])];
        let svg = intervals("t", "accuracy", &rows);
        // 3 seeds and their mean, 1 seed and its mean.
        assert_eq!(svg.matches("<circle").count(), 6);
        assert!(svg.contains("b: 1.0000 (1, no interval); c: no value"), "{svg}");
    }
}
