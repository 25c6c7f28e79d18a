//! `savings`: the share of the price of a training that cheaper devices save. Nothing is trained.
//!
//! Ling team. *Every FLOP Counts*. 2025, table 1 and section 3.2: a trillion tokens of Ling-Plus for 5.08 M yuan
//! instead of 6.35 M on device D. <https://arxiv.org/abs/2503.05139>
//!
//! All devices reach the same share of their peaks; so the model and the number of tokens cancel. The paper
//! states neither these shares nor its mixture of devices.

use std::path::PathBuf;

use clap::Args;
use lab::{Answer, OwnResults, Session, Verb, save_files};
use report::Runs;

use crate::model_cost::{Accelerator, published};

/// The device that the others are compared with.
const REFERENCE: &str = "D";

/// The folder of the results.
#[derive(Args)]
pub(crate) struct Savings {
    /// The folder for runs.csv
    #[arg(default_value = "runs/savings")]
    folder: PathBuf,
}

impl Verb for Savings {
    const NAME: &'static str = "savings";
    const ABOUT: &'static str =
        "Write the share of the price that each published device saves over device D";

    fn run(&self, _session: &Session) -> anyhow::Result<Answer> {
        save_files(&self.folder, &[("runs.csv", savings(&published()).to_csv())])
    }
}

const RESULTS: OwnResults = OwnResults {
    suite: "ling-savings",
    task: "training",
    backbone: "Ling-Plus",
    router: "none",
    metric: "price_saving",
};

/// `price_saving` of each device other than the reference, and of all of them with equal parts of the FLOPs.
fn savings(devices: &[Accelerator]) -> Runs {
    let price = |device: &Accelerator| device.cost(1.0, 1.0);
    let (reference, others): (Vec<_>, Vec<_>) =
        devices.iter().partition(|device| device.name == REFERENCE);
    let reference: f64 = reference.into_iter().map(price).sum();
    let mean = others.iter().map(|device| price(device)).sum::<f64>() / others.len() as f64;
    let named = others.iter().map(|device| (device.name.as_str(), price(device)));
    let priced = named.chain([("in equal parts", mean)]);
    Runs::of(priced.map(|(name, price)| RESULTS.row(name, 0, 1.0 - price / reference)))
}

#[test]
fn only_one_device_is_cheaper_per_operation() {
    let rows = savings(&published()).rows;
    let of = |name: &str| rows.iter().find(|row| row.method == name).unwrap().value.unwrap();
    // By hand: 7 / 370 against 27.5 / 989, and so on.
    for (name, saving) in [("A", 0.3196), ("B", -0.3486), ("C", -0.1527), ("E", -0.3798)] {
        assert!((of(name) - saving).abs() < 1e-4, "{name} {}", of(name));
    }
    let mean = (0.3196 - 0.3486 - 0.1527 - 0.3798) / 4.0;
    assert!((of("in equal parts") - mean).abs() < 1e-4);
}
