//! The random numbers of the bootstrap: the same on every machine and in every version.
//!
//! Steele, Lea, Flood. *Fast splittable pseudorandom number generators*. OOPSLA 2014.
//! <https://doi.org/10.1145/2660193.2660195>

/// SplitMix64. It is implemented here so that no update of a library changes an interval.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A random number below `n`; its bias is less than n / 2^64.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// A standard normal number, by Box and Muller's method.
    #[cfg(test)]
    pub(crate) fn normal(&mut self) -> f64 {
        let mut uniform = || (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let (length, angle) = ((-2.0 * (1.0 - uniform()).ln()).sqrt(), uniform());
        length * (std::f64::consts::TAU * angle).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sequence() {
        // The first outputs for seed 1234567 of the authors' reference program.
        let mut rng = Rng::new(1_234_567);
        let outputs = [rng.next(), rng.next(), rng.next()];
        let published =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(outputs, published);
    }

    #[test]
    fn all_below_are_reached() {
        let mut rng = Rng::new(0);
        let mut seen = [0; 3];
        (0..3000).for_each(|_| seen[rng.below(3)] += 1);
        assert!(seen.iter().all(|count| (900..1100).contains(count)), "{seen:?}");
    }
}
