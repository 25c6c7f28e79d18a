//! `simulate`: the time of expert parallelism over many ranks, from the routing of a real run.
//!
//! The model (`model.rs`) combines the choices of a trace, the alpha-beta model of a network (`topology.rs`)
//! and a placement of the experts (`placement.rs`). Under `mpirun`, the verb also measures the engine on
//! these processes, and prints the error of the model for them.

mod agreement;
mod measured;
mod model;
mod placement;
mod topology;

use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::Args;
use lab::{Answer, JsonArgs, Session, Verb, read_traces};
use report::trace::{Layer, Trace};
use serde::Serialize;

use self::{
    model::{Rows, Sizes, step},
    placement::Rule,
    topology::Topology,
};

/// The largest number of ranks, and of copies.
const RANKS: usize = 1 << 16;
/// The largest product of the numbers of ranks and of experts of a layer, which is the size of the model's
/// data for a layer.
const RANKS_AND_EXPERTS: usize = 1 << 24;
/// The largest number of tokens of a rank.
const TOKENS: usize = 1 << 32;
/// The largest width, of a row and of an expert.
const WIDTH: usize = 1 << 20;
/// The largest number of repetitions.
const REPEAT: usize = 10_000;
/// The largest number of elements in the rows or in the experts of a process, if they are measured.
const MEASURED: usize = 1 << 28;

/// The settings of the simulation.
#[derive(Args)]
pub(crate) struct Simulate {
    /// The folder of a run that was trained with --trace
    #[arg(long, value_name = "RUN")]
    trace: PathBuf,
    /// Numbers of ranks, for example 8,64,512; at most 65536
    #[arg(long, value_delimiter = ',', value_name = "N")]
    ranks: Vec<usize>,
    /// A TOML file with the speed of a rank and of the levels of the network
    #[arg(long, value_name = "FILE")]
    topology: Option<String>,
    /// Only this placement of the experts; all if left out
    #[arg(long, value_enum)]
    placement: Option<Rule>,
    /// Largest number of additional copies of the busiest experts in the placement `replicated`; a rank has
    /// at most one copy of an expert
    #[arg(long, default_value_t = 8)]
    copies: usize,
    /// Tokens of a rank in a step
    #[arg(long, default_value_t = 2048)]
    tokens: usize,
    /// Width of a row
    #[arg(long, default_value_t = 256)]
    width: usize,
    /// Hidden width of an expert of two matrices
    #[arg(long, default_value_t = 512)]
    hidden: usize,
    /// Share of the training steps that the router saves at equal quality, relative to balanced routing; the
    /// output then names the smallest number of ranks at which uneven loads cost more time than that
    /// saves, where a step takes more than 1 / (1 - SHARE) times as long as with balanced loads
    #[arg(long, value_name = "SHARE")]
    gain: Option<f64>,
    /// Repetitions of each measurement, with several processes
    #[arg(long, default_value_t = 7)]
    repeat: usize,
    #[command(flatten)]
    json: JsonArgs,
}

/// The result for a number of ranks and a placement.
#[derive(Serialize)]
struct Row {
    ranks: usize,
    placement: String,
    /// Milliseconds of a step in the layers of experts.
    milliseconds: f64,
    /// The share of the exchange in this time.
    exchange: f64,
    /// The share of summing the gradients of copies in this time.
    sums: f64,
    /// The time divided by that of balanced loads in the same placement.
    over_balanced: f64,
}

/// The numbers of ranks on which the skew costs more time than it gains, in a placement.
#[derive(Serialize)]
struct Verdict {
    placement: String,
    /// The numbers of ranks on which the skew costs more than it gains.
    costs_more: Vec<usize>,
    /// The same as a sentence.
    sentence: String,
}

/// The complete output.
#[derive(Serialize)]
struct Output {
    simulated: Vec<Row>,
    notes: Vec<String>,
    measured: Option<Check>,
    verdict: Vec<Verdict>,
}

/// The measurements on the present processes.
#[derive(Serialize)]
struct Check {
    ranks: usize,
    alpha_microseconds: f64,
    beta_megabytes: f64,
    gigaflops: f64,
    predicted_milliseconds: f64,
    measured_milliseconds: f64,
    /// The predicted time divided by the measured time, minus 1.
    error: f64,
    /// The largest difference of the engine's outputs and gradients from those of one process.
    difference: f64,
    /// The measured growth of a rank's memory due to its experts.
    expert_megabytes: Option<f64>,
}

impl Verb for Simulate {
    const NAME: &'static str = "simulate";
    const ABOUT: &'static str =
        "Estimate the time of expert parallelism on many ranks, from the trace of a run";
    const TOGETHER: bool = true;

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let world = session.world().size();
        self.check_sizes()?;
        let topology = self.topology(world)?;
        let trace = self.last_trace(world)?;
        let measured = if world > 1 { Some(self.check(&trace, session)?) } else { None };
        if session.world().rank() > 0 {
            return Ok(String::new().into());
        }
        let simulated = match &topology {
            Some(topology) => self.rows(&trace, topology)?,
            None => Vec::new(),
        };
        let notes = notes(&trace, &self.ranks);
        let verdict = self.gain.map_or_else(Vec::new, |gain| verdicts(gain, &simulated));
        let output = Output { simulated, notes, measured, verdict };
        Ok(match self.json.is_json() {
            true => serde_json::to_string_pretty(&output)? + "\n",
            false => text(&output),
        }
        .into())
    }
}

impl Simulate {
    fn check_sizes(&self) -> anyhow::Result<()> {
        let limits = [
            ("tokens", self.tokens, TOKENS),
            ("width", self.width, WIDTH),
            ("hidden", self.hidden, WIDTH),
            ("repeat", self.repeat, REPEAT),
        ];
        let ranks = self.ranks.iter().map(|ranks| ("ranks", *ranks, RANKS));
        for (name, value, most) in limits.into_iter().chain(ranks) {
            ensure!((1..=most).contains(&value), "--{name} {value}: must be from 1 to {most}");
        }
        ensure!(self.copies <= RANKS, "--copies {}: must be at most {RANKS}", self.copies);
        if let Some(gain) = self.gain {
            ensure!((0.0..1.0).contains(&gain), "--gain {gain}: must be from 0 to below 1");
        }
        Ok(())
    }

    /// The network to simulate; none if only these processes are measured.
    fn topology(&self, world: usize) -> anyhow::Result<Option<Topology>> {
        let Some(path) = &self.topology else {
            ensure!(world > 1, "--topology FILE is required without several processes to measure");
            ensure!(self.ranks.is_empty() && self.gain.is_none(), "--topology FILE is required");
            return Ok(None);
        };
        ensure!(
            !self.ranks.is_empty(),
            "--ranks: expected a list of numbers, for example 8,64,512"
        );
        let topology = Topology::read(path)?;
        let most = topology.most();
        for ranks in &self.ranks {
            ensure!(
                *ranks <= most,
                "--ranks {ranks}: must be from 1 to {most}, the ranks of {path}"
            );
        }
        Ok(Some(topology))
    }

    fn last_trace(&self, world: usize) -> anyhow::Result<Trace> {
        let folder = self.trace.join("trace");
        let trace = read_traces(&self.trace, "")?.pop();
        let Some(trace) = trace.filter(|trace| !trace.is_empty() && !trace.layers.is_empty())
        else {
            bail!("{}: no traces; train the run with --trace", folder.display());
        };
        let mut chosen = trace.layers.iter().flat_map(|layer| &layer.experts);
        ensure!(chosen.any(|expert| *expert >= 0), "{}: no unit has an expert", folder.display());
        let most = self.ranks.iter().copied().fold(world, usize::max);
        for (at, layer) in trace.layers.iter().enumerate() {
            if let Err(err) = check_layer(layer, most) {
                bail!("{}: layer {at} {err}", folder.display());
            }
        }
        Ok(trace)
    }

    fn sizes(&self) -> Sizes {
        Sizes { tokens: self.tokens, width: self.width, hidden: self.hidden }
    }

    fn rows(&self, trace: &Trace, topology: &Topology) -> anyhow::Result<Vec<Row>> {
        let rules = self.placement.map_or(Rule::ALL.to_vec(), |rule| vec![rule]);
        let mut rows = Vec::new();
        for &ranks in &self.ranks {
            let layers = rows_of(trace, ranks, self.tokens);
            let balanced: Vec<Rows> = layers.iter().map(Rows::balanced).collect();
            for &rule in &rules {
                let time = |of: &[Rows]| step(of, rule, self.copies, topology, self.sizes());
                let (seconds, even) = (time(&layers), time(&balanced));
                let (all, placement) = (seconds.all(), rule.name());
                let over_balanced = all / even.all();
                ensure!(
                    over_balanced.is_finite(),
                    "{placement}, {ranks} ranks: a step takes {all} seconds, and {} with balanced loads: the \
                     numbers of the topology are too large or too small",
                    even.all()
                );
                rows.push(Row {
                    ranks,
                    placement,
                    milliseconds: all * 1e3,
                    exchange: seconds.exchange / all,
                    sums: seconds.sums / all,
                    over_balanced,
                });
            }
        }
        Ok(rows)
    }

    fn check(&self, trace: &Trace, session: &Session) -> anyhow::Result<Check> {
        let (world, ranks, sizes) = (session.world(), session.world().size(), self.sizes());
        let experts = trace.layers.iter().map(|layer| layer.n_experts).max().unwrap_or(1);
        let numbers = [
            ("tokens x width", self.tokens * self.width),
            ("experts x width x hidden", experts.div_ceil(ranks) * self.width * self.hidden),
        ];
        for (name, numbers) in numbers {
            ensure!(
                numbers <= MEASURED,
                "{name} = {numbers}: must be at most {MEASURED} to be measured on these processes"
            );
        }
        let found = measured::measure(world, trace, sizes, self.repeat)?;
        let rows = rows_of(trace, ranks, self.tokens);
        let predicted = step(&rows, Rule::Contiguous, 0, &found.topology, sizes).all();
        let level = &found.topology.levels[0];
        Ok(Check {
            ranks,
            alpha_microseconds: level.alpha * 1e6,
            beta_megabytes: level.beta / 1e6,
            gigaflops: found.topology.rank.flops / 1e9,
            predicted_milliseconds: predicted * 1e3,
            measured_milliseconds: found.seconds * 1e3,
            error: predicted / found.seconds - 1.0,
            difference: agreement::difference(world, &trace.layers[0], self.tokens)?,
            expert_megabytes: found.expert_bytes.map(|bytes| bytes / 1e6),
        })
    }
}

fn rows_of(trace: &Trace, ranks: usize, tokens: usize) -> Vec<Rows> {
    trace.layers.iter().map(|layer| Rows::of_layer(layer, ranks, tokens)).collect()
}

/// Checks that a layer of a trace can be simulated on `ranks` ranks.
fn check_layer(layer: &Layer, ranks: usize) -> anyhow::Result<()> {
    let (k, e) = (layer.k, layer.n_experts);
    ensure!(e > 0, "has no experts");
    ensure!(
        ranks.saturating_mul(e) <= RANKS_AND_EXPERTS,
        "has {e} experts on {ranks} ranks: ranks times experts must be at most {RANKS_AND_EXPERTS}"
    );
    // In a trace, a plan that mixes units or parameters has all experts for each unit.
    let everywhere = e > 1 && k >= e && layer.experts.iter().all(|expert| *expert >= 0);
    ensure!(
        !everywhere,
        "has all {e} experts for each unit: its router mixes units or parameters, or applies every expert, \
         so its loads cannot be uneven"
    );
    Ok(())
}

/// Notes on properties of the simulated ranks that the engine (`moe::expert_parallel`) does not have.
fn notes(trace: &Trace, ranks: &[usize]) -> Vec<String> {
    let on = |is: fn(usize, usize) -> bool| -> Vec<usize> {
        let any = |ranks: usize| trace.layers.iter().any(|layer| is(layer.n_experts, ranks));
        ranks.iter().copied().filter(|ranks| any(*ranks)).collect()
    };
    let uneven = on(|experts, ranks| ranks <= experts && !experts.is_multiple_of(ranks));
    let copied = on(|experts, ranks| ranks > experts);
    let mut notes = Vec::new();
    if !uneven.is_empty() {
        notes.push(format!(
            "{} ranks cannot share the experts equally: the engine does not support that",
            list(&uneven)
        ));
    }
    if !copied.is_empty() {
        notes.push(format!(
            "{} ranks are more than the experts, so experts are copied: the engine has no copies yet",
            list(&copied)
        ));
    }
    notes
}

fn list(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// For each placement, and for the best one on each number of ranks, the numbers of ranks on which the skew
/// costs more than it gains. The best placement is compared with the best one for balanced loads.
fn verdicts(gain: f64, rows: &[Row]) -> Vec<Verdict> {
    let mut ranks: Vec<usize> = rows.iter().map(|row| row.ranks).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let mut placements: Vec<&str> = Vec::new();
    for row in rows {
        if !placements.contains(&&*row.placement) {
            placements.push(&row.placement);
        }
    }
    // The smallest time among these placements divided by the smallest with balanced loads.
    let over = |placements: &[&str], ranks: usize| {
        let is = |row: &&Row| row.ranks == ranks && placements.contains(&&*row.placement);
        let least =
            |time: fn(&Row) -> f64| rows.iter().filter(is).map(time).fold(f64::MAX, f64::min);
        least(|row| row.milliseconds) / least(|row| row.milliseconds / row.over_balanced)
    };
    let of = |name: &str, placements: &[&str]| {
        // Equal times may differ in their last bits.
        let more = |n: &usize| over(placements, *n) * (1.0 - gain) > 1.0 + 1e-9;
        verdict(name, gain, &ranks, ranks.iter().copied().filter(more).collect())
    };
    let mut verdicts: Vec<Verdict> = placements.iter().map(|name| of(name, &[name])).collect();
    if placements.len() > 1 {
        verdicts.push(of("the best placement", &placements));
    }
    verdicts
}

/// The verdict on a placement whose skew costs more on some of these numbers of ranks.
fn verdict(placement: &str, gain: f64, ranks: &[usize], costs_more: Vec<usize>) -> Verdict {
    let (all, cheaper) = (list(ranks), ranks.len() - costs_more.len());
    let sentence = match costs_more.first() {
        None => {
            format!("{placement}: the skew costs no more than the gain of {gain} on {all} ranks")
        }
        Some(first) if costs_more == ranks[cheaper..] => format!(
            "{placement}: the skew costs more than the gain of {gain} from {first} ranks on, of {all}"
        ),
        Some(_) => format!(
            "{placement}: the skew costs more than the gain of {gain} on {} ranks only, of {all}",
            list(&costs_more)
        ),
    };
    Verdict { placement: placement.into(), costs_more, sentence }
}

fn text(Output { simulated, notes, measured, verdict }: &Output) -> String {
    let mut lines = Vec::new();
    if !simulated.is_empty() {
        lines.push("ranks  placement        ms a step  exchange  sums  over balanced".to_string());
    }
    lines.extend(simulated.iter().map(|row| {
        let Row { ranks, placement, milliseconds, over_balanced, .. } = row;
        let (exchange, sums) = (row.exchange * 100.0, row.sums * 100.0);
        format!(
            "{ranks:>5}  {placement:<14} {milliseconds:>11.3} {exchange:>8.0}% {sums:>4.0}% {over_balanced:>14.2}"
        )
    }));
    lines.extend(notes.iter().cloned());
    lines.extend(measured.iter().map(|check| {
        format!(
            "{} processes: measured {:.2} ms, predicted {:.2} ms ({:+.0} %); alpha {:.0} us, beta {:.0} MB/s, \
             {:.1} GFLOP/s; experts of a rank {} MB; difference from one process {:.0e}",
            check.ranks,
            check.measured_milliseconds,
            check.predicted_milliseconds,
            check.error * 100.0,
            check.alpha_microseconds,
            check.beta_megabytes,
            check.gigaflops,
            check.expert_megabytes.map_or("?".into(), |n| format!("{n:.1}")),
            check.difference
        )
    }));
    lines.extend(verdict.iter().map(|verdict| verdict.sentence.clone()));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(placement: &str, over: [f64; 3]) -> impl Iterator<Item = Row> {
        let placement = placement.to_string();
        [8, 64, 512].into_iter().zip(over).map(move |(ranks, over_balanced)| Row {
            ranks,
            placement: placement.clone(),
            milliseconds: over_balanced * 5.0,
            exchange: 0.5,
            sums: 0.0,
            over_balanced,
        })
    }

    #[test]
    fn the_verdict_says_from_how_many_ranks_the_skew_costs_more() {
        // A step may take 1.25 times as long.
        let mut all: Vec<Row> = rows("contiguous", [1.2, 1.3, 1.4]).collect();
        all.extend(rows("round-robin", [1.3, 1.3, 1.1]));
        all.extend(rows("load-aware", [1.0, 1.1, 1.2]));
        let found = verdicts(0.2, &all);
        let sentences: Vec<&str> = found.iter().map(|verdict| &*verdict.sentence).collect();
        let expected = [
            "contiguous: the skew costs more than the gain of 0.2 from 64 ranks on, of 8, 64, 512",
            "round-robin: the skew costs more than the gain of 0.2 on 8, 64 ranks only, of 8, 64, 512",
            "load-aware: the skew costs no more than the gain of 0.2 on 8, 64, 512 ranks",
            "the best placement: the skew costs no more than the gain of 0.2 on 8, 64, 512 ranks",
        ];
        assert_eq!(sentences, expected);
        assert_eq!(found[1].costs_more, [8, 64]);
        assert_eq!(verdicts(0.0, &all[..3]).len(), 1);
    }

    #[test]
    fn what_the_engine_does_not_do_is_noted() {
        let layer = Layer::new(4, &[vec![(0, 1.0)]]);
        let trace = Trace { layers: vec![layer], ..Trace::default() };
        assert!(notes(&trace, &[1, 2, 4]).is_empty());
        let found = notes(&trace, &[2, 3, 8, 64]);
        assert!(found[0].starts_with("3 ranks cannot share") && found.len() == 2, "{found:?}");
        assert!(found[1].starts_with("8, 64 ranks are more than the experts"), "{found:?}");
    }

    #[test]
    fn layers_without_a_choice_are_refused() {
        let everywhere = Layer::new(2, &[vec![(0, 0.5), (1, 0.5)], vec![(1, 0.75), (0, 0.25)]]);
        let err = check_layer(&everywhere, 8).unwrap_err().to_string();
        assert!(err.starts_with("has all 2 experts for each unit"), "{err}");
        let dropped = Layer::new(2, &[vec![(0, 0.5), (1, 0.5)], vec![(1, 0.75)]]);
        assert!(check_layer(&dropped, 8).is_ok());
        assert!(check_layer(&Layer::new(1, &[vec![(0, 1.0)]]), 8).is_ok());
        let many = Layer { n_experts: 1 << 20, ..dropped };
        let err = check_layer(&many, 64).unwrap_err().to_string();
        assert!(err.contains("at most 16777216"), "{err}");
    }
}
