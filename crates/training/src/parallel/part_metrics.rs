//! Metrics of a step whose parts are computed by several processes.

use distributed::Communicator;
use moe::LayerReport;
use serde::{Deserialize, Serialize};

/// The metrics of a process for its parts of a step. Numbers are stored as bits, since JSON has no NaN.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct PartMetrics {
    /// For each part, the terms of the sum of floating-point operations.
    flops: Vec<Vec<u64>>,
    /// For each layer, the loads of its experts.
    loads: Vec<Vec<f64>>,
    /// The metrics of the last part.
    scalars: Vec<(String, u64)>,
    /// The load of the last worker.
    load: Option<u64>,
}

impl PartMetrics {
    /// Starts another part.
    pub(crate) fn part(&mut self) {
        self.flops.push(Vec::new());
    }

    /// Adds floating-point operations to the current part.
    pub(crate) fn flops(&mut self, more: f64) {
        self.flops.last_mut().expect("a part must be started first").push(more.to_bits());
    }

    /// Sets the metrics of the current part so far.
    pub(crate) fn scalars(&mut self, scalars: &[(String, f64)]) {
        self.scalars = scalars.iter().map(|(name, x)| (name.clone(), x.to_bits())).collect();
    }

    /// Sets the loads over all parts.
    pub(crate) fn loads(&mut self, layers: &[LayerReport]) {
        self.loads = layers.iter().map(|layer| layer.load.clone()).collect();
    }

    /// Adds a worker that has made a step of its own.
    pub(crate) fn worker(&mut self, flops: f64, scalars: &[(String, f64)]) {
        self.part();
        self.flops(flops);
        self.scalars(scalars);
    }

    /// The same, with the load of the last worker.
    pub(crate) fn with_load(self, load: Option<f64>) -> Self {
        Self { load: load.map(f64::to_bits), ..self }
    }

    /// The metrics of all workers, for processes with consecutive workers each: the sum of the operations in
    /// the order of workers, and the load and metrics of the last worker.
    pub(crate) fn joined_by_rank(
        self,
        world: &dyn Communicator,
    ) -> (f64, Option<f64>, Vec<(String, f64)>) {
        let all = self.all(world);
        let terms = all.iter().flat_map(|told| told.flops.iter().flatten());
        let flops = terms.fold(0.0, |sum, term| sum + f64::from_bits(*term));
        let load = all.last().and_then(|told| told.load).map(f64::from_bits);
        (flops, load, last_scalars(&all))
    }

    /// The metrics of all processes, in the order of ranks.
    fn all(self, world: &dyn Communicator) -> Vec<Self> {
        if world.size() == 1 {
            return vec![self];
        }
        let own = serde_json::to_vec(&self).expect("metrics must be serializable as JSON");
        let all = world.all_gather("metrics of a step", &own);
        let read = |bytes: Vec<u8>| serde_json::from_slice(&bytes);
        all.into_iter().map(read).collect::<Result<_, _>>().expect("metrics of a process")
    }

    /// The metrics of all processes: the sum of the operations in the order of parts, the sums of the loads,
    /// and the metrics of the last part of all.
    pub(crate) fn joined(
        self,
        world: &dyn Communicator,
    ) -> (f64, Vec<LayerReport>, Vec<(String, f64)>) {
        let all = self.all(world);
        let mut loads: Vec<LayerReport> = Vec::new();
        for told in &all {
            loads.resize_with(loads.len().max(told.loads.len()), LayerReport::default);
            for (sum, load) in loads.iter_mut().zip(&told.loads) {
                sum.load.resize(sum.load.len().max(load.len()), 0.0);
                sum.load.iter_mut().zip(load).for_each(|(sum, more)| *sum += more);
            }
        }
        (flops(&all), loads, last_scalars(&all))
    }
}

/// The metrics of the last process.
fn last_scalars(all: &[PartMetrics]) -> Vec<(String, f64)> {
    let scalars = all.last().into_iter().flat_map(|told| &told.scalars);
    scalars.map(|(name, x)| (name.clone(), f64::from_bits(*x))).collect()
}

/// The sum part by part: each process has the same number of parts, in alternating order.
fn flops(all: &[PartMetrics]) -> f64 {
    let parts = all.first().map_or(0, |told| told.flops.len());
    let terms = (0..parts).flat_map(|part| all.iter().flat_map(move |told| &told.flops[part]));
    terms.fold(0.0, |sum, term| sum + f64::from_bits(*term))
}

#[cfg(test)]
mod tests {
    use super::*;
    use distributed::threads;
    use std::thread;

    #[test]
    fn processes_may_have_met_other_layers_and_experts() {
        let loads = [vec![vec![1.0, 2.0]], vec![vec![4.0], vec![8.0]], vec![]];
        let joined: Vec<Vec<Vec<f64>>> = thread::scope(|scope| {
            let ranks: Vec<_> = threads(3)
                .into_iter()
                .zip(loads)
                .map(|(world, loads)| {
                    let metrics = PartMetrics { loads, ..PartMetrics::default() };
                    scope.spawn(move || metrics.joined(&world).1)
                })
                .collect();
            let layers = ranks.into_iter().map(|rank| rank.join().unwrap());
            layers.map(|layers| layers.into_iter().map(|layer| layer.load).collect()).collect()
        });
        assert_eq!(joined, vec![vec![vec![5.0, 2.0], vec![8.0]]; 3]);
    }
}
