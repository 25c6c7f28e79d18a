//! Initial weights that depend on the seed and on the parameter's path, and on nothing else.
//!
//! Burn draws initial weights from one generator per process, in the order of first use: two runs
//! side by side would disturb each other, and a router with one more parameter would change every
//! weight after it. Here each parameter has a stream of its own, so that two networks with the same
//! seed agree in all the parts they share, whatever else differs. Identifiers come from the path
//! too, so that a record can be loaded into a freshly built network.

use std::fmt::Display;

use burn::{
    module::{Param, ParamId, RunningState},
    nn::{Embedding, LayerNorm, LayerNormConfig, Linear, RmsNorm},
    prelude::*,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Where a part of a network gets its initial weights: a seed, a device, and a path.
#[derive(Clone, Debug)]
pub struct Init {
    seed: u64,
    path: String,
    device: Device,
}

impl Init {
    /// The root of a network.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self { seed, path: String::new(), device: device.clone() }
    }

    /// The part `name` of this part. Siblings need different names.
    pub fn at(&self, name: impl Display) -> Self {
        Self { path: format!("{}/{name}", self.path), ..self.clone() }
    }

    /// The device on which weights are made.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The generator of this part: always the same for the same seed and path.
    pub fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(stable_hash(&format!("{}{}", self.seed, self.path)))
    }

    /// Draws from the normal distribution with mean 0.
    pub fn normal<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        std: f64,
    ) -> Param<Tensor<D>> {
        self.param(name, shape, move |rng| (rng.sample::<f64, _>(StandardNormal) * std) as f32)
    }

    /// Draws uniformly from `-bound..bound`.
    pub fn uniform<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        bound: f64,
    ) -> Param<Tensor<D>> {
        self.param(name, shape, move |rng| ((rng.random::<f64>() * 2.0 - 1.0) * bound) as f32)
    }

    /// The same value everywhere.
    pub fn constant<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        value: f32,
    ) -> Param<Tensor<D>> {
        self.param(name, shape, move |_| value)
    }

    /// These values, row by row.
    ///
    /// # Panics
    /// If they are not as many as the shape has.
    pub fn given<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        values: Vec<f32>,
    ) -> Param<Tensor<D>> {
        self.filled(name, shape, move |_| values.clone())
    }

    /// A linear map, weights and bias uniform within `1 / sqrt(d_in)`, the default of PyTorch and Burn.
    pub fn linear(&self, name: &str, d_in: usize, d_out: usize, bias: bool) -> Linear {
        let (part, bound) = (self.at(name), 1.0 / (d_in as f64).sqrt());
        Linear {
            weight: part.uniform("weight", [d_in, d_out], bound),
            bias: bias.then(|| part.uniform("bias", [d_out], bound)),
        }
    }

    /// A layer norm over the last axis, scale 1 and shift 0.
    pub fn layer_norm(&self, name: &str, width: usize) -> LayerNorm {
        let part = self.at(name);
        let mut norm = LayerNormConfig::new(width).init(&self.device);
        norm.gamma = part.constant("gamma", [width], 1.0);
        norm.beta = Some(part.constant("beta", [width], 0.0));
        norm
    }

    /// A root-mean-square norm over the last axis, scale 1.
    pub fn rms_norm(&self, name: &str, width: usize) -> RmsNorm {
        RmsNorm { gamma: self.at(name).constant("gamma", [width], 1.0), epsilon: 1e-5 }
    }

    /// A table of `n` vectors, normal with standard deviation `std`.
    pub fn embedding(&self, name: &str, n: usize, width: usize, std: f64) -> Embedding {
        Embedding { weight: self.at(name).normal("weight", [n, width], std) }
    }

    /// A tensor that is saved with the network but not trained: a running mean, a bias that an
    /// update rule moves.
    pub fn state<const D: usize>(&self, name: &str, value: Tensor<D>) -> RunningState<Tensor<D>> {
        RunningState::with_id(self.at(name).id(), value)
    }

    fn id(&self) -> ParamId {
        ParamId::from(stable_hash(&self.path))
    }

    fn param<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        draw: impl Fn(&mut ChaCha8Rng) -> f32 + Send + Sync + 'static,
    ) -> Param<Tensor<D>> {
        let n: usize = shape.iter().product();
        self.filled(name, shape, move |rng| (0..n).map(|_| draw(rng)).collect())
    }

    fn filled<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        values: impl Fn(&mut ChaCha8Rng) -> Vec<f32> + Send + Sync + 'static,
    ) -> Param<Tensor<D>> {
        let part = self.at(name);
        let mut rng = part.rng();
        let make = move |device: &Device, require_grad: bool| {
            let values = values(&mut rng);
            let tensor = Tensor::<D>::from_data(TensorData::new(values, shape), device);
            if require_grad { tensor.require_grad() } else { tensor }
        };
        Param::uninitialized(part.id(), make, self.device.clone(), true, Shape::from(shape))
    }
}

/// FNV-1a: a hash that is the same on every machine and in every version, unlike the standard
/// library's. For seeds and names, not for security.
pub fn stable_hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(init: &Init) -> Vec<f32> {
        init.normal("w", [4, 8], 0.5).val().into_data().try_to_vec().unwrap()
    }

    #[test]
    fn weights_depend_on_seed_and_path_only() {
        let init = Init::new(3, &Device::flex());
        let alone = values(&init.at("block"));
        values(&init.at("other"));
        assert_eq!(values(&init.at("block")), alone);
        assert_ne!(values(&init.at("other")), alone);
        assert_ne!(values(&Init::new(4, &Device::flex()).at("block")), alone);
    }

    #[test]
    fn identifiers_come_from_the_path() {
        let (a, b) = (Init::new(0, &Device::flex()), Init::new(1, &Device::flex()));
        assert_eq!(a.constant("g", [1], 0.0).id, b.constant("g", [1], 0.0).id);
        assert_ne!(a.constant("g", [1], 0.0).id, a.at("x").constant("g", [1], 0.0).id);
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(stable_hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(stable_hash("a"), 0xaf63_dc4c_8601_ec8c); // published test vector
    }
}
