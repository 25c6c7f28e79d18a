//! One forward pass: the inputs, losses, metrics and reports that the layers share.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::Arc,
};

use burn::{module::RunningState, prelude::*};
use distributed::Communicator;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{
    beside::Beside,
    reports::{Later, Reports},
    split_experts::SplitExperts,
};
use crate::{plugin::stable_hash, routing::LayerReport};

/// One forward pass: the only state that layers share. It is made before the first layer and dropped
/// after the backward pass.
pub struct Pass {
    training: bool,
    measured: Option<usize>,
    progress: f64,
    ends_step: bool,
    seed: u64,
    streams: u64,
    common_streams: u64,
    slots: HashMap<TypeId, Box<dyn Any>>,
    losses: Vec<(String, Tensor<1>)>,
    metrics: Vec<(String, Tensor<1>)>,
    reports: Option<Reports>,
    layers: usize,
    /// The other processes, if the parts of a step are computed concurrently.
    beside: Option<Beside>,
    /// The processes that share the experts, if none has all of them.
    split: Option<SplitExperts>,
    /// Router state for later layers, for each part of a padded batch.
    parts: Vec<HashMap<TypeId, Box<dyn Any>>>,
}

/// The token ids of the units, `[B, T]`, for routers that use them. Text backbones put the ids; image
/// backbones put the position of the patch.
#[derive(Clone, Debug)]
pub struct TokenIds(pub Tensor<2, Int>);

/// The true cluster of each unit, `[B, T]`, if the task knows it: for routers that serve as bounds.
#[derive(Clone, Debug)]
pub struct Clusters(pub Tensor<2, Int>);

/// The examples of the batch: the split of the data that contains them, and their indices. Tasks put them,
/// for routers that follow recorded choices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExampleIndices {
    /// `train`, `valid` or `test`.
    pub split: &'static str,
    /// The index of each sequence of the batch in the split.
    pub rows: Vec<usize>,
}

/// The scores by which a router chose, `[G, U, E]`; larger is better. The layer removes them from the
/// pass.
#[derive(Clone, Debug)]
pub struct RouterLogits(pub Tensor<3>);

/// A request to skip the highest-ranked experts of each unit in favour of the next ones: an ablation of a
/// trained network. It is put into a pass before the forward pass; routers that choose by rank follow it.
#[derive(Clone, Copy, Debug)]
pub struct SkipTopExperts {
    /// The number of ranks to skip.
    pub ranks: usize,
    /// Whether a router followed it.
    pub obeyed: bool,
}

/// The stream at the entry of the current block, `[B, T, D]`: for routers that use whole inputs
/// before the block's attention.
#[derive(Clone, Debug)]
pub struct BlockInput(pub Tensor<3>);

/// The condition of the whole batch, `[1, width]`: an architecture code, a task vector.
#[derive(Clone, Debug)]
pub struct Condition(pub Tensor<2>);

impl Pass {
    /// A pass in training. All its random numbers follow from `seed` and `step`, so that a resumed run
    /// draws the same numbers as an uninterrupted one.
    /// `progress` is the share of training done, 0 to 1.
    pub fn train(seed: u64, step: usize, progress: f64) -> Self {
        Self::new(true, stable_hash(&format!("pass/{seed}/{step}")), progress)
    }

    /// Pass number `index` of the `count` whose gradients make up one step.
    pub fn micro_batch(mut self, index: usize, count: usize) -> Self {
        self.seed = stable_hash(&format!("{}/{index}", self.seed));
        self.ends_step = index + 1 == count;
        self
    }

    /// A pass in evaluation: the same input gives the same output.
    pub fn eval() -> Self {
        Self::new(false, 0, 1.0)
    }

    /// A pass in evaluation that measures the running values of batch norm, the n-th of them, counted
    /// from 0. Norms use the values of its batch, and their running values are afterwards the mean over
    /// passes 0 to n.
    pub fn measuring_norms(n: usize) -> Self {
        Self { measured: Some(n), ..Self::eval() }
    }

    fn new(training: bool, seed: u64, progress: f64) -> Self {
        Self {
            training,
            measured: None,
            progress,
            ends_step: training,
            seed,
            streams: 0,
            common_streams: 0,
            slots: HashMap::new(),
            losses: Vec::new(),
            metrics: Vec::new(),
            reports: None,
            layers: 0,
            beside: None,
            split: None,
            parts: Vec::new(),
        }
    }

    /// This pass as one of several concurrent passes, each on a process of its own. The passes are the
    /// parts of a step, in the order of ranks. [`Pass::settle`] must be called.
    pub fn beside(mut self, world: &Arc<dyn Communicator>) -> Self {
        self.beside = Beside::of(world);
        self
    }

    /// This pass with the experts of every layer split among the processes of `world`, which exchange
    /// rows. All processes must run it, forward and backward.
    pub fn with_split_experts(mut self, world: &Arc<dyn Communicator>) -> Self {
        self.split = SplitExperts::of(world);
        self
    }

    /// See [`Pass::with_split_experts`].
    pub(crate) fn split_experts(&mut self) -> Option<&mut SplitExperts> {
        self.split.as_mut()
    }

    /// Asks the MoE layers to report their routing. The read-backs for each layer take time; if units
    /// choose, they are made when [`Pass::reports`] is called.
    pub fn with_reports(mut self) -> Self {
        self.reports = Some(Reports::default());
        self
    }

    /// Whether this is a training pass. Only training passes have noise.
    pub fn training(&self) -> bool {
        self.training
    }

    /// The number of the pass among those that measure the running values of batch norm; none for other
    /// passes.
    pub fn measured_norms(&self) -> Option<usize> {
        self.measured
    }

    /// The share of training done, 0 to 1; 1 in evaluation.
    pub fn progress(&self) -> f64 {
        self.progress
    }

    /// Whether this is the last pass before an optimizer step. Router state with an update rule (a bias, a
    /// threshold) is updated in this pass only, in training, so that gradient accumulation does not change
    /// it.
    pub fn ends_step(&self) -> bool {
        self.ends_step
    }

    /// Updates a state by a rule with the statistics `seen` of this pass, `[N]`. The second argument of
    /// the rule is whether the step ends with the pass ([`Pass::ends_step`]). For concurrent passes the
    /// rule is called later, once for each of them, in their order.
    ///
    /// The rest of the pass must not depend on the updated state.
    pub fn follow<const D: usize>(
        &self,
        state: &RunningState<Tensor<D>>,
        seen: Tensor<1>,
        rule: impl Fn(Tensor<1>, bool) + 'static,
    ) {
        match &self.beside {
            None => rule(seen, self.ends_step()),
            Some(beside) => beside.follow(state, seen, self.ends_step(), rule),
        }
    }

    /// The values of this pass and of the passes before it for the same layer, in the order of passes,
    /// `[N]` each. All concurrent passes must call it equally often.
    pub fn up_to_here(&self, own: Tensor<1>) -> Vec<Tensor<1>> {
        match &self.beside {
            None => vec![own],
            Some(beside) => beside.up_to_here(own),
        }
    }

    /// Calls the rules that wait, with the statistics of all concurrent passes. All of them must call it
    /// after the forward pass.
    ///
    /// # Panics
    /// If another pass updates a state that this one has not updated.
    pub fn settle(&self) {
        if let Some(beside) = &self.beside {
            beside.settle();
        }
    }

    /// A new random generator for each call. In training it differs from step to step; in evaluation it is
    /// always the same.
    pub fn rng(&mut self) -> ChaCha8Rng {
        self.streams += 1;
        self.stream(self.streams)
    }

    /// A generator for draws that all methods share, those of dropout for example. It has a counter of its
    /// own, so that these draws do not depend on the number of calls of [`Pass::rng`].
    pub fn common_rng(&mut self) -> ChaCha8Rng {
        self.common_streams += 1;
        self.stream(u64::MAX - self.common_streams)
    }

    fn stream(&self, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        rng
    }

    /// Adds a loss that is already weighted; it becomes part of the objective.
    pub fn loss(&mut self, name: impl Into<String>, value: Tensor<1>) {
        self.losses.push((name.into(), value));
    }

    /// The sum of all losses added so far, if there are any.
    pub fn total_loss(&self) -> Option<Tensor<1>> {
        self.losses.iter().map(|(_, loss)| loss.clone()).reduce(|a, b| a + b)
    }

    /// Reports a number that is not part of the objective.
    pub fn metric(&mut self, name: impl Into<String>, value: Tensor<1>) {
        self.metrics.push((name.into(), value.detach()));
    }

    /// Losses and metrics, averaged by name over the layers, for the log.
    pub fn scalars(&self) -> Vec<(String, f64)> {
        means(self.losses.iter().chain(&self.metrics))
    }

    /// The losses alone, averaged by name over the layers.
    pub fn losses(&self) -> Vec<(String, f64)> {
        means(self.losses.iter())
    }

    /// The metrics alone, averaged by name over the layers.
    pub fn metrics(&self) -> Vec<(String, f64)> {
        means(self.metrics.iter())
    }

    /// Stores a value for later layers, keyed by its type.
    pub fn put<T: Any>(&mut self, value: T) {
        self.slots.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// Stores a value that was taken, if there was one.
    pub(crate) fn put_back<T: Any>(&mut self, value: Option<T>) {
        if let Some(value) = value {
            self.put(value);
        }
    }

    /// The stored value of a type, if there is one.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.slots.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// Removes and returns the stored value of a type.
    pub fn take<T: Any>(&mut self) -> Option<T> {
        self.slots.remove(&TypeId::of::<T>())?.downcast().ok().map(|value| *value)
    }

    /// Lets one layer process parts of a batch, one after the other, like micro-batches. Losses and
    /// metrics are averaged with the `sizes` of the parts as weights, and the reports are added up to one.
    /// Values that a layer stores in the pass for later layers stay with their part.
    pub(crate) fn in_parts<P, T>(
        &mut self,
        parts: &[P],
        size: impl Fn(&P) -> usize,
        mut work: impl FnMut(&mut Self, &P) -> T,
    ) -> Vec<T> {
        let (layers, ends_step) = (self.layers, self.ends_step);
        let [losses, metrics] = [self.losses.len(), self.metrics.len()];
        let reports = self.reports.as_ref().map_or(0, Reports::len);
        let all: usize = parts.iter().map(&size).sum();
        let mut done = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            self.layers = layers;
            self.ends_step = ends_step && index + 1 == parts.len();
            let [first_loss, first_metric] = [self.losses.len(), self.metrics.len()];
            done.push(self.with_own_slots(index, |pass| work(pass, part)));
            if parts.len() > 1 {
                let share = size(part) as f64 / all as f64;
                let scale = |(_, value): &mut (String, Tensor<1>)| {
                    *value = value.clone() * share;
                };
                self.losses[first_loss..].iter_mut().for_each(scale);
                self.metrics[first_metric..].iter_mut().for_each(scale);
            }
        }
        (self.layers, self.ends_step) = (layers + 1, ends_step);
        add_by_name(&mut self.losses, losses);
        add_by_name(&mut self.metrics, metrics);
        if let Some(all) = &mut self.reports {
            all.join(reports);
        }
        done
    }

    /// Runs the layers of `work` separately from all others: values that they store in the pass for each
    /// other are dropped at the end, so that those of an encoder do not reach its decoder. Values stored
    /// before remain, as `work` leaves them.
    pub fn apart<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let parts = std::mem::take(&mut self.parts);
        let common: Vec<TypeId> = self.slots.keys().copied().collect();
        let done = work(self);
        self.slots.retain(|key, _| common.contains(key));
        self.parts = parts;
        done
    }

    /// Runs `work` with the values stored for the part `index` before; the values that it stores are kept
    /// for that part.
    fn with_own_slots<T>(&mut self, index: usize, work: impl FnOnce(&mut Self) -> T) -> T {
        if self.parts.len() <= index {
            self.parts.resize_with(index + 1, HashMap::new);
        }
        let common: Vec<TypeId> = self.slots.keys().copied().collect();
        self.slots.extend(std::mem::take(&mut self.parts[index]));
        let done = work(self);
        self.parts[index] = self.slots.extract_if(|key, _| !common.contains(key)).collect();
        done
    }

    /// Counts the MoE layers of the pass: each layer calls it once and gets its index.
    pub fn next_layer(&mut self) -> usize {
        self.layers += 1;
        self.layers - 1
    }

    /// The index of the current MoE layer: the number of MoE layers before it in the pass.
    pub fn layer(&self) -> usize {
        self.layers
    }

    /// Stores a report if reports are enabled; `make` is called only then.
    pub fn report(&mut self, make: impl FnOnce() -> LayerReport) {
        self.report_later(|| {
            let report = make();
            Box::new(move || report)
        });
    }

    /// Stores a report that is computed when reports are read; `make` is called now, if reports are
    /// enabled.
    pub(crate) fn report_later(&mut self, make: impl FnOnce() -> Later) {
        if let Some(reports) = &mut self.reports {
            reports.add(make());
        }
    }

    /// The reports of the MoE layers, in order; empty unless requested by [`Pass::with_reports`].
    pub fn reports(&self) -> &[LayerReport] {
        self.reports.as_ref().map_or(&[], Reports::look)
    }
}

/// Adds up the values that have the same name, among those from `first` on.
fn add_by_name(values: &mut Vec<(String, Tensor<1>)>, first: usize) {
    for (name, value) in values.split_off(first) {
        match values[first..].iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum = sum.clone() + value,
            None => values.push((name, value)),
        }
    }
}

/// The number in a tensor of one element.
fn number(value: &Tensor<1>) -> f64 {
    let data = kernels::read_back(value.clone().detach());
    data.iter::<f64>().next().expect("losses and metrics must be single numbers")
}

/// The mean of the values of each name, in the order of first occurrence.
fn means<'a>(values: impl Iterator<Item = &'a (String, Tensor<1>)>) -> Vec<(String, f64)> {
    let mut means: Vec<(String, f64, f64)> = Vec::new();
    for (name, value) in values {
        let value = number(value);
        match means.iter_mut().find(|(known, ..)| known == name) {
            Some((_, sum, count)) => (*sum, *count) = (*sum + value, *count + 1.0),
            None => means.push((name.clone(), value, 1.0)),
        }
    }
    means.into_iter().map(|(name, sum, count)| (name, sum / count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn slots_are_keyed_by_type() {
        let mut pass = Pass::eval();
        pass.put(3_u8);
        pass.put("text");
        assert_eq!(pass.get::<u8>(), Some(&3));
        assert_eq!(pass.take::<&str>(), Some("text"));
        assert_eq!(pass.take::<&str>(), None);
    }

    #[test]
    fn layers_apart_leave_nothing_for_others() {
        let mut pass = Pass::eval();
        pass.put(3_u8);
        let seen = pass.apart(|pass| {
            pass.put(4_u8);
            pass.put("for the next layer");
            pass.with_own_slots(0, |pass| pass.put(1.5_f32));
            pass.get::<&str>().is_some() && pass.parts.len() == 1
        });
        assert!(seen && pass.get::<&str>().is_none() && pass.parts.is_empty());
        assert_eq!(pass.get::<u8>(), Some(&4));
    }

    #[test]
    fn randomness_follows_from_seed_and_step() {
        let draw = |mut pass: Pass| (pass.rng().random::<u64>(), pass.rng().random::<u64>());
        let (first, second) = draw(Pass::train(1, 5, 0.0));
        assert_ne!(first, second);
        assert_eq!(draw(Pass::train(1, 5, 0.9)), (first, second));
        assert_ne!(draw(Pass::train(1, 6, 0.0)).0, first);
        assert_ne!(draw(Pass::train(1, 5, 0.0).micro_batch(0, 2)).0, first);
        assert_eq!(draw(Pass::eval()), draw(Pass::eval()));
    }

    #[test]
    fn what_is_common_does_not_depend_on_how_often_routers_draw() {
        let common = |routers_draw: usize| {
            let mut pass = Pass::train(1, 5, 0.0);
            (0..routers_draw).for_each(|_| drop(pass.rng()));
            (pass.common_rng().random::<u64>(), pass.common_rng().random::<u64>())
        };
        assert_eq!(common(0), common(3));
        assert_ne!(common(0).0, common(0).1);
        assert_ne!(common(0).0, Pass::train(1, 5, 0.0).rng().random::<u64>());
    }

    #[test]
    fn a_step_ends_with_its_last_micro_batch() {
        assert!(Pass::train(0, 0, 0.0).ends_step());
        assert!(!Pass::train(0, 0, 0.0).micro_batch(0, 2).ends_step());
        assert!(Pass::train(0, 0, 0.0).micro_batch(1, 2).ends_step());
        assert!(!Pass::eval().ends_step());
    }

    #[test]
    fn losses_add_up_and_scalars_are_means_over_layers() {
        let one = |x: f32| Tensor::<1>::from_floats([x], &Device::flex());
        let mut pass = Pass::eval();
        assert!(pass.total_loss().is_none());
        pass.loss("balance", one(1.0));
        pass.loss("balance", one(2.0));
        pass.metric("entropy", one(7.0));
        assert_eq!(pass.total_loss().unwrap().into_scalar::<f32>(), 3.0);
        let (balance, entropy) = (("balance".to_string(), 1.5), ("entropy".to_string(), 7.0));
        assert_eq!(pass.scalars(), [balance.clone(), entropy.clone()]);
        assert_eq!((pass.losses(), pass.metrics()), (vec![balance], vec![entropy]));
    }
}
