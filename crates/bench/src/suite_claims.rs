//! The claims of a suite: `[paper]`, `[[claim]]` and `[[gate]]`, read and checked.

use anyhow::anyhow;
use lab::{SettingTree, claims_of, gates_of, known_keys, typed_table};
use report::{Claim, SuiteGate};
use serde::Deserialize;

/// The paper whose claims a suite tests, or the name of the authors' own hypotheses.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paper {
    pub(crate) name: String,
    /// None for the authors' own hypotheses.
    pub(crate) url: Option<String>,
    /// The command that makes the results, if it is not the training of the suite.
    pub(crate) command: Option<String>,
}

/// Refuses a suite whose claims use an unknown key or method, or that lacks a paper.
pub(crate) fn check(settings: &SettingTree) -> anyhow::Result<()> {
    read(settings).map(drop)
}

/// `[paper]`, `[[claim]]` and `[[gate]]` of a suite.
pub(crate) fn read(settings: &SettingTree) -> anyhow::Result<(Paper, Vec<Claim>, Vec<SuiteGate>)> {
    let paper = settings.table().and_then(|table| table.get("paper"));
    let paper =
        paper.ok_or_else(|| anyhow!("{}: claims need a [paper] with a name", settings.place()))?;
    known_keys(paper, &["name", "url", "command"])?;
    let paper = typed_table(paper, "paper")?;
    Ok((paper, claims_of(settings)?, gates_of(settings)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        let settings = SettingTree::parse("s.toml", text).unwrap();
        format!("{:#}", read(&settings).err().unwrap())
    }

    #[test]
    fn the_claim_of_the_page_on_experiments_is_one_of_the_suite_that_is_written() {
        let page = include_str!("../../../docs/add-an-experiment.md");
        let after = page.split_once("```toml\n").expect("it has the block").1;
        let claim = after.split_once("```").expect("the block ends").0;
        let suite = include_str!("../../lab/templates/router/suite.toml");
        let paper = "[paper]\nname = 'P'\nurl = 'https://x'\n";
        let settings = SettingTree::parse("s.toml", &format!("{suite}{paper}{claim}")).unwrap();
        assert_eq!(read(&settings).unwrap().1.len(), 1);
        let wrong_router = claim.replace("\"sample\"", "\"simple\"");
        let err = wrong(&format!("{suite}{paper}{wrong_router}"));
        assert!(err.ends_with("known: sample, top-k, random, dense"), "{err}");
    }

    #[test]
    fn what_is_misspelt_is_named_with_its_place() {
        let claim = "[[claim]]\nclaim = 'a'\neffect = 'b'\nmetric = 'accuracy'\n";
        assert!(wrong(claim).starts_with("s.toml:1: claims need a [paper]"));
        let paper = "[paper]\nname = 'P'\nurl = 'https://x'\n";
        let err = wrong(&format!("{paper}{claim}methd = 'm'\n"));
        assert!(err.starts_with("s.toml:8: claim: unknown key `methd`"), "{err}");
        let err = wrong(&format!("{paper}[[method]]\nname = 'n'\n{claim}method = 'm'\n"));
        assert!(err.contains("claim \"a\": no method is named \"m\"; known: n"), "{err}");
        let other = "method = 'n'\nagainst = 'n'\nbeyond = { method = 'x', against = 'n' }\n";
        let err = wrong(&format!("{paper}[[method]]\nname = 'n'\n{claim}{other}"));
        assert!(err.contains("no method is named \"x\"; known: n"), "{err}");
        let err = wrong(&format!("{paper}ulr = 'x'\n{claim}"));
        assert!(
            err.starts_with("s.toml:4: unknown key \"ulr\"; known: name, url, command"),
            "{err}"
        );
    }
}
