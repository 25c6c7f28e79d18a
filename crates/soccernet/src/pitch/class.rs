//! The classes of lines on the pitch.

/// The 26 classes of the pitch, by their official names. One has a blank at its end.
pub const LINES: [&str; 26] = [
    "Big rect. left bottom",
    "Big rect. left main",
    "Big rect. left top",
    "Big rect. right bottom",
    "Big rect. right main",
    "Big rect. right top",
    "Circle central",
    "Circle left",
    "Circle right",
    "Goal left crossbar",
    "Goal left post left ",
    "Goal left post right",
    "Goal right crossbar",
    "Goal right post left",
    "Goal right post right",
    "Middle line",
    "Side line bottom",
    "Side line left",
    "Side line right",
    "Side line top",
    "Small rect. left bottom",
    "Small rect. left main",
    "Small rect. left top",
    "Small rect. right bottom",
    "Small rect. right main",
    "Small rect. right top",
];

/// Two classes of annotations that belong to no known line.
pub const UNKNOWN: [&str; 2] = ["Goal unknown", "Line unknown"];

/// Whether this is a class of annotations.
pub fn is_known(class: &str) -> bool {
    LINES.contains(&class) || UNKNOWN.contains(&class)
}

/// The class on the other side of the centre, which cannot be distinguished in an image. `None` for an
/// unknown class.
pub fn mirrored(class: &str) -> Option<&'static str> {
    if let Some(fixed) = UNKNOWN.into_iter().find(|name| *name == class) {
        return Some(fixed);
    }
    let (area, side) = class.trim_end().rsplit_once(' ')?;
    let area = swap(area, "left", "right");
    // Seen from its own field, the left post of a goal is the left post of the other goal.
    let side =
        if class.starts_with("Goal") { side.to_string() } else { swap(side, "top", "bottom") };
    let side = if class.starts_with("Goal") { side } else { swap(&side, "left", "right") };
    let mirrored = format!("{area} {side}");
    let found = LINES.into_iter().find(|name| name.trim_end() == mirrored);
    found.filter(|_| LINES.contains(&class))
}

fn swap(text: &str, a: &str, b: &str) -> String {
    match (text.find(a), text.find(b)) {
        (Some(_), _) => text.replacen(a, b, 1),
        (_, Some(_)) => text.replacen(b, a, 1),
        _ => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_its_own_inverse() {
        for class in LINES.iter().chain(&UNKNOWN) {
            let other = mirrored(class).unwrap_or_else(|| panic!("{class}"));
            assert_eq!(mirrored(other), Some(*class), "{class}");
        }
        assert_eq!(mirrored("Goal left post left"), None);
        assert_eq!(mirrored("Corner flag"), None);
    }

    #[test]
    fn pairs_are_the_official_ones() {
        let pairs = [
            ("Side line top", "Side line bottom"),
            ("Side line left", "Side line right"),
            ("Middle line", "Middle line"),
            ("Circle central", "Circle central"),
            ("Circle left", "Circle right"),
            ("Big rect. left top", "Big rect. right bottom"),
            ("Small rect. right main", "Small rect. left main"),
            ("Goal left post left ", "Goal right post left"),
            ("Goal left crossbar", "Goal right crossbar"),
            ("Line unknown", "Line unknown"),
        ];
        for (class, other) in pairs {
            assert_eq!(mirrored(class), Some(other));
        }
    }
}
