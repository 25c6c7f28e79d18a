//! Units of planted clusters, each with a decision of its own, so that the value of correct routing is known.
//!
//! Not from a paper; the data model is in the spirit of Chen, Deng, Wu, Gu, Li. *Towards Understanding
//! the Mixture-of-Experts Layer in Deep Learning*. NeurIPS 2022. <https://arxiv.org/abs/2208.02813>
//!
//! ```text
//! c uniform in 0..K,  z ~ N(0, I),  x = (a e_c, z),  y = sign(z_c)
//! ```
//! An example is one unit. Its first K coordinates are the cluster's code, of size a; all others are drawn at
//! random, and the class is the sign of the one that the cluster selects.
//!
//! - A network that knows the cluster reaches accuracy 1, with one sign for each expert.
//! - Without the cluster the best decision is the majority of the K signs, which agrees with the class
//!   at E max(p, 1 - p) for the share p of positive signs: accuracy 0.637 for K = 8. It is the task's
//!   trivial baseline.
//!
//! The code is a small part of x if a is small against the square root of the width: the choices of an
//! untrained gate then follow z and contain almost no information about the cluster.

use std::sync::Arc;

use burn::prelude::*;
use moe::{Domain, Input, config, stable_hash};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::margin;
use crate::{
    Batch, ClusteredTask, DataDir, DataError, LoadTask, Score, Split, Task,
    data::{files::wrong, fits},
};

/// The maximum number of clusters; the time to compute the trivial baseline grows with its square.
const CLUSTERS: usize = 4096;

config! {
    /// Sizes of the planted clusters.
    pub struct PlantedClustersConfig {
        /// Clusters, K.
        pub clusters: usize = 8,
        /// The width of a unit; at least 2 K.
        pub width: usize = 32,
        /// The size of the cluster's code, a.
        pub code: f64 = 1.0,
        /// Examples for training.
        pub train: usize = 16384,
        /// Examples of the validation split, and as many of the test split.
        pub test: usize = 4000,
    }
}

/// Units of planted clusters.
pub struct PlantedClusters {
    config: PlantedClustersConfig,
    splits: [Examples; 3],
}

/// The units of a split, `[N, width]`, and their clusters and classes, `[N]`.
#[derive(Default, PartialEq, Debug)]
struct Examples {
    units: Vec<f32>,
    clusters: Vec<i32>,
    classes: Vec<i32>,
}

impl LoadTask for PlantedClusters {
    type Config = PlantedClustersConfig;
    const NAME: &'static str = "planted-clusters";
    const ABOUT: &'static str =
        "generated units in clusters with a decision each: the value of correct routing is known";
    const SOURCE: &'static str = "generated";

    fn load(config: &PlantedClustersConfig, _data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        let wrong = |message: String| wrong(Self::NAME, message);
        let PlantedClustersConfig { clusters, width, code, train, test } = *config;
        if clusters < 2 || clusters > width / 2 {
            let message =
                format!("clusters = {clusters}: must be from 2 to half of width = {width}");
            return Err(wrong(message));
        }
        if !(code.is_finite() && code > 0.0) {
            return Err(wrong(format!("code = {code}: must be above 0")));
        }
        if train == 0 || test == 0 {
            return Err(wrong(format!("train = {train}, test = {test}: both must be at least 1")));
        }
        if clusters > CLUSTERS {
            return Err(wrong(format!("clusters = {clusters}: must be at most {CLUSTERS}")));
        }
        let counts = [("train", train), ("valid", test), ("test", test)];
        fits(&counts, &[("width", width)]).map_err(wrong)?;
        Ok(Arc::new(Self::new(config)))
    }
}

impl PlantedClusters {
    fn new(config: &PlantedClustersConfig) -> Self {
        let splits = [Split::Train, Split::Valid, Split::Test].map(|split| {
            let n = if split == Split::Train { config.train } else { config.test };
            draw(config, n, split.name())
        });
        Self { config: config.clone(), splits }
    }
}

fn draw(config: &PlantedClustersConfig, n: usize, split: &str) -> Examples {
    let PlantedClustersConfig { clusters, width, code, .. } = *config;
    let mut rng = ChaCha8Rng::seed_from_u64(stable_hash(&format!("planted-clusters/{split}")));
    let mut examples = Examples::default();
    for _ in 0..n {
        let cluster = rng.random_range(0..clusters);
        let z: Vec<f32> = (clusters..width).map(|_| StandardNormal.sample(&mut rng)).collect();
        let own = |c| if c == cluster { code as f32 } else { 0.0 };
        examples.units.extend((0..clusters).map(own).chain(z.iter().copied()));
        examples.clusters.push(cluster as i32);
        examples.classes.push(i32::from(z[cluster] > 0.0));
    }
    examples
}

/// The accuracy of the best decision that does not know the cluster: the majority of K fair signs,
/// one of which, drawn evenly, is the class.
fn blind_accuracy(clusters: usize) -> f64 {
    let chances = (0..clusters).fold(vec![1.0_f64], |row, _| {
        let padded = |i: usize| row.get(i).copied().unwrap_or(0.0);
        (0..=row.len()).map(|i| (padded(i) + i.checked_sub(1).map_or(0.0, padded)) / 2.0).collect()
    });
    let agree = |positive: usize| positive.max(clusters - positive) as f64 / clusters as f64;
    chances.iter().enumerate().map(|(positive, chance)| chance * agree(positive)).sum()
}

impl Task for PlantedClusters {
    /// An image of one row.
    fn domain(&self) -> Domain {
        Domain::Image { channels: 1, height: 1, width: self.config.width }
    }

    /// One number, f: the class is its sign.
    fn outputs(&self) -> usize {
        1
    }

    fn causal(&self) -> bool {
        false
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["accuracy", "loss"]
    }

    fn len(&self, split: Split) -> usize {
        self.splits[split as usize].classes.len()
    }

    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        let (w, b, from) = (self.config.width, examples.len(), &self.splits[split as usize]);
        let row = |example: &usize| &from.units[example * w..(example + 1) * w];
        let units: Vec<f32> = examples.iter().flat_map(row).copied().collect();
        let classes: Vec<i32> = examples.iter().map(|example| from.classes[*example]).collect();
        Batch::new(
            Input::Image(Tensor::from_data(TensorData::new(units, [b, 1, 1, w]), device)),
            Tensor::from_data(TensorData::new(classes, [b, 1]), device),
        )
    }

    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        margin::hinge(output, batch)
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        margin::measure(output, batch, score);
    }

    fn trivial(&self) -> Vec<(&'static str, f64)> {
        vec![("accuracy", blind_accuracy(self.config.clusters))]
    }

    fn as_clustered(&self) -> Option<&dyn ClusteredTask> {
        Some(self)
    }
}

impl ClusteredTask for PlantedClusters {
    /// The index of the largest of a unit's first coordinates, which are its code.
    fn clusters(&self, batch: &Batch) -> Tensor<2, Int> {
        let Input::Image(units) = &batch.input else {
            unreachable!("a unit is an image of one row")
        };
        let [b, ..] = units.dims();
        let codes = units.clone().narrow(3, 0, self.config.clusters);
        let own = codes.into_data().iter::<f32>().collect::<Vec<_>>();
        let own = own
            .chunks(self.config.clusters)
            .map(|code| code.iter().position(|value| *value > 0.0).unwrap_or_default() as i32);
        Tensor::from_data(TensorData::new(own.collect(), [b, 1]), &batch.labels.device())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> PlantedClusters {
        let config = PlantedClustersConfig { train: 64, test: 4000, ..Default::default() };
        PlantedClusters::new(&config)
    }

    #[test]
    fn the_cluster_says_which_sign_is_the_class() {
        let task = task();
        for examples in &task.splits {
            let units = examples.units.chunks(32);
            let told = examples.clusters.iter().zip(&examples.classes);
            for (unit, (cluster, class)) in units.zip(told) {
                let c = *cluster as usize;
                assert_eq!(unit[..8].iter().sum::<f32>(), unit[c]);
                assert_eq!((unit[c], unit[8 + c] > 0.0), (1.0, *class == 1));
            }
        }
        assert_ne!(task.splits[1], task.splits[2]);
    }

    #[test]
    fn clusters_are_found_again_in_a_batch() {
        let task = task();
        let batch = task.batch(Split::Test, &[5, 0, 17], &Device::flex());
        let found: Vec<i32> = task.clusters(&batch).into_data().iter().collect();
        assert_eq!(found, [5, 0, 17].map(|example: usize| task.splits[2].clusters[example]));
    }

    /// The value is 1/2 + 35/256 for eight clusters; the majority reaches it on the test split.
    #[test]
    fn who_does_not_know_the_cluster_follows_the_majority() {
        assert_eq!(blind_accuracy(2), 0.75);
        assert!((blind_accuracy(8) - (0.5 + 35.0 / 256.0)).abs() < 1e-12);
        let test = &task().splits[2];
        let majority = |unit: &[f32]| unit[8..16].iter().filter(|z| **z > 0.0).count();
        let right =
            test.units.chunks(32).zip(&test.classes).map(|(unit, class)| match majority(unit) {
                4 => 0.5,
                positive => f64::from(u8::from((positive > 4) == (*class == 1))),
            });
        let share = right.sum::<f64>() / test.classes.len() as f64;
        assert!((share - blind_accuracy(8)).abs() < 0.02, "{share}");
    }
}
