//! Learning curves: the mean over seeds, with its interval as a band.

use super::{
    axis::Axis,
    frame::Frame,
    svg::{colour, path},
};
use crate::Line;

/// Lines, over the steps say. A point of fewer than 3 seeds has no band.
pub fn curves(title: &str, x_label: &str, y_label: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let reach = points().flat_map(|(_, mean)| {
        let half = mean.half.unwrap_or(0.0);
        [mean.mean - half, mean.mean + half]
    });
    let last = points().map(|point| point.0).fold(0.0, f64::max);
    let names: Vec<_> = lines.iter().map(|line| (line.name.as_str(), line.hue)).collect();
    let (x, y) = (Axis::exact(x_label, 0.0, last), Axis::linear(y_label, reach));
    let (frame, mut canvas) = Frame::new(x, y, (520.0, 260.0), &names);
    for line in lines {
        let band: Vec<_> =
            line.points.iter().filter_map(|(x, m)| Some((*x, m.mean, m.half?))).collect();
        let upper = band.iter().map(|(x, mean, half)| frame.place(*x, mean + half));
        let lower = band.iter().rev().map(|(x, mean, half)| frame.place(*x, mean - half));
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

/// Where each line begins and ends.
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
        };
        let svg =
            curves("t", "step", "loss", &[line("a", &[1.0, 2.0, 3.0]), line("b", &[1.0, 2.0])]);
        assert_eq!(svg.matches("opacity=\"0.18\"").count(), 1);
        assert!(svg.contains("a: from 2.000 to 2.000 at 10; b: from 1.500"), "{svg}");
    }
}
