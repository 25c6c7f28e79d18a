//! What only the network itself can tell of its routing: questions that take another forward pass.

use backbones::AnyBackbone;
use burn::{
    module::{Module, ModuleVisitor, Param},
    prelude::*,
    tensor::IntDType,
};
use moe::{Domain, Input, Pass, Plan, RoutingProbe, stable_hash};
use report::{Cell as Entry, Column, Digits, Kind, Table};
use tasks::{Batch, Score, Split, Task, cross_entropy};
use training::tell_clusters;

use crate::{ranks::chosen_similarity, trace::examples};

/// What can be asked of a network, and what it is.
pub(crate) const QUESTIONS: [(&str, &str); 5] = [
    ("drop", "how much worse it is when each unit loses its first expert"),
    ("ranks", "how much worse it is when each unit goes to the experts next in rank"),
    ("regret", "what another expert would have given in the place of the first"),
    ("similarity", "how alike experts are, in output and in weights"),
    ("causality", "whether later tokens change the choices of earlier ones"),
];

/// A trained network, and the examples that it is asked about: those of a trace.
pub(crate) struct Subject<'a> {
    pub(crate) model: &'a AnyBackbone,
    pub(crate) task: &'a dyn Task,
    pub(crate) device: &'a Device,
}

/// Examples at once, as in an evaluation.
const BATCH: usize = 64;

impl Subject<'_> {
    /// The answer to one question.
    pub(crate) fn answer(&self, what: &str) -> anyhow::Result<Table> {
        match what {
            "drop" => self.drop_first(),
            "ranks" => self.ranks(),
            "regret" => self.regret(),
            "similarity" => Ok(self.similarity()),
            _ => self.causality(),
        }
    }

    pub(crate) fn batches(&self) -> impl Iterator<Item = Batch> + '_ {
        let examples = examples(self.task, self.model.tokens());
        let batch = |examples: &[usize]| self.task.batch(Split::Valid, examples, self.device);
        examples.chunks(BATCH).map(batch).collect::<Vec<_>>().into_iter()
    }

    /// The network's answer and what its layers did, with a plan changed if need be.
    pub(crate) fn pass(&self, batch: &Batch, look: RoutingProbe) -> (Tensor<3>, RoutingProbe) {
        let mut pass = Pass::eval();
        pass.put(look);
        tell_clusters(&mut pass, self.task, batch);
        let output = self.model.forward(&mut pass, batch.input.clone());
        (output, pass.take::<RoutingProbe>().unwrap_or_default())
    }

    fn layers(&self) -> Vec<Plan> {
        let batch = self.task.batch(Split::Valid, &[0], self.device);
        let (_, look) = self.pass(&batch, RoutingProbe::default());
        look.layers.into_iter().map(|seen| seen.plan).collect()
    }

    /// The effect of the first choice: each unit loses its heaviest expert in one layer, and the
    /// weights of the others stay as they are.
    ///
    /// Lu et al. *Not All Experts are Equal: Efficient Expert Pruning and Skipping for
    /// Mixture-of-Experts Large Language Models*. ACL 2024. <https://arxiv.org/abs/2402.14800>
    fn drop_first(&self) -> anyhow::Result<Table> {
        let whole = self.score(None);
        let names = self.task.metrics();
        let mut rows = Vec::new();
        for (layer, plan) in self.layers().iter().enumerate() {
            changeable(plan)?;
            let without = self.score(Some(layer));
            for (name, (before, after)) in names.iter().zip(whole.iter().zip(&without)) {
                rows.push(vec![
                    Entry::Number(layer as f64),
                    Entry::Words((*name).into()),
                    Entry::Number(*before),
                    Entry::Number(*after),
                    Entry::Number(after - before),
                ]);
            }
        }
        Ok(Table {
            title: "Each unit without its first expert, one layer at a time".into(),
            columns: [
                vec![layer_column(), Column::new("metric", "metric", Kind::Words)],
                numbers(&[
                    ("whole", "whole"),
                    ("without", "without"),
                    ("difference", "difference"),
                ]),
            ]
            .concat(),
            rows,
            ..Table::default()
        })
    }

    fn score(&self, without_first_of: Option<usize>) -> Vec<f64> {
        let mut score = Score::default();
        for batch in self.batches() {
            let look = RoutingProbe {
                instead: Some(Box::new(move |layer, plan| match Some(layer) == without_first_of {
                    true => without_first(plan),
                    false => plan,
                })),
                ..RoutingProbe::default()
            };
            let (output, _) = self.pass(&batch, look);
            self.task.measure(output, &batch, &mut score);
        }
        self.task.metrics().iter().map(|name| score.mean(name)).collect()
    }

    /// What a choice cost: in each example one unit, drawn once, has its first expert replaced by
    /// each other one with the same weight.
    ///
    /// regret = loss(chosen) - min over experts of the loss(expert)   (0 if the choice was the best)
    ///
    /// The word is that of bandits: Lattimore, Szepesvári. *Bandit Algorithms*. 2020.
    /// <https://tor-lattimore.com/downloads/book/book.pdf>
    fn regret(&self) -> anyhow::Result<Table> {
        let mut rows = Vec::new();
        for (layer, plan) in self.layers().iter().enumerate() {
            changeable(plan)?;
            let e = plan.n_experts();
            let (mut n, mut regret, mut best, mut others) = (0.0, 0.0, 0.0, 0.0);
            for batch in self.batches() {
                let chosen = self.losses(&batch, layer, None);
                let instead: Vec<Vec<f64>> =
                    (0..e).map(|expert| self.losses(&batch, layer, Some(expert))).collect();
                for (example, chosen) in chosen.iter().enumerate() {
                    let all = || instead.iter().map(|losses| losses[example]);
                    let least = all().fold(*chosen, f64::min);
                    n += 1.0;
                    regret += chosen - least;
                    best += if *chosen <= least + 1e-7 { 1.0 } else { 0.0 };
                    others += all().sum::<f64>() / e as f64 - chosen;
                }
            }
            rows.push(
                [layer as f64, regret / n, best / n, 1.0 / e as f64, others / n]
                    .map(Entry::Number)
                    .to_vec(),
            );
        }
        Ok(Table {
            title: "What another expert would have given in the place of the first".into(),
            columns: [
                vec![layer_column()],
                numbers(&[
                    ("regret", "regret"),
                    ("best", "chosen is best"),
                    ("by_chance", "by chance"),
                    ("any", "loss of any expert"),
                ]),
            ]
            .concat(),
            rows,
            notes: vec![
                "One unit of each example has another first expert, with the same weight. regret: loss \
                 of the example minus the least that any expert gives, in nats for each answer; chosen is best: share \
                 of examples without regret; loss of any expert: the mean over all experts, minus that of \
                 the chosen one."
                    .into(),
            ],
            ..Table::default()
        })
    }

    /// The loss of each example, if the first expert of one of its units is another one.
    fn losses(&self, batch: &Batch, layer: usize, expert: Option<usize>) -> Vec<f64> {
        let [b, t] = batch.labels.dims();
        let look = RoutingProbe {
            instead: Some(Box::new(move |at, plan| match expert {
                Some(expert) if at == layer => with_first(plan, expert, b),
                _ => plan,
            })),
            ..RoutingProbe::default()
        };
        let (output, _) = self.pass(batch, look);
        let losses = cross_entropy(output, batch.labels.clone()).reshape([b, t]).mean_dim(1);
        losses.into_data().iter::<f32>().map(f64::from).collect()
    }

    /// How alike the experts of a layer are: the cosine of what they make of the same rows, and of
    /// their weights, mean over the pairs.
    ///
    /// Lo et al. *A Closer Look into Mixture-of-Experts in Large Language Models*. 2024.
    /// <https://arxiv.org/abs/2406.18219>
    fn similarity(&self) -> Table {
        let weights = expert_weights(self.model);
        let examples: Vec<usize> =
            examples(self.task, self.model.tokens()).into_iter().take(BATCH).collect();
        let batch = self.task.batch(Split::Valid, &examples, self.device);
        let (_, look) =
            self.pass(&batch, RoutingProbe { with_outputs: true, ..RoutingProbe::default() });
        let mut rows = Vec::new();
        for (at, seen) in look.layers.into_iter().enumerate() {
            let e = seen.plan.n_experts();
            let chosen = chosen_similarity(&seen);
            let outputs = seen.outputs.map(|outputs| mean_cosines(outputs, e));
            let weights = weights.get(at).filter(|w| w.dims()[0] == e);
            let weights = weights.map(|w| mean_cosines(w.clone().unsqueeze_dim::<3>(1), e));
            for (name, found) in
                [("outputs", outputs), ("a unit's outputs", chosen), ("weights", weights)]
            {
                let Some((mean, least, most)) = found else { continue };
                rows.push(vec![
                    Entry::Number(at as f64),
                    Entry::Words(name.into()),
                    Entry::Number(mean),
                    Entry::Number(least),
                    Entry::Number(most),
                ]);
            }
        }
        Table {
            title: "How alike experts are: cosine over pairs".into(),
            notes: vec![
                "a unit's outputs: those of its own experts, over K^2 and not K (K - 1), negative ones \
                 as 0, and least and most over units."
                    .into(),
            ],
            columns: [
                vec![layer_column(), Column::new("of", "of", Kind::Words)],
                numbers(&[("mean", "mean"), ("least", "least"), ("most", "most")]),
            ]
            .concat(),
            rows,
            ..Table::default()
        }
    }

    /// Whether choices look ahead: the second half of each text is changed, and the choices of the
    /// first half must stay.
    ///
    /// That expert choice leaks the future in a decoder: Raposo et al. *Mixture-of-Depths*. 2024, section 3.5.
    /// <https://arxiv.org/abs/2404.02258>
    fn causality(&self) -> anyhow::Result<Table> {
        let Domain::Text { vocab, length } = self.task.domain() else {
            anyhow::bail!("causality is a question about text; {:?} is none", self.task.domain());
        };
        let half = length / 2;
        let mut moved: Vec<(f64, f64)> = Vec::new();
        for batch in self.batches() {
            let Input::Tokens(ids) = &batch.input else { continue };
            let [b, _] = ids.dims();
            let later =
                (ids.clone().narrow(1, half, length - half) + 1).remainder_scalar(vocab as i64);
            let changed =
                Tensor::cat(vec![ids.clone().narrow(1, 0, half), later.cast(IntDType::I32)], 1);
            let changed = Batch { input: Input::Tokens(changed), ..batch.clone() };
            let (_, before) = self.pass(&batch, RoutingProbe::default());
            let (_, after) = self.pass(&changed, RoutingProbe::default());
            moved.resize(before.layers.len(), (0.0, 0.0));
            for (sums, (a, b_)) in moved.iter_mut().zip(before.layers.iter().zip(&after.layers)) {
                let (a, c) = (a.plan.choices(), b_.plan.choices());
                let of_example = (a.len() / b).max(1);
                let early = of_example * half / length;
                for (unit, (a, c)) in a.iter().zip(&c).enumerate() {
                    if unit % of_example < early {
                        sums.0 += if same(a, c) { 0.0 } else { 1.0 };
                        sums.1 += 1.0;
                    }
                }
            }
        }
        let row = |(layer, (moved, n)): (usize, (f64, f64))| {
            vec![Entry::Number(layer as f64), Entry::Number(n), Entry::Number(moved / n.max(1.0))]
        };
        Ok(Table {
            title: "Do later tokens change the choices of earlier ones?".into(),
            columns: [
                vec![
                    layer_column(),
                    Column::new("units", "units", Kind::Numbers(Digits::Fixed(0))),
                ],
                numbers(&[("changed", "share changed")]),
            ]
            .concat(),
            rows: moved.into_iter().enumerate().map(row).collect(),
            ..Table::default()
        })
    }
}

fn layer_column() -> Column {
    Column::new("layer", "layer", Kind::Numbers(Digits::Fixed(0)))
}

pub(crate) fn numbers(columns: &[(&str, &str)]) -> Vec<Column> {
    let column =
        |(key, name): &(&str, &str)| Column::new(key, name, Kind::Numbers(Digits::Fixed(4)));
    columns.iter().map(column).collect()
}

fn same(a: &[(usize, f32)], b: &[(usize, f32)]) -> bool {
    let near = |((i, w), (j, v)): (&(usize, f32), &(usize, f32))| i == j && (w - v).abs() < 1e-4;
    a.len() == b.len() && a.iter().zip(b).all(near)
}

/// Can a plan be changed unit by unit? In mixtures units have no expert of their own.
fn changeable(plan: &Plan) -> anyhow::Result<()> {
    match plan {
        Plan::Soft { .. } | Plan::Merged { .. } => {
            anyhow::bail!(
                "the router mixes units or experts, so no unit has a first expert to change"
            )
        }
        _ => Ok(()),
    }
}

/// The plan without the heaviest expert of each unit.
fn without_first(plan: Plan) -> Plan {
    let mut choices = plan.choices();
    for unit in choices.iter_mut().filter(|unit| !unit.is_empty()) {
        unit.remove(0);
    }
    as_token_choice(&plan, &choices)
}

/// The plan with another first expert for one unit of each of `b` examples, drawn by its number. A
/// unit that already has the expert as another choice has it twice.
fn with_first(plan: Plan, expert: usize, b: usize) -> Plan {
    let mut choices = plan.choices();
    let of_example = (choices.len() / b).max(1);
    for (example, units) in choices.chunks_mut(of_example).enumerate() {
        let unit = stable_hash(&format!("regret/{example}")) as usize % units.len();
        if let Some(first) = units[unit].first_mut() {
            first.0 = expert;
        }
    }
    as_token_choice(&plan, &choices)
}

/// Choices on the host as a plan of the same units.
fn as_token_choice(plan: &Plan, choices: &[Vec<(usize, f32)>]) -> Plan {
    let (groups, device) = match plan {
        Plan::TokenChoice { weights, .. }
        | Plan::Dense { weights }
        | Plan::ExpertChoice { weights, .. }
        | Plan::Merged { weights, .. } => (weights.dims()[0], weights.device()),
        Plan::Soft { combine, .. } => (combine.dims()[0], combine.device()),
    };
    let (n_experts, k) = (plan.n_experts(), choices.iter().map(Vec::len).max().unwrap_or(0).max(1));
    let (mut experts, mut weights) = (Vec::new(), Vec::new());
    for unit in choices {
        let none = std::iter::repeat_n((n_experts, 0.0), k - unit.len());
        for (expert, weight) in unit.iter().copied().chain(none) {
            experts.push(expert as i32);
            weights.push(weight);
        }
    }
    let shape = [groups, choices.len() / groups, k];
    Plan::TokenChoice {
        experts: Tensor::from_data(TensorData::new(experts, shape), &device),
        weights: Tensor::from_data(TensorData::new(weights, shape), &device),
        n_experts,
    }
}

/// The mean, least and largest cosine over the pairs of E experts of `[E, S, D]`, each the mean over
/// S rows; none with fewer than two.
fn mean_cosines(rows: Tensor<3>, e: usize) -> (f64, f64, f64) {
    let [_, s, d] = rows.dims();
    let length = rows.clone().square().sum_dim(2).sqrt().clamp_min(1e-12);
    let unit = (rows / length).reshape([e, s * d]);
    let cosines = unit.clone().matmul(unit.transpose()) / s as f64;
    let cosines: Vec<f64> = cosines.into_data().iter::<f32>().map(f64::from).collect();
    let pairs = || (0..e * e).filter(|at| at / e < at % e).map(|at| cosines[at]);
    let n = (e * e.saturating_sub(1) / 2).max(1) as f64;
    (pairs().sum::<f64>() / n, pairs().fold(1.0, f64::min), pairs().fold(-1.0, f64::max))
}

/// The weights of each MoE layer's experts, `[E, all]`, where they are one stack.
fn expert_weights(model: &AnyBackbone) -> Vec<Tensor<2>> {
    let mut stacks = Stacks::default();
    model.visit(&mut stacks);
    stacks.layers.into_iter().map(|(_, parts)| Tensor::cat(parts, 1)).collect()
}

#[derive(Default)]
struct Stacks {
    path: Vec<String>,
    layers: Vec<(String, Vec<Tensor<2>>)>,
}

impl ModuleVisitor for Stacks {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(at) = self.path.iter().position(|name| name == "experts") else { return };
        let (layer, value) = (self.path[..at].join("."), param.val());
        let e = value.dims()[0];
        let part = value.reshape([e as i64, -1]);
        match self.layers.last_mut().filter(|(known, _)| *known == layer) {
            Some((_, parts)) if parts[0].dims()[0] == e => parts.push(part),
            Some(_) => {}
            None => self.layers.push((layer, vec![part])),
        }
    }
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let device = Device::flex();
        Plan::TokenChoice {
            experts: Tensor::from_ints([[[0, 1], [2, 1]], [[1, 0], [3, 3]]], &device),
            weights: Tensor::from_floats(
                [[[0.75, 0.25], [0.5, 0.5]], [[0.25, 0.75], [0.0, 0.0]]],
                &device,
            ),
            n_experts: 3,
        }
    }

    #[test]
    fn a_plan_can_lose_its_first_choices() {
        let found = without_first(plan()).choices();
        assert_eq!(found, [vec![(1, 0.25)], vec![(1, 0.5)], vec![(1, 0.25)], vec![]]);
    }

    #[test]
    fn one_unit_of_each_example_gets_another_first_expert() {
        let (before, after) = (plan().choices(), with_first(plan(), 2, 2).choices());
        let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert!(moved <= 2, "{after:?}");
        let weights =
            |units: &[Vec<(usize, f32)>]| units.iter().flatten().map(|c| c.1).sum::<f32>();
        assert_eq!(weights(&before), weights(&after));
    }

    #[test]
    fn cosines_by_hand() {
        let rows = Tensor::<3>::from_floats(
            [[[1.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]],
            &Device::flex(),
        );
        // Pairs 0-1: 1 and 1; 0-2 and 1-2: 0 and 1.
        let (mean, least, most) = mean_cosines(rows, 3);
        assert!((mean - 2.0 / 3.0).abs() < 1e-6 && (least - 0.5).abs() < 1e-6);
        assert!((most - 1.0).abs() < 1e-6);
    }
}
