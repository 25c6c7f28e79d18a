//! Quality against cost, with the Pareto front.

use super::{
    axis::Axis,
    frame::{Frame, LEFT},
    svg::{Anchor, path, text_width},
};
use crate::{
    Better,
    metric::range,
    stats::{Interval, Mean},
};

/// The inner size of the plot.
const SIZE: (f64, f64) = (520.0, 260.0);

/// A method with its cost and its quality.
#[derive(Clone, Debug, PartialEq)]
pub struct CostPoint {
    /// The method.
    pub name: String,
    /// The colour index: the same method has the same one in every plot.
    pub hue: usize,
    /// The cost; less is better.
    pub cost: f64,
    /// The quality.
    pub quality: Mean,
}

/// The indices of the points that no other point beats in both cost and quality, by increasing cost.
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

/// Draws quality against cost: means with their 95 % t intervals, clipped to the range of the metric that
/// `y_label` names, and the front as steps.
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
    let (frame, mut canvas) = Frame::new(x, Axis::linear(y_label, reach), SIZE, &names);
    let front = front(points, better);
    let steps: Vec<_> = steps(points, &front).iter().map(|(x, y)| frame.place(*x, *y)).collect();
    let d = path(&steps);
    canvas.add(format_args!(
        r##"<path class="axis" fill="none" stroke="#666" stroke-dasharray="3 3" d="{d}"/>"##
    ));
    for CostPoint { hue, cost, quality, .. } in points {
        let Interval { low, high } = interval(quality);
        if low < high {
            canvas.line(*hue, &[low, high].map(|y| frame.place(*cost, y)), 1.5);
        }
        canvas.disc(*hue, frame.place(*cost, quality.mean), 4.5, 1.0);
    }
    let mut labels = Vec::new();
    for CostPoint { name, cost, quality, .. } in front.iter().map(|at| &points[*at]) {
        // Names without room beside their points are only in the legend.
        if let Some(label) = Label::beside(frame.place(*cost, quality.mean), name, &labels) {
            canvas.text(label.place, label.anchor, name);
            labels.push(label);
        }
    }
    canvas.finish(title, &describe(points, &front))
}

/// The name of a point.
struct Label {
    place: (f64, f64),
    anchor: Anchor,
    /// The left and the right end.
    span: [f64; 2],
}

impl Label {
    /// The height of a line of text.
    const LINE: f64 = 13.0;

    /// A label beside, above or below a point, at a position without another label.
    fn beside((x, y): (f64, f64), name: &str, others: &[Label]) -> Option<Self> {
        let width = text_width(name);
        let right = |step| Self {
            place: (x + 8.0, y + step),
            anchor: Anchor::Start,
            span: [x + 8.0, x + 8.0 + width],
        };
        let left = |step| Self {
            place: (x - 8.0, y + step),
            anchor: Anchor::End,
            span: [x - 8.0 - width, x - 8.0],
        };
        let inner = |label: &Self| label.span[0] > LEFT && label.span[1] < LEFT + SIZE.0;
        let tried = [right(-6.0), left(-6.0), right(15.0), left(15.0)];
        tried.into_iter().find(|label| inner(label) && !others.iter().any(|o| label.meets(o)))
    }

    fn meets(&self, other: &Self) -> bool {
        (self.place.1 - other.place.1).abs() < Self::LINE
            && self.span[0] < other.span[1]
            && other.span[0] < self.span[1]
    }
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

    #[test]
    fn labels_of_the_front_do_not_meet() {
        let cost = [1.0, 1.001, 1.002, 1.003, 1.004, 1.005, 3.0];
        let quality = [0.5, 0.501, 0.502, 0.503, 0.504, 0.505, 0.9];
        let points: Vec<CostPoint> =
            (0..7).map(|at| point(&format!("method {at}"), cost[at], quality[at])).collect();
        let svg = pareto("t", "FLOPs", "accuracy", &points, Better::Higher);
        // All names are in the legend.
        let shown = |at: usize| svg.matches(&format!(">method {at}<")).count();
        assert!((0..7).all(|at| (1..=2).contains(&shown(at))));
        let labels = (0..7).filter(|at| shown(*at) == 2).count();
        assert!((2..7).contains(&labels), "{labels}: {svg}");
        let place = (200.0, 100.0);
        let first = Label::beside(place, "a name", &[]).unwrap();
        let second = Label::beside((203.0, 101.0), "a name", &[first]).unwrap();
        assert!(second.span[1] < place.0);
    }
}
