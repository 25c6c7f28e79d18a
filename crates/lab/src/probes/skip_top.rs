//! The effect of skipping the top-ranked experts.
//!
//! Nguyen et al. *LibMoE: A Library for Comprehensive Benchmarking Mixture of Experts in Large Language
//! Models*. 2024. <https://arxiv.org/abs/2411.00918>

use anyhow::Context;
use moe::{Pass, SkipTopExperts};
use report::{Cell, Column, Kind, Table};
use tasks::Score;
use training::put_batch_facts;

use super::subject::{Subject, numbers};

impl Subject<'_> {
    /// DropTop1 and DropTop1&2: in all layers each unit skips its best one or two experts and uses those next
    /// in rank, which get their weights from the router as if they were the best.
    ///
    /// If the number of experts is not fixed (`remoe`), no experts replace the skipped ones.
    pub(crate) fn ranks(&self) -> anyhow::Result<Table> {
        let ask = |ranks| {
            self.passed_over(ranks)
                .context("the router does not choose by rank, or has too few experts")
        };
        let (whole, one, two) = (ask(0)?, ask(1)?, ask(2)?);
        let row = |(at, name): (usize, &&str)| {
            let values = [whole[at], one[at], two[at], one[at] - whole[at], two[at] - whole[at]];
            let values = values.map(Cell::Number);
            std::iter::once(Cell::Words((*name).into())).chain(values).collect()
        };
        Ok(Table {
            title: "Loss with the experts next in rank, in all layers".into(),
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

    /// The task's measures if each unit skips its `ranks` best experts; none if no router supports that.
    pub(super) fn passed_over(&self, ranks: usize) -> Option<Vec<f64>> {
        let mut score = Score::default();
        for batch in self.batches() {
            let mut pass = Pass::eval();
            pass.put(SkipTopExperts { ranks, obeyed: ranks == 0 });
            put_batch_facts(&mut pass, self.task, &batch);
            let output = self.model.forward(&mut pass, batch.input.clone());
            pass.take::<SkipTopExperts>().filter(|asked| asked.obeyed)?;
            self.task.measure(output, &batch, &mut score);
        }
        Some(self.task.metrics().iter().map(|name| score.mean(name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Begun, begin};
    use burn::prelude::*;

    /// The result for a fresh network with this router.
    fn answer(router: &str) -> anyhow::Result<Table> {
        let Begun { task, model, .. } = begin(&format!(
            "[base]\nmoe = {{ layers = \"last 1\", experts = 4, router = {router} }}\n[[task]]\n\
             task = \"digits\"\nbackbone = {{ kind = \"vit\", patch = 4, width = 8, depth = 2, heads = 2 }}\n\
             [[method]]\nname = \"m\"\n"
        ));
        Subject { model: &model, task: &*task, device: &Device::flex() }.ranks()
    }

    #[test]
    fn those_next_in_rank_are_others() {
        let table = answer("{ kind = \"top-k\", k = 2 }").unwrap();
        let loss = table.rows.iter().find(|row| row[0] == Cell::Words("loss".into())).unwrap();
        let Cell::Number(difference) = loss[4] else { panic!("{loss:?}") };
        assert!(difference.is_finite() && difference != 0.0, "{loss:?}");
        // A random router has no ranks, and of four experts too few remain for k = 3 after two are skipped.
        for router in ["\"random\"", "{ kind = \"top-k\", k = 3 }"] {
            assert!(answer(router).unwrap_err().to_string().contains("by rank"), "{router}");
        }
    }
}
