//! The classes of labels, in the order of the official dictionaries.

/// The 17 actions of SoccerNet-v2.
pub const ACTIONS: [&str; 17] = [
    "Penalty",
    "Kick-off",
    "Goal",
    "Substitution",
    "Offside",
    "Shots on target",
    "Shots off target",
    "Clearance",
    "Ball out of play",
    "Throw-in",
    "Foul",
    "Indirect free-kick",
    "Direct free-kick",
    "Corner",
    "Yellow card",
    "Red card",
    "Yellow->red card",
];

/// The three actions of SoccerNet-v1.
pub const ACTIONS_V1: [&str; 3] = ["card", "subs", "soccer"];

/// The version of the labels of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// Three actions, `Labels.json`, no visibility.
    V1,
    /// Seventeen actions, `Labels-v2.json`.
    #[default]
    V2,
}

impl Version {
    /// The classes of the version.
    pub fn classes(self) -> &'static [&'static str] {
        if self == Self::V1 { &ACTIONS_V1 } else { &ACTIONS }
    }

    /// The file of labels in a game's folder.
    pub(crate) fn file(self) -> &'static str {
        if self == Self::V1 { "Labels.json" } else { "Labels-v2.json" }
    }
}

/// The 13 kinds of camera.
pub const CAMERAS: [&str; 13] = [
    "Main camera center",
    "Close-up player or field referee",
    "Main camera left",
    "Main camera right",
    "Goal line technology camera",
    "Main behind the goal",
    "Spider camera",
    "Close-up side staff",
    "Close-up corner",
    "Close-up behind the goal",
    "Inside the goal",
    "Public",
    "other",
];

/// The kinds of transition between two shots; each of them is a boundary.
pub const CHANGES: [&str; 3] = ["abrupt", "smooth", "logo"];

/// The index of an action of SoccerNet-v2.
pub fn action(label: &str) -> Option<usize> {
    ACTIONS.iter().position(|name| *name == label)
}

/// The index of an action of SoccerNet-v1, whose ground truth names it within a longer label.
pub fn action_v1(label: &str) -> Option<usize> {
    ACTIONS_V1.iter().position(|name| label.contains(name))
}

/// The index of a kind of camera, spelled as the official dictionary spells it.
pub fn camera(label: &str) -> Option<usize> {
    let other = (label == "I don't know").then_some(12);
    CAMERAS.iter().position(|name| *name == label).or(other)
}

/// The index of a kind of camera, ignoring case and blanks at the ends.
pub fn camera_trimmed(label: &str) -> Option<usize> {
    let label = label.trim();
    let other = label.eq_ignore_ascii_case("I don't know").then_some(12);
    CAMERAS.iter().position(|name| name.eq_ignore_ascii_case(label)).or(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_those_of_the_official_dictionaries() {
        assert_eq!(
            [action("Goal"), action("Yellow->red card"), action("goal")],
            [Some(2), Some(16), None]
        );
        assert_eq!(
            [action_v1("soccer-ball"), action_v1("y-card"), action_v1("r-card")],
            [Some(2), Some(0), Some(0)]
        );
        assert_eq!(
            [camera("Public"), camera("I don't know"), camera("Public ")],
            [Some(11), Some(12), None]
        );
        assert_eq!([camera_trimmed("Public "), camera_trimmed("Other")], [Some(11), Some(12)]);
    }
}
