//! Checks of the files in a folder or an archive.

use serde::Serialize;

use crate::{
    Error, Judge, Result, Source, Task,
    format::{
        bodies::{Bodies, Thumbnail},
        cameras, games,
        ini::{Ini, Sequence, Video},
        labels::Labels,
        lines::Lines,
        mot,
        ranking::Ranking,
        replays::Replays,
        shots::Shots,
        spots::Spots,
    },
    npy,
    source::base,
};

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Files whose content has the format that their name indicates.
    pub right: Vec<String>,
    /// The first fault of each file whose content does not.
    pub wrong: Vec<Error>,
    /// Files whose name indicates no format, such as videos and images.
    pub unknown: Vec<String>,
}

/// Reads each file strictly, by the format that its name indicates.
pub fn check(source: &Source) -> Checked {
    check_by(source, format)
}

/// The same for a submission to a task, without the truth: the file of a ranking may have any name.
///
/// # Errors
///
/// If none of the files has a name that indicates a format.
pub fn check_submission(task: Task, source: &Source) -> Result<Checked> {
    let checked = check_by(source, |source, name, bytes| match task {
        Task::Reidentification2022 if name.ends_with(".json") => {
            Some(Ranking::read(bytes, name, &mut Judge::strict()).map(drop))
        }
        _ => format(source, name, bytes),
    });
    match checked.right.is_empty() && checked.wrong.is_empty() {
        true => Err(Error::file(source.name(), "found no file with the name of a submission file")),
        false => Ok(checked),
    }
}

fn check_by(
    source: &Source,
    format: impl Fn(&Source, &str, &[u8]) -> Option<Result<()>>,
) -> Checked {
    let mut checked = Checked::default();
    for name in source.names() {
        match source.read(name).map(|bytes| format(source, name, &bytes)) {
            Ok(Some(Ok(()))) => checked.right.push(name.to_string()),
            Ok(Some(Err(fault))) | Err(fault) => checked.wrong.push(fault),
            Ok(None) => checked.unknown.push(name.to_string()),
        }
    }
    checked
}

/// Checks that the file has its format; `None` if its name indicates none.
fn format(source: &Source, name: &str, bytes: &[u8]) -> Option<Result<()>> {
    let judge = &mut Judge::strict();
    let file = base(name);
    Some(match file {
        "Labels-v2.json" | "Labels.json" => Labels::read(bytes, name, judge).map(drop),
        "Labels-cameras.json" | "Labels-replays.json" => Shots::read(bytes, name, judge).map(drop),
        "results_spotting.json" => Spots::read(bytes, name, judge).map(drop),
        "results_grounding.json" | "Detection-replays.json" => {
            Replays::read(bytes, name, judge).map(drop)
        }
        "video.ini" => Video::read(bytes, name).map(drop),
        "seqinfo.ini" => Sequence::read(bytes, name).map(drop),
        "gameinfo.ini" => Ini::read(bytes, name).map(drop),
        "gt.txt" => boxes(source, name, bytes, mot::Kind::Truth),
        "det.txt" => boxes(source, name, bytes, mot::Kind::Detections),
        _ if file.ends_with(".txt") => boxes(source, name, bytes, mot::Kind::Tracks),
        _ if file.ends_with(".npy") => npy::read(bytes, name).map(drop),
        _ if file.ends_with("bbox_info.json") => Bodies::read(bytes, name, judge).map(drop),
        // A frame of a sequence, or an image of a pitch.
        _ if numbered(file, "", ".png") => return None,
        _ if file.ends_with(".png") => Thumbnail::parse(file).map(drop),
        _ if numbered(file, "camera_", ".json") => cameras::read(bytes, name, judge).map(drop),
        _ if numbered(file, "extremities_", ".json") || numbered(file, "", ".json") => {
            Lines::read(bytes, name, judge).map(drop)
        }
        _ if file.starts_with("SoccerNet") && file.ends_with(".json") => {
            games::read(bytes, name).map(drop)
        }
        _ => return None,
    })
}

/// Whether a name consists of a prefix, digits and an end.
fn numbered(file: &str, prefix: &str, end: &str) -> bool {
    let digits = file.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(end));
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Checks the boxes of a sequence, whose length is that of `seqinfo.ini` two folders above, if it exists.
fn boxes(source: &Source, name: &str, bytes: &[u8], kind: mot::Kind) -> Result<()> {
    let info = name.rsplitn(3, '/').nth(2).map(|folder| format!("{folder}/seqinfo.ini"));
    let length = match info.filter(|info| source.has(info)) {
        Some(info) => Ini::read(&source.read(&info)?, &info)?.get("Sequence", "seqLength")?,
        None => usize::MAX,
    };
    mot::read(bytes, name, length, kind, &mut Judge::strict()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ranking_may_have_any_name_and_other_submissions_not() {
        let source = |text: &str| {
            Source::memory("mine", [("run-7.json".to_string(), text.as_bytes().to_vec())].into())
        };
        let task = Task::Reidentification2022;
        let checked = check_submission(task, &source(r#"{"0": [1, 0]}"#)).unwrap();
        assert_eq!((checked.right.len(), checked.wrong.len()), (1, 0));
        let checked = check_submission(task, &source(r#"{"0": ["a"]}"#)).unwrap();
        assert!(checked.wrong[0].to_string().starts_with("run-7.json: 0: \"a\" at rank 0"));
        let error = check_submission(Task::Spotting, &source("{}")).unwrap_err().to_string();
        assert_eq!(error, "mine: found no file with the name of a submission file");
    }

    #[test]
    fn each_file_is_read_by_its_name() {
        let file = |name: &str, text: &str| (name.to_string(), text.as_bytes().to_vec());
        let files = [
            file("l/s/g/Labels-v2.json", r#"{"annotations": []}"#),
            file("l/s/g/results_spotting.json", r#"{"predictions": 3}"#),
            file("l/s/g/1_720p.mkv", ""),
            file("S/img1/000001.png", ""),
            file("test/00001.json", "{}"),
            file("test/camera_00001.json", "{}"),
            file("S/gt/gt.txt", "3,1,0,0,5,5,1,-1,-1,-1\n"),
            file("S/det/det.txt", "1,-1,0,0,5,5,1\n1,-1,0,0,5,5,1\n"),
            file("S/seqinfo.ini", "[Sequence]\nseqLength = 2\n"),
        ];
        let checked = check(&Source::memory("mine", files.into()));
        assert_eq!(checked.right, ["S/det/det.txt", "l/s/g/Labels-v2.json", "test/00001.json"]);
        assert_eq!(checked.unknown, ["S/img1/000001.png", "l/s/g/1_720p.mkv"]);
        let wrong: Vec<String> = checked.wrong.iter().map(Error::to_string).collect();
        assert_eq!(
            wrong,
            [
                "S/gt/gt.txt: line 1: frame 3; expected 1 to 2",
                "S/seqinfo.ini: [Sequence] name: it is missing",
                "l/s/g/results_spotting.json: predictions: 3; expected a list",
                "test/camera_00001.json: x_focal_length: it is missing; expected a number",
            ]
        );
    }
}
