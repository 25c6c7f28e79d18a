//! `cost`: estimates the cost of training a language model on devices at a price. Nothing is trained.

use std::path::PathBuf;

use anyhow::{anyhow, ensure};
use clap::Args;
use report::{Cell, Column, Format, Kind, NumberForm, Table};

use lab::{Answer, FormatArgs, Session, Verb};

use crate::model_cost::{Accelerator, ModelSizes, hardware, published};

/// The model to train, and the devices to train it on.
#[derive(Args)]
pub(crate) struct CostArgs {
    /// Ling-Lite, Ling-Plus, or a TOML file with width, layers, heads, experts and so on
    #[arg(long, default_value = "Ling-Plus")]
    model: String,
    /// A TOML file of `[[device]]` with name, tflops, memory (GB) and price (per hour); by default the
    /// devices that Ling was trained on
    #[arg(long, value_name = "FILE")]
    hardware: Option<PathBuf>,
    /// Tokens to train on
    #[arg(long, default_value_t = 1e12)]
    tokens: f64,
    /// The share of the peak FLOPs per second that is achieved
    #[arg(long, default_value_t = 0.3, value_name = "SHARE")]
    utilisation: f64,
    /// The number of devices used in parallel
    #[arg(long, default_value_t = 1024, value_name = "N")]
    devices: usize,
    /// A total price: prints the share of the peak that this price implies on each device
    #[arg(long, value_name = "PRICE")]
    price: Option<f64>,
    /// Shares of the FLOPs on several devices, A=0.5,B=0.5
    #[arg(long, value_name = "NAME=SHARE,...")]
    mix: Option<String>,
    #[command(flatten)]
    format: FormatArgs,
}

impl Verb for CostArgs {
    const NAME: &'static str = "cost";
    const ABOUT: &'static str =
        "Estimate the FLOPs, hours and price of training a language model; nothing is trained";

    fn run(&self, _session: &Session) -> anyhow::Result<Answer> {
        Ok(cost(self, self.format.get())?.into())
    }
}

fn cost(call: &CostArgs, format: Format) -> anyhow::Result<String> {
    let (tokens, utilisation) = (call.tokens, call.utilisation);
    ensure!(tokens > 0.0 && tokens.is_finite(), "--tokens {tokens}: must be above 0");
    let share = utilisation > 0.0 && utilisation <= 1.0;
    ensure!(share, "--utilisation {utilisation}: must be above 0, and at most 1");
    ensure!(call.devices > 0, "--devices 0: must be at least 1");
    if let Some(price) = call.price {
        ensure!(price > 0.0 && price.is_finite(), "--price {price}: must be above 0");
    }
    let sizes = ModelSizes::read(&call.model)?;
    let devices = call.hardware.as_deref().map_or_else(|| Ok(published()), hardware)?;
    let flops = tokens * sizes.flops_per_token();
    let mut rows: Vec<_> = devices.iter().map(|device| row(call, device, flops)).collect();
    if let Some(text) = &call.mix {
        rows.push(mixed(call, &mix(text, &devices)?, flops));
    }
    Ok(table(call, &sizes, rows, flops).render(format))
}

fn row(call: &CostArgs, device: &Accelerator, flops: f64) -> Vec<Cell> {
    let hours = device.hours(flops, call.utilisation);
    let implied = call.price.map(|price| Cell::Number(device.implied(flops, price)));
    let mut row = vec![Cell::Words(device.name.clone())];
    row.extend([device.tflops, device.memory, device.price, hours].map(Cell::Number));
    row.push(Cell::Number(hours / call.devices as f64 / 24.0));
    row.push(Cell::Number(hours * device.price));
    row.extend(implied);
    row
}

/// The row of a mixture of devices, each with its share of the FLOPs. All devices start together, and the
/// days are the sum of all hours, divided by the number of devices.
fn mixed(call: &CostArgs, mix: &[(&Accelerator, f64)], flops: f64) -> Vec<Cell> {
    let hours = |of: &dyn Fn(&Accelerator) -> f64| {
        mix.iter().map(|(d, share)| share * d.hours(flops, call.utilisation) * of(d)).sum::<f64>()
    };
    let words = mix.iter().map(|(device, share)| format!("{share} {}", device.name));
    let mut row = vec![Cell::Words(words.collect::<Vec<_>>().join(" + "))];
    row.extend([Cell::Missing, Cell::Missing, Cell::Missing]);
    row.push(Cell::Number(hours(&|_| 1.0)));
    row.push(Cell::Number(hours(&|_| 1.0) / call.devices as f64 / 24.0));
    row.push(Cell::Number(hours(&|device| device.price)));
    row.extend(call.price.map(|price| {
        let at_the_peak: f64 = mix.iter().map(|(d, share)| share * d.cost(flops, 1.0)).sum();
        Cell::Number(at_the_peak / price)
    }));
    row
}

/// Parses `A=0.5,B=0.5`.
fn mix<'a>(text: &str, devices: &'a [Accelerator]) -> anyhow::Result<Vec<(&'a Accelerator, f64)>> {
    let known = || devices.iter().map(|d| d.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut found = Vec::new();
    for part in text.split(',') {
        let wrong = || anyhow!("--mix {text}: {part:?} is not NAME=SHARE, for example A=0.5");
        let (name, share) = part.split_once('=').ok_or_else(wrong)?;
        let share: f64 = share.trim().parse().map_err(|_| wrong())?;
        ensure!(
            share > 0.0 && share <= 1.0,
            "--mix {text}: share {share}: must be above 0 and at most 1"
        );
        let device = devices.iter().find(|device| device.name == name.trim());
        let unknown = || anyhow!("--mix {text}: no device is named {name:?}; known: {}", known());
        found.push((device.ok_or_else(unknown)?, share));
    }
    let sum: f64 = found.iter().map(|(_, share)| share).sum();
    ensure!((sum - 1.0).abs() < 1e-6, "--mix {text}: the shares must sum to 1, not {sum}");
    Ok(found)
}

fn table(call: &CostArgs, sizes: &ModelSizes, rows: Vec<Vec<Cell>>, flops: f64) -> Table {
    let number = |key: &str, name: &str, digits| Column::new(key, name, Kind::Numbers(digits));
    let mut columns = vec![
        Column::new("device", "device", Kind::Words),
        number("tflops", "TFLOPs/s", NumberForm::Fixed(0)),
        number("memory", "GB", NumberForm::Fixed(0)),
        number("price", "price/h", NumberForm::Fixed(2)),
        number("hours", "hours", NumberForm::Short),
        number("days", "days", NumberForm::Fixed(1)),
        number("cost", "cost", NumberForm::Short),
    ];
    if call.price.is_some() {
        columns.push(number("implied", "implied share", NumberForm::Fixed(3)));
    }
    let mut notes = vec![
        format!(
            "{:.2e} FLOPs for {:.2e} tokens, {:.3e} per token: 6 times {:.3e} active parameters (without \
             embeddings and head), plus attention over {} tokens. All parameters: {:.3e}.",
            flops,
            call.tokens,
            sizes.flops_per_token(),
            sizes.active(),
            sizes.length,
            sizes.params()
        ),
        format!(
            "hours: of one device at {} of its peak; days: with {} devices in parallel; cost: in the \
             currency of the prices.",
            call.utilisation, call.devices
        ),
    ];
    if call.hardware.is_none() {
        notes.push("Devices: arXiv 2503.05139, table 1; prices in yuan.".into());
    }
    if let Some(price) = call.price {
        notes.push(format!(
            "implied share: the share of the peak at which the cost is {price:.3e}."
        ));
    }
    let title = format!("Cost of training {}", call.model);
    Table { title, columns, rows, notes, ..Table::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(change: impl FnOnce(&mut CostArgs)) -> CostArgs {
        let mut call = CostArgs {
            model: "Ling-Plus".into(),
            hardware: None,
            tokens: 1e12,
            utilisation: 0.3,
            devices: 1000,
            price: Some(6.35e6),
            mix: None,
            format: FormatArgs::default(),
        };
        change(&mut call);
        call
    }

    #[test]
    fn the_published_price_implies_a_share_of_the_peak() {
        let csv = cost(&call(|_| {}), Format::Csv).unwrap();
        let line = csv.lines().find(|line| line.starts_with("D,")).unwrap();
        let fields: Vec<f64> = line.split(',').skip(1).map(|x| x.parse().unwrap()).collect();
        assert_eq!(fields[..3], [989.0, 80.0, 27.5]);
        assert!((fields[3] - 166_200.0).abs() < 500.0, "{line}"); // 49,850 / 0.3
        assert!((fields[4] - 166.2 / 24.0).abs() < 0.1, "{line}");
        assert!((fields[6] - 0.216).abs() < 0.001, "{line}");
    }

    #[test]
    fn a_mixture_costs_the_mean_of_its_parts() {
        let csv = cost(&call(|call| call.mix = Some("A=0.25,B=0.75".into())), Format::Csv).unwrap();
        let costs: Vec<f64> = csv
            .lines()
            .skip(1)
            .map(|line| line.split(',').nth(6).unwrap().parse().unwrap())
            .collect();
        assert!((costs[5] - (0.25 * costs[0] + 0.75 * costs[1])).abs() < 1e-3 * costs[5]);
    }

    #[test]
    fn bad_input_is_named() {
        let wrong =
            |change: fn(&mut CostArgs)| cost(&call(change), Format::Text).unwrap_err().to_string();
        assert!(wrong(|c| c.utilisation = 0.0).contains("--utilisation 0: must be above 0"));
        assert!(wrong(|c| c.mix = Some("A=0.5,Z=0.5".into())).contains("known: A, B, C, D, E"));
        assert!(
            wrong(|c| c.mix = Some("A=0.5".into())).contains("the shares must sum to 1, not 0.5")
        );
        assert!(wrong(|c| c.mix = Some("A".into())).contains("is not NAME=SHARE"));
        assert!(wrong(|c| c.model = "gpt".into()).contains("known: Ling-Lite, Ling-Plus"));
    }
}
