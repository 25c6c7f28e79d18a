//! Relative positions: learned numbers, by distance in buckets, which attention adds to its scores.
//!
//! Raffel et al. *Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer*. JMLR
//! 2020. <https://arxiv.org/abs/1910.10683>, section 2.1 and its published code.
//!
//! score_{t,s} = q_t . k_s + b_{bucket(s - t), head}         (1), b of one side shared by all its layers
//! bucket(-n)  = n                                           (2), n < m, the first half of B buckets
//!             = min(m + floor(ln(n / m) / ln(M / m) m), B - 1)   (3), n >= m; M is `max_distance`
//!
//! In a decoder no token attends to a later one, and all B buckets are for distances back, m = B / 2. In an
//! encoder half of the buckets are for distances back and half for distances ahead, m = B / 4.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use moe::{Init, config};

use super::side::Side;

config! {
    /// The buckets of relative positions.
    pub struct RelativeConfig {
        /// Buckets, B.
        pub buckets: usize = 32,
        /// The distance from which on all tokens are in the last bucket, M.
        pub max_distance: usize = 128,
    }
}

impl RelativeConfig {
    /// Whether the values are those of T5.
    pub(crate) fn are_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks that there are buckets for single distances and for ranges.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { buckets, max_distance } = *self;
        const MOST: usize = 1 << 16;
        if !(4..=MOST).contains(&buckets) || !buckets.is_multiple_of(4) {
            return Err(format!(
                "relative.buckets = {buckets}: must be a multiple of 4, at most {MOST}"
            ));
        }
        match (buckets / 2 + 1..=1 << 24).contains(&max_distance) {
            true => Ok(()),
            false => Err(format!(
                "relative.max_distance = {max_distance}: must be above half of the buckets, {}",
                buckets / 2
            )),
        }
    }

    /// The bucket of (2) and (3) for a token at position `seen`, as seen from one at position `at`.
    ///
    /// Numbers have single precision, as in the published code, so that the borders are the same.
    fn bucket(&self, side: Side, at: usize, seen: usize) -> usize {
        let (buckets, first) = match (side, seen > at) {
            (Side::Encoder, ahead) => (self.buckets / 2, usize::from(ahead) * self.buckets / 2),
            (Side::Decoder, true) => return 0, // a later token, which is masked
            (Side::Decoder, false) => (self.buckets, 0),
        };
        let (n, m) = (at.abs_diff(seen), buckets / 2);
        if n < m {
            return first + n;
        }
        let octaves =
            (n as f32 / m as f32).ln() / (self.max_distance as f64 / m as f64).ln() as f32;
        first + (m + (octaves * (buckets - m) as f32) as usize).min(buckets - 1)
    }
}

/// The learned numbers of one side of the network.
#[derive(Module, Debug)]
pub struct RelativePositions {
    /// `[buckets, heads]`.
    table: Param<Tensor<2>>,
    #[module(skip)]
    config: RelativeConfig,
    #[module(skip)]
    side: Side,
}

impl RelativePositions {
    /// Fresh numbers for `heads` heads.
    pub fn new(config: &RelativeConfig, side: Side, heads: usize, init: &Init) -> Self {
        let table = init.normal("table", [config.buckets, heads], 0.02);
        Self { table, config: config.clone(), side }
    }

    /// b in (1), `[1, heads, tokens, seen]`: for `tokens` tokens from position `first` on, and the first
    /// `seen` positions.
    pub fn forward(&self, first: usize, tokens: usize, seen: usize) -> Tensor<4> {
        let row = |at: usize| (0..seen).map(move |s| self.config.bucket(self.side, at, s) as i32);
        let buckets: Vec<i32> = (first..first + tokens).flat_map(row).collect();
        let table = self.table.val();
        let [_, heads] = table.dims();
        let buckets = Tensor::<1, Int>::from_data(
            TensorData::new(buckets, [tokens * seen]),
            &table.device().inner(),
        );
        let numbers = table.select(0, buckets).reshape([1, tokens, seen, heads]);
        numbers.permute([0, 3, 1, 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: RelativeConfig = RelativeConfig { buckets: 32, max_distance: 128 };

    /// The first distance of each bucket, from 0 up to 300.
    fn begins(config: &RelativeConfig, side: Side, ahead: bool) -> Vec<usize> {
        let bucket = |n: usize| match ahead {
            true => config.bucket(side, 0, n),
            false => config.bucket(side, n, 0),
        };
        (1..300).filter(|n| bucket(*n) != bucket(n - 1)).collect()
    }

    /// Compares the borders with those of `_relative_position_bucket` of transformers 5.24.0 for distances up
    /// to 300.
    #[test]
    fn the_published_buckets() {
        let short: Vec<usize> = (1..=8).chain([12, 16, 23, 32, 46, 64, 91]).collect();
        assert_eq!(begins(&PUBLISHED, Side::Encoder, false), short);
        assert_eq!(begins(&PUBLISHED, Side::Encoder, true), short);
        let long: Vec<usize> =
            (1..=16).chain([19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113]).collect();
        assert_eq!(begins(&PUBLISHED, Side::Decoder, false), long);
        let ends = |side| [PUBLISHED.bucket(side, 299, 0), PUBLISHED.bucket(side, 0, 299)];
        assert_eq!((ends(Side::Encoder), ends(Side::Decoder)), ([15, 31], [31, 0]));
        assert_eq!(PUBLISHED.bucket(Side::Encoder, 4, 5), 17);
    }

    #[test]
    fn numbers_stand_where_their_distances_are() {
        let config = RelativeConfig { buckets: 4, max_distance: 9 };
        let init = Init::new(0, &Device::flex());
        let positions = RelativePositions {
            table: init.given("table", [4, 2], (0..8).map(|x| x as f32).collect()),
            config,
            side: Side::Decoder,
        };
        // Tokens 1 and 2 of 3: distances 1, 0, -1 and 2, 1, 0 back; from 2 on they are in bucket 2.
        let found = positions.forward(1, 2, 3);
        assert_eq!(found.dims(), [1, 2, 2, 3]);
        let found = found.into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(found, [2.0, 0.0, 0.0, 4.0, 2.0, 0.0, 3.0, 1.0, 1.0, 5.0, 3.0, 1.0]);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        let said = |buckets, max_distance| RelativeConfig { buckets, max_distance }.check();
        assert_eq!(PUBLISHED.check(), Ok(()));
        assert!(said(6, 128).unwrap_err().contains("relative.buckets = 6"));
        assert!(said(0, 128).unwrap_err().contains("relative.buckets = 0"));
        assert!(said(32, 16).unwrap_err().contains("relative.max_distance = 16"));
    }
}
