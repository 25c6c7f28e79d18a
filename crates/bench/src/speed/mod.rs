//! `speed`: the speed of a layer of experts (`layer.rs`), of a training step (`step.rs`) and of routers
//! (`routers.rs`), and the read-backs of layers (`syncs.rs`).

mod args;
mod layer;
mod peak;
pub(crate) mod routers;
mod step;
mod syncs;
mod times;

use anyhow::ensure;
use burn::prelude::*;
use lab::{Answer, Plugins, Session, Verb};
use moe::{Choice, ExpertDtype, MoeConfig};
use report::Format;

pub(crate) use args::Speed;
use args::wanted;
use times::{EngineSpeed, row};

impl Verb for Speed {
    const NAME: &'static str = "speed";
    const ABOUT: &'static str =
        "Measure the speed of an MoE layer by engine, of a training step, or of routers";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        self.check()?;
        speed(self, session.plugins).map(Answer::from)
    }
}

/// Measures, and returns a table or JSON.
fn speed(setting: &Speed, plugins: &Plugins) -> anyhow::Result<String> {
    let format = if setting.json { Format::Json } else { setting.format.get() };
    ensure!(
        matches!(format, Format::Text | Format::Json) || setting.routers && format == Format::Csv,
        "--format: speed prints text or json, and csv with --routers"
    );
    let (threads, device) = (setting.threads.count(), setting.device.open()?);
    if setting.syncs {
        let rows = syncs_of(setting, plugins, &device)?;
        return Ok(match format {
            Format::Json => serde_json::to_string_pretty(&rows)? + "\n",
            _ => syncs::table(&rows),
        });
    }
    if setting.routers {
        ensure!(
            setting.expert_dtype == ExpertDtype::F32,
            "--expert-dtype: --routers measures no experts"
        );
        let sizes = [setting.tokens, setting.width];
        let all = &plugins.library.routers;
        let measure = || routers::measure(all, sizes, setting.repeat, &device);
        let rows = setting.threads.install(measure)??;
        return Ok(match format {
            Format::Json => serde_json::to_string_pretty(&rows)? + "\n",
            Format::Csv => routers::csv(&rows),
            _ => routers::table(&rows),
        });
    }
    if let Some(of) = setting.step {
        let engines: Vec<_> = wanted(setting, false).collect();
        let measure = || step::measure(of, setting, &engines, plugins, &device);
        let rows = setting.threads.install(measure)??;
        let rows: Vec<EngineSpeed> = rows.into_iter().map(|of| row(setting, threads, of)).collect();
        return Ok(match format {
            Format::Json => serde_json::to_string_pretty(&rows)? + "\n",
            _ => step::table(of, &rows),
        });
    }
    let (rows, peak) =
        setting.threads.install(|| layer::measure(setting, threads, plugins, &device))??;
    Ok(match format {
        Format::Json => serde_json::to_string_pretty(&rows)? + "\n",
        _ => layer::table(setting, &rows, peak),
    })
}

fn syncs_of(
    setting: &Speed,
    plugins: &Plugins,
    device: &Device,
) -> anyhow::Result<Vec<syncs::Syncs>> {
    let expert = Choice::of(&setting.kind).with("hidden", setting.hidden);
    let (experts, router) = (setting.experts, setting.router());
    let config = MoeConfig { experts, router, expert, ..MoeConfig::default() };
    syncs::count(&plugins.library, &config, [setting.tokens, setting.width], device)
}
