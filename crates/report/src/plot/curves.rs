//! Learning curves: the mean over seeds, with its interval as a band.

use super::{
    axis::Axis,
    frame::Frame,
    svg::{colour, path},
};
use crate::{Line, stats::Interval};

/// A plot of lines, for example over the steps. A point with fewer than 3 seeds has no band.
pub fn curves(title: &str, x_label: &str, y_label: &str, lines: &[Line]) -> String {
    let reach = lines.iter().flat_map(|line| {
        let means = line.points.iter().map(|(_, mean)| mean.mean);
        means.chain(band(line).flat_map(|(_, Interval { low, high })| [low, high]))
    });
    let last = lines.iter().flat_map(|line| &line.points).map(|point| point.0).fold(0.0, f64::max);
    let names: Vec<_> = lines.iter().map(|line| (line.name.as_str(), line.hue)).collect();
    let (x, y) = (Axis::exact(x_label, 0.0, last), Axis::linear(y_label, reach));
    let (frame, mut canvas) = Frame::new(x, y, (520.0, 260.0), &names);
    for line in lines {
        let band: Vec<_> = band(line).collect();
        let upper = band.iter().map(|(x, interval)| frame.place(*x, interval.high));
        let lower = band.iter().rev().map(|(x, interval)| frame.place(*x, interval.low));
        let outline: Vec<_> = upper.chain(lower).collect();
        if !outline.is_empty() {
            let (fill, d) = (colour(line.hue), path(&outline));
            canvas.add(format_args!(r#"<path fill="{fill}" opacity="0.18" d="{d}Z"/>"#));
        }
    }
    for line in lines {
        let points: Vec<_> = line.points.iter().map(|(x, m)| frame.place(*x, m.mean)).collect();
        canvas.line(line.hue, &points, 1.8);
    }
    canvas.finish(title, &describe(lines))
}

/// The intervals of a line's means, clipped to its range.
fn band(line: &Line) -> impl Iterator<Item = (f64, Interval)> {
    line.points.iter().filter_map(|(x, mean)| Some((*x, mean.interval(line.range)?)))
}

/// A description: the first and the last value of each line.
fn describe(lines: &[Line]) -> String {
    let ends = lines.iter().filter_map(|line| {
        let ((_, first), (step, last)) = (line.points.first()?, line.points.last()?);
        Some(format!("{}: from {:.3} to {:.3} at {step}", line.name, first.mean, last.mean))
    });
    ends.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::mean;

    #[test]
    fn a_band_takes_three_seeds() {
        let line = |name: &str, values: &[f64]| Line {
            name: name.into(),
            hue: 0,
            points: vec![(0.0, mean(values).unwrap()), (10.0, mean(values).unwrap())],
            range: [0.0, f64::INFINITY],
        };
        let svg =
            curves("t", "step", "loss", &[line("a", &[1.0, 2.0, 3.0]), line("b", &[1.0, 2.0])]);
        assert_eq!(svg.matches("opacity=\"0.18\"").count(), 1);
        assert!(svg.contains("a: from 2.000 to 2.000 at 10; b: from 1.500"), "{svg}");
    }

    #[test]
    fn a_band_does_not_leave_the_range() {
        // Mean 0.95, half width 4.303 * 0.0866 / sqrt(3) = 0.215: the interval ends above 1.
        let points = vec![(0.0, mean(&[1.0, 1.0, 0.85]).unwrap())];
        let line = |range| Line { name: "a".into(), hue: 0, points: points.clone(), range };
        let high = |range| band(&line(range)).next().unwrap().1.high;
        assert!((high([0.0, f64::INFINITY]) - 1.1651).abs() < 1e-3);
        assert_eq!(high([0.0, 1.0]), 1.0);
    }
}
