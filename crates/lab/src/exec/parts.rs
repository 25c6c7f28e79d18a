//! Networks that are assembled from parts of other runs' networks, and the teachers of runs.

use anyhow::{Context, anyhow};
use backbones::AnyBackbone;
use training::{Distill, Part, take_over};

use super::model_builder::ModelBuilder;
use crate::spec::{PartConfig, RunSpec};

impl ModelBuilder<'_> {
    /// The network with the weights of the parts that the run takes over, applied in order.
    pub(super) fn assemble(
        &self,
        spec: &RunSpec,
        model: AnyBackbone,
    ) -> anyhow::Result<AnyBackbone> {
        let parts = spec.config.parts.iter().zip(&spec.parts);
        parts.enumerate().try_fold(model, |model, (number, (part, of))| {
            let name = || format!("part {number}, of run {}", of.id);
            let (there, _) = self.trained(of).with_context(name)?;
            let part = Part { take: &part.take, into: &part.into };
            take_over(&there, model, part).map_err(|why| anyhow!("{}: {why}", name()))
        })
    }

    /// Checks that the parts fit, with untrained networks, before anything is trained.
    pub(super) fn check_parts(&self, spec: &RunSpec) -> anyhow::Result<()> {
        let parts = spec.config.parts.iter().zip(&spec.parts);
        let here = || self.build(spec, &spec.config.moe, true);
        let fits = |(number, (part, of)): (usize, (&PartConfig, &RunSpec))| {
            let there = self.build(of, &of.config.moe, false)?;
            let part = Part { take: &part.take, into: &part.into };
            take_over(&there, here()?, part)
                .map(drop)
                .map_err(|why| anyhow!("method {:?}: part {number}: {why}", spec.method))
        };
        parts.enumerate().try_for_each(fits)
    }

    /// The objective of a run that has a teacher.
    pub(super) fn teaching(&self, spec: &RunSpec) -> anyhow::Result<Option<Distill>> {
        let Some(teacher) = &spec.teacher else { return Ok(None) };
        let (network, _) = self.trained(teacher).context("the run of its teacher")?;
        let config = spec.config.distill.clone().unwrap_or_default();
        Ok(Some(Distill::new(config, network)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Plugins,
        spec::Selection,
        store::Store,
        testing::{plan, plan_some},
    };
    use burn::prelude::*;

    const SUITE: &str = r#"
[base]
moe.layers = "none"
train.steps = 4
[[task]]
task = "digits"
backbone = { kind = "vit", width = 8, depth = 2, heads = 2 }
[[method]]
name = "meta"
[[method]]
name = "other teacher"
train.steps = 5
[[method]]
name = "module 0"
backbone = { kind = "hybrid", slots = 2, slot = 0, meta = { width = 8, depth = 2, heads = 2 }, module = { width = 6, depth = 2, heads = 2 } }
parts = [{ of = "meta", into = "meta" }]
teacher = "meta"
[[method]]
name = "module 1"
backbone = { kind = "hybrid", slots = 2, slot = 1, meta = { width = 8, depth = 2, heads = 2 }, module = { width = 6, depth = 2, heads = 2 } }
parts = [{ of = "meta", into = "meta" }]
teacher = "other teacher"
distill = { alpha = 0.9, reduction = "batch" }
[[method]]
name = "whole"
backbone.width = 6
parts = [{ of = "module 0", take = "module" }, { of = "module 1", take = "module" }]
"#;

    #[test]
    fn a_run_starts_from_parts_of_several_runs_and_modules_have_teachers_of_their_own() {
        let specs = plan(SUITE).unwrap().specs;
        let before =
            |at: usize| specs[at].prerequisites().map(|run| run.id.clone()).collect::<Vec<_>>();
        let id = |at: usize| specs[at].id.clone();
        assert!(before(0).is_empty());
        assert_eq!(before(2), [id(0), id(0)]);
        assert_eq!(before(3), [id(1), id(0)]);
        assert_eq!(before(4), [id(2), id(3)]);
        assert_eq!(specs[3].config.distill.as_ref().unwrap().alpha, 0.9);
        // Another setting of the first run changes all runs that depend on it.
        let set = Selection { set: vec!["train.lr=0.5".into()], ..Selection::default() };
        let changed = plan_some(SUITE, &set).unwrap().specs;
        assert!(changed.iter().zip(&specs).all(|(a, b)| a.id != b.id));
        let written = serde_json::to_value(&specs[4].config).unwrap();
        assert_eq!(
            serde_json::from_value::<crate::spec::RunConfig>(written).unwrap(),
            specs[4].config
        );
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
        let wrong = |method: &str| {
            let text = format!("{SUITE}[[method]]\nname = \"wrong\"\n{method}\n");
            plan(&text).err().unwrap().to_string()
        };
        let lines = SUITE.lines().count();
        let at = format!("s.toml:{}: ", lines + 3);
        let err = wrong("teacher = \"meat\"");
        let known = "known: \"meta\", \"other teacher\", \"module 0\", \"module 1\", \"whole\"";
        let expected = format!("{at}teacher = \"meat\": no earlier method has this name; {known}");
        assert_eq!(err, expected);
        let err = wrong("parts = [{ of = \"wrong\" }]");
        assert!(err.contains("of = \"wrong\": no earlier method has this name"), "{err}");
        let err = wrong("parts = [{ take = \"module\" }]");
        assert!(err.starts_with(&at) && err.contains("`of` is missing"), "{err}");
        let err = wrong("parts = [{ of = \"meta\", to = \"meta\" }]");
        assert!(err.contains("unknown key \"to\"; known: of, take, into"), "{err}");
        let err = wrong("parts = [{ of = \"meta\" }]\nfrom = { train.steps = 1 }");
        assert!(err.starts_with(&at) && err.contains("from one run"), "{err}");
        let err = wrong("distill = { alpha = 0.5 }");
        assert!(err.starts_with(&at) && err.contains("`teacher` is not set"), "{err}");
        let err = wrong("teacher = \"meta\"\ndistill = { tau = -1.0 }");
        assert!(err.contains("distill: tau = -1"), "{err}");
        let err = wrong("teacher = \"meta\"\ntask.classes = [1, 2]");
        assert_eq!(err, format!("{at}teacher: it has 10 outputs, but this run 2"));
        let err = wrong("teacher = \"meta\"\ntask.side = 12");
        assert!(err.starts_with(&format!("{at}teacher: that network takes")), "{err}");
    }

    #[test]
    fn parts_that_do_not_fit_are_named_before_anything_is_trained() {
        let folder = tempfile::tempdir().unwrap();
        let (plugins, device) = (Plugins::default(), Device::flex());
        let store = Store::open(folder.path()).unwrap();
        let builder = ModelBuilder { plugins: &plugins, store: &store, device: &device };
        let check = |text: &str| {
            let specs = plan(text).unwrap().specs;
            specs
                .iter()
                .try_for_each(|spec| builder.check_parts(spec))
                .map_err(|err| err.to_string())
        };
        assert_eq!(check(SUITE), Ok(()));
        let err = check(&SUITE.replace("take = \"module\" }]", "take = \"modul\" }]")).unwrap_err();
        assert!(err.starts_with("method \"whole\": part 1: no weight of \"modul\""), "{err}");
        assert!(err.contains("source: meta, pre, module; network: patches"), "{err}");
        let err = check(&SUITE.replace("backbone.width = 6", "backbone.width = 8")).unwrap_err();
        assert!(err.contains("part 0: ") && err.contains(", not ["), "{err}");
    }
}
