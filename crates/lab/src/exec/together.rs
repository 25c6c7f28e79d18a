//! Several processes that train the runs of one command together. All processes plan the same runs; the first
//! one trains them, writes and prints, and the others take part in the steps of each run.

use std::{
    fs::{self, File},
    io,
    path::{Path, absolute},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, anyhow, bail};
use burn::prelude::*;
use distributed::Communicator;
use files::hex;
use sha2::{Digest, Sha256};
use training::{Optimizer, ProcessGroup};

use crate::{
    spec::{RunConfig, RunSpec, Selection, SuitePlan},
    store::{Environment, Store},
};

/// The result of an operation that all processes tried, if all have succeeded. If one has failed, all
/// processes get its error.
pub(crate) fn agree<T>(world: &dyn Communicator, tried: anyhow::Result<T>) -> anyhow::Result<T> {
    if world.size() == 1 {
        return tried;
    }
    let own = tried.as_ref().err().map_or(String::new(), |err| format!("{err:#}"));
    let all = world.all_gather("agreement", own.as_bytes());
    match (tried, all.iter().position(|message| !message.is_empty())) {
        (Ok(_), Some(rank)) => bail!("process {rank}: {}", String::from_utf8_lossy(&all[rank])),
        (tried, _) => tried,
    }
}

/// Values that must be equal in all processes, by name.
pub(crate) fn facts(
    specs: &[&RunSpec],
    environment: &Environment,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let program = std::env::current_exe().and_then(fs::read).context("the file of this program")?;
    let of = |texts: Vec<String>| format!("{} of {} runs", short(&texts.join("\n")), texts.len());
    let settings = specs.iter().map(|spec| {
        let ids = [&spec.method, &spec.id].map(String::as_str).join("/");
        format!("{ids}/{}/{}", spec.seed, serde_json::to_value(&spec.config).unwrap_or_default())
    });
    let data = specs.iter().map(|spec| spec.digest.sha256());
    Ok(vec![
        ("program (SHA-256)", hex(&Sha256::digest(program))[..16].to_string()),
        ("revision", environment.git_revision.clone()),
        ("data (SHA-256)", of(data.collect())),
        ("settings (SHA-256)", of(settings.collect())),
    ])
}

fn short(text: &str) -> String {
    hex(&Sha256::digest(text))[..16].to_string()
}

/// Checks that all processes have the same facts.
///
/// # Errors
/// If two processes differ; names the first fact in which they do, and both values.
pub(crate) fn same(world: &dyn Communicator, facts: &[(&str, String)]) -> anyhow::Result<()> {
    let text: Vec<String> = facts.iter().map(|(_, value)| value.clone()).collect();
    let all = world.all_gather("facts", text.join("\n").as_bytes());
    let all: Vec<String> = all.iter().map(|text| String::from_utf8_lossy(text).into()).collect();
    for (rank, theirs) in all.iter().enumerate() {
        let pairs = all[0].lines().zip(theirs.lines()).zip(facts);
        if let Some(((first, other), (name, _))) = pairs.into_iter().find(|((a, b), _)| a != b) {
            bail!("{name}: process 0 has {first}, process {rank} has {other}; all need the same");
        }
    }
    Ok(())
}

/// Checks that the runs folder of each process is the same as that of the first one, whatever its path.
pub(crate) fn all_see(world: &dyn Communicator, runs: &Path) -> anyhow::Result<()> {
    if world.size() == 1 {
        return Ok(());
    }
    // Process ids repeat, especially in containers, and a killed process leaves its file behind.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let mark = format!(".seen-by-{}-{now}", std::process::id());
    let here = absolute(runs).unwrap_or_else(|_| runs.into()).display().to_string();
    let leads = world.rank() == 0;
    let made = if leads { File::create_new(runs.join(&mark)).map(drop) } else { Ok(()) };
    let told = world.broadcast(format!("{mark}\n{here}").as_bytes());
    let told = String::from_utf8_lossy(&told);
    let (mark, first) = told.split_once('\n').unwrap_or((&*told, ""));
    let sees = made.and_then(|()| fs::metadata(runs.join(mark)).map(drop));
    let sees = agree(world, sees.map_err(|err| not_seen(&here, first, &err)));
    if leads {
        let _ = fs::remove_file(runs.join(mark));
    }
    sees
}

fn not_seen(here: &str, first: &str, err: &io::Error) -> anyhow::Error {
    match here == first {
        true => anyhow!(
            "--runs {here}: the folder of process 0 is not here: {err}; all processes need the same"
        ),
        false => {
            anyhow!("--runs {here}: process 0 has {first}; all processes need the same folder")
        }
    }
}

/// Adds the setting that a suite needs for `ranks` processes to the selection: as many parts per step as
/// there are processes, if a step has one part. Returns that setting if it is needed.
///
/// # Errors
/// If a run cannot be split into `ranks` parts.
pub(crate) fn parts_for(
    suite: &SuitePlan,
    ranks: usize,
    wanted: &mut Selection,
) -> anyhow::Result<Option<String>> {
    let one_part = |spec: &&RunSpec| {
        let train = &spec.config.train;
        train.workers.is_none() && train.accumulate == 1
    };
    if ranks == 1 || !suite.planned().iter().any(one_part) {
        return Ok(None);
    }
    suite.possible().into_iter().try_for_each(|spec| can_have_parts(spec, ranks))?;
    let set = format!("train.accumulate={ranks}");
    wanted.set.push(set.clone());
    Ok(Some(set))
}

/// Checks that the steps of a run, and of the runs that it depends on, can have as many parts as there are
/// processes.
fn can_have_parts(spec: &RunSpec, ranks: usize) -> anyhow::Result<()> {
    let (train, method) = (&spec.config.train, &spec.method);
    if train.workers.is_some() {
        bail!(
            "method {method:?}: train.workers: its steps cannot be split into parts, but other runs need \
             --set train.accumulate={ranks} for {ranks} processes; train them separately, with --only"
        );
    }
    let fits = ProcessGroup::check_examples(train, ranks);
    fits.map_err(|message| anyhow!("method {method:?}: train.{message}"))?;
    spec.prerequisites().try_for_each(|before| can_have_parts(before, ranks))
}

/// Checks that each run can be trained by `ranks` processes.
pub(crate) fn can_share(suite: &SuitePlan, ranks: usize) -> anyhow::Result<()> {
    suite.possible().into_iter().try_for_each(|spec| {
        let fits = fits(&spec.config, ranks);
        fits.map_err(|message| anyhow!("method {:?}: {message}", spec.method))
    })
}

/// Checks that `ranks` processes can train a run. The error begins with the path of the setting.
fn fits(config: &RunConfig, ranks: usize) -> Result<(), String> {
    ProcessGroup::check(&config.train, ranks).map_err(|message| format!("train.{message}"))?;
    match config.splits_experts() {
        true => ProcessGroup::check_experts(&config.train, config.moe.experts, ranks),
        false => Ok(()),
    }
}

/// Checks that the device supports the exchange of rows, if processes split experts.
pub(crate) fn can_exchange(suite: &SuitePlan, ranks: usize, device: &Device) -> anyhow::Result<()> {
    let specs = suite.possible();
    match specs.iter().find(|spec| spec.config.splits_experts()) {
        Some(spec) if ranks > 1 && !moe::kernels::on_flex(device) => bail!(
            "method {:?}: moe.expert_parallel: {ranks} processes exchange rows only from the CPU's memory; \
             use --device flex",
            spec.method
        ),
        _ => Ok(()),
    }
}

/// Checks that the runs that are to be trained first can be shared too.
pub(crate) fn can_share_those_before(
    suite: &SuitePlan,
    ranks: usize,
    store: &Store,
) -> anyhow::Result<()> {
    if ranks == 1 {
        return Ok(());
    }
    suite.possible().into_iter().try_for_each(|spec| those_before_fit(spec, ranks, store))
}

fn those_before_fit(spec: &RunSpec, ranks: usize, store: &Store) -> anyhow::Result<()> {
    if store.ended(&spec.id)?.is_some() {
        return Ok(());
    }
    for before in spec.prerequisites() {
        let train = &before.config.train;
        if train.steps > 0 && store.ended(&before.id)?.is_none() {
            let (fits, method) = (fits(&before.config, ranks), &spec.method);
            fits.map_err(|why| anyhow!("method {method:?}: the run that it needs: {why}"))?;
        }
        those_before_fit(before, ranks, store)?;
    }
    Ok(())
}

/// Checks that the moments of each run can be split among processes.
pub(crate) fn can_split(suite: &SuitePlan, ranks: usize) -> anyhow::Result<()> {
    if ranks == 1 {
        bail!("--split-moments: there is one process; start several with mpirun or srun");
    }
    suite.possible().into_iter().try_for_each(|spec| {
        let train = &spec.config.train;
        let why = match (&train.workers, train.optimizer) {
            (Some(_), _) => "each of its workers has a separate optimizer (train.workers)",
            (None, Optimizer::Adamw) if spec.config.splits_experts() => {
                "its experts and their moments are already split (moe.expert_parallel)"
            }
            (None, Optimizer::Adamw) => return Ok(()),
            (None, _) => "its optimizer has no moments to split (train.optimizer)",
        };
        bail!("--split-moments: method {:?}: {why}", spec.method)
    })
}

/// Dismisses the other processes when dropped, also after an error; after a panic the process must end.
pub(crate) struct Dismissal(pub(crate) Arc<dyn Communicator>);

impl Drop for Dismissal {
    fn drop(&mut self) {
        if self.0.size() > 1 && !std::thread::panicking() {
            self.0.broadcast(&[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;
    use distributed::{Threads, threads};
    use std::thread;

    fn each<T: Send>(
        work: impl Fn(&Threads) -> anyhow::Result<T> + Sync,
    ) -> Vec<Result<T, String>> {
        thread::scope(|scope| {
            let work = &work;
            let start = |world| scope.spawn(move || work(&world).map_err(|err| format!("{err:#}")));
            let ranks: Vec<_> = threads(3).into_iter().map(start).collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    const SUITE: &str = r#"
[base]
moe.layers = "none"
train = { steps = 4, batch = 6 }
[[task]]
task = "digits"
backbone = { kind = "vit", width = 8, depth = 2, heads = 2 }
[[method]]
name = "plain"
"#;

    /// The setting that a suite needs for `ranks` processes.
    fn shared(text: &str, ranks: usize) -> Result<Option<String>, String> {
        let (suite, folder) = (plan(text).unwrap(), tempfile::tempdir().unwrap());
        let (mut wanted, store) = (Selection::default(), Store::for_reading(folder.path()));
        let set = parts_for(&suite, ranks, &mut wanted).and_then(|set| {
            if set.is_none() {
                can_share(&suite, ranks)?;
                can_share_those_before(&suite, ranks, &store)?;
            }
            Ok(set)
        });
        set.map_err(|err| err.to_string())
    }

    #[test]
    fn what_processes_cannot_share_is_named_with_what_is_possible() {
        assert_eq!(shared(SUITE, 1), Ok(None));
        assert_eq!(shared(SUITE, 3), Ok(Some("train.accumulate=3".into())));
        let err = |text: &str, ranks| shared(text, ranks).unwrap_err();
        let uneven = "method \"plain\": train.batch = 6: 4 processes cannot share the examples of a step \
                      equally; possible: 1, 2, 3 or 6 processes";
        assert_eq!(err(SUITE, 4), uneven);
        let few = "method \"plain\": train.batch = 6: 8 processes are more than the examples of a step; \
                   possible: 1, 2, 3 or 6 processes";
        assert_eq!(err(SUITE, 8), few);
        let two = SUITE.replace("batch = 6", "batch = 6, accumulate = 2");
        assert_eq!(shared(&two, 2), Ok(None));
        let parts = "method \"plain\": train.accumulate = 2: 3 processes cannot share the parts equally; \
                     possible: 1 or 2 processes, or accumulate = 3 or 6";
        assert_eq!(err(&two, 3), parts);
    }

    #[test]
    fn experts_that_processes_cannot_split_are_named() {
        let split = |more: &str| {
            let moe = "moe = { layers = \"all\", experts = 4, expert_parallel = true }";
            let text = SUITE.replace("moe.layers = \"none\"", moe);
            format!("{text}train.accumulate = 6\n{more}")
        };
        assert_eq!(shared(&split(""), 1), Ok(None));
        assert_eq!(shared(&split(""), 2), Ok(None));
        let uneven = "method \"plain\": moe.experts = 4: 3 processes cannot share them equally; possible: \
                      1, 2 or 4 processes";
        assert_eq!(shared(&split(""), 3).unwrap_err(), uneven);
        let sgd = shared(&split("train.optimizer = \"sgd\"\n"), 2).unwrap_err();
        assert!(
            sgd.contains("train.optimizer = \"sgd\" does not support experts split over 2"),
            "{sgd}"
        );
        let moments = can_split(&plan(&split("")).unwrap(), 2).unwrap_err().to_string();
        assert!(moments.ends_with("(moe.expert_parallel)"), "{moments}");
        // The setting is also refused for one process, so that a suite is valid for any number of processes.
        let err = |more: &str| format!("{:#}", plan(&split(more)).map(drop).unwrap_err());
        let soft = err("moe.router = \"soft\"\n");
        assert!(soft.contains("this router mixes units"), "{soft}");
        let merged = err("moe.router = \"smear\"\n");
        assert!(merged.contains("this router mixes the matrices of experts"), "{merged}");
        let narrow = err("moe.expert = \"low-rank\"\n");
        assert!(narrow.contains("requires experts of two or three matrices"), "{narrow}");
    }

    #[test]
    fn runs_with_workers_have_no_parts() {
        let workers = "[[method]]\nname = \"apart\"\ntrain.workers = { count = 2 }\n";
        let err = shared(&format!("{SUITE}{workers}"), 2).unwrap_err();
        assert!(
            err.starts_with("method \"apart\": train.workers: its steps cannot be split"),
            "{err}"
        );
        assert!(err.contains("--set train.accumulate=2 for 2 processes"), "{err}");
    }

    #[test]
    fn the_run_before_has_to_fit_too() {
        let from = format!("{SUITE}from = {{ train.batch = 4 }}\n");
        let err = shared(&from, 3).unwrap_err();
        assert!(err.contains("train.batch = 4: 3 processes cannot share the examples"), "{err}");
        let from = format!("{SUITE}train.accumulate = 3\nfrom = {{ train.accumulate = 2 }}\n");
        let err = shared(&from, 3).unwrap_err();
        let expected =
            "method \"plain\": the run that it needs: train.accumulate = 2: 3 processes cannot";
        assert!(err.starts_with(expected), "{err}");
    }

    #[test]
    fn all_fail_where_one_does() {
        let tried = |rank| if rank == 1 { Err(anyhow!("no data")) } else { Ok(rank) };
        let found = each(|world| agree(world, tried(world.rank())));
        let elsewhere = Err("process 1: no data".to_string());
        assert_eq!(found, [elsewhere.clone(), Err("no data".into()), elsewhere]);
        assert_eq!(each(|world| agree(world, Ok(world.rank()))), [Ok(0), Ok(1), Ok(2)]);
    }

    #[test]
    fn facts_that_differ_are_named_with_both_values() {
        let found = each(|world| {
            let revision = if world.rank() == 2 { "b" } else { "a" };
            same(world, &[("program", "x".into()), ("revision", revision.into())])
        });
        let err = "revision: process 0 has a, process 2 has b; all need the same".to_string();
        assert_eq!(found, [Err(err.clone()), Err(err.clone()), Err(err)]);
        assert_eq!(each(|world| same(world, &[("a", "x".into())])), [Ok(()), Ok(()), Ok(())]);
    }

    #[test]
    fn a_folder_that_one_process_does_not_see_is_named() {
        let folders = [0; 3].map(|_| tempfile::tempdir().unwrap());
        assert_eq!(each(|world| all_see(world, folders[0].path())), [Ok(()), Ok(()), Ok(())]);
        let gone = folders[0].path().join("gone");
        let found = each(|world| all_see(world, &gone));
        assert!(found.iter().all(|found| found.as_ref().unwrap_err().contains("is not here")));
        assert_eq!(fs::read_dir(folders[0].path()).unwrap().count(), 0);
    }

    #[test]
    fn folders_that_differ_are_named_and_two_paths_of_one_folder_are_not() {
        let folders = [0; 2].map(|_| tempfile::tempdir().unwrap());
        let [first, other] = folders.each_ref().map(|folder| folder.path());
        let of_rank_2 = |path: &Path| {
            each(|world| all_see(world, if world.rank() == 2 { path } else { first }))
        };
        let err = format!(
            "--runs {}: process 0 has {}; all processes need the same folder",
            other.display(),
            first.display()
        );
        let elsewhere = Err(format!("process 2: {err}"));
        assert_eq!(of_rank_2(other), [elsewhere.clone(), elsewhere, Err(err)]);
        let name = first.file_name().unwrap();
        assert_eq!(of_rank_2(&first.join("..").join(name)), [Ok(()), Ok(()), Ok(())]);
        assert!(folders.iter().all(|folder| fs::read_dir(folder).unwrap().count() == 0));
    }
}
