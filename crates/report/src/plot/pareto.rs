//! Quality against cost, with the Pareto front.

use super::{
    axis::Axis,
    frame::Frame,
    svg::{Anchor, path},
};
use crate::{
    Better,
    metric::range,
    stats::{Interval, Mean},
};

/// A method with its cost and its quality.
#[derive(Clone, Debug, PartialEq)]
pub struct CostPoint {
    /// The method.
    pub name: String,
    /// The colour index: the same method has the same one in every plot.
    pub hue: usize,
    /// The cost: less is better.
    pub cost: f64,
    /// The quality.
    pub quality: Mean,
}

/// The positions of the points that no other beats in cost and quality, by rising cost.
pub fn front(points: &[CostPoint], better: Better) -> Vec<usize> {
    let quality = |at: usize| better.oriented(points[at].quality.mean);
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|a, b| {
        points[*a].cost.total_cmp(&points[*b].cost).then(quality(*b).total_cmp(&quality(*a)))
    });
    let mut best = f64::NEG_INFINITY;
    order.retain(|at| {
        let above = quality(*at) > best;
        best = best.max(quality(*at));
        above
    });
    order
}

/// Quality against cost: means with their 95 % t intervals within the range of the metric that `y_label` names, and the front as steps.
pub fn pareto(
    title: &str,
    x_label: &str,
    y_label: &str,
    points: &[CostPoint],
    better: Better,
) -> String {
    let interval = |quality: &Mean| {
        let point = Interval { low: quality.mean, high: quality.mean };
        quality.interval(range(y_label)).unwrap_or(point)
    };
    let reach = points.iter().flat_map(|point| {
        let Interval { low, high } = interval(&point.quality);
        [low, high]
    });
    let names: Vec<_> = points.iter().map(|point| (point.name.as_str(), point.hue)).collect();
    let x = Axis::fitting(x_label, points.iter().map(|point| point.cost));
    let (frame, mut canvas) = Frame::new(x, Axis::linear(y_label, reach), (520.0, 260.0), &names);
    let front = front(points, better);
    let steps: Vec<_> = steps(points, &front).iter().map(|(x, y)| frame.place(*x, *y)).collect();
    let d = path(&steps);
    canvas.add(format_args!(
        r##"<path class="axis" fill="none" stroke="#666" stroke-dasharray="3 3" d="{d}"/>"##
    ));
    for (at, CostPoint { name, hue, cost, quality }) in points.iter().enumerate() {
        let Interval { low, high } = interval(quality);
        if low < high {
            canvas.line(*hue, &[low, high].map(|y| frame.place(*cost, y)), 1.5);
        }
        let place = frame.place(*cost, quality.mean);
        canvas.disc(*hue, place, 4.5, 1.0);
        if front.contains(&at) {
            // To the inside of the frame.
            let (step, anchor) =
                if place.0 < 400.0 { (8.0, Anchor::Start) } else { (-8.0, Anchor::End) };
            canvas.text((place.0 + step, place.1 - 6.0), anchor, name);
        }
    }
    canvas.finish(title, &describe(points, &front))
}

/// The corners of the front.
fn steps(points: &[CostPoint], front: &[usize]) -> Vec<(f64, f64)> {
    let mut corners: Vec<(f64, f64)> = Vec::new();
    for at in front {
        let (x, y) = (points[*at].cost, points[*at].quality.mean);
        corners.extend(corners.last().map(|(_, before)| (x, *before)));
        corners.push((x, y));
    }
    corners
}

fn describe(points: &[CostPoint], front: &[usize]) -> String {
    let names: Vec<&str> = front.iter().map(|at| points[*at].name.as_str()).collect();
    format!("On the Pareto front of {} methods: {}", points.len(), names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::mean;

    fn point(name: &str, cost: f64, quality: f64) -> CostPoint {
        CostPoint { name: name.into(), hue: 0, cost, quality: mean(&[quality]).unwrap() }
    }

    #[test]
    fn nobody_beats_the_front_in_both() {
        let points = [
            point("dear", 3.0, 0.9),
            point("cheap", 1.0, 0.5),
            point("beaten", 3.0, 0.8),
            point("waste", 4.0, 0.9),
            point("middle", 2.0, 0.7),
        ];
        assert_eq!(front(&points, Better::Higher), [1, 4, 0]);
        assert_eq!(front(&points, Better::Lower), [1]);
        let svg = pareto("t", "FLOPs", "accuracy", &points, Better::Higher);
        assert!(svg.contains("front of 5 methods: cheap, middle, dear\""), "{svg}");
    }
}
