//! What LibMoE asks of a trained network: what its first choices are worth, and how alike the experts of
//! one unit are. With the analyses of its traces, they are numbers of a run.
//!
//! Nguyen et al. *LibMoE: A Library for Comprehensive Benchmarking Mixture of Experts in Large Language
//! Models*. 2024. <https://arxiv.org/abs/2411.00918>

use anyhow::{Context, bail};
use moe::{LayerCapture, Pass, RoutingProbe, SkipTopExperts};
use report::{Cell as Entry, Column, Kind, Table, analysis, trace::Trace};
use tasks::{Score, Split};
use training::tell_clusters;

use crate::{
    analyses::{Subject, numbers},
    run_spec::RunSpec,
    store::Store,
};

impl Subject<'_> {
    /// DropTop1 and DropTop1&2: in all layers each unit passes over its best one or two experts, for
    /// those next in rank, which get their weights from the router as if they had been the best.
    ///
    /// Where the number of experts is not fixed (`remoe`), none takes their place.
    pub(crate) fn ranks(&self) -> anyhow::Result<Table> {
        let ask = |ranks| {
            self.passed_over(ranks)
                .context("the router does not choose by rank, or has too few experts")
        };
        let (whole, one, two) = (ask(0)?, ask(1)?, ask(2)?);
        let row = |(at, name): (usize, &&str)| {
            let values = [whole[at], one[at], two[at], one[at] - whole[at], two[at] - whole[at]];
            let values = values.map(Entry::Number);
            std::iter::once(Entry::Words((*name).into())).chain(values).collect()
        };
        Ok(Table {
            title: "Each unit at the experts next in rank, in all layers".into(),
            columns: [
                vec![Column::new("metric", "metric", Kind::Words)],
                numbers(&[
                    ("whole", "whole"),
                    ("without_1", "without the first"),
                    ("without_2", "without the first two"),
                    ("drop_top_1", "difference"),
                    ("drop_top_2", "difference of two"),
                ]),
            ]
            .concat(),
            rows: self.task.metrics().iter().enumerate().map(row).collect(),
            ..Table::default()
        })
    }

    /// The task's measures if each unit passes over so many of its best experts; none if no router
    /// obeys.
    fn passed_over(&self, ranks: usize) -> Option<Vec<f64>> {
        let mut score = Score::default();
        for batch in self.batches() {
            let mut pass = Pass::eval();
            pass.put(SkipTopExperts { ranks, obeyed: ranks == 0 });
            tell_clusters(&mut pass, self.task, &batch);
            let output = self.model.forward(&mut pass, batch.input.clone());
            pass.take::<SkipTopExperts>().filter(|asked| asked.obeyed)?;
            self.task.measure(output, &batch, &mut score);
        }
        Some(self.task.metrics().iter().map(|name| score.mean(name)).collect())
    }

    /// How alike the outputs of a unit's experts are, mean over the units and the layers; none where no
    /// layer tells.
    fn output_similarity(&self) -> Option<f64> {
        let batch = self.batches().next()?;
        let (_, look) =
            self.pass(&batch, RoutingProbe { with_outputs: true, ..RoutingProbe::default() });
        let found: Vec<f64> =
            look.layers.iter().filter_map(|seen| Some(chosen_similarity(seen)?.0)).collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    }
}

/// sum_{i != j} ReLU(cos(E_i(x), E_j(x))) / K^2 over the K experts of a unit: its mean, least and largest
/// over the units. None where units are not what experts work on, row by row.
pub(crate) fn chosen_similarity(seen: &LayerCapture) -> Option<(f64, f64, f64)> {
    let outputs = seen.outputs.as_ref()?;
    let [_, s, d] = outputs.dims();
    let choices = seen.plan.choices();
    if choices.len() != s || s == 0 {
        return None;
    }
    let length = outputs.clone().square().sum_dim(2).sqrt().clamp_min(1e-12);
    let unit: Vec<f32> = (outputs.clone() / length).into_data().iter::<f32>().collect();
    let row = |expert: usize, at: usize| &unit[(expert * s + at) * d..][..d];
    let cosine = |i: usize, j: usize, at: usize| {
        row(i, at).iter().zip(row(j, at)).map(|(a, b)| f64::from(a * b)).sum::<f64>()
    };
    let of = |(at, experts): (usize, &Vec<(usize, f32)>)| {
        let k = experts.len().max(1);
        let pairs = (0..k * k).filter(|pair| pair / k < pair % k && experts.len() > 1);
        let pairs = pairs.map(|pair| cosine(experts[pair / k].0, experts[pair % k].0, at).max(0.0));
        2.0 * pairs.sum::<f64>() / (k * k) as f64
    };
    let found: Vec<f64> = choices.iter().enumerate().map(of).collect();
    let mean = found.iter().sum::<f64>() / s as f64;
    let (least, most) = (f64::INFINITY, f64::NEG_INFINITY);
    Some((
        mean,
        found.iter().copied().fold(least, f64::min),
        found.iter().copied().fold(most, f64::max),
    ))
}

/// The file of a run with its routing in numbers, by name.
const FILE: &str = "routing.json";

/// Writes down a traced run's routing in numbers; nothing if it has no MoE layers.
pub(crate) fn write(cell: &RunSpec, store: &Store, subject: &Subject) -> anyhow::Result<()> {
    let traces = Trace::read_all(&store.folder(&cell.id).join("trace"))?;
    let mut found = analysis::numbers(&traces);
    if found.is_empty() {
        return Ok(());
    }
    let first = |ranks| subject.passed_over(ranks).and_then(|values| values.first().copied());
    if let (Some(whole), Some(one), Some(two)) = (first(0), first(1), first(2)) {
        found.extend([("drop_top_1", one - whole), ("drop_top_2", two - whole)]);
    }
    found.extend(subject.output_similarity().map(|alike| ("output_similarity", alike)));
    store.write(&cell.id, FILE, &found)
}

/// What [`write`] has written: split, metric, value; nothing of a run without traces.
pub(crate) fn read(id: &str, store: &Store) -> anyhow::Result<Vec<(String, String, f64)>> {
    let path = store.folder(id).join(FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let place = || path.display().to_string();
    let bytes = std::fs::read(&path).with_context(place)?;
    let Ok(found) = serde_json::from_slice::<Vec<(String, f64)>>(&bytes) else {
        bail!("{} is damaged; remove it", place());
    };
    let split = Split::Valid.name();
    Ok(found.into_iter().map(|(name, value)| (split.into(), name, value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::prelude::*;
    use moe::Plan;
    use tasks::DataDir;

    use crate::{
        Plugins, Suite,
        start::ModelBuilder,
        suite::{Selection, Source},
    };

    /// The answer of a fresh network with this router.
    fn answer(router: &str) -> anyhow::Result<Table> {
        let text = format!(
            "[base]\nmoe = {{ layers = \"last 1\", experts = 4, router = {router} }}\n[[task]]\n\
             task = \"digits\"\nbackbone = {{ kind = \"vit\", patch = 4, width = 8, depth = 2, heads = 2 }}\n\
             [[method]]\nname = \"m\"\n"
        );
        let suite =
            Suite { name: "s", file: "s.toml", text: text.leak(), program: crate::Program::NONE };
        let (plugins, data) = (Plugins::default(), DataDir::default());
        let cell = Source::find("s", &[suite])
            .unwrap()
            .plan(&plugins, &data, &Selection::default())
            .unwrap()
            .cells
            .remove(0);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let device = Device::flex();
        let site = ModelBuilder { plugins: &plugins, store: &store, device: &device };
        let model = burn::module::Module::valid(&site.begin(&cell).unwrap());
        Subject { model: &model, task: &*cell.data, device: &device }.ranks()
    }

    #[test]
    fn those_next_in_rank_are_others() {
        let table = answer("{ kind = \"top-k\", k = 2 }").unwrap();
        let loss = table.rows.iter().find(|row| row[0] == Entry::Words("loss".into())).unwrap();
        let Entry::Number(difference) = loss[4] else { panic!("{loss:?}") };
        assert!(difference.is_finite() && difference != 0.0, "{loss:?}");
        // Chance knows no ranks, and of three experts none is left to follow two.
        for router in ["\"random\"", "{ kind = \"top-k\", k = 3 }"] {
            assert!(answer(router).unwrap_err().to_string().contains("by rank"), "{router}");
        }
    }

    #[test]
    fn the_similarity_of_a_unit_by_hand() {
        let device = Device::flex();
        let plan = Plan::TokenChoice {
            experts: Tensor::from_ints([[[0, 1], [1, 2], [2, 3]]], &device),
            weights: Tensor::full([1, 3, 2], 0.5, &device),
            n_experts: 3,
        };
        // Unit 0: experts at right angles but for 0.6; unit 1: opposite; unit 2: a single expert.
        let outputs = [
            [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]],
            [[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]],
            [[0.0, 1.0], [0.0, -1.0], [1.0, 0.0]],
        ];
        let outputs = Some(Tensor::<3>::from_floats(outputs, &device));
        let (mean, least, most) = chosen_similarity(&LayerCapture { plan, outputs }).unwrap();
        // Unit 0: 2 * 0.6 / 4.
        assert!((mean - 0.1).abs() < 1e-6 && least == 0.0 && (most - 0.3).abs() < 1e-6);
    }
}
