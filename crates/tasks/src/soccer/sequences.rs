//! Sequences of boxes: `SEQUENCE/gt/gt.txt`, `det/det.txt`, `seqinfo.ini`, perhaps with frames, real or
//! generated.
//! Generated ones are those of `movement.rs`, with the frames of `frames.rs` if requested.

use std::{collections::BTreeMap, path::Path};

use soccernet::{
    Judge,
    format::{
        ini::Sequence,
        mot::{self, Kind, TrackedBox},
    },
};

use super::{
    association::Rect,
    frames::{FramesConfig, cut},
    movement::generated,
    sequences_config::SequencesConfig,
};
use crate::{
    DataDir, DataError,
    data::files::{Files, fault, wrong},
};

/// A sequence: the files of the truth, and its boxes.
pub(super) struct Clip {
    pub(super) name: String,
    /// `gt.txt` and `seqinfo.ini`.
    pub(super) files: [Vec<u8>; 2],
    pub(super) rows: Vec<TrackedBox>,
    pub(super) frames: usize,
    /// The crops of the frames for each of `rows`, if they were requested and the sequence has frames.
    pub(super) crops: Option<Vec<Vec<u8>>>,
}

impl Clip {
    /// The boxes of each track, frame by frame, without gaps.
    pub(super) fn trajectories(&self) -> Vec<Vec<Rect>> {
        let mut tracks: BTreeMap<i64, Vec<(usize, Rect)>> = BTreeMap::new();
        for row in &self.rows {
            tracks.entry(row.id).or_default().push((row.frame, row.rect));
        }
        let mut trajectories = Vec::new();
        for mut track in tracks.into_values() {
            track.sort_by_key(|(frame, _)| *frame);
            let pieces = track.chunk_by(|a, b| a.0 + 1 == b.0);
            trajectories.extend(pieces.map(|piece| piece.iter().map(|(_, rect)| *rect).collect()));
        }
        trajectories
    }

    /// The boxes of each frame: those of the truth, as in the challenge's `det.txt`.
    pub(super) fn boxes(&self) -> Vec<Vec<Rect>> {
        let rects = |rows: Vec<usize>| rows.into_iter().map(|at| self.rows[at].rect).collect();
        self.by_frame().into_iter().map(rects).collect()
    }

    /// The rows of each frame.
    pub(super) fn by_frame(&self) -> Vec<Vec<usize>> {
        let mut rows = vec![Vec::new(); self.frames];
        self.rows.iter().enumerate().for_each(|(at, row)| rows[row.frame - 1].push(at));
        rows
    }

    /// The rows of each track, in the order of frames.
    pub(super) fn by_track(&self) -> Vec<Vec<usize>> {
        let mut tracks = BTreeMap::<i64, Vec<usize>>::new();
        for at in self.by_frame().into_iter().flatten() {
            tracks.entry(self.rows[at].id).or_default().push(at);
        }
        tracks.into_values().collect()
    }
}

/// Writes generated sequences, with drawn frames if requested, as a folder or, if the name ends in `.zip`, as
/// an archive.
///
/// # Errors
/// If a config does not fit, or the system refuses.
pub fn write_sequences(
    config: &SequencesConfig,
    frames: Option<&FramesConfig>,
    path: &Path,
) -> Result<(), DataError> {
    let config = &SequencesConfig { folder: None, ..config.clone() };
    check("sequences", config, frames)?;
    let files: Vec<(String, Vec<u8>)> = generated(config, frames).into_iter().collect();
    soccernet::write_files(path, &files).map_err(fault)
}

fn check(
    name: &str,
    config: &SequencesConfig,
    frames: Option<&FramesConfig>,
) -> Result<(), DataError> {
    let crop = frames.map_or(0, |frames| frames.shape().iter().product::<usize>());
    let checked = frames.map_or(Ok(()), FramesConfig::check).and_then(|()| config.check(crop));
    checked.map_err(|message| wrong(name, message))
}

/// The sequences of the three splits; with `frames`, each box is cut out of its frame where there are frames.
pub(super) fn load(
    task: &str,
    config: &SequencesConfig,
    frames: Option<&FramesConfig>,
    data: &DataDir,
) -> Result<[Vec<Clip>; 3], DataError> {
    check(task, config, frames)?;
    let files = Files::new(data, config.folder.as_deref(), || generated(config, frames));
    let read = |split: &str| -> Result<Vec<Clip>, DataError> {
        files.entries(split)?.iter().map(|name| clip(&files, split, name, frames)).collect()
    };
    let needed = |split: &str| files.some(split, "folders of sequences", read(split)?);
    let (mut train, mut valid, test) = (needed("train")?, read("valid")?, needed("test")?);
    if valid.is_empty() {
        valid = train.split_off(train.len() - (train.len() / 5).max(1).min(train.len()));
    }
    Ok([train, valid, test])
}

fn clip(
    files: &Files<'_>,
    split: &str,
    name: &str,
    frames: Option<&FramesConfig>,
) -> Result<Clip, DataError> {
    let folder = format!("{split}/{name}");
    let path = |file: &str| format!("{folder}/{file}");
    let bytes = [files.read(&path("gt/gt.txt"))?, files.read(&path("seqinfo.ini"))?];
    let info = Sequence::read(&bytes[1], &path("seqinfo.ini")).map_err(fault)?;
    let judge = &mut Judge::default();
    let rows = mot::read(&bytes[0], &path("gt/gt.txt"), info.length, Kind::Truth, judge);
    let rows = rows.map_err(fault)?.into_iter();
    let rows: Vec<TrackedBox> = rows.filter(|row| row.confidence != 0.0).collect();
    let crops = match frames {
        Some(frames) => cut(files, &folder, &info, &rows, frames.shape())?,
        None => None,
    };
    Ok(Clip { name: name.to_string(), files: bytes, rows, frames: info.length, crops })
}

#[cfg(test)]
mod tests {
    use super::*;
    use soccernet::{Source, check};

    #[test]
    fn generated_files_are_what_their_names_say_and_a_folder_of_them_is_the_same() {
        let config = SequencesConfig {
            train: 2,
            valid: 1,
            test: 1,
            frames: 6,
            players: 3,
            ..Default::default()
        };
        let checked = check(&Source::memory("made", generated(&config, None)));
        assert_eq!((checked.right.len(), checked.wrong, checked.unknown), (12, vec![], vec![]));
        let folder = tempfile::tempdir().unwrap();
        write_sequences(&config, None, &folder.path().join("tracking")).unwrap();
        let made = load("t", &config, None, &DataDir::default()).unwrap();
        let real = SequencesConfig { folder: Some("tracking".into()), ..config };
        let read = load("t", &real, None, &DataDir::new(Some(folder.path().into()))).unwrap();
        assert_eq!(made.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1]);
        for (a, b) in made.iter().flatten().zip(read.iter().flatten()) {
            assert_eq!((&a.name, &a.rows), (&b.name, &b.rows));
        }
        assert_eq!(made[2][0].trajectories().len(), 4);
        assert_eq!(made[2][0].boxes()[5].len(), 4);
        std::fs::remove_dir_all(folder.path().join("tracking/valid")).unwrap();
        let read = load("t", &real, None, &DataDir::new(Some(folder.path().into()))).unwrap();
        assert_eq!(read.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn boxes_are_cut_out_of_their_frames_and_a_missing_frame_is_named() {
        let config = SequencesConfig {
            train: 2,
            valid: 1,
            test: 1,
            frames: 4,
            players: 3,
            ..Default::default()
        };
        let frames = FramesConfig { width: 160, crop: 16 };
        let checked = check(&Source::memory("made", generated(&config, Some(&frames))));
        assert_eq!((checked.right.len(), checked.wrong, checked.unknown.len()), (12, vec![], 16));
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tracking");
        write_sequences(&config, Some(&frames), &root).unwrap();
        let data = DataDir::new(Some(folder.path().into()));
        let real = SequencesConfig { folder: Some("tracking".into()), ..config };
        let made = load("t", &config, Some(&frames), &DataDir::default()).unwrap();
        let read = load("t", &real, Some(&frames), &data).unwrap();
        for (a, b) in made.iter().flatten().zip(read.iter().flatten()) {
            let crops = a.crops.as_ref().unwrap();
            assert_eq!((crops.len(), crops[0].len()), (a.rows.len(), 3 * 16 * 8));
            assert_eq!((&a.rows, &a.crops), (&b.rows, &b.crops));
        }
        std::fs::remove_dir_all(root.join("valid/SNMOT-000/img1")).unwrap();
        let read = load("t", &real, Some(&frames), &data).unwrap();
        assert!(read[1][0].crops.is_none() && read[2][0].crops.is_some());
        let error = || load("t", &real, Some(&frames), &data).err().unwrap().to_string();
        let file = root.join("test/SNMOT-000/img1/000003.png");
        std::fs::copy(root.join("test/SNMOT-000/img1/000002.png"), &file).unwrap();
        std::fs::write(&file, png(160)).unwrap();
        assert!(
            error().contains("000003.png: 160 x 10 pixels; expected 160 x 90, as in seqinfo.ini")
        );
        std::fs::remove_file(&file).unwrap();
        assert!(error().contains("test/SNMOT-000/img1/000003.png: the frame is missing"));
        let info = root.join("train/SNMOT-001/seqinfo.ini");
        let text = std::fs::read_to_string(&info).unwrap();
        std::fs::write(&info, text.replace("img1", "../../x")).unwrap();
        assert!(error().contains("[Sequence] imDir: \"../../x\"; expected a name without /"));
    }

    fn png(width: u32) -> Vec<u8> {
        crate::soccer::players::png(&image::RgbImage::new(width, 10))
    }

    #[test]
    fn gaps_end_a_course() {
        let row = |frame| TrackedBox {
            frame,
            id: 1,
            rect: [frame as f64; 4],
            confidence: 1.0,
            class: -1,
        };
        let rows = vec![row(1), row(2), row(4)];
        let (name, files) = (String::new(), Default::default());
        let clip = Clip { name, files, rows, frames: 4, crops: None };
        assert_eq!(clip.trajectories(), [vec![[1.0; 4], [2.0; 4]], vec![[4.0; 4]]]);
    }
}
