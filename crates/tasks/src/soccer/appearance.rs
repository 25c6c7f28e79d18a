//! Tracking of players with appearance: a network embeds crops of frames, and a tracker uses the embeddings.
//!
//! Cioppa et al. *SoccerNet-Tracking*. CVPR Workshops 2022. <https://arxiv.org/abs/2204.06918>
//! Wojke, Bewley, Paulus. *Simple Online and Realtime Tracking with a Deep Association Metric*. ICIP 2017.
//! <https://arxiv.org/abs/1703.07402>: motion and appearance in one cost (`association.rs`, `tracker.rs`).
//!
//! A training example is a player, shown by several boxes of one sequence; other examples are single boxes.
//! The loss is that of `triplet.rs`; the descriptor of a box is its embedding, of length 1. The boxes are
//! those of the truth, and are expected to move in a straight line, so that the measures differ by appearance
//! alone: `HOTA` with motion and embeddings, `HOTA_motion` with motion alone, `HOTA_histogram` with
//! histograms of colours in place of embeddings, and `HOTA_without_memory` with embeddings, but without
//! memory of lost tracks. The gate within which a lost track is found again covers a share `gate` of the
//! distances of the validation split.
//!
//! A sequence without frames is tracked by motion alone.

use std::sync::Arc;

use burn::prelude::*;
use moe::{Domain, Input, config};

use super::{
    association::Descriptor,
    descriptors::{Use, by_frame, by_motion, gate, of_length_1, tracked},
    frames::FramesConfig,
    measured::{TrackMeasures, add_official},
    players::unit,
    reidentification::histogram,
    sequences::{Clip, load},
    sequences_config::SequencesConfig,
    tracker::MEMORY,
    triplet::{self, triplet},
};
use crate::{
    Batch, BatchPosition, DataDir, DataError, LoadTask, Score, SequentialTask, Split, Task,
    data::files::wrong,
};

/// The number of boxes that are embedded at once.
const AT_ONCE: usize = 64;

config! {
    /// The sequences, and the comparison of their boxes.
    pub struct AppearanceTrackingConfig {
        /// The sequences.
        pub sequences: SequencesConfig = SequencesConfig::default(),
        /// Their frames.
        pub frames: FramesConfig = FramesConfig::default(),
        /// The width of an embedding.
        pub embedding: usize = 32,
        /// The margin by which another player should be farther away than the same player.
        pub margin: f64 = 0.3,
        /// The weight of motion in the cost of a pair; that of appearance is the rest to 1.
        pub lambda: f64 = 0.5,
        /// The share of the distances between boxes of the same player that the gate covers.
        pub gate: f64 = 0.95,
    }
}

impl AppearanceTrackingConfig {
    fn check(&self) -> Result<(), String> {
        let Self { lambda, gate, .. } = self;
        triplet::check(self.embedding, self.margin)?;
        match [lambda, gate].iter().all(|share| (0.0..=1.0).contains(*share)) {
            true => Ok(()),
            false => Err(format!("lambda = {lambda}, gate = {gate}: must be from 0 to 1")),
        }
    }
}

/// Tracking of players with appearance.
pub struct AppearanceTracking {
    config: AppearanceTrackingConfig,
    clips: [Vec<Clip>; 3],
    /// The clip and the row of each box that has a frame, by split.
    views: [Vec<[usize; 2]>; 3],
    /// The views of each training player.
    people: Vec<Vec<usize>>,
}

impl LoadTask for AppearanceTracking {
    type Config = AppearanceTrackingConfig;
    const NAME: &'static str = "appearance-tracking";
    const ABOUT: &'static str = "tracking of football players with a learned appearance model";
    const SOURCE: &'static str =
        "generated, or https://www.soccer-net.org (non-disclosure agreement)";

    fn load(config: &AppearanceTrackingConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        config.check().map_err(|message| wrong(Self::NAME, message))?;
        let clips = load(Self::NAME, &config.sequences, Some(&config.frames), data)?;
        let task = Self::new(config, clips);
        for split in [Split::Train, Split::Valid, Split::Test] {
            if task.len(split) == 0 {
                let message = format!(
                    "sequences.folder = {:?}: no sequence of split {} has frames; \
                     add img1, or use the task player-tracking, which needs none",
                    config.sequences.folder.as_deref().unwrap_or_default(),
                    split.name()
                );
                return Err(wrong(Self::NAME, message));
            }
        }
        Ok(Arc::new(task))
    }
}

impl AppearanceTracking {
    fn new(config: &AppearanceTrackingConfig, clips: [Vec<Clip>; 3]) -> Self {
        let views = clips.each_ref().map(|clips| {
            let of = |(clip, rows): (usize, &Clip)| {
                let rows = rows.crops.as_ref().map_or(0, Vec::len);
                (0..rows).map(|row| [clip, row]).collect::<Vec<_>>()
            };
            clips.iter().enumerate().flat_map(of).collect::<Vec<_>>()
        });
        let mut people = Vec::new();
        let mut first = 0;
        for clip in clips[0].iter().filter(|clip| clip.crops.is_some()) {
            let tracks = clip.by_track().into_iter().filter(|rows| rows.len() > 1);
            people.extend(tracks.map(|rows| rows.into_iter().map(|row| first + row).collect()));
            first += clip.rows.len();
        }
        Self { config: config.clone(), clips, views, people }
    }

    /// The pixels of a box: red, green and blue from 0 to 1, channel by channel.
    fn pixels(&self, split: Split, view: usize) -> Vec<f32> {
        let [clip, row] = self.views[split as usize][view];
        let crops = self.clips[split as usize][clip].crops.as_ref();
        unit(crops.map_or(&[], |crops| &crops[row]))
    }

    fn input(&self, split: Split, views: &[usize], device: &Device) -> Input {
        let [height, width] = self.config.frames.shape();
        let pixels: Vec<f32> = views.iter().flat_map(|view| self.pixels(split, *view)).collect();
        let pixels = TensorData::new(pixels, [views.len(), 3, height, width]);
        Input::Image(Tensor::from_data(pixels, device))
    }

    fn show(&self, split: Split, views: &[usize], labels: Vec<i32>, device: &Device) -> Batch {
        let labels = Tensor::from_data(TensorData::new(labels, [views.len(), 1]), device);
        Batch::new(self.input(split, views, device), labels)
    }

    /// The network's descriptors of all views of a split.
    fn embeddings(
        &self,
        split: Split,
        network: &mut dyn FnMut(Input) -> Tensor<3>,
        device: &Device,
    ) -> Vec<Descriptor> {
        let views: Vec<usize> = (0..self.views[split as usize].len()).collect();
        let embed = |views: &[usize]| {
            let output = network(self.input(split, views, device)).into_data();
            let values: Vec<f64> = output.iter::<f32>().map(f64::from).collect();
            values.chunks(self.config.embedding).map(of_length_1).collect::<Vec<_>>()
        };
        views.chunks(AT_ONCE).flat_map(embed).collect()
    }

    /// Descriptors of all views of a split by the colours of boxes.
    fn histograms(&self, split: Split) -> Vec<Descriptor> {
        let shape = self.config.frames.shape();
        let of = |view| of_length_1(&histogram(&self.pixels(split, view), shape));
        (0..self.views[split as usize].len()).map(of).collect()
    }

    /// The measures of a split, from the descriptors of all views of the validation split, which determine
    /// the gate, and those of this split.
    fn seen(
        &self,
        split: Split,
        [valid, own]: [Vec<Descriptor>; 2],
        memory: usize,
    ) -> TrackMeasures {
        let gate = gate(&self.clips[Split::Valid as usize], &valid, self.config.gate);
        let clips = &self.clips[split as usize];
        let use_of = Use { lambda: self.config.lambda, gate, memory };
        tracked(clips, &by_frame(clips, own), use_of)
    }
}

impl Task for AppearanceTracking {
    fn domain(&self) -> Domain {
        let [height, width] = self.config.frames.shape();
        Domain::Image { channels: 3, height, width }
    }

    fn outputs(&self) -> usize {
        self.config.embedding
    }

    fn is_classification(&self) -> bool {
        false
    }

    fn causal(&self) -> bool {
        false
    }

    fn metrics(&self) -> &[&'static str] {
        &[
            "HOTA",
            "DetA",
            "AssA",
            "MOTA",
            "IDF1",
            "HOTA_motion",
            "HOTA_histogram",
            "HOTA_without_memory",
            "HOTA_over_motion",
            "HOTA_over_histogram",
            "HOTA_without_memory_over_motion",
            "HOTA_histogram_over_motion",
            "loss",
        ]
    }

    fn note(&self) -> &'static str {
        let all = self.clips[1..].iter().flatten();
        match all.into_iter().all(|clip| clip.crops.is_some()) {
            true => "",
            false => "sequences without frames are tracked by motion alone",
        }
    }

    fn len(&self, split: Split) -> usize {
        match split {
            Split::Train => self.people.len(),
            _ => self.views[split as usize].len(),
        }
    }

    /// Single boxes; for the training split, the first box of each player.
    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        let view = |example: &usize| match split {
            Split::Train => self.people[*example][0],
            _ => *example,
        };
        let views: Vec<usize> = examples.iter().map(view).collect();
        let player = |view: &usize| {
            let [clip, row] = self.views[split as usize][*view];
            (clip, self.clips[split as usize][clip].rows[row].id)
        };
        let players: Vec<_> = views.iter().map(player).collect();
        let first = |player| players.iter().position(|other| other == player).unwrap_or(0) as i32;
        let labels = players.iter().map(first).collect();
        self.show(split, &views, labels, device)
    }

    fn training_batch(&self, examples: &[usize], place: BatchPosition, device: &Device) -> Batch {
        let (views, labels) = triplet::drawn_views(&self.people, examples, place);
        self.show(Split::Train, &views, labels, device)
    }

    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        triplet(output, &batch.labels, self.config.margin)
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        score.add_loss(self.loss(output, batch), batch);
    }

    /// The better of motion alone and histograms of colours, chosen on the validation split.
    fn trivial(&self) -> Vec<(&'static str, f64)> {
        let by_colours = |split| {
            let both = [Split::Valid, split].map(|split| self.histograms(split));
            self.seen(split, both, MEMORY)[0]
        };
        let motion = |split: Split| by_motion(&self.clips[split as usize])[0];
        let hota = match motion(Split::Valid) > by_colours(Split::Valid) {
            true => motion(Split::Test),
            false => by_colours(Split::Test),
        };
        vec![("HOTA", hota)]
    }

    fn as_sequential(&self) -> Option<&dyn SequentialTask> {
        Some(self)
    }
}

impl SequentialTask for AppearanceTracking {
    fn measure_sequence(
        &self,
        split: Split,
        network: &mut dyn FnMut(Input) -> Tensor<3>,
        device: &Device,
        score: &mut Score,
    ) {
        if split == Split::Train {
            return;
        }
        let clips = &self.clips[split as usize];
        let both = |of: &mut dyn FnMut(Split) -> Vec<Descriptor>| [of(Split::Valid), of(split)];
        let learned = both(&mut |split| self.embeddings(split, network, device));
        let [forgetful, ..] = self.seen(split, learned.clone(), 0);
        let colours = both(&mut |split| self.histograms(split));
        let [colours, ..] = self.seen(split, colours, MEMORY);
        let [motion, ..] = by_motion(clips);
        let found = self.seen(split, learned, MEMORY);
        add_official(found, score);
        let [hota, ..] = found;
        for (name, value) in [
            ("HOTA_motion", motion),
            ("HOTA_histogram", colours),
            ("HOTA_without_memory", forgetful),
            ("HOTA_over_motion", hota - motion),
            ("HOTA_over_histogram", hota - colours),
            ("HOTA_without_memory_over_motion", forgetful - motion),
            ("HOTA_histogram_over_motion", colours - motion),
        ] {
            score.add(name, value, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequences() -> SequencesConfig {
        SequencesConfig {
            train: 2,
            valid: 1,
            test: 1,
            frames: 30,
            players: 8,
            ..Default::default()
        }
    }

    fn task() -> AppearanceTracking {
        let frames = FramesConfig { width: 320, crop: 16 };
        let config = AppearanceTrackingConfig {
            sequences: sequences(),
            frames,
            embedding: 9,
            ..Default::default()
        };
        let clips = load("t", &config.sequences, Some(&config.frames), &DataDir::default());
        AppearanceTracking::new(&config, clips.unwrap())
    }

    /// The score of a network that knows the player in each box, in the order in which boxes are embedded.
    fn measured(task: &AppearanceTracking, answer: &dyn Fn(i64) -> usize) -> Score {
        let (mut score, device) = (Score::default(), Device::flex());
        let order = [Split::Valid, Split::Test].map(|split| {
            task.views[split as usize]
                .iter()
                .map(move |[clip, row]| task.clips[split as usize][*clip].rows[*row].id)
        });
        let mut order = order.into_iter().flatten();
        let mut network = |input: Input| {
            let Input::Image(pixels) = input else { panic!("they are images") };
            let n = pixels.dims()[0];
            let mut rows = vec![0.0_f32; n * 9];
            (0..n).for_each(|at| rows[at * 9 + answer(order.next().unwrap())] = 1.0);
            Tensor::from_data(TensorData::new(rows, [n, 1, 9]), &Device::flex())
        };
        task.measure_sequence(Split::Test, &mut network, &device, &mut score);
        score
    }

    #[test]
    fn who_knows_the_players_tracks_them_and_without_weight_and_memory_there_is_motion_alone() {
        let task = task();
        let knows = measured(&task, &|id| id as usize - 1);
        let of = |name| knows.mean(name);
        // A ball that is faster than the reach of a track is lost with any descriptor.
        assert!(of("HOTA") > 0.95 && of("HOTA_over_motion") > 0.0, "{knows:?}");
        assert!(of("HOTA_over_histogram") >= 0.0, "{knows:?}");
        let [("HOTA", trivial)] = task.trivial()[..] else { panic!("{knows:?}") };
        assert!([of("HOTA_motion"), of("HOTA_histogram")].contains(&trivial), "{trivial}");
        assert!(of("HOTA_without_memory") < of("HOTA"), "players come back: {knows:?}");
        assert_eq!(of("HOTA_over_motion"), of("HOTA") - of("HOTA_motion"));
        let config = AppearanceTrackingConfig { lambda: 1.0, ..task.config.clone() };
        let task = AppearanceTracking::new(&config, task.clips);
        let unweighed = measured(&task, &|id| id as usize - 1);
        assert_eq!(unweighed.mean("HOTA_without_memory_over_motion"), 0.0);
    }

    #[test]
    fn views_of_a_batch_are_those_of_their_players() {
        let (task, device) = (task(), Device::flex());
        assert_eq!(task.len(Split::Train), 2 * 9);
        let batch = task.training_batch(&[9, 3], BatchPosition { seed: 0, position: 0 }, &device);
        let labels: Vec<i32> = batch.labels.to_data().iter::<i32>().collect();
        assert_eq!(labels, [9, 9, 9, 9, 3, 3, 3, 3]);
        let [clip, row] = task.views[0][task.people[9][0]];
        assert_eq!((clip, task.clips[0][clip].rows[row].id), (1, 1), "of the second clip");
        let of_test = task.batch(Split::Test, &[0, 1, task.clips[2][0].by_track()[0][1]], &device);
        let labels: Vec<i32> = of_test.labels.to_data().iter::<i32>().collect();
        assert_eq!(labels, [0, 1, 0]);
        assert_eq!(task.len(Split::Test), task.clips[2][0].rows.len());
    }

    #[test]
    fn sequences_without_frames_are_noted_and_a_split_without_any_is_refused() {
        let (mut task, folder) = (task(), tempfile::tempdir().unwrap());
        assert_eq!(task.note(), "");
        task.clips[2][0].crops = None;
        let task = AppearanceTracking::new(&task.config, task.clips);
        assert_eq!(task.note(), "sequences without frames are tracked by motion alone");
        let seen = task.seen(Split::Test, [task.histograms(Split::Valid), vec![]], MEMORY);
        assert_eq!(seen, by_motion(&task.clips[2]));
        crate::soccer::write_sequences(&sequences(), None, &folder.path().join("tracks")).unwrap();
        let config = AppearanceTrackingConfig {
            sequences: SequencesConfig { folder: Some("tracks".into()), ..sequences() },
            ..Default::default()
        };
        let data = DataDir::new(Some(folder.path().into()));
        let error = AppearanceTracking::load(&config, &data).err().unwrap().to_string();
        assert!(error.contains("no sequence of split train has frames"), "{error}");
        let config = AppearanceTrackingConfig { lambda: 1.5, ..Default::default() };
        let error = AppearanceTracking::load(&config, &data).err().unwrap().to_string();
        assert!(error.contains("lambda = 1.5, gate = 0.95: must be from 0 to 1"), "{error}");
    }
}
