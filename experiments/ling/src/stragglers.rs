//! `stragglers`: the throughput of several workers, of which one is slow at each step. Nothing is trained.
//!
//! Cheng et al. *EDiT: A Local-SGD-Based Efficient Distributed Training Method for Large Language Models*. ICLR 2025.
//! <https://arxiv.org/abs/2412.07210>
//!
//! ```text
//! a step takes 1, and 1 + d for a randomly drawn worker
//! synchronous: each step takes as long as its slowest worker
//! local:       each round of S steps takes as long as the slowest sum of S steps
//! ```
//! Messages take no time. The result is the share of additional steps with local updates in the same time.

use std::path::PathBuf;

use clap::Args;
use lab::{Answer, OwnResults, Session, Verb, save_files};
use report::Runs;

const WORKERS: usize = 8;
/// The number of steps for each seed.
const STEPS: usize = 4096;
/// d: a straggler takes twice as long as the others.
const DELAY: f64 = 1.0;
const SEEDS: u64 = 5;

/// The number of steps between two synchronisations.
const LOCAL: [usize; 3] = [1, 8, 128];

/// The folder of the results.
#[derive(Args)]
pub(crate) struct Stragglers {
    /// The folder for runs.csv
    #[arg(default_value = "runs/stragglers")]
    folder: PathBuf,
}

impl Verb for Stragglers {
    const NAME: &'static str = "stragglers";
    const ABOUT: &'static str =
        "Write the throughput gain of local updates when one worker of each step is slow";

    fn run(&self, _session: &Session) -> anyhow::Result<Answer> {
        save_files(&self.folder, &[("runs.csv", gains().to_csv())])
    }
}

const RESULTS: OwnResults = OwnResults {
    suite: "ling-stragglers",
    task: "stragglers",
    backbone: "workers",
    router: "none",
    metric: "throughput_gain",
};

/// `throughput_gain` for each length of a round and each seed.
fn gains() -> Runs {
    let gain = |local: usize, seed: u64| {
        let gain = time(1, seed) / time(local, seed) - 1.0;
        RESULTS.row(format!("{local} local steps"), seed, gain)
    };
    let rows = LOCAL.iter().flat_map(|local| (0..SEEDS).map(move |seed| gain(*local, seed)));
    Runs::of(rows)
}

/// The time of all steps, in rounds of `local` steps.
fn time(local: usize, seed: u64) -> f64 {
    let round = |start: usize| {
        let mut slow = [0_usize; WORKERS];
        for step in start..start + local {
            let drawn = drawn(seed * STEPS as u64 + step as u64) % WORKERS as u64;
            slow[drawn as usize] += 1;
        }
        let most = slow.into_iter().max().unwrap_or_default();
        local as f64 + DELAY * most as f64
    };
    (0..STEPS).step_by(local).map(round).sum()
}

/// The random number at position `place` of a stream of SplitMix64.
///
/// Steele, Lea, Flood. *Fast Splittable Pseudorandom Number Generators*. OOPSLA 2014.
/// <https://doi.org/10.1145/2660193.2660195>
fn drawn(place: u64) -> u64 {
    let x = place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[test]
fn rounds_of_one_step_are_synchronous_and_longer_ones_share_the_delay() {
    assert_eq!(time(1, 3), STEPS as f64 * (1.0 + DELAY));
    // Whichever workers are slow, the time is between an even share of the delay and the whole delay.
    for (local, seed) in [(8, 0), (128, 4)] {
        let time = time(local, seed);
        let least = STEPS as f64 * (1.0 + DELAY / WORKERS as f64);
        assert!(time >= least && time <= STEPS as f64 * (1.0 + DELAY), "{time}");
    }
    let rows = gains().rows;
    let of = |local: &str| rows.iter().find(|row| row.method == local).unwrap().value.unwrap();
    assert_eq!(of("1 local steps"), 0.0);
    assert!(of("128 local steps") > of("8 local steps") && of("8 local steps") > 0.0);
}
