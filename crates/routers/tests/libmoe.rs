//! The layers of both versions of LibMoE, whose classes were run on these inputs: the chosen experts, the
//! losses, and the output of the whole layer agree to 1e-5.
//!
//! Nguyen et al. *LibMoE*. 2024. <https://arxiv.org/abs/2411.00918>

use std::collections::BTreeMap;

use burn::prelude::*;
use moe::{
    Choice, Init, Library, MoeConfig, MoeLayer, Pass, Placement, SharedConfig, with_parameters,
};

/// Numbers of a tensor in `-scale / 2 .. scale / 2` that depend on `seed` alone: SplitMix64 over the
/// index.
fn fill(seed: u64, shape: &[usize], scale: f64) -> TensorData {
    let mix = |x: u64| {
        let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    };
    let one = |i: u64| (mix((seed << 32) + i) >> 11) as f64 * 0.5_f64.powi(53) - 0.5;
    let n = shape.iter().product::<usize>() as u64;
    let values: Vec<f32> = (0..n).map(|i| (one(i) * scale) as f32).collect();
    TensorData::new(values, shape)
}

/// A matrix that is stored as `[out, in]` in the published code.
fn turned(seed: u64, [d_out, d_in]: [usize; 2], scale: f64) -> TensorData {
    let matrix = Tensor::<2>::from_data(fill(seed, &[d_out, d_in], scale), &Device::flex());
    matrix.transpose().into_data()
}

type Numbers = BTreeMap<String, TensorData>;

/// Networks number `first`, `first + 1`, ... of the published run, as a stack at `path`.
fn experts(path: &str, first: u64, count: u64) -> Numbers {
    let stack = |of: &dyn Fn(u64) -> TensorData, shape: [usize; 3]| {
        let parts = (first..first + count).flat_map(|e| of(e).iter::<f32>().collect::<Vec<_>>());
        TensorData::new(parts.collect::<Vec<_>>(), shape)
    };
    let n = count as usize;
    let parts = [
        ("w1", stack(&|e| turned(210 + 4 * e, [4, 4], 1.0), [n, 4, 4])),
        ("bias1", stack(&|e| fill(211 + 4 * e, &[4], 1.0), [n, 1, 4])),
        ("w2", stack(&|e| turned(212 + 4 * e, [4, 4], 1.0), [n, 4, 4])),
        ("bias2", stack(&|e| fill(213 + 4 * e, &[4], 1.0), [n, 1, 4])),
    ];
    parts.into_iter().map(|(name, data)| (format!("{path}.{name}"), data)).collect()
}

/// A layer, and the results of its published run.
struct Layer {
    router: Choice,
    n_experts: usize,
    shared: bool,
    /// The values of the router's parameters, by their path in the router.
    numbers: Vec<(&'static str, TensorData)>,
}

impl Layer {
    fn new(router: Choice, n_experts: usize) -> Self {
        Self { router, n_experts, shared: false, numbers: Vec::new() }
    }

    fn with(mut self, path: &'static str, numbers: TensorData) -> Self {
        self.numbers.push((path, numbers));
        self
    }

    /// The output for the first token, and the losses by name.
    fn run(self) -> ([f32; 4], BTreeMap<String, f64>) {
        let expert = Choice::of("ffn").with("hidden", 4);
        let shared =
            SharedConfig { expert: expert.clone(), share: Some(0.5), ..Default::default() };
        let config = MoeConfig {
            layers: Placement::ALL,
            experts: self.n_experts,
            router: self.router,
            expert,
            shared: self.shared.then_some(shared),
            ..MoeConfig::default()
        };
        let library = Library {
            routers: routers::all(),
            experts: experts::all(),
            residuals: residuals::all(),
        };
        library.check(&config, [3, 4], 1).unwrap();
        let device = Device::flex();
        let layer = MoeLayer::new(&config, &library, [3, 4], &Init::new(0, &device)).unwrap();
        let mut numbers = experts("experts", 0, self.n_experts as u64);
        if self.shared {
            numbers.extend(experts("shared.expert", self.n_experts as u64, 1));
        }
        let router = self.numbers.into_iter();
        numbers.extend(router.map(|(path, data)| (format!("router.{path}"), data)));
        let layer = with_parameters(layer, numbers).unwrap();
        let mut pass = Pass::eval();
        let x = Tensor::<3>::from_data(fill(200, &[1, 3, 4], 2.0), &device);
        let y: Vec<f32> = layer.forward(&mut pass, x).into_data().iter::<f32>().collect();
        ([y[0], y[1], y[2], y[3]], pass.scalars().into_iter().collect())
    }
}

#[track_caller]
fn close(found: &[f32], expected: &[f32]) {
    let same = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1.0));
    assert!(same && found.len() == expected.len(), "found {found:?}, expected {expected:?}");
}

#[track_caller]
fn loss(losses: &BTreeMap<String, f64>, name: &str, expected: f32) {
    let found = losses.get(name).unwrap_or_else(|| panic!("no {name} among {losses:?}"));
    close(&[*found as f32], &[expected]);
}

/// A router with LibMoE's losses, each with coefficient 1.
fn balanced(kind: &str) -> Choice {
    Choice::of(kind).with("balance", 1.0).with("balance_of", "first-of-sequence").with("z", 1.0)
}

fn gate(rows: usize) -> TensorData {
    turned(230, [rows, 4], 2.0)
}

#[test]
fn smoe() {
    let (y, losses) = Layer::new(balanced("top-k"), 3).with("gate.weight", gate(3)).run();
    close(&y, &[-0.409077, 0.175330, 0.003870, 0.152793]);
    loss(&losses, "balance", 1.075651);
    // The whole auxiliary loss, with the coefficients of the published script: 0.01 and 0.001.
    let aux = 0.01 * losses["balance"] + 0.001 * losses["z"];
    assert!((aux - 0.011793).abs() < 1e-6, "{aux}");
}

/// Cosine-R and Perturbed Cosine-R.
fn cosine(theta: f64) -> ([f32; 4], BTreeMap<String, f64>) {
    let router = Choice::of("perturbed-cosine")
        .with("theta", theta)
        .with("balance", 1.0)
        .with("z", 1.0)
        .with("faithful", "reference");
    Layer::new(router, 3).with("gate.weight", gate(3)).with("bias", fill(231, &[3], 0.2)).run()
}

#[test]
fn cosine_with_a_softmax_before_the_bias_and_one_after() {
    let (y, losses) = cosine(0.0);
    close(&y, &[-0.400751, 0.171346, 0.034627, 0.157815]);
    loss(&losses, "balance", 1.171828);
    // The mean of ln(sum exp c)^2, of the cosines c.
    loss(&losses, "z", 1.119156);
}

#[test]
fn perturbed_cosine() {
    let (y, _) = cosine(0.1);
    close(&y, &[-0.398103, 0.170079, 0.044409, 0.159412]);
}

#[test]
fn sigmoid_of_the_first_version() {
    let router = balanced("sigmoid").with("compete", true).with("bias", true);
    let layer =
        Layer::new(router, 3).with("gate.weight", gate(3)).with("gate.bias", fill(231, &[3], 0.2));
    let (y, losses) = layer.run();
    close(&y, &[-0.393369, 0.167814, 0.061895, 0.162267]);
    loss(&losses, "balance", 1.023559);
    // The mean of ln(sum exp s)^2, of the sigmoids s.
    loss(&losses, "z", 2.48035);
}

#[test]
fn hyper() {
    let router = Choice::of("hyper-router").with("k_first", 1);
    let layer = Layer::new(router, 3)
        .with("embedding", fill(232, &[1, 4], 2.0))
        .with("first", turned(233, [1, 4], 1.0))
        .with(
            "first_bias",
            TensorData::from([[fill(234, &[1], 1.0).iter::<f32>().sum::<f32>() + 1.0]]),
        )
        .with("second", turned(235, [15, 1], 1.0))
        .with("second_bias", fill(236, &[1, 15], 1.0));
    let (y, losses) = layer.run();
    close(&y, &[-0.406662, 0.174175, 0.012791, 0.154250]);
    assert!(losses.is_empty(), "{losses:?}");
}

#[test]
fn x_moe() {
    let router = balanced("x-moe").with("faithful", "reference");
    let layer = Layer::new(router, 4)
        .with("reduce", turned(240, [2, 4], 1.0))
        .with("experts", fill(241, &[4, 2], 1.0));
    let (y, losses) = layer.run();
    close(&y, &[-0.259724, 0.036934, -0.239122, -0.109225]);
    loss(&losses, "balance", 1.71325);
    loss(&losses, "z", 4.03992);
}

#[test]
fn sigma_moe() {
    let router = balanced("sigmoid").with("renormalise", true);
    let (y, losses) = Layer::new(router, 4).with("gate.weight", gate(4)).run();
    close(&y, &[-0.398987, 0.170502, 0.041144, 0.158879]);
    loss(&losses, "balance", 1.147407);
}

/// Three experts, of which two are chosen, and a shared one.
fn shared(router: Choice) -> [f32; 4] {
    let layer = Layer { shared: true, ..Layer::new(router, 3) };
    layer.with("gate.weight", gate(3)).run().0
}

#[test]
fn shared_v2_is_half_shared_and_half_chosen() {
    close(&shared(balanced("top-k")), &[-0.397597, -0.056701, 0.052721, 0.265579]);
}

#[test]
fn shared_v3_is_that_with_sigmoid_scores() {
    // The formula in double precision; the published class was not run.
    let y = shared(Choice::of("deepseek-v3"));
    close(&y, &[-0.392552, -0.059115, 0.071357, 0.268621]);
}

#[test]
fn tc_moe() {
    let router = Choice::of("tc-moe");
    let (y, _) = Layer::new(router, 3).with("gate.weight", turned(230, [8, 4], 6.0)).run();
    close(&y, &[0.244825, -0.098345, -0.491026, -0.220318]);
}
