//! Compares routers with published implementations: weights, losses and gradients to 1e-5.
//!
//! A fixture in `fixtures/` has its source, a router, parameters by path, an input, and the results of the
//! source. To print the largest gaps: `cargo test -p routers --test published -- --nocapture`.
//! `scripts/golden/` has the scripts that wrote the fixtures. A new fixture requires no code here.

use std::{collections::BTreeMap, fs, path::Path};

use burn::{module::Param, prelude::*};
use moe::{
    AnyRouter, Choice, Dims, Init, Pass, PathVisitor, numbers_of, visit_paths, with_parameters,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    source: String,
    router: Choice,
    n_experts: usize,
    parameters: BTreeMap<String, Numbers>,
    x: Numbers,
    combine: Numbers,
    target: Numbers,
    losses: BTreeMap<String, f64>,
    gradients: BTreeMap<String, Numbers>,
    #[serde(default)]
    training: bool,
    /// The shares of units in slots, if they differ from those of the outputs.
    dispatch: Option<Numbers>,
    /// States after the pass.
    #[serde(default)]
    after: BTreeMap<String, Numbers>,
}

#[derive(Clone, Deserialize)]
struct Numbers {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Numbers {
    fn data(&self) -> TensorData {
        TensorData::new(self.values.clone(), self.shape.clone())
    }

    fn tensor<const D: usize>(&self, device: &Device) -> Tensor<D> {
        Tensor::from_data(self.data(), device)
    }

    fn flat(&self, device: &Device) -> Tensor<1> {
        Tensor::from_floats(self.values.as_slice(), device)
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "a table for those who ask by --nocapture")]
fn every_fixture_is_matched() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let fixture: Fixture = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let (kind, source) = (&fixture.router.kind, &fixture.source);
        match matched(&fixture) {
            Ok(Gaps { weights, losses, gradients }) => {
                let losses = losses.map_or("none".into(), |gap| format!("{gap:.1e}"));
                lines.push(format!(
                    "| {kind} | {source} | {weights:.1e} | {losses} | {gradients:.1e} |"
                ));
            }
            Err(why) => panic!("{}, from {source}: {why}", path.display()),
        }
    }
    lines.sort();
    println!("| router | oracle | weights | losses | gradients |\n|---|---|---|---|---|");
    println!("{}", lines.join("\n"));
    assert!(lines.len() >= 25, "only {} fixtures were found", lines.len());
}

#[test]
fn a_wrong_number_is_found() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let broken_of = |name: &str, breaks: fn(&mut Fixture)| {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        let mut fixture: Fixture = serde_json::from_str(&text).unwrap();
        breaks(&mut fixture);
        matched(&fixture).err().unwrap()
    };
    let broken = |breaks| broken_of("mixtral.json", breaks);
    assert!(broken(|f| f.combine.values[0] += 1e-4).contains("weights"));
    assert!(broken(|f| f.gradients.get_mut("x").unwrap().values[3] += 1e-4).contains("x"));
    assert!(broken(|f| *f.losses.get_mut("balance").unwrap() += 1e-4).contains("balance"));
    assert!(broken(|f| _ = f.parameters.remove("gate.weight")).contains("weights"));
    let soft = |breaks| broken_of("vmoe-soft.json", breaks);
    assert!(soft(|f| f.combine.values[5] += 1e-4).contains("weights"));
    assert!(soft(|f| f.dispatch.as_mut().unwrap().values[5] += 1e-4).contains("slots"));
    let bias = |f: &mut Fixture| f.after.get_mut("bias.bias").unwrap().values[2] += 1e-4;
    assert!(broken_of("olmo-core-bias.json", bias).contains("bias.bias after the pass"));
}

/// The largest gaps, relative for numbers above 1. A wrong choice is a gap of the weights, of the size of
/// its weight.
#[derive(Default)]
struct Gaps {
    weights: f32,
    /// None if the source has none.
    losses: Option<f32>,
    gradients: f32,
}

/// Checks that the router gives the outputs of the fixture.
fn matched(fixture: &Fixture) -> Result<Gaps, String> {
    let mut gaps = Gaps::default();
    let device = Device::flex().autodiff();
    let router = router(fixture, &device)?;
    let x = fixture.x.tensor::<3>(&device).require_grad();
    let mut pass = if fixture.training { Pass::train(0, 0, 0.0) } else { Pass::eval() };
    let (dispatch, combine) = router.route(&mut pass, x.clone()).to_soft();
    if let Some(expected) = &fixture.dispatch {
        near("the shares in the slots", dispatch, expected)?;
    }
    // Slots are distinguished if the source does so.
    let combine = match fixture.combine.shape.len() {
        3 => combine.sum_dim(3),
        _ => combine,
    };
    let shape = fixture.combine.shape.iter().copied().chain([1]).take(4);
    let expected = Numbers { shape: shape.clone().collect(), ..fixture.combine.clone() };
    gaps.weights = near("the weights", combine.clone(), &expected)?;
    for (path, expected) in &fixture.after {
        let found = numbers_of(&router, |known| known.path == *path).pop();
        let (_, data) = found.ok_or(format!("no state {path}"))?;
        let found: Vec<f32> = data.iter().collect();
        close(&format!("the state {path} after the pass"), &found, &expected.values)?;
    }
    for (name, expected) in &fixture.losses {
        let scalars = pass.scalars();
        let found = scalars.iter().find(|(known, _)| known == name).ok_or(format!("no {name}"))?;
        let gap = close(&format!("the losses {name}"), &[found.1 as f32], &[*expected as f32])?;
        gaps.losses = Some(gaps.losses.unwrap_or(0.0).max(gap));
    }
    let target = fixture.target.flat(&device).reshape(combine.dims());
    let mut loss = (combine * target).sum();
    if let Some(more) = pass.total_loss() {
        loss = loss + more;
    }
    let grads = loss.backward();
    let of_x = x.grad(&grads).ok_or("no gradient reaches x")?;
    let mut gather = Gather { grads, found: BTreeMap::new() };
    visit_paths(&router, &mut gather);
    for (path, expected) in &fixture.gradients {
        let gap = match path.as_str() {
            "x" => near("the gradients of x", of_x.clone(), expected)?,
            path => {
                let found = gather.found.get(path).ok_or(format!("no gradient of {path}"))?;
                close(&format!("the gradients of {path}"), found, &expected.values)?
            }
        };
        gaps.gradients = gaps.gradients.max(gap);
    }
    Ok(gaps)
}

/// The fixture's router with its parameters.
fn router(fixture: &Fixture, device: &Device) -> Result<AnyRouter, String> {
    let routers = routers::all();
    let build = routers.get(&fixture.router.kind).map_err(|err| err.to_string())?.build;
    let [_, units, width] = fixture.x.shape[..] else { return Err("x is [G, U, D]".into()) };
    let dims = Dims { width, n_experts: fixture.n_experts, units };
    let router = (build.init)(&fixture.router, dims, &Init::new(0, device))
        .map_err(|err| err.to_string())?;
    let numbers = fixture.parameters.iter();
    let numbers = numbers.map(|(path, numbers)| (path.clone(), numbers.data()));
    with_parameters(router, numbers.collect())
}

fn near<const D: usize>(what: &str, found: Tensor<D>, expected: &Numbers) -> Result<f32, String> {
    if found.dims()[..] != expected.shape {
        return Err(format!("{what} have shape {:?}, not {:?}", found.dims(), expected.shape));
    }
    close(what, &found.into_data().iter::<f32>().collect::<Vec<_>>(), &expected.values)
}

fn close(what: &str, found: &[f32], expected: &[f32]) -> Result<f32, String> {
    let gap = |(a, b): (&f32, &f32)| (a - b).abs() / b.abs().max(1.0);
    let worst = found.iter().zip(expected).map(gap).fold(0.0, f32::max);
    match found.len() == expected.len() && worst <= 1e-5 {
        true => Ok(worst),
        false => Err(format!("{what} differ by {worst}")),
    }
}

/// The gradients of the parameters by path.
struct Gather {
    grads: burn::tensor::Gradients,
    found: BTreeMap<String, Vec<f32>>,
}

impl PathVisitor for Gather {
    fn visit<const D: usize>(&mut self, path: &[String], param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(&self.grads) {
            let gradient = gradient.into_data().iter::<f32>().collect();
            self.found.insert(path.join("."), gradient);
        }
    }
}
