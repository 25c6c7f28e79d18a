//! The pitch: its lines, a camera, and the projection of the lines into the image.
//!
//! World coordinates in metres: the origin is the centre of the pitch, x points right and y to the
//! main camera, **z points down**, so that cameras have a negative z.

pub mod camera;
pub mod class;
pub mod model;
pub mod view;

/// A point of the image in pixels.
pub type Point = [f64; 2];

/// The distance of two points.
pub(crate) fn distance(a: Point, b: Point) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}
