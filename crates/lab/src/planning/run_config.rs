//! Reading and checking the config of a run.

use anyhow::{anyhow, bail};
use moe::{ConfigError, Domain, typed};
use serde_json::Value;
use tasks::{DataDir, DataError, LoadedTask, Split, Task};

use super::limits::check_sizes;
use crate::{
    Plugins,
    settings::{SettingTree, at, known_keys},
    spec::{GroupsConfig, PartConfig, RunConfig},
};

use super::{
    adapters::check_adapters, checkpoint::settings_of_checkpoint, replay::check_replay,
    upcycling::check_upcycle,
};

/// Keys that apply to a run alone, and not to runs with the same settings on which it depends.
pub(super) const OF_ITSELF: [&str; 8] =
    ["from", "after", "prune", "upcycle", "few_shot", "parts", "teacher", "distill"];

/// The settings of the run from which a run starts: the complete settings of `after`, or its own settings
/// with those of `from` laid over them.
pub(crate) fn settings_of_start(settings: &SettingTree) -> Option<SettingTree> {
    if let Some(whole) = settings.table()?.get("after") {
        return Some(whole.clone());
    }
    let from = settings.table()?.get("from")?;
    if let Some(start) = settings_of_checkpoint(&settings.without(&OF_ITSELF), from) {
        return Some(start);
    }
    let mut start = settings.without(&OF_ITSELF);
    start.lay(from);
    Some(start)
}

/// The settings of the runs from which a run takes parts, with their places; they are complete, since the
/// names of methods were replaced by settings.
pub(crate) fn settings_of_parts(settings: &SettingTree) -> anyhow::Result<Vec<&SettingTree>> {
    let parts = match settings.table().and_then(|table| table.get("parts")) {
        None => return Ok(Vec::new()),
        Some(SettingTree::Tables(parts, _)) => parts,
        Some(other) => bail!("{}: parts: expected a list of tables", other.place()),
    };
    let of = |part: &SettingTree| match part.table().and_then(|table| table.get("of")) {
        Some(_) => Ok(()),
        None => {
            Err(anyhow!("{}: parts: `of` is missing; expected the name of a method", part.place()))
        }
    };
    parts.iter().try_for_each(of)?;
    Ok(parts.iter().filter_map(|part| part.table()?.get("of")).collect())
}

/// The settings of the run from whose network a run learns.
pub(crate) fn settings_of_teacher(settings: &SettingTree) -> Option<&SettingTree> {
    settings.table()?.get("teacher")
}

/// The settings of the run whose confusions determine a run's groups: its own, with those of `groups.of` laid
/// over them.
pub(crate) fn settings_of_confused(settings: &SettingTree) -> Option<SettingTree> {
    let of = settings.table()?.get("groups")?.table()?.get("of")?;
    let mut confusion_run = settings.without(&OF_ITSELF).without(&["groups"]);
    confusion_run.lay(of);
    Some(confusion_run)
}

impl RunConfig {
    /// Reads a config, and fills in the defaults of its plug-ins. Errors name the place.
    pub(crate) fn read(settings: &SettingTree, plugins: &Plugins) -> anyhow::Result<Self> {
        let mut own = settings.without(&["from", "after", "parts", "teacher"]).value();
        if let Some(groups) = own.get_mut("groups").and_then(Value::as_object_mut) {
            groups.remove("of");
        }
        let confusion_run = settings_of_confused(settings).map(|of| Self::read(&of, plugins));
        let confusion_run = confusion_run.transpose()?.map(Box::new);
        let wrong = |(path, why): (String, String)| match why.starts_with("expected ") {
            true => at(settings, &path, format!("{path}: {why}")),
            false => at(settings, &path, why), // names the key
        };
        let config: RunConfig = typed(own).map_err(wrong)?;
        let from = settings_of_start(settings).map(|from| Self::read(&from, plugins));
        let sized = |(path, message): (String, String)| at(settings, &path, &message);
        let read = |settings: &SettingTree| Self::read(settings, plugins).map(Box::new);
        let located = |err: ConfigError| at(settings, &path_of(&err), err);
        let config = Self {
            task: plugins.tasks.complete(&config.task).map_err(located)?,
            backbone: plugins.backbones.complete(&config.backbone).map_err(located)?,
            moe: plugins.library.complete(&config.moe).map_err(located)?,
            train: config.train,
            checkpoint: config.checkpoint,
            from: from.transpose()?.map(Box::new),
            prune: config.prune,
            upcycle: config.upcycle,
            few_shot: config.few_shot,
            parts: Self::read_parts(settings, plugins)?,
            teacher: settings_of_teacher(settings).map(read).transpose()?,
            distill: config.distill,
            groups: config.groups.map(|groups| GroupsConfig { of: confusion_run, ..groups }),
        };
        check_sizes(&config).map_err(sized)?;
        Ok(config)
    }

    fn read_parts(settings: &SettingTree, plugins: &Plugins) -> anyhow::Result<Vec<PartConfig>> {
        let whole = settings_of_parts(settings)?;
        let tables = match settings.table().and_then(|table| table.get("parts")) {
            Some(SettingTree::Tables(tables, _)) => tables.as_slice(),
            _ => &[],
        };
        let part = |(table, of): (&SettingTree, &SettingTree)| {
            known_keys(table, &["of", "take", "into"])?;
            let path = |key: &str| match &table.value()[key] {
                Value::Null => Ok(String::new()),
                Value::String(path) => Ok(path.clone()),
                other => Err(at(
                    table,
                    key,
                    format!("{key} = {other}: expected a path, for example \"module\""),
                )),
            };
            let of = Box::new(Self::read(of, plugins)?);
            Ok(PartConfig { of, take: path("take")?, into: path("into")? })
        };
        tables.iter().zip(whole).map(part).collect()
    }

    /// Checks that a run starts from one run or from parts, and that `distill` has a teacher.
    fn check_parts(&self) -> Result<(), (&'static str, String)> {
        if !self.parts.is_empty() && self.from.is_some() {
            let message = "parts: a run starts from one run (`from`, `after`) or from parts of \
                           several, not from both";
            return Err(("parts", message.into()));
        }
        match (&self.distill, &self.teacher) {
            (Some(_), None) => Err((
                "distill",
                "distill: `teacher` is not set; it names the run to learn from".into(),
            )),
            (Some(distill), Some(_)) => {
                distill.check().map_err(|why| ("distill", format!("distill: {why}")))
            }
            (None, _) => Ok(()),
        }
    }

    /// Checks that everything fits together, before anything is trained.
    pub(crate) fn check(
        &self,
        settings: &SettingTree,
        plugins: &Plugins,
        task: &dyn Task,
    ) -> anyhow::Result<()> {
        let located = |err: ConfigError| at(settings, &path_of(&err), err);
        self.train.check().map_err(|message| {
            let key = message.split(' ').next().unwrap_or_default();
            at(settings, &format!("train.{key}"), &message)
        })?;
        let place = |(key, message): (&str, String)| at(settings, key, message);
        self.check_sizes(task).map_err(place)?;
        self.check_stream(task).map_err(place)?;
        self.check_start(task).map_err(place)?;
        self.check_condition(task).map_err(place)?;
        let backbone = plugins.backbones.get(&self.backbone.kind).map_err(located)?;
        (backbone.build.check)(&self.backbone, &self.backbone_spec(plugins, task))
            .map_err(located)?;
        self.check_answers(backbone.build.answers, task).map_err(place)?;
        check_replay(self, task).map_err(place)
    }

    /// Checks that the network gives as many outputs for an image as the task asks for. For a text both give
    /// one output per token.
    fn check_answers(
        &self,
        answers: fn(usize) -> usize,
        task: &dyn Task,
    ) -> Result<(), (&'static str, String)> {
        let Domain::Image { height, .. } = task.domain() else { return Ok(()) };
        let wrong = |message| ("backbone", format!("backbone {:?}: {message}", self.backbone.kind));
        task.takes(answers(height)).map_err(wrong)
    }

    /// Checks that no split is empty. An error is a key with a message, as in the checks below.
    fn check_sizes(&self, task: &dyn Task) -> Result<(), (&'static str, String)> {
        let sizes = [Split::Train, Split::Valid, Split::Test].map(|split| task.len(split));
        if !sizes.contains(&0) {
            return Ok(());
        }
        let ([train, valid, test], kind) = (sizes, &self.task.kind);
        let message = format!(
            "task {kind:?}: {train} examples for training, {valid} for validation and {test} for test: \
             none of them may be 0"
        );
        Err(("task", message))
    }

    /// Checks that the rows of a stream fit the text.
    fn check_stream(&self, task: &dyn Task) -> Result<(), (&'static str, String)> {
        let (rows, windows) = (self.train.batch, task.len(Split::Train));
        if task.as_stream().is_none() {
            return Ok(());
        }
        if self.train.steps > 0 && rows > windows {
            let message = format!(
                "batch = {rows}: must be at most {windows}, the number of windows of the text, since each \
                 row continues through a separate part of it"
            );
            return Err(("train.batch", message));
        }
        Ok(())
    }

    /// Checks what a run starts from: pruning, groups of classes, few-shot evaluation.
    fn check_start(&self, task: &dyn Task) -> Result<(), (&'static str, String)> {
        if self.prune.is_some() && self.from.is_none() {
            let message = "there is nothing to prune: `from`, the run to start from, is not set";
            return Err(("prune", message.into()));
        }
        if let Some(prune) = &self.prune {
            prune.check().map_err(|message| ("prune.draw", format!("prune: {message}")))?;
        }
        check_upcycle(self)?;
        check_adapters(self)?;
        self.check_parts()?;
        if let Some(groups) = &self.groups {
            groups.check(task).map_err(|message| ("groups", message))?;
        }
        if let Some(few_shot) = &self.few_shot {
            let steps = self.train.steps;
            let checked = match few_shot.check() {
                Ok(()) if steps > 0 => Err(format!("needs train.steps = 0, not {steps}")),
                checked => checked,
            };
            checked.map_err(|message| ("few_shot", format!("few_shot: {message}")))?;
        }
        Ok(())
    }

    /// Checks that the task has the condition that routing at batch level needs.
    fn check_condition(&self, task: &dyn Task) -> Result<(), (&'static str, String)> {
        let width = task.as_conditioned().map(|task| task.condition_width());
        let found = width.map_or("none".into(), |width| format!("one of width {width}"));
        let kind = &self.task.kind;
        let message = |message| format!("moe.{message}, but task {kind:?} has {found}");
        let checked = self.moe.level.check_condition(width);
        checked.map_err(|wrong| ("moe.level", message(wrong)))
    }

    /// Loads the task, with the digest of its data.
    pub(crate) fn load_task(
        &self,
        settings: &SettingTree,
        plugins: &Plugins,
        data: &DataDir,
    ) -> anyhow::Result<LoadedTask> {
        let load = plugins.tasks.get(&self.task.kind)?.build;
        load(&self.task, data).map_err(|err| match err {
            DataError::Config(err) => at(settings, &path_of(&err), err),
            other => anyhow!(other).context(format!("task {:?}", self.task.kind)),
        })
    }
}

/// The path of the setting that caused an error.
fn path_of(err: &ConfigError) -> String {
    let (what, key) = match err {
        ConfigError::Key { what, key, .. } => (what, key.as_str()),
        ConfigError::Unknown { what, .. } => (what, "kind"),
        // The message begins with the key if it is about one.
        ConfigError::Invalid { what, message, .. }
        | ConfigError::Layer { table: what, message } => {
            (what, message.split([' ', ':']).next().unwrap_or_default())
        }
    };
    let table = match *what {
        "router" | "expert" => format!("moe.{what}"),
        "residual rule" | "residual" => "moe.residual".to_string(),
        other => other.to_string(),
    };
    format!("{table}.{key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "task = \"digits\"\nbackbone = \"vit\"\n[moe]\nexperts = 4\n[train]\nsteps = 5\n";

    fn wrong(change: &str) -> String {
        let plugins = Plugins::default();
        let mut settings = SettingTree::parse("s.toml", GOOD).unwrap();
        settings.lay(&SettingTree::parse("over.toml", change).unwrap());
        let read = || {
            let config = RunConfig::read(&settings, &plugins)?;
            let task = config.load_task(&settings, &plugins, &DataDir::default())?;
            config.check(&settings, &plugins, &*task.task)
        };
        read().unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_place_the_value_and_the_alternatives() {
        let err = wrong("\n[moe]\nexpert_count = 3");
        assert!(
            err.starts_with("over.toml:3: unknown key `expert_count`, expected one of"),
            "{err}"
        );
        let err = wrong("\n[moe.level]\nbatch = 4");
        let expected = "moe.level.batch = 4: needs a task with a condition of this width, but task \
                        \"digits\" has none";
        assert!(err.starts_with("over.toml:") && err.ends_with(expected), "{err}");
        let err = wrong("moe.router = \"swich\"");
        assert!(
            err.starts_with("over.toml:1: no router is named \"swich\"; known: top-k"),
            "{err}"
        );
        let err = wrong("[moe]\n\nrouter.kind = \"top-k\"\nrouter.kk = 3");
        assert!(err.starts_with("over.toml:4: router \"top-k\": kk: unknown key"), "{err}");
        let err = wrong("moe.router = { kind = \"top-k\", k = \"two\" }");
        assert!(
            err.starts_with("over.toml:1: router \"top-k\": k: expected a whole number"),
            "{err}"
        );
        let err = wrong("moe = { layers = \"all\", experts = \"x\" }");
        let expected = "over.toml:1: moe.experts: expected a whole number, 0 or larger, not \"x\"";
        assert_eq!(err, expected);
        let err = wrong("moe.router = { kind = \"top-k\", k = 9 }");
        assert!(err.starts_with("over.toml:1: ") && err.contains("k = 9"), "{err}");
        for key in ["experts = 0", "capacity.factor = -1"] {
            let err = wrong(&format!("\n[moe]\n\n{key}"));
            assert!(err.starts_with(&format!("over.toml:4: moe.{key}")), "{err}");
        }
        let err = wrong("task = \"digit\"");
        assert!(err.starts_with("over.toml:1: no task is named \"digit\"; known: digits"), "{err}");
        let err = wrong("\nbackbone = { kind = \"vit\", heads = 5 }");
        assert!(
            err.starts_with("over.toml:2: ") && err.contains("heads = 5 does not divide"),
            "{err}"
        );
        let err = wrong("[backbone]\nkind = \"vit\"\nheads = 5");
        assert!(err.starts_with("over.toml:3: backbone \"vit\": heads = 5"), "{err}");
        let err = wrong("[task]\nkind = \"digits\"\ntrain = 0");
        assert!(err.starts_with("over.toml:3: task \"digits\": train = 0"), "{err}");
        let err = wrong("[train]\n\nlr = -1.0");
        assert!(err.starts_with("over.toml:3: lr = -1"), "{err}");
    }

    #[test]
    fn a_run_starts_from_its_own_settings_with_some_changed() {
        let plugins = Plugins::default();
        let text = "[from]\ntrain = { steps = 9 }\n[prune]\nratio = 0.25\n";
        let mut settings = SettingTree::parse("s.toml", GOOD).unwrap();
        settings.lay(&SettingTree::parse("over.toml", text).unwrap());
        let config = RunConfig::read(&settings, &plugins).unwrap();
        let from = *config.from.clone().unwrap();
        assert_eq!((config.train.steps, from.train.steps), (5, 9));
        assert_eq!((from.moe.experts, from.prune, from.from), (4, None, None));
        let written = serde_json::to_value(&config).unwrap();
        assert_eq!(serde_json::from_value::<RunConfig>(written).unwrap(), config);

        let err = wrong("\n[prune]\nratio = 0.5");
        assert!(err.starts_with("over.toml:2: there is nothing to prune"), "{err}");
        let err = wrong("[from]\n\nmoe.router = \"swich\"");
        assert!(err.starts_with("over.toml:3: no router is named"), "{err}");
        let err = wrong("from = {}\n[prune]\nrule = \"norm\"");
        assert!(err.starts_with("over.toml:3: unknown value `norm`"), "{err}");
    }
}
