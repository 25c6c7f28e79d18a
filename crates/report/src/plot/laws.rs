//! Points with a fitted power law and its 95 % band, on two logarithmic axes.

use super::{
    axis::Axis,
    frame::Frame,
    svg::{colour, path},
};
use crate::stats::PowerLaw;

/// Points and their power law, if there is one.
#[derive(Clone, Debug)]
pub struct Law {
    /// Its name in the legend.
    pub name: String,
    /// The colour index.
    pub hue: usize,
    /// x and y, above 0.
    pub points: Vec<(f64, f64)>,
    /// The law; its band is drawn where it has an interval.
    pub law: Option<PowerLaw>,
}

/// The number of points by which a curve is drawn.
const PLACES: usize = 40;

/// Draws the laws in one plot.
pub fn laws(title: &str, x_label: &str, y_label: &str, laws: &[Law]) -> String {
    let names: Vec<_> = laws.iter().map(|law| (law.name.as_str(), law.hue)).collect();
    let x = Axis::fitting(x_label, laws.iter().flat_map(|l| l.points.iter().map(|p| p.0)));
    let reach = laws.iter().flat_map(|law| {
        let band = places(law).into_iter().filter_map(|x| law.law?.t_at(x));
        let band = band.flat_map(|interval| [interval.low, interval.high]);
        law.points.iter().map(|point| point.1).chain(band).collect::<Vec<_>>()
    });
    let y = Axis::fitting(y_label, reach);
    let (frame, mut canvas) = Frame::new(x, y, (520.0, 260.0), &names);
    for law in laws {
        let band: Vec<_> =
            places(law).into_iter().filter_map(|x| Some((x, law.law?.t_at(x)?))).collect();
        let upper = band.iter().map(|(x, interval)| frame.place(*x, interval.high));
        let lower = band.iter().rev().map(|(x, interval)| frame.place(*x, interval.low));
        let outline: Vec<_> = upper.chain(lower).collect();
        if !outline.is_empty() {
            let (fill, d) = (colour(law.hue), path(&outline));
            canvas.add(format_args!(r#"<path fill="{fill}" opacity="0.18" d="{d}Z"/>"#));
        }
    }
    for law in laws {
        let curve = places(law).into_iter().filter_map(|x| Some(frame.place(x, law.law?.at(x))));
        canvas.line(law.hue, &curve.collect::<Vec<_>>(), 1.8);
        for (x, y) in &law.points {
            canvas.disc(law.hue, frame.place(*x, *y), 4.0, 1.0);
        }
    }
    canvas.finish(title, &describe(laws))
}

/// Values of x along the curve, from the first point to the last.
fn places(law: &Law) -> Vec<f64> {
    let x = || law.points.iter().map(|point| point.0);
    let (low, high) = (x().fold(f64::INFINITY, f64::min), x().fold(0.0, f64::max));
    if law.law.is_none() || low >= high {
        return Vec::new();
    }
    (0..=PLACES).map(|i| low * (high / low).powf(i as f64 / PLACES as f64)).collect()
}

fn describe(laws: &[Law]) -> String {
    let words = |law: &Law| match law.law {
        Some(fit) => format!(
            "{}: {:.4} x^{:.4} through {} points",
            law.name,
            fit.factor(),
            fit.exponent(),
            law.points.len()
        ),
        None => format!("{}: {} points, no law", law.name, law.points.len()),
    };
    laws.iter().map(words).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::power_law;

    #[test]
    fn a_band_takes_four_points() {
        let law = |n: i32| {
            let points: Vec<_> = (0..n).map(|i| (10_f64.powi(i), 2.0 + f64::from(i * i))).collect();
            Law { name: format!("{n}"), hue: 0, law: power_law(&points), points }
        };
        let svg = laws("t", "FLOPs", "lr", &[law(4), law(3), law(1)]);
        assert_eq!(svg.matches("opacity=\"0.18\"").count(), 1);
        assert_eq!(svg.matches("<circle").count(), 8);
        assert!(svg.contains("1: 1 points, no law"), "{svg}");
    }
}
