//! `00000.json` and `extremities_00000.json`: points on the lines of the pitch in one image.

use serde_json::{Map, Value, json};

use crate::{
    Judge, Result,
    json::{self, Node},
    pitch::{Point, class, view::IMAGE},
};

/// Points by class, in the file's order; x and y from 0 to 1 of the image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lines {
    /// Classes with their points.
    pub lines: Vec<(String, Vec<Point>)>,
}

impl Lines {
    /// Reads a file. Oddities: unknown classes, classes without points, and points that are far outside of
    /// the image, as are all points given in pixels.
    ///
    /// # Errors
    ///
    /// If a point has no x or y, and for an oddity that the judge refuses.
    pub fn read(bytes: &[u8], file: &str, judge: &mut Judge) -> Result<Self> {
        let value = json::parse(bytes, file, judge)?;
        let root = Node::root(&value, file);
        let mut lines = Vec::new();
        for (name, entry) in root.fields()? {
            if !class::is_known(name) {
                let problem = "unknown class; example of a class: Side line top";
                judge.odd(entry.error(problem))?;
            }
            let points = root.items(name)?;
            if points.is_empty() {
                judge.odd(entry.error("no points; leave the class out"))?;
            }
            let points = points.iter().map(|one| point(one, judge)).collect::<Result<_>>()?;
            lines.push((name.to_string(), points));
        }
        Ok(Self { lines })
    }

    /// The file's content.
    pub fn write(&self) -> Vec<u8> {
        let point = |[x, y]: &Point| json!({"x": x, "y": y});
        let line = |(class, points): &(String, Vec<Point>)| {
            (class.clone(), points.iter().map(point).collect::<Value>())
        };
        json::render(&Value::Object(self.lines.iter().map(line).collect::<Map<_, _>>()))
    }

    /// The lines that have points, in pixels: x times 959, y times 539.
    pub fn in_pixels(&self) -> Vec<(&str, Vec<Point>)> {
        let [width, height] = IMAGE.map(|size| size - 1.0);
        let scale = |[x, y]: &Point| [x * width, y * height];
        let with_points = self.lines.iter().filter(|(_, points)| !points.is_empty());
        with_points
            .map(|(class, points)| (class.as_str(), points.iter().map(scale).collect()))
            .collect()
    }
}

/// Reads a point. Points may be outside of the image, where a line leaves it, but by less than the image's
/// size.
fn point(entry: &Node<'_>, judge: &mut Judge) -> Result<Point> {
    let point = [entry.number("x")?, entry.number("y")?];
    for (key, value) in ["x", "y"].into_iter().zip(point) {
        if !(-1.0..=2.0).contains(&value) {
            let problem = format!("{value}; expected 0 to 1, a fraction of the image");
            judge.odd(entry.fault(key, problem))?;
        }
    }
    Ok(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = br#"{"Side line top": [{"x": 0.125, "y": 0.3}, {"x": 0.9, "y": 0.28}],
        "Goal left post left ": [{"x": 0.5, "y": 0.5}]}"#;

    #[test]
    fn what_is_read_is_written() {
        let lines = Lines::read(FILE, "f", &mut Judge::strict()).unwrap();
        assert_eq!(lines.in_pixels()[1], ("Goal left post left ", vec![[479.5, 269.5]]));
        assert_eq!(Lines::read(&lines.write(), "again", &mut Judge::strict()), Ok(lines));
    }

    #[test]
    fn wrong_entries_are_named() {
        let read = |from: &str, to: &str| {
            let text = String::from_utf8_lossy(FILE).replacen(from, to, 1);
            Lines::read(text.as_bytes(), "f", &mut Judge::strict()).unwrap_err().to_string()
        };
        assert!(
            read("post left ", "post left").starts_with("f: Goal left post left: unknown class")
        );
        assert!(
            read(r#""x": 0.125"#, r#""x": "a""#)
                .contains("Side line top[0].x: \"a\"; expected a number")
        );
        assert!(read(r#"{"x": 0.5, "y": 0.5}"#, "").contains("no points"));
        let expected = "Side line top[0].x: 120; expected 0 to 1, a fraction of the image";
        assert!(read("0.125", "120").contains(expected));
        assert!(read(r#"[{"x": 0.5, "y": 0.5}]"#, "3").contains("3; expected a list"));
    }
}
