//! `camera_00000.json`: the parameters of a camera.

use serde_json::json;

use crate::{
    Judge, Result,
    json::{self, Node},
    pitch::{camera::Camera, view::IMAGE},
};

/// Reads a file. Oddities: a focal length that is not above 0; a principal point outside of the image, as in
/// parameters for a larger image; and a camera below the pitch, as with a z that points up.
///
/// # Errors
///
/// If a parameter is missing or has another number of values, and for an oddity that the judge refuses.
pub fn read(bytes: &[u8], file: &str, judge: &mut Judge) -> Result<Camera> {
    let value = json::parse(bytes, file, judge)?;
    let root = Node::root(&value, file);
    for key in ["x_focal_length", "y_focal_length"] {
        let focal = root.number(key)?;
        if focal <= 0.0 {
            judge.odd(root.fault(key, format!("{focal}; expected more than 0 pixels")))?;
        }
    }
    let camera = parameters(&root)?;
    if !(0.0..IMAGE[0]).contains(&camera.principal[0])
        || !(0.0..IMAGE[1]).contains(&camera.principal[1])
    {
        let ([x, y], [width, height]) = (camera.principal, IMAGE);
        let problem = format!("{x}, {y}; expected a point of an image of {width} by {height}");
        judge.odd(root.fault("principal_point", problem))?;
    }
    if camera.position[2] > 0.0 {
        let z = camera.position[2];
        let problem = format!("z is {z}, below the pitch, since the axis points down");
        judge.odd(root.fault("position_meters", problem))?;
    }
    Ok(camera)
}

fn parameters(root: &Node<'_>) -> Result<Camera> {
    Ok(Camera {
        angles: [
            root.number("pan_degrees")?,
            root.number("tilt_degrees")?,
            root.number("roll_degrees")?,
        ],
        position: root.numbers("position_meters")?,
        focal: [root.number("x_focal_length")?, root.number("y_focal_length")?],
        principal: root.numbers("principal_point")?,
        radial: root.numbers("radial_distortion")?,
        tangential: root.numbers("tangential_distortion")?,
        prism: root.numbers("thin_prism_distortion")?,
    })
}

/// The file's content.
pub fn write(camera: &Camera) -> Vec<u8> {
    let [pan, tilt, roll] = camera.angles;
    json::render(&json!({
        "pan_degrees": pan,
        "tilt_degrees": tilt,
        "roll_degrees": roll,
        "position_meters": camera.position,
        "x_focal_length": camera.focal[0],
        "y_focal_length": camera.focal[1],
        "principal_point": camera.principal,
        "radial_distortion": camera.radial,
        "tangential_distortion": camera.tangential,
        "thin_prism_distortion": camera.prism,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pitch::camera::tests::example;

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&write(&example()), "c", &mut Judge::strict()), Ok(example()));
    }

    #[test]
    fn a_camera_without_a_focal_length_is_refused() {
        let read = |from: &str, to: &str| {
            let text = String::from_utf8(write(&example())).unwrap().replacen(from, to, 1);
            read(text.as_bytes(), "c.json", &mut Judge::strict()).unwrap_err().to_string()
        };
        let expected = "c.json: x_focal_length: it is missing; expected a number";
        assert_eq!(read("x_focal", "z_focal"), expected);
        assert!(
            read("\"y_focal_length\": 1200.0", "\"y_focal_length\": 0")
                .contains("0; expected more than 0")
        );
        let principal = "\"principal_point\": [\n    480.0";
        let error = read(principal, "\"principal_point\": [\n    960.0");
        assert!(
            error.contains("principal_point: 960, 270; expected a point of an image of 960 by 540"),
            "{error}"
        );
        assert!(read("-15.0", "15.0").contains("position_meters: z is 15, below the pitch"));
        let error = read("\"principal_point\": [", "\"principal_point\": [1.0,");
        assert!(
            error.contains("principal_point: [1.0,480.0,270.0]; expected a list of 2 numbers"),
            "{error}"
        );
    }
}
