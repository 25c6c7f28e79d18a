//! Time and peak memory of importing a checkpoint: `cargo run -p interop --example import-cost -- DIR`.

#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use std::{fs, path::Path, time::Instant};

use backbones::all;
use burn::{module::Module, prelude::*};
use interop::{CheckpointFiles, describe, load};
use moe::{Init, Library};

/// The peak resident memory so far, in MB, if the system reports it.
fn peak() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) * 1024.0 / 1e6
}

fn main() -> anyhow::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_default();
    let (before, started) = (peak(), Instant::now());
    let checkpoint = CheckpointFiles::open(Path::new(&folder))?;
    let model = describe(&checkpoint.config)?;
    let (routers, experts) = (routers::all(), experts::all());
    let library = Library { routers, experts, residuals: residuals::all() };
    let backbones = all();
    let build = backbones.get(&model.backbone.kind)?.build;
    let network = (build.init)(
        &model.backbone,
        &model.backbone_spec(&library),
        &Init::new(0, &Device::flex()),
    )?;
    let loaded = load(network, &model.rules, &checkpoint)?;
    let (seconds, peak) = (started.elapsed().as_secs_f64(), peak());
    let megabytes = loaded.network.num_params() as f64 * 4.0 / 1e6;
    println!("{megabytes:.0} MB of parameters in {seconds:.2} s");
    println!(
        "peak memory {peak:.0} MB, {before:.0} MB of it before: {:.2} times the parameters",
        peak / megabytes
    );
    Ok(())
}
