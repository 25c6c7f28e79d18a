//! The network between ranks and the speed of a rank: the alpha-beta model.
//!
//! A message of n bytes takes alpha + n / beta seconds on the level of the network that both ranks share.
//! Hockney. *The communication challenge for MPP*. Parallel Computing 20, 1994.
//! <https://doi.org/10.1016/S0167-8191(06)80021-9>

use std::path::Path;

use anyhow::{Context, bail, ensure};
use lab::{SettingTree, typed_tables};
use serde::{Deserialize, Serialize};

/// A level of the network: groups of so many neighbouring ranks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Level {
    /// Its name, for people.
    pub(crate) name: String,
    /// Ranks of a group.
    pub(crate) ranks: usize,
    /// Seconds of a message without content.
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

/// Ranks and what connects them, the innermost level first.
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
        ensure!(rank.flops > 0.0, "{path}: rank.flops = {}: must be above 0", rank.flops);
        for level in &levels {
            let Level { name, ranks, alpha, beta } = level;
            ensure!(*ranks > 0, "{path}: level {name:?}: ranks = 0: must be at least 1");
            ensure!(*alpha >= 0.0, "{path}: level {name:?}: alpha = {alpha}: must be at least 0");
            ensure!(*beta > 0.0, "{path}: level {name:?}: beta = {beta}: must be above 0");
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

    /// The most ranks that it connects.
    pub(crate) fn most(&self) -> usize {
        self.levels.last().map_or(1, |level| level.ranks)
    }

    /// Seconds of a message between two ranks; none to itself.
    pub(crate) fn seconds(&self, from: usize, to: usize, bytes: f64) -> f64 {
        if from == to {
            return 0.0;
        }
        let shared = |level: &&Level| from / level.ranks == to / level.ranks;
        let level = self.levels.iter().find(shared).or(self.levels.last());
        level.map_or(0.0, |level| level.alpha + bytes / level.beta)
    }
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

    #[test]
    fn a_message_takes_the_innermost_level_that_both_share() {
        let topology = Topology::parse("t.toml", TEXT).unwrap();
        assert_eq!(topology.most(), 16);
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12);
        near(topology.seconds(0, 0, 1e6), 0.0);
        near(topology.seconds(0, 3, 1e6), 1e-6 + 1e-3);
        near(topology.seconds(3, 4, 1e6), 1e-5 + 1e-2);
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
        let err = wrong("beta = 1e9", "gamma = 1");
        assert!(err.contains("t.toml") && err.contains("gamma"), "{err}");
    }
}
