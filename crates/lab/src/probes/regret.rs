//! The regret of the first choice against every other expert.

use moe::RoutingProbe;
use report::{Cell, Table};
use tasks::Batch;

use super::{
    plan_edit::{changeable, with_first},
    subject::{Subject, layer_column, numbers},
};

impl Subject<'_> {
    /// The regret of choices: in each example one unit, drawn once, has its first expert replaced by
    /// each other one with the same weight.
    ///
    /// regret = loss(chosen) - min over experts of the loss(expert)   (0 if the choice was the best)
    ///
    /// The word is that of bandits: Lattimore, Szepesvári. *Bandit Algorithms*. 2020.
    /// <https://tor-lattimore.com/downloads/book/book.pdf>
    pub(super) fn regret(&self) -> anyhow::Result<Table> {
        let batches = self.batches().map(|batch| (self.one_by_one(&batch), batch));
        let batches: Vec<(Vec<Batch>, Batch)> = batches.collect();
        let mut rows = Vec::new();
        for (layer, plan) in self.layers().iter().enumerate() {
            changeable(plan)?;
            let e = plan.n_experts();
            let [regret, best, others] = self.regret_of(&batches, layer, e);
            let row = [layer as f64, regret, best, 1.0 / e as f64, others];
            rows.push(row.map(Cell::Number).to_vec());
        }
        Ok(Table {
            title: "Regret of the first choice: loss with another expert in its place".into(),
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
                 of the example minus the least that any expert gives, in the loss of the task (cross-entropy: nats for each answer); chosen is best: share \
                 of examples without regret; loss of any expert: the mean over all experts, minus that of \
                 the chosen one."
                    .into(),
            ],
            ..Table::default()
        })
    }

    /// The mean regret in a layer of E experts, the share of examples without regret, and the mean loss over
    /// all experts minus that of the chosen one.
    fn regret_of(&self, batches: &[(Vec<Batch>, Batch)], layer: usize, e: usize) -> [f64; 3] {
        let (mut n, mut sums) = (0.0, [0.0; 3]);
        for (examples, batch) in batches {
            let losses = |expert| self.losses((batch, examples), layer, expert);
            let chosen = losses(None);
            let instead: Vec<Vec<f64>> = (0..e).map(|expert| losses(Some(expert))).collect();
            for (example, chosen) in chosen.iter().enumerate() {
                let all = || instead.iter().map(|losses| losses[example]);
                let least = all().fold(*chosen, f64::min);
                n += 1.0;
                sums[0] += chosen - least;
                sums[1] += if *chosen <= least + 1e-7 { 1.0 } else { 0.0 };
                sums[2] += all().sum::<f64>() / e as f64 - chosen;
            }
        }
        sums.map(|sum| sum / n)
    }

    /// The examples of a batch, each as its own batch.
    fn one_by_one(&self, batch: &Batch) -> Vec<Batch> {
        let (split, examples) = batch.examples.as_ref().expect("examples as they are in a split");
        let one = |example: &usize| {
            self.task.batch(*split, &[*example], self.device).drawn(*split, &[*example])
        };
        examples.iter().map(one).collect()
    }

    /// The task's loss of each example, if the first expert of one of its units is replaced by `expert`.
    fn losses(
        &self,
        (batch, examples): (&Batch, &[Batch]),
        layer: usize,
        expert: Option<usize>,
    ) -> Vec<f64> {
        let count = examples.len();
        let probe = RoutingProbe {
            plan_override: Some(Box::new(move |at, plan| match expert {
                Some(expert) if at == layer => with_first(plan, expert, count),
                _ => plan,
            })),
            ..RoutingProbe::default()
        };
        let (output, _) = self.pass(batch, probe);
        let loss = |(at, example): (usize, &Batch)| {
            let loss = self.task.loss(output.clone().narrow(0, at, 1), example);
            f64::from(loss.into_scalar::<f32>())
        };
        examples.iter().enumerate().map(loss).collect()
    }
}
