//! Re-identification of players: ranking of the thumbnails of an action by the player of another thumbnail.
//!
//! Giancola, Cioppa et al. *SoccerNet 2022 Challenges Results*. <https://arxiv.org/abs/2210.02365>, section 6.
//! The loss is that of `triplet.rs`.
//!
//! A training example is a player, shown by several views; other examples are single views. The measures are
//! the official ones. The baselines without learning are a random ranking, and a ranking by histograms of
//! colours.

use std::sync::Arc;

use burn::prelude::*;
use moe::{Domain, Input, config};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use soccernet::{Measured, Options, Source, Task as Official, format::ranking::Ranking};

use super::{
    players::{Player, PlayersConfig, bodies, load},
    triplet::{self, triplet},
};
use crate::{
    Batch, BatchPosition, DataDir, DataError, LoadTask, Score, Split, Task, WholeSplitTask,
    data::files::wrong, official::official_measures,
};

/// The number of bins per channel of the histogram of colours.
const BINS: usize = 8;

config! {
    /// The players, and the comparison of their thumbnails.
    pub struct ReidentificationConfig {
        /// The thumbnails.
        pub players: PlayersConfig = PlayersConfig::default(),
        /// The width of an embedding.
        pub embedding: usize = 32,
        /// The margin by which another player should be farther away than the same player.
        pub margin: f64 = 0.3,
    }
}

/// Re-identification of players.
pub struct Reidentification {
    config: ReidentificationConfig,
    players: [Vec<Player>; 3],
    /// The views of each training player.
    people: Vec<Vec<usize>>,
}

impl LoadTask for Reidentification {
    type Config = ReidentificationConfig;
    const NAME: &'static str = "player-reidentification";
    const ABOUT: &'static str = "re-identification of football players from thumbnails";
    const SOURCE: &'static str =
        "generated, or https://www.soccer-net.org (non-disclosure agreement)";

    fn load(config: &ReidentificationConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        triplet::check(config.embedding, config.margin)
            .map_err(|message| wrong(Self::NAME, message))?;
        Ok(Arc::new(Self::new(config, load(Self::NAME, &config.players, data)?)))
    }
}

impl Reidentification {
    fn new(config: &ReidentificationConfig, players: [Vec<Player>; 3]) -> Self {
        let mut people = std::collections::BTreeMap::<(&str, &str), Vec<usize>>::new();
        for (at, player) in players[0].iter().enumerate() {
            people.entry((&player.action, &player.person)).or_default().push(at);
        }
        let people = people.into_values().filter(|views| views.len() > 1).collect();
        Self { config: config.clone(), players, people }
    }

    /// Views with the players that they show, numbered by the first view of each.
    fn show(&self, split: Split, views: &[usize], labels: Vec<i32>, device: &Device) -> Batch {
        let [height, width] = self.config.players.shape();
        let all = &self.players[split as usize];
        let pixels: Vec<f32> =
            views.iter().flat_map(|view| all[*view].pixels.iter().copied()).collect();
        let pixels = TensorData::new(pixels, [views.len(), 3, height, width]);
        let labels = TensorData::new(labels, [views.len(), 1]);
        Batch::new(
            Input::Image(Tensor::from_data(pixels, device)),
            Tensor::from_data(labels, device),
        )
    }

    /// mAP and rank-1 by the histograms of colours.
    fn by_histograms(&self, split: Split) -> [f64; 2] {
        let shape = self.config.players.shape();
        let histograms: Vec<Vec<f64>> = self.players[split as usize]
            .iter()
            .map(|player| histogram(&player.pixels, shape))
            .collect();
        self.official(split, &|a, b| squared(&histograms[a], &histograms[b]))
    }

    /// mAP and rank-1 of the official evaluator, for a distance of two views.
    fn official(&self, split: Split, distance: &dyn Fn(usize, usize) -> f64) -> [f64; 2] {
        let all = &self.players[split as usize];
        let side = |is_query: bool| -> Vec<usize> {
            (0..all.len()).filter(|at| all[*at].is_query == is_query).collect()
        };
        let (queries, gallery) = (side(true), side(false));
        let ranked = |query: usize| -> Vec<i64> {
            let mut here: Vec<(f64, usize)> = (0..gallery.len())
                .filter(|at| all[gallery[*at]].action == all[query].action)
                .map(|at| (distance(query, gallery[at]), at))
                .collect();
            here.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            here.into_iter().map(|(_, at)| at as i64).collect()
        };
        let queries =
            queries.iter().enumerate().map(|(at, query)| (at.to_string(), ranked(*query)));
        let ranking = Ranking { queries: queries.collect() };
        let file = |name: &str, bytes: Vec<u8>| [(name.to_string(), bytes)].into();
        let truth = Source::memory("truth", file("bbox_info.json", bodies(all).write()));
        let seen = Source::memory("ranking", file("ranking.json", ranking.write()));
        let official = Official::Reidentification2022;
        let of = |found: Measured| match found {
            Measured::Reidentification(found) => Some([found.average, found.rank_1]),
            _ => None,
        };
        official_measures(official, &Options::of(official), [&truth, &seen], of)
    }
}

/// Histograms of the channels over the middle of the image: the number of pixels in each bin.
pub(super) fn histogram(pixels: &[f32], [height, width]: [usize; 2]) -> Vec<f64> {
    let mut counts = vec![0.0; 3 * BINS];
    for (at, value) in pixels.iter().enumerate() {
        let column = at % width;
        if (width / 4..width - width / 4).contains(&column) {
            let bin = ((value * BINS as f32) as usize).min(BINS - 1);
            counts[at / (height * width) * BINS + bin] += 1.0;
        }
    }
    counts
}

fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

impl Task for Reidentification {
    fn domain(&self) -> Domain {
        let [height, width] = self.config.players.shape();
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
            "mAP",
            "rank_1",
            "mAP_random",
            "mAP_histogram",
            "mAP_over_random",
            "mAP_over_histogram",
            "loss",
        ]
    }

    fn len(&self, split: Split) -> usize {
        match split {
            Split::Train => self.people.len(),
            _ => self.players[split as usize].len(),
        }
    }

    /// Single views; for the training split, the first view of each player.
    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        let view = |example: &usize| match split {
            Split::Train => self.people[*example][0],
            _ => *example,
        };
        let views: Vec<usize> = examples.iter().map(view).collect();
        let all = &self.players[split as usize];
        let same = |a: usize, b: usize| {
            (&all[a].action, &all[a].person) == (&all[b].action, &all[b].person)
        };
        let first = |view: &usize| views.iter().position(|other| same(*other, *view)).unwrap_or(0);
        let labels = views.iter().map(|view| first(view) as i32).collect();
        self.show(split, &views, labels, device)
    }

    fn training_batch(&self, examples: &[usize], place: BatchPosition, device: &Device) -> Batch {
        let (views, labels) = triplet::drawn_views(&self.people, examples, place);
        self.show(Split::Train, &views, labels, device)
    }

    /// The triplet loss over the batch.
    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        triplet(output, &batch.labels, self.config.margin)
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        score.add_loss(self.loss(output, batch), batch);
    }

    /// The ranking by histograms of colours.
    fn trivial(&self) -> Vec<(&'static str, f64)> {
        let [map, first] = self.by_histograms(Split::Test);
        vec![("mAP", map), ("rank_1", first)]
    }

    fn as_whole_split(&self) -> Option<&dyn WholeSplitTask> {
        Some(self)
    }
}

impl WholeSplitTask for Reidentification {
    fn measure_whole(&self, split: Split, outputs: &[Vec<f32>], score: &mut Score) {
        if split == Split::Train {
            return;
        }
        let unit = |row: &Vec<f32>| -> Vec<f64> {
            let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
            row.iter().map(|x| f64::from(*x) / length).collect()
        };
        let embeddings: Vec<Vec<f64>> = outputs.iter().map(unit).collect();
        let [map, first] = self.official(split, &|a, b| squared(&embeddings[a], &embeddings[b]));
        let [colours, _] = self.by_histograms(split);
        let lots = |a: usize, b: usize| {
            let seed = ((a as u64) << 32) + b as u64;
            ChaCha8Rng::seed_from_u64(seed).random::<f64>()
        };
        let [random, _] = self.official(split, &lots);
        for (name, value) in [
            ("mAP", map),
            ("rank_1", first),
            ("mAP_random", random),
            ("mAP_histogram", colours),
            ("mAP_over_random", map - random),
            ("mAP_over_histogram", map - colours),
        ] {
            score.add(name, value, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soccer::players::tests::small;

    fn task() -> Reidentification {
        let config =
            ReidentificationConfig { players: small(), embedding: 4, ..Default::default() };
        let players = load("t", &config.players, &DataDir::default()).unwrap();
        Reidentification::new(&config, players)
    }

    #[test]
    fn who_knows_the_players_is_perfect_and_colours_are_better_than_lots() {
        let task = task();
        let mut score = Score::default();
        let person = |player: &Player| {
            let uid: f32 = player.person.parse().unwrap();
            vec![uid.cos(), uid.sin(), 0.0, 0.0]
        };
        let outputs: Vec<Vec<f32>> = task.players[2].iter().map(person).collect();
        task.measure_whole(Split::Test, &outputs, &mut score);
        assert_eq!((score.mean("mAP"), score.mean("rank_1")), (1.0, 1.0));
        let [lots, colours] = ["mAP_random", "mAP_histogram"].map(|name| score.mean(name));
        assert!(lots < colours && lots > 0.2 && lots < 0.8, "{lots} {colours}");
        assert_eq!(task.trivial()[0], ("mAP", colours));
    }

    #[test]
    fn a_triplet_loss_by_hand() {
        let (task, device) = (task(), Device::flex());
        let batch = task.training_batch(&[0, 1], BatchPosition { seed: 0, position: 0 }, &device);
        assert_eq!(batch.labels.dims(), [8, 1]);
        // The first player's views all in one direction, the second's in another: far 0, near sqrt 2.
        let rows =
            |own: [f32; 4], other: [f32; 4]| [own; 4].into_iter().chain([other; 4]).flatten();
        let of = |own, other| {
            let values: Vec<f32> = rows(own, other).collect();
            let output = Tensor::<3>::from_data(TensorData::new(values, [8, 1, 4]), &device);
            task.loss(output, &batch).into_scalar::<f32>()
        };
        assert_eq!(of([1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]), 0.0);
        let same = of([1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]);
        assert!((same - 0.3).abs() < 1e-4, "{same}");
    }
}
