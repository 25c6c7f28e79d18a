//! Upcycling: a network with MoE layers from a dense one.
//!
//! Komatsuzaki et al. *Sparse Upcycling: Training Mixture-of-Experts from Dense Checkpoints*. ICLR 2023.
//! <https://arxiv.org/abs/2212.05055>: every expert starts as a copy of the dense network.
//!
//! Nakamura et al. *Drop-Upcycling: Training Sparse Mixture of Experts with Partial Re-initialization*. ICLR
//! 2025. <https://arxiv.org/abs/2502.19261>: a share r of an expert's hidden units is initialised again,
//! normal with the mean and deviation of the weights that are replaced.
//!
//! He et al. *Upcycling Large Language Models into Mixture of Experts*. 2024.
//! <https://arxiv.org/abs/2410.07524>: the hidden units are divided into G parts, one for each expert of a
//! virtual group; the experts of a group have the same vector in the router, so that they are chosen
//! together.
//!
//! E_(cG + s) = part s of the dense network                           (1)
//! y = sum_i g_i E_i(x) = c F(x), c the sum of the weights of a part  (2)
//!
//! The output maps are divided by c, see [`factor`], so that the first forward pass equals that of the
//! dense network.
//!
//! Differs from the papers: c is measured on the router's first plans instead of given by a formula for
//! each router. If c depends on the scores (weights that are not divided by their sum), small initial
//! gates, `gates`, make it constant: all scores are nearly equal, while their order, and therefore the
//! choice, is unchanged.

use std::collections::BTreeMap;

use burn::{module::Module, prelude::*};
use moe::{Init, config, numbers_of, parameters, with_parameters};
use rand::RngExt;
use rand_distr::{Distribution, Normal};

config! {
    /// The initial weights of the experts.
    pub struct UpcycleConfig {
        /// The share of each expert's hidden units that is initialised again.
        pub reinitialise: f64 = 0.0,
        /// The number of parts that the hidden units of the dense network are divided into, one for each
        /// expert.
        pub groups: usize = 1,
        /// Whether the output is scaled so that the first forward pass equals that of the dense network.
        pub equal: bool = true,
        /// The factor of the initial weights of the routers' gates.
        pub gates: f64 = 1.0,
    }
}

impl UpcycleConfig {
    /// Checks the ranges, for this many experts.
    pub fn check(&self, experts: usize) -> Result<(), String> {
        let Self { reinitialise, groups, gates, .. } = *self;
        if !(gates > 0.0 && gates <= 1.0) {
            return Err(format!("gates = {gates}: must be above 0 and at most 1"));
        }
        if !(0.0..=1.0).contains(&reinitialise) {
            return Err(format!("reinitialise = {reinitialise}: must be from 0 to 1"));
        }
        match groups > 0 && experts.is_multiple_of(groups) {
            true => Ok(()),
            false => Err(format!("groups = {groups} does not divide experts = {experts}")),
        }
    }
}

const DENSE: &str = ".feed_forward.Dense.";
const EXPERTS: &str = ".feed_forward.Moe.experts.";
const ROUTER: &str = ".feed_forward.Moe.router.";
const GATE: &str = ".router.gate.weight";

/// Gives `to` the weights of the dense network `from`, and makes experts from its feed-forward networks.
///
/// # Errors
/// If a parameter of one network has no counterpart in the other.
pub fn upcycle<M: Module>(
    from: &M,
    to: M,
    config: &UpcycleConfig,
    init: &Init,
) -> Result<M, String> {
    let mut left: BTreeMap<String, TensorData> =
        numbers_of(from, |_| true).into_iter().map(|(known, data)| (known.path, data)).collect();
    let mut numbers = BTreeMap::new();
    for known in parameters(&to) {
        let (path, shape) = (known.path, known.shape);
        if path.contains(ROUTER) {
            continue;
        }
        let dense = path.replace(EXPERTS, DENSE);
        let data = left
            .remove(&dense)
            .ok_or_else(|| format!("{path}: the dense network has no such parameter"))?;
        let fitting = match path == dense {
            true if data.shape().as_slice() == shape.as_slice() => data,
            true => {
                return Err(format!(
                    "{path}: the shape is {:?} in the dense network, but must be {shape:?}",
                    data.shape()
                ));
            }
            false => experts(&path, data, &shape, config, init)?,
        };
        numbers.insert(path, fitting);
    }
    if let Some(path) = left.keys().next() {
        return Err(format!("{path}: the network with experts has no such parameter"));
    }
    first_gates(with_parameters(to, numbers)?, config)
}

/// The axis of the hidden units in a matrix of experts; none for the last bias.
fn hidden_axis(path: &str) -> Result<Option<usize>, String> {
    match path.rsplit('.').next().unwrap_or_default() {
        "w" | "v" | "w1" | "bias1" => Ok(Some(2)),
        "w2" => Ok(Some(1)),
        "bias2" => Ok(None),
        _ => Err(format!("{path}: only ffn and swiglu experts can be made from dense networks")),
    }
}

/// The matrices `[E, ..]` of experts from the dense one `[1, ..]`.
fn experts(
    path: &str,
    dense: TensorData,
    shape: &[usize],
    config: &UpcycleConfig,
    init: &Init,
) -> Result<TensorData, String> {
    let (groups, axis) = (config.groups, hidden_axis(path)?);
    let mut there = dense.shape().to_vec();
    if let Some(axis) = axis {
        there[axis] /= groups;
    }
    if there[1..] != shape[1..]
        || axis.is_some_and(|axis| dense.shape()[axis] != shape[axis] * groups)
    {
        let found = dense.shape().to_vec();
        return Err(format!(
            "{path}: dividing {found:?} into {groups} parts does not give {shape:?}"
        ));
    }
    let rows: Vec<f32> = dense.iter::<f32>().collect();
    let [a, b] = [dense.shape()[1], dense.shape()[2]];
    let mut all = Vec::with_capacity(shape.iter().product());
    for expert in 0..shape[0] {
        let part = expert % groups;
        let mut own: Vec<f32> = match axis {
            Some(2) => {
                let width = b / groups;
                rows.chunks(b).flat_map(|row| row[part * width..][..width].to_vec()).collect()
            }
            Some(_) => rows[part * a / groups * b..][..a / groups * b].to_vec(),
            None => rows.iter().map(|x| x / groups as f32).collect(),
        };
        if let Some(axis) = axis {
            renew(&mut own, [shape[1], shape[2]], axis, config.reinitialise, path, expert, init);
        }
        all.extend(own);
    }
    Ok(TensorData::new(all, shape.to_vec()))
}

/// Initialises a share of the hidden units of one expert's matrix `[a, b]` again; the units are the same
/// in all of its matrices.
fn renew(
    matrix: &mut [f32],
    [a, b]: [usize; 2],
    axis: usize,
    share: f64,
    path: &str,
    expert: usize,
    init: &Init,
) {
    let hidden = if axis == 2 { b } else { a };
    let n = (share * hidden as f64).floor() as usize;
    if n == 0 {
        return;
    }
    let layer = path.split(EXPERTS).next().unwrap_or_default();
    let mut draws = init.at("upcycle").at(layer).at(expert).rng();
    let mut units: Vec<usize> = (0..hidden).collect();
    (0..n).for_each(|i| units.swap(i, draws.random_range(i..hidden)));
    let places: Vec<usize> = units[..n]
        .iter()
        .flat_map(|unit| {
            (0..a * b / hidden).map(move |i| if axis == 2 { i * b + unit } else { unit * b + i })
        })
        .collect();
    let mean = places.iter().map(|at| f64::from(matrix[*at])).sum::<f64>() / places.len() as f64;
    let square = places.iter().map(|at| (f64::from(matrix[*at]) - mean).powi(2)).sum::<f64>();
    let deviation = (square / places.len() as f64).sqrt();
    let Ok(normal) = Normal::new(mean, deviation) else { return };
    let mut rng = init.at("upcycle").at(path).at(expert).rng();
    places.iter().for_each(|at| matrix[*at] = normal.sample(&mut rng) as f32);
}

/// The network in which the routers have the same vector for all experts of a group, that of the first
/// expert, and in which gates are multiplied by `config.gates`. The vectors of experts are in the matrices
/// of a router whose last axis is that of the experts; a gate may have additional columns for null
/// experts.
fn first_gates<M: Module>(network: M, config: &UpcycleConfig) -> Result<M, String> {
    let (groups, gates) = (config.groups, config.gates as f32);
    if groups == 1 && gates == 1.0 {
        return Ok(network);
    }
    let known = parameters(&network);
    let n_experts = |path: &str| {
        let layer = format!("{}{EXPERTS}", path.split_once(ROUTER)?.0);
        Some(known.iter().find(|known| known.path.starts_with(&layer))?.shape[0])
    };
    let mut numbers = BTreeMap::new();
    for (known, data) in numbers_of(&network, |known| known.path.contains(ROUTER)) {
        let Some(experts) = n_experts(&known.path) else { continue };
        let groups = match known.shape.last() == Some(&experts) {
            true => groups,
            false if known.path.ends_with(GATE) => 1,
            false => continue,
        };
        let values: Vec<f32> = data.iter().collect();
        let of_group = |i: usize| i / experts * experts + i % experts / groups * groups;
        let values = (0..values.len()).map(|i| gates * values[of_group(i)]).collect::<Vec<_>>();
        numbers.insert(known.path, TensorData::new(values, known.shape));
    }
    with_parameters(network, numbers)
}

/// The sum c of the weights of one part of the dense network in a layer, from the choices of its units.
///
/// # Errors
/// If c is not the same for all units and parts, so that no factor gives the output of the dense network.
pub fn factor(choices: &[Vec<(usize, f32)>], groups: usize) -> Result<f64, String> {
    let sums = choices.iter().flat_map(|unit| {
        let mut sums = vec![0.0_f64; groups];
        unit.iter().for_each(|(expert, weight)| sums[expert % groups] += f64::from(*weight));
        sums
    });
    let (least, most) = sums.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), sum| {
        (least.min(sum), most.max(sum))
    });
    if least > 0.0 && most - least <= 1e-5 * most {
        return Ok((least + most) / 2.0);
    }
    Err(format!(
        "the weights of a unit's experts sum to values between {least:.4} and {most:.4} for each part of the \
         dense network, but the output stays the same only if all sums are equal. Use weights divided by \
         their sum (with k a multiple of upcycle.groups), or small initial gates (upcycle.gates = 1e-5) if \
         all units have the same number of experts. A router with null experts must have fewer of them \
         than a unit has choices. Otherwise set upcycle.equal = false"
    ))
}

/// The network in which the experts of MoE layer l return `1 / factors[l]` times their output.
///
/// # Errors
/// If there are fewer factors than MoE layers.
pub fn divided<M: Module>(network: M, factors: &[f64]) -> Result<M, String> {
    let output =
        |path: &str| path.contains(EXPERTS) && (path.ends_with(".w2") || path.ends_with(".bias2"));
    let mut layers: Vec<String> = Vec::new();
    let mut numbers = BTreeMap::new();
    for (known, data) in numbers_of(&network, |known| output(&known.path)) {
        let layer = known.path.split(EXPERTS).next().unwrap_or_default().to_string();
        if layers.last() != Some(&layer) {
            layers.push(layer);
        }
        let factor = factors.get(layers.len() - 1).ok_or("fewer factors than MoE layers")?;
        let values: Vec<f32> = data.iter::<f32>().map(|x| (f64::from(x) / factor) as f32).collect();
        numbers.insert(known.path, TensorData::new(values, known.shape));
    }
    with_parameters(network, numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(path: &str, shape: [usize; 3], to: [usize; 3], config: &UpcycleConfig) -> Vec<f32> {
        let n = shape.iter().product::<usize>();
        let dense = TensorData::new((0..n).map(|x| x as f32).collect::<Vec<_>>(), shape);
        let init = Init::new(0, &Device::flex());
        experts(path, dense, &to, config, &init).unwrap().iter().collect()
    }

    const PLAIN: UpcycleConfig =
        UpcycleConfig { reinitialise: 0.0, groups: 1, equal: true, gates: 1.0 };
    const W: &str = "blocks.0.feed_forward.Moe.experts.w";
    const W2: &str = "blocks.0.feed_forward.Moe.experts.w2";
    const BIAS: &str = "blocks.0.feed_forward.Moe.experts.bias2";

    #[test]
    fn copies_and_parts() {
        let copies = run(W, [1, 2, 4], [2, 2, 4], &PLAIN);
        assert_eq!(copies[..8], copies[8..]);
        let two = UpcycleConfig { groups: 2, ..PLAIN };
        let parts = run(W, [1, 2, 4], [4, 2, 2], &two);
        assert_eq!(parts[..8], [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
        assert_eq!(parts[8..], parts[..8], "the second group");
        assert_eq!(run(W2, [1, 4, 2], [2, 2, 2], &two), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!(run(BIAS, [1, 1, 2], [2, 1, 2], &two), [0.0, 0.5, 0.0, 0.5]);
    }

    #[test]
    fn the_same_units_of_an_expert_begin_anew_in_all_of_its_matrices() {
        let half = UpcycleConfig { reinitialise: 0.5, ..PLAIN };
        let (w, w2) = (run(W, [1, 3, 8], [2, 3, 8], &half), run(W2, [1, 8, 3], [2, 8, 3], &half));
        let changed = |expert: usize| {
            let of = |unit: usize| {
                let w = (0..3).all(|i| w[expert * 24 + i * 8 + unit] != (i * 8 + unit) as f32);
                let w2 = (0..3).all(|i| w2[expert * 24 + unit * 3 + i] != (unit * 3 + i) as f32);
                assert_eq!(w, w2, "unit {unit}");
                w
            };
            (0..8).map(of).collect::<Vec<_>>()
        };
        let (first, second) = (changed(0), changed(1));
        assert_eq!(first.iter().filter(|changed| **changed).count(), 4);
        assert_ne!(first, second);
    }

    #[test]
    fn weights_that_sum_to_one_number_have_a_factor() {
        assert_eq!(factor(&[vec![(0, 0.5), (3, 0.25)], vec![(1, 0.75)]], 1), Ok(0.75));
        assert_eq!(factor(&[vec![(0, 0.5), (1, 0.5)], vec![(3, 0.5), (2, 0.5)]], 2), Ok(0.5));
        let err = factor(&[vec![(0, 0.5)], vec![(1, 0.75)]], 1).unwrap_err();
        assert!(err.contains("between 0.5000 and 0.7500"), "{err}");
        assert!(factor(&[vec![(0, 0.5), (2, 0.5)]], 2).is_err(), "a part is missing");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(hidden_axis("blocks.0.feed_forward.Moe.experts.kernel").is_err());
        let of = |reinitialise, groups| UpcycleConfig { reinitialise, groups, ..PLAIN }.check(8);
        assert!(of(1.5, 1).unwrap_err().contains("reinitialise = 1.5"));
        assert!(of(0.0, 3).unwrap_err().contains("groups = 3 does not divide experts = 8"));
        assert_eq!(of(0.5, 4), Ok(()));
        let gates = |gates| UpcycleConfig { gates, ..PLAIN }.check(8).is_err();
        assert!(gates(0.0) && gates(f64::NAN) && gates(2.0) && !gates(1e-5));
    }
}
