//! `simulate`: the time of expert parallelism over many ranks, from the routing of a real run.
//!
//! The model (`model.rs`) combines the choices of a trace, the alpha-beta model of a network
//! (`topology.rs`) and a placement of the experts (`placement.rs`). Under `mpirun`, the verb also measures
//! the engine on these processes, and prints the error of the model there.

mod measured;
mod model;
mod placement;
mod topology;

use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::Args;
use lab::{Answer, JsonArgs, Session, Verb};
use report::trace::Trace;
use serde::Serialize;

use self::{
    model::{Seconds, Sizes, step},
    placement::Rule,
    topology::Topology,
};

/// What is simulated.
#[derive(Args)]
pub(crate) struct Simulate {
    /// The folder of a run that was trained with --trace
    #[arg(long, value_name = "RUN")]
    trace: PathBuf,
    /// Numbers of ranks, for example 8,64,512
    #[arg(long, value_delimiter = ',', value_name = "N")]
    ranks: Vec<usize>,
    /// A TOML file with the speed of a rank and of the levels of the network
    #[arg(long, value_name = "FILE")]
    topology: Option<String>,
    /// Only this placement of the experts; all if left out
    #[arg(long, value_enum)]
    placement: Option<Rule>,
    /// Copies of the busiest experts in the placement `replicated`
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
    /// Share of the steps that the router saves at equal quality, relative to balanced routing; prints the
    /// numbers of ranks on which its skew costs more
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
    /// The share of the exchange in it.
    exchange: f64,
    /// The time over that of balanced routing.
    over_balanced: f64,
}

/// What was measured on the processes that are there.
#[derive(Serialize)]
struct Check {
    ranks: usize,
    alpha_microseconds: f64,
    beta_megabytes: f64,
    gigaflops: f64,
    predicted_milliseconds: f64,
    measured_milliseconds: f64,
    /// Predicted over measured, less 1.
    error: f64,
    expert_megabytes: f64,
}

impl Verb for Simulate {
    const NAME: &'static str = "simulate";
    const ABOUT: &'static str =
        "Estimate the time of expert parallelism on many ranks, from the trace of a run";
    const TOGETHER: bool = true;

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let trace = self.last_trace()?;
        let check =
            if session.world().size() > 1 { Some(self.check(&trace, session)?) } else { None };
        if session.world().rank() > 0 {
            return Ok(String::new().into());
        }
        let rows = match &self.topology {
            Some(path) => self.rows(&trace, &Topology::read(path)?)?,
            None if check.is_some() => Vec::new(),
            None => bail!("--topology FILE is required without several processes to measure"),
        };
        let needed = self.gain.map(|gain| self.verdict(gain, &rows)).transpose()?;
        Ok(self.text(&rows, check.as_ref(), needed.as_deref())?.into())
    }
}

impl Simulate {
    fn last_trace(&self) -> anyhow::Result<Trace> {
        let folder = self.trace.join("trace");
        let trace = Trace::read_all(&folder)?.pop();
        let Some(trace) = trace.filter(|trace| !trace.is_empty() && !trace.layers.is_empty())
        else {
            bail!("{}: no traces; train the run with --trace", folder.display());
        };
        let sizes = [
            ("tokens", self.tokens),
            ("width", self.width),
            ("hidden", self.hidden),
            ("repeat", self.repeat),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            bail!("--{name} 0: must be at least 1");
        }
        Ok(trace)
    }

    fn sizes(&self) -> Sizes {
        let flops = 4.0 * (self.width * self.hidden) as f64;
        Sizes { tokens: self.tokens, width: self.width, flops }
    }

    fn time(
        &self,
        trace: &Trace,
        ranks: usize,
        topology: &Topology,
        rule: Rule,
        even: bool,
    ) -> Seconds {
        let place = |loads: &[f64]| rule.place(loads, ranks, self.copies);
        step(trace, ranks, topology, self.sizes(), place, even)
    }

    fn rows(&self, trace: &Trace, topology: &Topology) -> anyhow::Result<Vec<Row>> {
        ensure!(
            !self.ranks.is_empty(),
            "--ranks: expected a list of numbers, for example 8,64,512"
        );
        let rules = self.placement.map_or(Rule::ALL.to_vec(), |rule| vec![rule]);
        let mut rows = Vec::new();
        for &ranks in &self.ranks {
            let most = topology.most();
            ensure!((1..=most).contains(&ranks), "--ranks {ranks}: the topology has 1 to {most}");
            let even = self.time(trace, ranks, topology, Rule::Contiguous, true).all();
            for &rule in &rules {
                let seconds = self.time(trace, ranks, topology, rule, false);
                rows.push(Row {
                    ranks,
                    placement: rule.name(),
                    milliseconds: seconds.all() * 1e3,
                    exchange: seconds.exchange / seconds.all(),
                    over_balanced: seconds.all() / even,
                });
            }
        }
        Ok(rows)
    }

    fn check(&self, trace: &Trace, session: &Session) -> anyhow::Result<Check> {
        let (world, ranks) = (session.world(), session.world().size());
        let found = measured::measure(world, trace, self.sizes(), self.hidden, self.repeat)?;
        let predicted = self.time(trace, ranks, &found.topology, Rule::Contiguous, false).all();
        let level = &found.topology.levels[0];
        Ok(Check {
            ranks,
            alpha_microseconds: level.alpha * 1e6,
            beta_megabytes: level.beta / 1e6,
            gigaflops: found.topology.rank.flops / 1e9,
            predicted_milliseconds: predicted * 1e3,
            measured_milliseconds: found.seconds * 1e3,
            error: predicted / found.seconds - 1.0,
            expert_megabytes: found.expert_bytes as f64 / 1e6,
        })
    }

    /// On how many ranks the skew costs more than it gains, in the best placement.
    fn verdict(&self, gain: f64, rows: &[Row]) -> anyhow::Result<String> {
        ensure!((0.0..1.0).contains(&gain), "--gain {gain}: must be from 0 to below 1");
        let best = |ranks: usize| {
            let of = rows.iter().filter(|row| row.ranks == ranks);
            of.map(|row| row.over_balanced).fold(f64::INFINITY, f64::min)
        };
        let dear = self.ranks.iter().filter(|ranks| best(**ranks) > 1.0 / (1.0 - gain));
        let dear: Vec<String> = dear.map(usize::to_string).collect();
        Ok(match dear.is_empty() {
            true => {
                "with the best placement the skew costs less than the saved steps on all of these numbers of \
                 ranks"
                    .into()
            }
            false => {
                let ranks = dear.join(", ");
                format!("even with the best placement the skew costs more than the saved steps on {ranks} ranks")
            }
        })
    }

    fn text(
        &self,
        rows: &[Row],
        check: Option<&Check>,
        verdict: Option<&str>,
    ) -> anyhow::Result<String> {
        if self.json.is_json() {
            let all =
                serde_json::json!({ "simulated": rows, "measured": check, "verdict": verdict });
            return Ok(serde_json::to_string_pretty(&all)? + "\n");
        }
        let mut lines = Vec::new();
        if !rows.is_empty() {
            lines.push("ranks  placement        ms a step  exchange  over balanced".to_string());
        }
        lines.extend(rows.iter().map(|row| {
            let Row { ranks, placement, milliseconds, exchange, over_balanced } = row;
            let share = exchange * 100.0;
            format!("{ranks:>5}  {placement:<14} {milliseconds:>11.3} {share:>8.0}% {over_balanced:>14.2}")
        }));
        lines.extend(check.map(|check| {
            format!(
                "{} processes: measured {:.2} ms, predicted {:.2} ms ({:+.0} %); alpha {:.0} us, beta {:.0} MB/s, \
                 {:.1} GFLOP/s; experts of a rank {:.2} MB",
                check.ranks,
                check.measured_milliseconds,
                check.predicted_milliseconds,
                check.error * 100.0,
                check.alpha_microseconds,
                check.beta_megabytes,
                check.gigaflops,
                check.expert_megabytes
            )
        }));
        lines.extend(verdict.map(str::to_string));
        Ok(lines.join("\n") + "\n")
    }
}
