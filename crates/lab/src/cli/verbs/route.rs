//! `route`: one router on one input, without a network and without training. Input and output are files that
//! any other program can read, so that a router can be inspected or compared with another implementation.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use burn::{module::Module, prelude::*};
use clap::Args;
use moe::{
    AnyRouter, Choice, Clusters, Dims, Init, LayerReport, Parameter, Pass, Plan, RouterLogits,
    TokenIds, numbers_of, parameters, with_parameters,
};
use report::few;
use routers::kit::GivenNoise;
use serde_json::{Map, Value, json};

use crate::{
    Plugins,
    cli::{
        Answer, DeviceArgs, Session, Verb,
        out::{not_an_input, not_of_a_run, write_out},
    },
    facts::form,
    planning::{MOST_EXPERTS, check_plugin_sizes, memory},
    store::{Tensors, safetensors},
};

/// Arguments of `route`.
#[derive(Args, Clone)]
pub(crate) struct RouteArgs {
    /// The router's name
    #[arg(long)]
    router: String,
    /// Its hyperparameters as JSON: '{"k": 3}'; what is left out takes its default
    #[arg(long, value_name = "JSON", default_value = "{}")]
    config: String,
    /// The number of experts
    #[arg(long, default_value_t = 8)]
    experts: usize,
    /// A safetensors file with `x`, [G, U, D]: G groups of U units of width D. Optional beside it:
    /// `ids` and `clusters`, [G, U]; `noise`, which takes the place of the router's random numbers with
    /// --train; parameters and states of the router by path
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The safetensors file to write: `experts` and `weights`; `units` and `weights` if experts
    /// choose; `dispatch` and `combine` if the plan is soft; `weights` if every expert works, or experts
    /// are merged for segments. Beside them `scores`, [G, U, E], of routers that choose by scores, and
    /// with --train the router's states by path, as they are after the pass
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Seed of the noise and of parameters that are not in the file
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Run a training pass: with noise and updates of states
    #[arg(long)]
    train: bool,
    /// The share of training done, 0 to 1, for routers that warm up
    #[arg(long, default_value_t = 0.0, requires = "train")]
    progress: f64,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Verb for RouteArgs {
    const NAME: &'static str = "route";
    const ABOUT: &'static str = "Run a router on an input file, and write its plan";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        route(self, session.plugins).map(Answer::from)
    }
}

/// Routes the units, writes the plan, and returns losses, metrics and loads as JSON.
fn route(call: &RouteArgs, plugins: &Plugins) -> anyhow::Result<String> {
    not_of_a_run(&call.out)?;
    not_an_input(&call.out, [&call.input])?;
    let (device, choice) = (call.device.open()?, call.choice(plugins)?);
    ensure!(
        (0.0..=1.0).contains(&call.progress),
        "--progress {}: must be from 0 to 1",
        call.progress
    );
    let place = || call.input.display().to_string();
    let mut tensors = safetensors::read(&call.input)?;
    let x = units(&mut tensors, &device).with_context(place)?;
    let shape = [x.dims()[0], x.dims()[1]];
    let mut pass = call.pass(&mut tensors, shape, &device).with_context(place)?;
    let from_file: Vec<String> = tensors.keys().cloned().collect();
    let named = || format!("{}: router {:?}", place(), call.router);
    let router = call.build(&choice, &x, plugins)?;
    let router = with_parameters(router, tensors)
        .map_err(|why| anyhow::anyhow!("{why}; {}", call.sizes(&x)))
        .with_context(named)?;
    finite_parameters(&router).with_context(named)?;
    let wanted = parameters(&router);
    let evaluated = router.valid();
    let plan = evaluated.route(&mut pass, x);
    let out = call.results(&plan, &evaluated, &wanted, &mut pass).with_context(named)?;
    write_out(&call.out, &safetensors::to_bytes(&out)?)?;
    let report = json!({
        "router": choice,
        "experts": call.experts,
        "seed": call.seed,
        "training": call.train,
        "parameters": list(&wanted, &from_file),
        "plan": form(&plan),
        "losses": by_name(pass.losses()),
        "metrics": by_name(pass.metrics()),
        "load": load(&plan, router.flops_per_unit()),
    });
    Ok(format!("{report:#}\n"))
}

impl RouteArgs {
    /// The router's settings with all defaults filled in.
    fn choice(&self, plugins: &Plugins) -> anyhow::Result<Choice> {
        let place = || format!("--config {}", self.config);
        let config: Value = serde_json::from_str(&self.config).with_context(place)?;
        let Value::Object(options) = config else {
            anyhow::bail!("--config {}: expected a table, for example {{\"k\": 3}}", self.config)
        };
        let choice = Choice { kind: self.router.clone(), options };
        let choice = plugins.library.routers.complete(&choice)?;
        check_plugin_sizes(&choice).map_err(anyhow::Error::msg).with_context(place)?;
        Ok(choice)
    }

    /// The pass, with the data of the file in addition to the units: tokens, clusters and noise.
    fn pass(
        &self,
        tensors: &mut Tensors,
        shape: [usize; 2],
        device: &Device,
    ) -> anyhow::Result<Pass> {
        let mut pass = match self.train {
            true => Pass::train(self.seed, 0, self.progress),
            false => Pass::eval(),
        };
        if let Some(ids) = whole_numbers(tensors, "ids", shape, device)? {
            pass.put(TokenIds(ids));
        }
        if let Some(clusters) = whole_numbers(tensors, "clusters", shape, device)? {
            pass.put(Clusters(clusters));
        }
        if let Some(noise) = tensors.remove("noise") {
            ensure!(self.train, "noise: only used in training; add --train");
            pass.put(GivenNoise::new(noise));
        }
        Ok(pass)
    }

    /// A fresh router for the input, on an autodiff device.
    fn build(
        &self,
        choice: &Choice,
        x: &Tensor<3>,
        plugins: &Plugins,
    ) -> anyhow::Result<AnyRouter> {
        ensure!(
            (1..=MOST_EXPERTS).contains(&self.experts),
            "--experts {}: must be from 1 to {MOST_EXPERTS}",
            self.experts
        );
        let [_, units, width] = x.dims();
        let dims = Dims { width, n_experts: self.experts, units };
        let init = Init::new(self.seed, &x.device().autodiff());
        let build = plugins.library.routers.get(&choice.kind)?.build.init;
        let router = build(choice, dims, &init)?;
        memory::check_weights(&router).with_context(|| format!("router {:?}", choice.kind))?;
        Ok(router)
    }

    /// A sentence on the origin of the parameters' shapes.
    fn sizes(&self, x: &Tensor<3>) -> String {
        let width = x.dims()[2];
        format!("shapes follow from the width of x, {width}, and from --experts {}", self.experts)
    }

    /// The output: the plan, the scores, and with --train the states after the pass.
    ///
    /// # Errors
    /// If numbers are not finite, or given noise was not drawn.
    fn results(
        &self,
        plan: &Plan,
        router: &AnyRouter,
        known: &[Parameter],
        pass: &mut Pass,
    ) -> anyhow::Result<Tensors> {
        noise_was_drawn(pass)?;
        let mut out = Tensors::new();
        if let Some(RouterLogits(scores)) = pass.take() {
            out.insert("scores".into(), safetensors::of(scores));
        }
        finite(&out)?;
        out.extend(numbers(plan));
        if self.train {
            // Without autodiff no parameter requires a gradient, so the trained parameters were recorded
            // before.
            let is_state =
                |path: &str| known.iter().any(|known| known.path == path && !known.trained);
            let states = numbers_of(router, |parameter| is_state(&parameter.path));
            out.extend(states.into_iter().map(|(known, data)| (known.path, data)));
        }
        finite(&out)?;
        let wrong = pass.scalars().into_iter().find(|(_, value)| !value.is_finite());
        match wrong {
            Some((name, value)) => anyhow::bail!("{name} is {value}"),
            None => Ok(out),
        }
    }
}

/// Checks that all parameters and states are finite.
fn finite_parameters(router: &AnyRouter) -> anyhow::Result<()> {
    let all = numbers_of(router, |_| true).into_iter();
    finite(&all.map(|(known, data)| (known.path, data)).collect())
}

/// Checks that all numbers of the tensors are finite; the error names the tensors and the counts.
fn finite(tensors: &Tensors) -> anyhow::Result<()> {
    let count = |data: &TensorData| data.iter::<f64>().filter(|number| !number.is_finite()).count();
    let wrong: Vec<String> = tensors
        .iter()
        .map(|(name, data)| (name, count(data), data.num_elements()))
        .filter(|(_, wrong, _)| *wrong > 0)
        .map(|(name, wrong, all)| format!("{wrong} of the {all} numbers of {name}"))
        .collect();
    ensure!(wrong.is_empty(), "{} are not finite", few(wrong));
    Ok(())
}

/// Checks that the given noise was drawn.
fn noise_was_drawn(pass: &mut Pass) -> anyhow::Result<()> {
    let Some(GivenNoise { numbers, used: false, draws }) = pass.take() else { return Ok(()) };
    let shape = numbers.shape().as_slice().to_vec();
    let draws: Vec<String> = draws.iter().map(|draw| format!("{draw:?}")).collect();
    match draws.is_empty() {
        true => anyhow::bail!("noise has the shape {shape:?}, but the router draws none"),
        false => anyhow::bail!(
            "noise has the shape {shape:?}, but the router draws {}",
            draws.join(", ")
        ),
    }
}

/// Takes `x` out of the tensors of a file.
fn units(tensors: &mut Tensors, device: &Device) -> anyhow::Result<Tensor<3>> {
    let there: Vec<String> = tensors.keys().cloned().collect();
    let missing = || format!("expected a tensor x, [G, U, D]; found: {}", few(&there));
    let x = tensors.remove("x").with_context(missing)?;
    let shape = x.shape().as_slice().to_vec();
    ensure!(shape.len() == 3, "x has the shape {shape:?}; expected three dimensions, [G, U, D]");
    ensure!(!shape.contains(&0), "x has the shape {shape:?}; every dimension must be at least 1");
    let x = x.convert::<f32>();
    ensure!(x.iter::<f32>().all(f32::is_finite), "x has numbers that are not finite");
    Ok(Tensor::from_data(x, device))
}

/// Takes a tensor of one whole number per unit out of the tensors of a file, if the file has it.
fn whole_numbers(
    tensors: &mut Tensors,
    name: &str,
    wanted: [usize; 2],
    device: &Device,
) -> anyhow::Result<Option<Tensor<2, Int>>> {
    let Some(data) = tensors.remove(name) else { return Ok(None) };
    let shape = data.shape().as_slice().to_vec();
    ensure!(
        shape == wanted,
        "{name} has the shape {shape:?}; expected [G, U] = {wanted:?}, as in x"
    );
    ensure!(
        !data.dtype().is_float(),
        "{name} has the type {:?}; expected whole numbers",
        data.dtype()
    );
    let fits = |id: i64| (0..=i64::from(i32::MAX)).contains(&id);
    let wrong = data.iter::<i64>().find(|id| !fits(*id));
    ensure!(
        wrong.is_none(),
        "{name} contains {}; must be from 0 to {}",
        wrong.unwrap_or_default(),
        i32::MAX
    );
    Ok(Some(Tensor::from_data(data.convert::<i32>(), device)))
}

/// The plan as tensors by name.
fn numbers(plan: &Plan) -> Tensors {
    let float = |name: &str, data| (name.to_string(), data);
    let int = |name: &str, tensor: Tensor<3, Int>| {
        (name.to_string(), tensor.into_data().convert::<i64>())
    };
    match plan.clone() {
        Plan::TokenChoice { experts, weights, .. } => {
            [int("experts", experts), float("weights", safetensors::of(weights))].into()
        }
        Plan::ExpertChoice { units, weights, .. } => {
            [int("units", units), float("weights", safetensors::of(weights))].into()
        }
        Plan::Soft { dispatch, combine } => [
            float("dispatch", safetensors::of(dispatch)),
            float("combine", safetensors::of(combine)),
        ]
        .into(),
        Plan::Merged { weights, .. } | Plan::Dense { weights } => {
            [float("weights", safetensors::of(weights))].into()
        }
    }
}

/// The noise that the router draws, with the origin of each tensor.
fn list(wanted: &[Parameter], from_file: &[String]) -> Value {
    let one = |known: &Parameter| {
        let from = if from_file.contains(&known.path) { "file" } else { "seed" };
        json!({ "path": known.path, "shape": known.shape, "trained": known.trained, "from": from })
    };
    wanted.iter().map(one).collect()
}

fn by_name(values: Vec<(String, f64)>) -> Map<String, Value> {
    values.into_iter().map(|(name, value)| (name, json!(value))).collect()
}

/// The loads, as measured in every table.
fn load(plan: &Plan, flops_per_unit: f64) -> Value {
    let report = LayerReport::of_plan(plan);
    json!({
        "units": report.units,
        "slots": report.load,
        "max_over_mean": report.max_over_mean(),
        "dropped": report.dropped,
        "experts_per_unit": report.touched,
        "router_flops_per_unit": flops_per_unit,
    })
}
