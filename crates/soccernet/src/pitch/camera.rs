//! A pinhole camera with the lens distortion of the calibration task.

use super::{Point, model::World};

/// Three rows of three numbers.
pub type Matrix = [[f64; 3]; 3];

/// Position, direction and lens of a camera, for an image of 960 by 540 pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    /// Pan, tilt and roll in degrees, turned about z, x and z.
    pub angles: [f64; 3],
    /// Position in metres.
    pub position: [f64; 3],
    /// Focal lengths in pixels.
    pub focal: [f64; 2],
    /// Principal point in pixels.
    pub principal: [f64; 2],
    /// k1 to k6.
    pub radial: [f64; 6],
    /// p1 and p2.
    pub tangential: [f64; 2],
    /// s1 to s4.
    pub prism: [f64; 4],
}

impl Camera {
    /// Rows are the camera's axes in the world: `R` of `R (P - C)`.
    pub fn rotation(&self) -> Matrix {
        let [pan, tilt, roll] = self.angles.map(|degrees| degrees * std::f64::consts::PI / 180.0);
        let orientation = product(about_z(pan), product(about_x(tilt), about_z(roll)));
        [0, 1, 2].map(|r| [0, 1, 2].map(|c| orientation[c][r]))
    }

    /// A projection, with the rotation computed.
    pub fn projection(&self) -> Projection<'_> {
        Projection { camera: self, rotation: self.rotation() }
    }
}

fn about_z(angle: f64) -> Matrix {
    let (sin, cos) = angle.sin_cos();
    [[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]
}

fn about_x(angle: f64) -> Matrix {
    let (sin, cos) = angle.sin_cos();
    [[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]]
}

fn dot(a: World, b: World) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn product(a: Matrix, b: Matrix) -> Matrix {
    let columns = [0, 1, 2].map(|c| b.map(|row| row[c]));
    a.map(|row| columns.map(|column| dot(row, column)))
}

/// A camera that is ready to project points.
#[derive(Clone, Debug)]
pub struct Projection<'a> {
    camera: &'a Camera,
    rotation: Matrix,
}

impl Projection<'_> {
    /// The position in the image of a point of the world, in pixels; `None` if the point is behind the
    /// camera.
    pub fn project(&self, point: &World) -> Option<Point> {
        let camera = self.camera;
        let offset = [0, 1, 2].map(|axis| point[axis] - camera.position[axis]);
        let [x, y, z] = self.rotation.map(|axis| dot(axis, offset));
        if z <= 1e-3 {
            return None;
        }
        let [x, y] = self.distort(x / z, y / z);
        Some([x * camera.focal[0] + camera.principal[0], y * camera.focal[1] + camera.principal[1]])
    }

    /// Radial, tangential and thin prism distortion; the result has single precision, as in the official
    /// evaluator.
    fn distort(&self, x: f64, y: f64) -> Point {
        let Camera { radial: k, tangential: p, prism: s, .. } = self.camera;
        let r2 = x * x + y * y;
        let (r4, r6) = (r2 * r2, r2 * r2 * r2);
        let radial =
            (1.0 + k[0] * r2 + k[1] * r4 + k[2] * r6) / (1.0 + k[3] * r2 + k[4] * r4 + k[5] * r6);
        let u = x * radial + 2.0 * p[0] * x * y + p[1] * (r2 + 2.0 * x * x) + s[0] * r2 + s[1] * r4;
        let v = y * radial + 2.0 * p[1] * x * y + p[0] * (r2 + 2.0 * y * y) + s[2] * r2 + s[3] * r4;
        [u, v].map(|value| f64::from(value as f32))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The camera of the specification's worked example.
    pub(crate) fn example() -> Camera {
        Camera {
            angles: [5.0, 75.0, 0.5],
            position: [0.0, 60.0, -15.0],
            focal: [1200.0, 1200.0],
            principal: [480.0, 270.0],
            radial: [0.0; 6],
            tangential: [0.0; 2],
            prism: [0.0; 4],
        }
    }

    #[test]
    fn orientation_and_projection_are_the_official_ones() {
        let expected = [
            [0.995959917, -0.031250036, 0.084185983],
            [0.089402423, 0.257063775, -0.962250187],
            [0.008429186, 0.965889047, 0.258819045],
        ];
        let camera = example();
        let rotation = camera.rotation();
        for (r, row) in expected.iter().enumerate() {
            for (c, value) in row.iter().enumerate() {
                assert!((rotation[c][r] - value).abs() < 1e-9);
            }
        }
        let project = |x, y| camera.projection().project(&[x, y, 0.0]);
        let [x, y] = project(0.0, 0.0).unwrap();
        assert!((x - 377.995377).abs() < 1e-5 && (y - 251.781268).abs() < 1e-5, "{x} {y}");
        assert_eq!(project(0.0, 200.0), None);
    }

    #[test]
    fn distortion_moves_points_as_its_terms_say() {
        let at = |change: fn(&mut Camera)| {
            let mut camera = Camera { angles: [0.0; 3], position: [0.0; 3], ..example() };
            camera.focal = [1.0, 1.0];
            camera.principal = [0.0, 0.0];
            change(&mut camera);
            camera.projection().project(&[0.5, 0.25, 1.0]).unwrap()
        };
        let near = |[a, b]: Point, c: f64, d: f64| (a - c).abs() < 1e-6 && (b - d).abs() < 1e-6;
        let (r2, r4) = (0.3125, 0.3125 * 0.3125);
        assert!(near(at(|c| c.radial[1] = 1.0), 0.5 * (1.0 + r4), 0.25 * (1.0 + r4)));
        assert!(near(at(|c| c.radial[3] = 1.0), 0.5 / (1.0 + r2), 0.25 / (1.0 + r2)));
        assert!(near(at(|c| c.tangential[0] = 1.0), 0.75, 0.25 + r2 + 0.125));
        assert!(near(at(|c| c.tangential[1] = 1.0), 0.5 + r2 + 0.5, 0.5));
        assert!(near(at(|c| c.prism[1] = 1.0), 0.5 + r4, 0.25));
        assert!(near(at(|c| c.prism[2] = 1.0), 0.5, 0.25 + r2));
    }
}
