//! The camera that projects the lines of the pitch to their places in an image: a homography from four lines
//! or more, the camera of this homography, and a refinement.
//!
//! Hartley, Zisserman. *Multiple View Geometry in Computer Vision*. 2004: the direct linear transform for lines
//! (4.1 and 4.1.1), normalised (4.4), the camera of a plane's homography (8.2). Square pixels, no distortion,
//! the principal point in the middle.
//!
//! A line m of the pitch and its image l have m ~ H' l, two equations for the entries of H each          (1)
//! H = K [r1 r2 t] with K = diag(f, f, 1): r1 and r2 are orthogonal and of one length, which gives f      (2)
//! The seven numbers angles, f and position are then moved by Levenberg-Marquardt to bring the given ends
//! near to the projected lines                                                                        (3)

use nalgebra::{DMatrix, DVector, SMatrix, SVector, SymmetricEigen};
use soccernet::{
    format::lines::Lines,
    pitch::{
        Point,
        camera::Camera,
        model::{Model, World},
        view::IMAGE,
    },
};

/// A camera, and the root mean square of its distances to the ends in pixels.
pub(super) struct Fitted {
    pub(super) camera: Camera,
    pub(super) error: f64,
}

/// A line: a x + b y + c = 0.
type Line = [f64; 3];

/// A straight line on the grass, by two points of it, and the ends in the image.
struct LineMatch {
    world: [World; 2],
    image: [Point; 2],
}

/// The units of length in the equations, in metres and in pixels.
const METRES: f64 = 50.0;
const PIXELS: f64 = 480.0;
const MIDDLE: Point = [480.0, 270.0];
/// The number of parameters of a camera.
const NUMBERS: usize = 7;

/// Fits a camera to the lines of an image; none if they do not determine one.
pub(super) fn fit(lines: &Lines) -> Option<Fitted> {
    let pairs = pairs(lines);
    if pairs.len() < 4 {
        return None;
    }
    let start = camera_of(homography(&pairs)?)?;
    let (numbers, error) = refined(start, &pairs);
    let camera = camera(&numbers);
    (camera.focal[0].is_finite() && camera.focal[0] > 0.0).then_some(Fitted { camera, error })
}

/// The straight lines on the grass whose ends are apart from each other.
fn pairs(lines: &Lines) -> Vec<LineMatch> {
    let model = Model::default();
    let [width, height] = IMAGE.map(|size| size - 1.0);
    let mut pairs = Vec::new();
    for (class, points) in &lines.lines {
        let known = model.lines.iter().find(|(name, _)| name == class);
        let straight = !class.contains("Circle") && !class.contains("Goal");
        let (Some((_, world)), true, 2..) = (known, straight, points.len()) else { continue };
        let pixel = |[x, y]: Point| [x * width, y * height];
        let image = [pixel(points[0]), pixel(points[points.len() - 1])];
        if (image[0][0] - image[1][0]).hypot(image[0][1] - image[1][1]) > 5.0 {
            pairs.push(LineMatch { world: [world[0], world[world.len() - 1]], image });
        }
    }
    pairs
}

fn cross(a: Line, b: Line) -> Line {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn unit(line: Line) -> Line {
    let length = line.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    line.map(|x| x / length)
}

/// The homography H of (1) in normalised coordinates, row by row.
fn homography(pairs: &[LineMatch]) -> Option<[[f64; 3]; 3]> {
    let mut normal = SMatrix::<f64, 9, 9>::zeros();
    for pair in pairs {
        let world = pair.world.map(|[x, y, _]| [x / METRES, y / METRES, 1.0]);
        let image =
            pair.image.map(|[x, y]| [(x - MIDDLE[0]) / PIXELS, (y - MIDDLE[1]) / PIXELS, 1.0]);
        let (m, l) = (unit(cross(world[0], world[1])), unit(cross(image[0], image[1])));
        // The rows of m x (H' l) = 0: entry k of H' l is the sum over i of H_ik l_i.
        for row in [[0.0, -m[2], m[1]], [m[2], 0.0, -m[0]], [-m[1], m[0], 0.0]] {
            let equation = SVector::<f64, 9>::from_fn(|at, _| l[at / 3] * row[at % 3]);
            normal += equation * equation.transpose();
        }
    }
    // The eigenvector of the smallest eigenvalue.
    let eigen = SymmetricEigen::try_new(normal, f64::EPSILON, 1000)?;
    let h = eigen.eigenvectors.column(eigen.eigenvalues.imin()).into_owned();
    let h = [[h[0], h[1], h[2]], [h[3], h[4], h[5]], [h[6], h[7], h[8]]];
    h.iter().flatten().all(|x| x.is_finite()).then_some(h)
}

/// The camera of (2): pan, tilt and roll in degrees, focal length, and position.
fn camera_of(h: [[f64; 3]; 3]) -> Option<[f64; NUMBERS]> {
    let column = |k: usize| [h[0][k], h[1][k], h[2][k]];
    let (a, b, c) = (column(0), column(1), column(2));
    // r1 r2 = 0 and |r1| = |r2|, in f^-2: x f^-2 + y = 0, by least squares.
    let equations = [
        (a[0] * b[0] + a[1] * b[1], a[2] * b[2]),
        (a[0] * a[0] + a[1] * a[1] - b[0] * b[0] - b[1] * b[1], a[2] * a[2] - b[2] * b[2]),
    ];
    let inverse = -equations.iter().map(|(x, y)| x * y).sum::<f64>()
        / equations.iter().map(|(x, _)| x * x).sum::<f64>().max(f64::MIN_POSITIVE);
    if !(inverse.is_finite() && inverse > 1e-4) {
        return None;
    }
    let focal = (1.0 / inverse).sqrt();
    let lift = |v: Line| [v[0] / focal, v[1] / focal, v[2]];
    let (a, b, c) = (lift(a), lift(b), lift(c));
    let norm = |v: Line| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let scale = 2.0 / (norm(a) + norm(b));
    // Of the two signs of the scale, the one with the camera above the grass is taken.
    let best = [scale, -scale].into_iter().find_map(|scale| {
        let r1 = unit(a.map(|x| x * scale));
        let dot: f64 = r1.iter().zip(b).map(|(x, y)| x * y * scale).sum();
        let r2 = unit([0, 1, 2].map(|i| b[i] * scale - dot * r1[i]));
        let r3 = cross(r1, r2);
        let t = c.map(|x| x * scale * METRES);
        let position = [r1, r2, r3].map(|r| -(r[0] * t[0] + r[1] * t[1] + r[2] * t[2]));
        (position[2] < 0.0).then_some(([r1, r2, r3], position))
    });
    let ([r1, r2, r3], position) = best?;
    // Row k of the orientation is where the world's axis k points: angles about z, x and z.
    let tilt = r3[2].clamp(-1.0, 1.0).acos();
    let pan = r1[2].atan2(-r2[2]);
    let roll = r3[0].atan2(r3[1]);
    let degrees = [pan, tilt, roll].map(f64::to_degrees);
    let [x, y, z] = position;
    Some([degrees[0], degrees[1], degrees[2], focal * PIXELS, x, y, z])
}

fn camera(numbers: &[f64; NUMBERS]) -> Camera {
    let [pan, tilt, roll, focal, x, y, z] = *numbers;
    Camera {
        angles: [pan, tilt, roll],
        position: [x, y, z],
        focal: [focal; 2],
        principal: MIDDLE,
        radial: [0.0; 6],
        tangential: [0.0; 2],
        prism: [0.0; 4],
    }
}

/// The distance of each end from its line, in pixels; large for a line behind the camera.
fn residuals(numbers: &[f64; NUMBERS], pairs: &[LineMatch]) -> Vec<f64> {
    const FAR: f64 = 1000.0;
    let camera = camera(numbers);
    let rotation = camera.rotation();
    // Homogeneous points, so that a point behind the camera still gives the line.
    let project = |p: &World| {
        let d = [0, 1, 2].map(|i| p[i] - camera.position[i]);
        let [x, y, z] = rotation.map(|r| r[0] * d[0] + r[1] * d[1] + r[2] * d[2]);
        [camera.focal[0] * x + MIDDLE[0] * z, camera.focal[0] * y + MIDDLE[1] * z, z]
    };
    let distances = pairs.iter().flat_map(|pair| {
        let line = cross(project(&pair.world[0]), project(&pair.world[1]));
        let length = line[0].hypot(line[1]);
        pair.image.map(|[x, y]| {
            let away = (line[0] * x + line[1] * y + line[2]) / length;
            if away.is_finite() { away.clamp(-FAR, FAR) } else { FAR }
        })
    });
    distances.collect()
}

fn squares(residuals: &[f64]) -> f64 {
    residuals.iter().map(|x| x * x).sum()
}

/// The refinement (3), and the root mean square of the remaining distances.
fn refined(start: [f64; NUMBERS], pairs: &[LineMatch]) -> ([f64; NUMBERS], f64) {
    const STEPS: [f64; NUMBERS] = [1e-4, 1e-4, 1e-4, 1e-2, 1e-3, 1e-3, 1e-3];
    let (mut numbers, mut damping) = (start, 1e-3);
    let mut left = residuals(&numbers, pairs);
    for _ in 0..60 {
        let columns: Vec<Vec<f64>> = (0..NUMBERS)
            .map(|at| {
                let mut moved = numbers;
                moved[at] += STEPS[at];
                let moved = residuals(&moved, pairs);
                moved.iter().zip(&left).map(|(a, b)| (a - b) / STEPS[at]).collect()
            })
            .collect();
        let jacobian = DMatrix::from_fn(left.len(), NUMBERS, |row, at| columns[at][row]);
        let transposed = jacobian.transpose();
        let mut system = &transposed * jacobian;
        (0..NUMBERS).for_each(|i| system[(i, i)] += damping * system[(i, i)] + 1e-12);
        let right = -transposed * DVector::from_column_slice(&left);
        let Some(step) = system.lu().solve(&right) else { break };
        let mut moved = numbers;
        moved.iter_mut().zip(step.iter()).for_each(|(x, by)| *x += by);
        let better = residuals(&moved, pairs);
        if squares(&better) < squares(&left) {
            let gain = squares(&left) - squares(&better);
            (numbers, left, damping) = (moved, better, damping / 3.0);
            if gain < 1e-10 {
                break;
            }
        } else {
            damping *= 4.0;
        }
    }
    let error = (squares(&left) / left.len().max(1) as f64).sqrt();
    (numbers, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use soccernet::pitch::view::polylines;

    fn seen(camera: &Camera) -> Lines {
        let [width, height] = IMAGE.map(|size| size - 1.0);
        let line = |(class, points): (&'static str, Vec<Point>)| {
            let ends = [points[0], points[points.len() - 1]];
            (class.to_string(), ends.map(|[x, y]| [x / width, y / height]).to_vec())
        };
        let lines = polylines(camera, &Model::default());
        Lines {
            lines: lines.into_iter().filter(|(_, points)| points.len() > 1).map(line).collect(),
        }
    }

    #[test]
    fn the_camera_that_drew_the_lines_is_found() {
        for numbers in [
            [12.0, 75.0, 0.5, 1100.0, 2.0, 62.0, -15.0],
            [-25.0, 78.0, -0.4, 1400.0, -3.0, 70.0, -20.0],
            [28.0, 80.0, 0.0, 1500.0, 0.0, 55.0, -12.0],
        ] {
            let lines = seen(&camera(&numbers));
            let fitted = fit(&lines).unwrap_or_else(|| panic!("{numbers:?}: {lines:?}"));
            assert!(fitted.error < 1.0, "{numbers:?}: {} {:?}", fitted.error, fitted.camera);
            let found = &fitted.camera;
            assert!((found.focal[0] / numbers[3] - 1.0).abs() < 0.05, "{found:?}");
            assert!((found.angles[0] - numbers[0]).abs() < 1.0, "{found:?}");
            assert!((found.position[1] - numbers[5]).abs() < 4.0, "{found:?}");
        }
    }

    #[test]
    fn too_few_lines_give_no_camera() {
        let mut lines = seen(&camera(&[12.0, 75.0, 0.5, 1100.0, 2.0, 62.0, -15.0]));
        lines.lines.retain(|(class, _)| class.contains("Side"));
        assert!(lines.lines.len() < 4 && fit(&lines).is_none());
        assert!(fit(&Lines::default()).is_none());
    }
}
