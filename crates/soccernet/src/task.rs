//! The tasks by their names.

/// A task that can be scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Action spotting, loose unless the options say otherwise.
    Spotting,
    /// Camera-shot segmentation.
    Segmentation,
    /// Shot boundaries.
    Boundary,
    /// Replay grounding, loose unless the options say otherwise.
    Grounding,
    /// Challenge 1 of 2022: tight spotting, labels at whole seconds.
    Spotting2022,
    /// Challenge 2 of 2022: tight grounding.
    Grounding2022,
    /// Challenge 3 of 2022: ends of the pitch's lines.
    Localization2022,
    /// Challenge 4 of 2022: cameras.
    Calibration2022,
    /// Challenge 5 of 2022: players.
    Reidentification2022,
    /// Challenge 6 of 2022: tracks.
    Tracking2022,
}

impl Task {
    /// Names on the command line with the tasks and their descriptions.
    pub const ALL: [(&str, Self, &str); 10] = [
        ("spotting", Self::Spotting, "Labels-v2.json, results_spotting.json: Average-mAP"),
        (
            "segmentation",
            Self::Segmentation,
            "Labels-cameras.json, {1,2}_segmentation.npy: mIoU, F1",
        ),
        ("boundary", Self::Boundary, "Labels-cameras.json, {1,2}_boundary.npy: mAP at 1 s"),
        ("grounding", Self::Grounding, "Labels-cameras.json, results_grounding.json: Average-AP"),
        ("action-spotting-2022", Self::Spotting2022, "spotting, tight, labels at whole seconds"),
        ("replay-grounding-2022", Self::Grounding2022, "grounding, tight"),
        (
            "pitch-localization-2022",
            Self::Localization2022,
            "00000.json, extremities_00000.json: AC",
        ),
        (
            "camera-calibration-2022",
            Self::Calibration2022,
            "00000.json, camera_00000.json: AC, completeness",
        ),
        (
            "player-reidentification-2022",
            Self::Reidentification2022,
            "bbox_info.json, a ranking: mAP, rank-1",
        ),
        (
            "multi-object-tracking-2022",
            Self::Tracking2022,
            "SEQ/gt/gt.txt, SEQ.txt: HOTA, MOTA, IDF1",
        ),
    ];

    /// A task by its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, ..)| *known == name).map(|(_, task, _)| *task)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, task, _)| *task == self).map_or("", |(name, ..)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (name, task, _) in Task::ALL {
            assert_eq!((Task::parse(name), task.name()), (Some(task), name));
        }
        assert_eq!(Task::parse("chess"), None);
    }
}
