//! The projection of the pitch: a polyline for each line in the image.

use super::{Point, camera::Camera, distance, model::Model};

/// Width and height of the evaluated image in pixels.
pub const IMAGE: [f64; 2] = [960.0, 540.0];

/// The lines in the image by class, each cut at the image's border.
pub fn polylines(camera: &Camera, model: &Model) -> Vec<(&'static str, Vec<Point>)> {
    let projection = camera.projection();
    let seen = model.lines.iter().map(|(class, points)| {
        let points = points.iter().map(|point| projection.project(point));
        (*class, clip(points))
    });
    seen.filter(|(_, points)| !points.is_empty()).collect()
}

fn is_inside([x, y]: Point) -> bool {
    (0.0..IMAGE[0]).contains(&x) && (0.0..IMAGE[1]).contains(&y)
}

/// The points in the image, and a point of its border where the line enters or leaves. Points behind the
/// camera are skipped.
fn clip(points: impl Iterator<Item = Option<Point>>) -> Vec<Point> {
    let (mut clipped, mut last, mut was_inside) = (Vec::new(), None, false);
    for point in points.flatten() {
        let inside = is_inside(point);
        if inside != was_inside {
            let crossing = last.and_then(|last| crossing(point, last));
            clipped.extend(crossing);
        }
        if inside {
            clipped.push(point);
        }
        (last, was_inside) = (Some(point), inside);
    }
    clipped
}

/// The intersection of the line through two points with the border, the one nearest to the first.
fn crossing(point: Point, last: Point) -> Option<Point> {
    let line = cross([point[0], point[1], 1.0], [last[0], last[1], 1.0]);
    let [right, bottom] = IMAGE.map(|size| size - 1.0);
    let sides = [[1.0, 0.0, 0.0], [1.0, 0.0, -right], [0.0, 1.0, 0.0], [0.0, 1.0, -bottom]];
    let meets = sides.map(|side| {
        let [x, y, w] = cross(line, side);
        [x / w, y / w]
    });
    let inside = meets.into_iter().filter(|meet| is_inside(*meet));
    inside.min_by(|a, b| distance(*a, point).total_cmp(&distance(*b, point)))
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// The distance of a point to a polyline of one or more points.
pub fn distance_to(point: Point, polyline: &[Point]) -> f64 {
    match polyline {
        [one] => distance(point, *one),
        _ => polyline
            .windows(2)
            .map(|ends| distance_to_segment(point, ends[0], ends[1]))
            .fold(f64::INFINITY, f64::min),
    }
}

fn distance_to_segment(point: Point, from: Point, to: Point) -> f64 {
    let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
    let along = ((point[0] - from[0]) * dx + (point[1] - from[1]) * dy) / (dx * dx + dy * dy);
    if along > 0.0 && along < 1.0 {
        distance(point, [from[0] + along * dx, from[1] + along * dy])
    } else {
        distance(point, from).min(distance(point, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pitch::camera::tests::example;

    #[test]
    fn the_example_sees_five_lines() {
        let seen = polylines(&example(), &Model::default());
        let mut classes: Vec<&str> = seen.iter().map(|(class, _)| *class).collect();
        classes.sort_unstable();
        let expected = [
            "Big rect. right main",
            "Big rect. right top",
            "Circle central",
            "Middle line",
            "Side line top",
        ];
        assert_eq!(classes, expected);
        let points = |class: &str| &seen.iter().find(|(name, _)| *name == class).unwrap().1;
        assert_eq!((points("Circle central").len(), points("Side line top").len()), (287, 87));
        let top = points("Side line top");
        for (point, expected) in [(top[0], [0.0, 155.363796]), (top[86], [959.0, 133.748141])] {
            assert!(distance(point, expected) < 1e-4, "{point:?}");
        }
    }

    #[test]
    fn distances_to_segments_ends_and_points() {
        let line = [[0.0, 0.0], [10.0, 0.0], [10.0, 0.0]];
        assert_eq!(distance_to([5.0, 3.0], &line), 3.0);
        assert_eq!(distance_to([13.0, 4.0], &line), 5.0);
        assert_eq!(distance_to([3.0, 4.0], &line[..1]), 5.0);
    }
}
