//! Limits on the sizes in configs, checked before anything of that size is created.

use moe::Choice;
use serde_json::Value;

use crate::spec::RunConfig;

use super::sizes::{sizes, sizes_of};

/// The largest number of experts of a layer.
pub(crate) const MOST_EXPERTS: usize = 100_000;

/// The largest values of settings, by the end of the setting's path; the first one that fits applies.
const MOST: [(&str, u64); 13] = [
    ("experts", MOST_EXPERTS as u64),
    ("depth", 10_000),
    ("blocks", 10_000),
    ("train", 10_000_000),
    ("valid", 10_000_000),
    ("test", 10_000_000),
    ("heads", 100_000),
    ("side", 100_000),
    ("classes", 10_000_000),
    ("workers", 10_000),
    ("batch", 10_000_000),
    ("train.steps", 1_000_000_000_000),
    ("steps", 100_000),
];
const MOST_OF_OTHERS: u64 = 1_000_000_000;
/// The name of numbers that are not sizes.
const NO_SIZE: &str = "seed";

/// Refuses sizes beyond these limits; the error is the path of the setting and the message.
pub(super) fn check_sizes(config: &RunConfig) -> Result<(), (String, String)> {
    sizes(config).into_iter().try_for_each(|(path, size)| {
        let message = too_large(&path, size);
        message.map_or(Ok(()), |message| Err((path, message)))
    })
}

/// Refuses sizes of a plug-in beyond these limits.
pub(crate) fn check_plugin_sizes(choice: &Choice) -> Result<(), String> {
    let sizes = sizes_of(&Value::Object(choice.options.clone()));
    sizes.into_iter().find_map(|(path, size)| too_large(&path, size)).map_or(Ok(()), Err)
}

/// The message if a size is beyond its limit.
fn too_large(path: &str, size: u64) -> Option<String> {
    let is_of = |known: &str| {
        path.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let most =
        MOST.iter().find(|(known, _)| is_of(known)).map_or(MOST_OF_OTHERS, |(_, most)| *most);
    let name = path.rsplit('.').next().unwrap_or(path);
    (size > most && name != NO_SIZE).then(|| format!("{name} = {size}: must be at most {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;

    fn error(setting: &str) -> String {
        let suite = format!(
            "[[task]]\ntask = \"digits\"\nbackbone = {{ kind = \"vit\", width = 8 }}\n[[method]]\n\
             moe.router = \"top-k\"\n{setting}\n"
        );
        plan(&suite).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn a_size_that_nothing_has_is_refused_at_its_place() {
        let err = error("moe.experts = 4_000_000_000");
        assert!(err.ends_with(":6: experts = 4000000000: must be at most 100000"), "{err}");
        for (setting, expected) in [
            ("backbone.depth = 1_000_000_000", "depth = 1000000000: must be at most 10000"),
            ("backbone.width = 9_000_000_000_000", "width = 9000000000000: must be at most 10"),
            ("moe.expert = { kind = \"ffn\", hidden = 9_000_000_000 }", "hidden = 9000000000: "),
            ("train.steps = 9_000_000_000_000", "steps = 9000000000000: must be at most"),
            ("train.batch = 999_999_999", "batch = 999999999: must be at most 10000000"),
            ("task.train = 999_999_999", "train = 999999999: must be at most 10000000"),
            ("task.side = 999_999_999", "side = 999999999: must be at most 100000"),
        ] {
            let err = error(setting);
            assert!(err.contains(expected), "{setting}: {err}");
        }
    }

    #[test]
    fn only_training_has_many_steps() {
        let transport = Choice::of("sparse-transport").with("steps", 1_000_000_000_u64);
        let err = check_plugin_sizes(&transport).unwrap_err();
        assert_eq!(err, "steps = 1000000000: must be at most 100000");
        assert!(too_large("moe.router.steps", 1_000_000_000).is_some());
        assert_eq!(too_large("from.train.steps", 1_000_000_000), None);
    }
}
