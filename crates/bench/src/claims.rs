//! `claims`: the claims of papers, tested on the committed results of the experiments, as one page.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use clap::Args;
use files::read_text;
use jiff::civil::Date;
use lab::{Answer, Session, SettingTree, Suite, Verb, committed, write_out};
use report::{
    Finding, Format, Runs, SuiteConditions, Tested, claims as test, claims_table, conditions_table,
    correct, gates, splice,
};

use crate::{register::registration, suite_claims::read};

/// The folder of experiments, one folder each, with a `suite.toml` and perhaps other suites: `NAME/more.toml`
/// is the suite `NAME-more`.
const EXPERIMENTS: &str = "experiments";

const HEAD: &str = "\
<!-- Generated, do not edit. Made by: cargo run -p bench -- claims -->

# Claims

Claims of papers and hypotheses of our own, tested on small networks that are trained on a CPU.
The columns of the tables:

- *in the paper*: the effect that the paper reports, on its own networks and data.
- *measured here*, *holds if*: a mean over seeds, or the mean difference of two methods over the same seeds, and the range that the claim states for it.
- *ours, 95 % interval*: the mean with its confidence interval. The interval covers the choice of seeds and of test examples if a number of examples is given, and that of seeds alone if not. *Detects* is the smallest distance from the bound of the stated range that such runs would show with a probability of 80 %.
- *gate*: whether the conditions of the suite's `[[gate]]` hold: the reference beats a trivial baseline on the same split, training has converged, learning rates are tuned, and a margin, within which methods count as equal or one as no worse, is at most a third of the distance between the reference and a network without routing (for two dense networks: between the reference and the trivial baseline). *None*: the suite sets no gate for this metric, so these conditions are unchecked.
- *with Holm's correction*: the verdict after correction for the number of claims of the paper, in all of its suites, without those by construction. The column *verdict* is not corrected.

| verdict | meaning |
| --- | --- |
| *reproduced* | the whole interval lies in the stated range |
| *not reproduced* | the whole interval lies outside of the range |
| *smaller than the paper's* | the claim is not refuted, and the whole interval lies below the paper's effect in the same unit |
| *undecided* | the interval contains a bound of the range, there are fewer than 3 seeds, or a run failed |
| *not testable here* | the gate does not hold, or the paper's effect is no larger than what these runs detect |
| *by construction* | the claim follows from the setup of the runs and is no evidence |
";

const GATES: &str = "
## Gates

All suites with results, which are of the tier `laptop`: the mean of the reference, a trivial baseline without a network on the same split (an n-gram model for text, the nearest neighbour for images, a rule or the most frequent answer elsewhere), and the difference between the reference and the control that the suite names, for claims on routing a network without learned routing.
*Minutes of training*: of all runs of the suite one after the other, each on one thread unless the suite measures time, without the trials of learning rates and the networks whose weights the candidates of a search have; many were measured beside other work.
";

/// Arguments of `claims`.
#[derive(Args)]
pub(crate) struct Claims {
    /// The page to write; the tables in the pages of the experiments are written too
    #[arg(long, value_name = "FILE", default_value = "docs/claims.md")]
    out: PathBuf,
}

impl Verb for Claims {
    const NAME: &'static str = "claims";
    const ABOUT: &'static str =
        "Test the claims of papers on committed results, and write docs/claims.md";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        claims(&self.out, session.suites).map(Answer::from)
    }
}

/// A suite with claims.
struct Source {
    name: String,
    /// Its folder, if it belongs to an experiment.
    folder: Option<PathBuf>,
    settings: SettingTree,
}

/// Tests all claims, and writes the page and the tables in the pages of experiments that have marks for them.
fn claims(out: &Path, suites: &[Suite]) -> anyhow::Result<String> {
    let sources = sources(suites)?;
    ensure!(
        !sources.is_empty(),
        "no suite has a [[claim]], neither the program's nor {EXPERIMENTS}/*/suite.toml"
    );
    let sections = sections(&sources)?;
    let mut text = String::new();
    let mut written = vec![out.to_path_buf()];
    let mut of_folders = BTreeMap::<PathBuf, String>::new();
    for (source, section) in sources.iter().zip(&sections) {
        let table = claims_table(&section.title, &section.tested).render(Format::Markdown);
        text += &section.head;
        text += &table;
        if let Some(folder) = &source.folder {
            let tables = of_folders.entry(folder.clone()).or_default();
            if !tables.is_empty() {
                tables.push('\n'); // or a page would show the next title as a row
            }
            tables.push_str(&table);
        }
    }
    let mut pages = Vec::new();
    for (folder, tables) in of_folders {
        let readme = folder.join("README.md");
        let place = || readme.display().to_string();
        let text =
            if readme.exists() { read_text(&readme).with_context(place)? } else { "".into() };
        if text.contains("<!-- BEGIN: claims -->") {
            pages.push((readme.clone(), splice(&text, "claims", &tables).with_context(place)?));
            written.push(readme);
        }
    }
    let conditions: Vec<SuiteConditions> =
        sections.iter().filter_map(|section| section.conditions.clone()).collect();
    let table = conditions_table(&conditions).render(Format::Markdown);
    let page = format!("{HEAD}\n{}\n{text}{GATES}\n{table}", summary(&sections));
    pages.insert(0, (out.to_path_buf(), page));
    for (path, text) in pages {
        write_out(&path, text.as_bytes())?;
    }
    Ok(written.iter().map(|path| format!("wrote {}\n", path.display())).collect())
}

/// All suites with claims: the program's, then those of the experiments, by name.
fn sources(suites: &[Suite]) -> anyhow::Result<Vec<Source>> {
    let own = suites.iter().map(|suite| (suite.name.to_string(), None, suite.text.to_string()));
    let own = own.map(|(name, folder, text)| (name.clone(), name, folder, text));
    let mut all: Vec<(String, String, Option<PathBuf>, String)> = own.collect();
    for folder in sorted(Path::new(EXPERIMENTS)) {
        let experiment = stem(&folder);
        let mut files = sorted(&folder);
        files.retain(|file| file.extension().is_some_and(|end| end == "toml"));
        files.retain(|file| stem(file) != "Cargo");
        files.sort_by_key(|file| stem(file) != "suite");
        for file in files {
            let name = match stem(&file).as_str() {
                "suite" => experiment.clone(),
                other => format!("{experiment}-{other}"),
            };
            all.retain(|(known, ..)| *known != name);
            let place = file.display().to_string();
            let text = read_text(&file).with_context(|| place.clone())?;
            all.push((name, place, Some(folder.clone()), text));
        }
    }
    let read = |(name, file, folder, text): (String, String, Option<PathBuf>, String)| {
        anyhow::Ok(Source { settings: SettingTree::parse(&file, &text)?, name, folder })
    };
    let all: Vec<Source> = all.into_iter().map(read).collect::<Result<_, _>>()?;
    let has =
        |source: &Source| source.settings.table().is_some_and(|table| table.contains_key("claim"));
    Ok(all.into_iter().filter(has).collect())
}

/// The entries of a folder, by name.
fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().to_string()
}

struct Section {
    head: String,
    /// The title of its table.
    title: String,
    /// The address of the paper, or the name of the authors' own hypotheses.
    paper: String,
    tested: Vec<Tested>,
    /// None without results.
    conditions: Option<SuiteConditions>,
}

/// All suites with their claims; the claims of each paper are corrected for their number together.
fn sections(sources: &[Source]) -> anyhow::Result<Vec<Section>> {
    let mut sections: Vec<Section> = sources.iter().map(section).collect::<Result<_, _>>()?;
    let mut papers = BTreeMap::<String, Vec<&mut Tested>>::new();
    for Section { paper, tested, .. } in &mut sections {
        papers.entry(paper.clone()).or_default().extend(tested);
    }
    for claims in papers.into_values() {
        correct(claims);
    }
    Ok(sections)
}

/// A sentence with the number of claims of each verdict.
fn summary(sections: &[Section]) -> String {
    let tested: Vec<&Tested> = sections.iter().flat_map(|section| &section.tested).collect();
    let measured: Vec<&Tested> =
        tested.iter().copied().filter(|one| one.measured.is_some()).collect();
    let count = |finding| measured.iter().filter(|one| one.finding == finding).count();
    let reproduced = || measured.iter().filter(|one| one.finding == Finding::Reproduced);
    let survive = reproduced().filter(|one| one.survives_correction()).count();
    let gated = reproduced().filter(|one| one.gated).count();
    let verdicts = [
        Finding::Reproduced,
        Finding::Smaller,
        Finding::NotReproduced,
        Finding::Undecided,
        Finding::NotTestable,
        Finding::ByConstruction,
    ];
    let counted = verdicts.map(|finding| match finding {
        Finding::Reproduced => {
            format!("{} {finding} ({survive} with Holm's correction)", count(finding))
        }
        _ => format!("{} {finding}", count(finding)),
    });
    let (all, results) = (tested.len(), measured.len());
    format!(
        "Of {all} claims {results} have results: {}.\nOf those that are reproduced, {gated} are behind a gate \
         that holds; for the other {} none was set.\n",
        counted.join(", "),
        reproduced().count() - gated
    )
}

/// The verdicts on a suite's claims.
fn section(source: &Source) -> anyhow::Result<Section> {
    let (paper, claims, wanted) = read(&source.settings)?;
    let csv = committed(Path::new(""), &source.name);
    let runs = csv.as_ref().map_or(Ok(Runs::default()), |csv| Runs::read(csv))?;
    let gates = gates(&runs, &wanted)?;
    let tested: Vec<Tested> = test(&runs, &claims, &gates)?;
    let conditions = csv.is_some().then(|| SuiteConditions {
        suite: source.name.clone(),
        gates,
        seconds: seconds(&runs),
    });
    let program = source.folder.as_deref().map_or("bench".into(), stem);
    let command = match (&paper.command, program == source.name) {
        (Some(command), _) => command.clone(),
        (None, true) => format!("cargo run --release -p {program}"),
        (None, false) => format!("cargo run --release -p {program} -- run {}", source.name),
    };
    let results = match &csv {
        Some(csv) => {
            let folder = csv.parent().unwrap_or(csv).display().to_string();
            format!("Results: [{folder}](../{folder}).")
        }
        None => "There are no committed results yet.".into(),
    };
    let day = csv.as_deref().and_then(Path::parent).and_then(|day| stem(day).parse::<Date>().ok());
    let registered = match registration(&source.settings)? {
        Some(registration) => {
            let made = csv.as_deref().map_or(Ok(None), made_under)?;
            registration.words(&source.settings, day, made.as_deref())
        }
        None => "Not registered before its results were made.".into(),
    };
    let (name, suite) = (&paper.name, &source.name);
    let title = paper.url.as_ref().map_or(name.clone(), |url| format!("[{name}]({url})"));
    let head =
        format!("\n## {title}: suite {suite}\n\nCommand: `{command}`. {results} {registered}\n\n");
    let title = format!("{name}: suite {suite}");
    let paper = paper.url.clone().unwrap_or_else(|| name.clone());
    Ok(Section { head, title, paper, tested, conditions })
}

/// The seconds that all runs took together.
fn seconds(runs: &Runs) -> f64 {
    let of_runs: BTreeMap<&str, f64> =
        runs.rows.iter().filter_map(|row| Some((row.run.as_str(), row.seconds?))).collect();
    of_runs.values().sum()
}

/// The digest of the registration under which results were made, from the `env.txt` beside them.
fn made_under(csv: &Path) -> anyhow::Result<Option<String>> {
    let file = csv.with_file_name("env.txt");
    if !file.exists() {
        return Ok(None);
    }
    let text = read_text(&file).with_context(|| file.display().to_string())?;
    Ok(text.lines().find_map(|line| line.strip_prefix("registration: ")).map(String::from))
}
