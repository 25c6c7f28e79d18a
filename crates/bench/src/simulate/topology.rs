//! The network between ranks and the speed of a rank: the alpha-beta model.
//!
//! A message of n bytes takes alpha + n / beta seconds on the level of the network that both ranks share.
//! Hockney. *The communication challenge for MPP*. Parallel Computing 20, 1994.
//! <https://doi.org/10.1016/S0167-8191(06)80021-9>

use std::path::Path;

use anyhow::{Context, bail, ensure};
use lab::{SettingTree, typed_tables};
use serde::{Deserialize, Serialize};

/// A level of the network: groups of neighbouring ranks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Level {
    /// Its name, for display.
    pub(crate) name: String,
    /// The number of ranks in a group.
    pub(crate) ranks: usize,
    /// Seconds of an empty message.
    pub(crate) alpha: f64,
    /// Bytes per second from one rank to another.
    pub(crate) beta: f64,
}

/// The speed of a rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rank {
    /// Floating-point operations per second in the experts.
    pub(crate) flops: f64,
}

/// Ranks and the network that connects them, the innermost level first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Topology {
    pub(crate) levels: Vec<Level>,
    pub(crate) rank: Rank,
}

impl Topology {
    /// Reads a file with one `[[rank]]` and a `[[level]]` for each level, the innermost first.
    pub(crate) fn read(path: &str) -> anyhow::Result<Self> {
        let text = files::read_text(Path::new(path)).with_context(|| format!("topology {path}"))?;
        Self::parse(path, &text)
    }

    fn parse(path: &str, text: &str) -> anyhow::Result<Self> {
        let tree = SettingTree::parse(path, text)?;
        let levels: Vec<Level> = typed_tables(&tree, "level")?;
        let ranks: Vec<Rank> = typed_tables(&tree, "rank")?;
        let [rank] = &ranks[..] else {
            bail!("{path}: expected one [[rank]], found {}", ranks.len())
        };
        ensure!(!levels.is_empty(), "{path}: expected at least one [[level]]");
        let flops = rank.flops;
        let above = |number: f64| number > 0.0 && number.is_finite();
        ensure!(above(flops), "{path}: rank.flops = {flops}: must be above 0 and finite");
        for level in &levels {
            let Level { name, ranks, alpha, beta } = level;
            let place = format!("{path}: level {name:?}");
            ensure!(*ranks > 0, "{place}: ranks = 0: must be at least 1");
            let fits = *alpha == 0.0 || above(*alpha);
            ensure!(fits, "{place}: alpha = {alpha}: must be at least 0 and finite");
            ensure!(above(*beta), "{place}: beta = {beta}: must be above 0 and finite");
        }
        for pair in levels.windows(2) {
            let fits = pair[1].ranks > pair[0].ranks && pair[1].ranks.is_multiple_of(pair[0].ranks);
            ensure!(
                fits,
                "{path}: level {:?}: ranks = {}: must be a larger multiple of {}",
                pair[1].name,
                pair[1].ranks,
                pair[0].ranks
            );
        }
        Ok(Self { levels, rank: rank.clone() })
    }

    /// The largest number of ranks that it connects.
    pub(crate) fn most(&self) -> usize {
        self.levels.last().map_or(1, |level| level.ranks)
    }

    /// The innermost level that connects two ranks.
    fn between(&self, one: usize, other: usize) -> Option<&Level> {
        let shared = |level: &&Level| one / level.ranks == other / level.ranks;
        self.levels.iter().find(shared).or(self.levels.last())
    }

    /// Seconds of messages of `bytes` bytes from a rank to each other one of `ranks`, sent one after the
    /// other.
    pub(crate) fn to_all(&self, rank: usize, ranks: usize, bytes: f64) -> f64 {
        let (mut nearer, mut seconds) = (1, 0.0);
        for level in &self.levels {
            let first = rank / level.ranks * level.ranks;
            let group = ranks.min(first.saturating_add(level.ranks)) - first;
            seconds += (group - nearer) as f64 * (level.alpha + bytes / level.beta);
            nearer = group;
        }
        seconds
    }

    /// Seconds in which `ranks` sum `bytes` bytes so that each has the sum: an all-reduce in a ring, with 2
    /// (c - 1) messages of 1 / c of the bytes for c ranks:
    ///
    /// ```text
    /// 2 (c - 1) alpha + 2 (c - 1) / c * bytes / beta
    /// ```
    ///
    /// with alpha and beta of the innermost level that connects them all, since the ring waits for its
    /// slowest link. 0 for one rank.
    pub(crate) fn ring(&self, ranks: &[usize], bytes: f64) -> f64 {
        let (first, last) = (ranks.iter().min().copied(), ranks.iter().max().copied());
        let level = first.zip(last).and_then(|(first, last)| self.between(first, last));
        let messages = 2.0 * ranks.len().saturating_sub(1) as f64;
        level.map_or(0.0, |level| {
            messages * level.alpha + messages / ranks.len() as f64 * bytes / level.beta
        })
    }

    /// The group of a rank on the innermost level.
    pub(crate) fn group(&self, rank: usize) -> usize {
        rank / self.levels.first().map_or(1, |level| level.ranks)
    }

    /// For a rank of each innermost group, the sum of rows / beta over all ranks, from the rows of the ranks
    /// of each group, with one column per expert. Multiplied by the bytes of a row, these are the seconds in
    /// which all these rows are sent to that rank. The rows must not include those of the rank itself.
    pub(crate) fn rows_over_beta(&self, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let zeros = || rows.iter().map(|group| vec![0.0; group.len()]).collect::<Vec<Vec<f64>>>();
        let (mut seconds, mut nearer) = (zeros(), zeros());
        for level in &self.levels {
            // The number of innermost groups in a group of this level.
            let size = level.ranks / self.levels[0].ranks;
            let of_level = seconds.chunks_mut(size).zip(nearer.chunks_mut(size));
            for (groups, (seconds, nearer)) in rows.chunks(size).zip(of_level) {
                let mut all = vec![0.0; groups[0].len()];
                groups.iter().for_each(|group| add(&mut all, group));
                for (seconds, nearer) in seconds.iter_mut().zip(nearer) {
                    for (at, all) in all.iter().enumerate() {
                        seconds[at] += (all - nearer[at]) / level.beta;
                        nearer[at] = *all;
                    }
                }
            }
        }
        seconds
    }
}

/// Adds numbers element by element.
pub(crate) fn add(sums: &mut [f64], numbers: &[f64]) {
    sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[[rank]]
flops = 1e9
[[level]]
name = "node"
ranks = 4
alpha = 1e-6
beta = 1e9
[[level]]
name = "network"
ranks = 16
alpha = 1e-5
beta = 1e8
"#;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
    }

    #[test]
    fn a_message_takes_the_innermost_level_that_both_share() {
        let topology = Topology::parse("t.toml", TEXT).unwrap();
        assert_eq!(topology.most(), 16);
        // Three ranks in the node, 12 outside; of 6 ranks the last has one in its node, and four outside.
        near(topology.to_all(0, 16, 1e6), 3.0 * (1e-6 + 1e-3) + 12.0 * (1e-5 + 1e-2));
        near(topology.to_all(5, 6, 1e6), 1e-6 + 1e-3 + 4.0 * (1e-5 + 1e-2));
        near(topology.to_all(0, 1, 1e6), 0.0);
    }

    #[test]
    fn a_ring_is_as_slow_as_its_slowest_link() {
        let topology = Topology::parse("t.toml", TEXT).unwrap();
        near(topology.ring(&[2], 1e6), 0.0);
        near(topology.ring(&[0, 3], 1e6), 2.0 * 1e-6 + 1e-3);
        near(topology.ring(&[3, 0, 4, 5], 1e6), 6.0 * 1e-5 + 1.5 * 1e-2);
    }

    #[test]
    fn rows_come_over_the_level_of_their_group() {
        let topology = Topology::parse("t.toml", TEXT).unwrap();
        assert_eq!(topology.group(7), 1);
        // Groups of four ranks, with rows for two experts.
        let found = topology.rows_over_beta(&[vec![1e6, 0.0], vec![2e6, 5e6], vec![0.0, 1e6]]);
        let expected = [[1e-3 + 2e-2, 6e-2], [2e-3 + 1e-2, 5e-3 + 1e-2], [3e-2, 1e-3 + 5e-2]];
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            near(*found, *expected);
        }
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
        let wrong = |from: &str, to: &str| {
            Topology::parse("t.toml", &TEXT.replace(from, to)).unwrap_err().to_string()
        };
        assert!(
            wrong("ranks = 16", "ranks = 6").contains("ranks = 6: must be a larger multiple of 4")
        );
        assert!(
            wrong("beta = 1e8", "beta = 0.0").contains("\"network\": beta = 0: must be above 0")
        );
        assert!(wrong("alpha = 1e-6", "alpha = -1.0").contains("alpha = -1"));
        for (from, to) in [("alpha = 1e-6", "alpha = inf"), ("flops = 1e9", "flops = inf")] {
            let err = wrong(from, to);
            assert!(err.contains("inf is not a finite number"), "{err}");
        }
        let err = wrong("beta = 1e9", "gamma = 1");
        assert!(err.contains("t.toml") && err.contains("gamma"), "{err}");
    }
}
