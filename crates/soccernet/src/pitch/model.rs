//! The lines of a pitch of 105 by 68 metres as points in space.

use std::f64::consts::TAU;

/// A point of the world in metres.
pub type World = [f64; 3];

const HALF_LENGTH: f64 = 105.0 / 2.0;
const HALF_WIDTH: f64 = 68.0 / 2.0;
const PENALTY_AREA: [f64; 2] = [16.5, 40.32 / 2.0];
const GOAL_AREA: [f64; 2] = [5.5, 18.32 / 2.0];
const RADIUS: f64 = 9.15;
const PENALTY_MARK: f64 = 11.0;
const HALF_GOAL: f64 = 7.32 / 2.0;
const GOAL_HEIGHT: f64 = 2.44;
/// Metres between the points of a circle.
const CIRCLE_STEP: f64 = 0.2;
/// Metres between the points of a line in the official evaluation.
pub const LINE_STEP: f64 = 0.9;

/// The lines by class, each as points in order.
#[derive(Clone, Debug)]
pub struct Model {
    /// Class and points.
    pub lines: Vec<(&'static str, Vec<World>)>,
}

impl Model {
    /// The model with a point every `step` metres of straight lines and every 0.2 metres of circles.
    pub fn new(step: f64) -> Self {
        let mut lines = vec![("Circle central", circle())];
        lines.extend(straight().map(|(class, from, to)| (class, line(from, to, step))));
        lines.extend([("Circle right", right_arc()), ("Circle left", left_arc())]);
        Self { lines }
    }
}

impl Default for Model {
    fn default() -> Self {
        Self::new(LINE_STEP)
    }
}

/// Points of a line, one every `step` metres, and its end.
fn line(from: World, to: World, step: f64) -> Vec<World> {
    let across = [0, 1, 2].map(|axis| to[axis] - from[axis]);
    let length = across.iter().map(|size| size * size).sum::<f64>().sqrt();
    let count = (length / step - 1.0) as usize;
    let mut points = vec![from];
    for i in 0..count {
        points.push([0, 1, 2].map(|axis| points[i][axis] + step * (across[axis] / length)));
    }
    points.push(to);
    points
}

fn on_circle(center: f64, angle: f64) -> World {
    [center + angle.cos() * RADIUS, angle.sin() * RADIUS, 0.0]
}

/// The centre circle; its first point is not repeated at the end.
fn circle() -> Vec<World> {
    let count = (RADIUS * TAU / CIRCLE_STEP) as usize;
    (0..count).map(|i| on_circle(0.0, i as f64 * (CIRCLE_STEP / RADIUS))).collect()
}

/// Half the height of the arc outside of the penalty area.
fn arc_height() -> f64 {
    let depth = PENALTY_AREA[0] - PENALTY_MARK;
    (RADIUS * RADIUS - depth * depth).sqrt()
}

fn arc(center: f64, from: [f64; 2], to: [f64; 2]) -> Vec<World> {
    let angle = |[x, y]: [f64; 2]| y.atan2(x - center) + TAU;
    let (from, mut to) = (angle(from), angle(to));
    if to < from {
        to += TAU;
    }
    let count = (RADIUS * (to - from) / CIRCLE_STEP) as usize;
    let step = CIRCLE_STEP / RADIUS;
    let mut points: Vec<World> =
        (0..=count).map(|i| on_circle(center, from + i as f64 * step)).collect();
    points.push(on_circle(center, to));
    points
}

fn right_arc() -> Vec<World> {
    let (x, y) = (HALF_LENGTH - PENALTY_AREA[0], arc_height());
    arc(HALF_LENGTH - PENALTY_MARK, [x, y], [x, -y])
}

fn left_arc() -> Vec<World> {
    let (x, y) = (-HALF_LENGTH + PENALTY_AREA[0], arc_height());
    arc(-HALF_LENGTH + PENALTY_MARK, [x, -y], [x, y])
}

type Line = (&'static str, World, World);

fn straight() -> impl Iterator<Item = Line> {
    let names = [
        ["Big rect. left bottom", "Big rect. left top", "Big rect. left main"],
        ["Big rect. right bottom", "Big rect. right top", "Big rect. right main"],
        ["Small rect. left bottom", "Small rect. left top", "Small rect. left main"],
        ["Small rect. right bottom", "Small rect. right top", "Small rect. right main"],
    ];
    let [big_left, big_right, small_left, small_right] = names;
    let areas = [
        left_area(big_left, PENALTY_AREA),
        right_area(big_right, PENALTY_AREA),
        left_area(small_left, GOAL_AREA),
        right_area(small_right, GOAL_AREA),
    ];
    areas.into_iter().flatten().chain(border()).chain(left_goal()).chain(right_goal())
}

fn flat(x: f64, y: f64) -> World {
    [x, y, 0.0]
}

fn left_area([bottom, top, main]: [&'static str; 3], [depth, y]: [f64; 2]) -> [Line; 3] {
    let (goal_line, front) = (-HALF_LENGTH, -HALF_LENGTH + depth);
    [
        (bottom, flat(goal_line, y), flat(front, y)),
        (top, flat(goal_line, -y), flat(front, -y)),
        (main, flat(front, -y), flat(front, y)),
    ]
}

fn right_area([bottom, top, main]: [&'static str; 3], [depth, y]: [f64; 2]) -> [Line; 3] {
    let (goal_line, front) = (HALF_LENGTH, HALF_LENGTH - depth);
    [
        (bottom, flat(front, y), flat(goal_line, y)),
        (top, flat(front, -y), flat(goal_line, -y)),
        (main, flat(front, -y), flat(front, y)),
    ]
}

fn border() -> [Line; 5] {
    let (x, y) = (HALF_LENGTH, HALF_WIDTH);
    [
        ("Side line top", flat(-x, -y), flat(x, -y)),
        ("Side line bottom", flat(-x, y), flat(x, y)),
        ("Side line left", flat(-x, -y), flat(-x, y)),
        ("Side line right", flat(x, -y), flat(x, y)),
        ("Middle line", flat(0.0, -y), flat(0.0, y)),
    ]
}

fn left_goal() -> [Line; 3] {
    let post = |y: f64, z: f64| [-HALF_LENGTH, y, z];
    let (left, right, top) = (HALF_GOAL, -HALF_GOAL, -GOAL_HEIGHT);
    [
        ("Goal left crossbar", post(right, top), post(left, top)),
        ("Goal left post left ", post(left, top), post(left, 0.0)),
        ("Goal left post right", post(right, top), post(right, 0.0)),
    ]
}

fn right_goal() -> [Line; 3] {
    let post = |y: f64, z: f64| [HALF_LENGTH, y, z];
    let (left, right, top) = (-HALF_GOAL, HALF_GOAL, -GOAL_HEIGHT);
    [
        ("Goal right crossbar", post(left, top), post(right, top)),
        ("Goal right post left", post(left, top), post(left, 0.0)),
        ("Goal right post right", post(right, top), post(right, 0.0)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pitch::class::LINES;

    #[test]
    fn every_class_has_a_line() {
        let mut classes: Vec<&str> =
            Model::default().lines.iter().map(|(class, _)| *class).collect();
        classes.sort_unstable();
        assert_eq!(classes, LINES);
    }

    #[test]
    fn points_are_where_the_official_model_has_them() {
        let model = Model::default();
        let points = |class: &str| &model.lines.iter().find(|(name, _)| *name == class).unwrap().1;
        assert_eq!(points("Circle central").len(), 287);
        assert_eq!(points("Side line top").len(), 117);
        let near = |a: World, b: World| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near(points("Side line top")[1], flat(-51.6, -34.0)));
        let arc = points("Circle left");
        assert!(near(arc[0], flat(-36.0, -arc_height())));
        assert!(near(arc[arc.len() - 1], flat(-36.0, arc_height())));
        assert!(arc.iter().all(|point| point[0] >= -36.0 - 1e-9));
    }
}
