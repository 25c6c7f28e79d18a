//! Initial weights that depend only on the seed and on the parameter's path.
//!
//! Burn draws initial weights from one generator per process, in the order of first use: two runs in one
//! process would affect each other, and one more parameter in a router would change every weight after it.
//! Here each parameter has its own random stream, so that two networks with the same seed agree in all the
//! parts they share. Identifiers also follow from the path, so that a record can be loaded into a freshly
//! built network.

use std::fmt::Display;

use burn::{
    module::{Param, ParamId, RunningState},
    nn::{Embedding, Linear},
    prelude::*,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

/// The distribution of the initial weights of linear maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Uniform within `1 / sqrt(d_in)`, including biases; biases of stacked networks are 0. The default of
    /// PyTorch and Burn.
    #[default]
    Torch,
    /// As in flax and the published V-MoE. Maps of attention and of feed-forward networks are uniform
    /// within `sqrt(6 / (d_in + d_out))` (Xavier), all networks of a stack are the same, and their
    /// biases are normal with deviation 1e-6. All other maps, gates among them, are normal with
    /// deviation `1 / sqrt(d_in)`, cut off at two deviations (LeCun), and other biases are 0.
    Flax,
}

/// The source of the initial weights of a part of a network: a seed, a device and a path.
#[derive(Clone, Debug)]
pub struct Init {
    seed: u64,
    path: String,
    device: Device,
    scheme: Scheme,
}

impl Init {
    /// The root of a network.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self { seed, path: String::new(), device: device.clone(), scheme: Scheme::default() }
    }

    /// The same part with another scheme.
    pub fn by(&self, scheme: Scheme) -> Self {
        Self { scheme, ..self.clone() }
    }

    /// The part `name` of this part. Siblings need different names.
    pub fn at(&self, name: impl Display) -> Self {
        Self { path: format!("{}/{name}", self.path), ..self.clone() }
    }

    /// The device on which weights are made.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The generator of this part, which depends on the seed and the path only.
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

    /// A constant in every entry.
    pub fn constant<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        value: f32,
    ) -> Param<Tensor<D>> {
        self.param(name, shape, move |_| value)
    }

    /// The given values, row by row.
    ///
    /// # Panics
    /// If the number of values differs from that of the shape.
    pub fn given<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        values: Vec<f32>,
    ) -> Param<Tensor<D>> {
        self.drawn(name, shape, move |_| values.clone())
    }

    /// The matrix of a linear map.
    pub fn matrix(&self, name: &str, [d_in, d_out]: [usize; 2]) -> Param<Tensor<2>> {
        let deviation = 1.0 / (d_in as f64).sqrt();
        match self.scheme {
            Scheme::Torch => self.uniform(name, [d_in, d_out], deviation),
            Scheme::Flax => {
                // The standard deviation of a standard normal distribution that is cut off at two
                // deviations.
                const CUT: f64 = 0.879_625_661_034_239_8;
                let draw = move |rng: &mut ChaCha8Rng| (cut_normal(rng) * deviation / CUT) as f32;
                self.param(name, [d_in, d_out], draw)
            }
        }
    }

    /// A linear map.
    pub fn linear(&self, name: &str, d_in: usize, d_out: usize, bias: bool) -> Linear {
        let part = self.at(name);
        let biases = || match self.scheme {
            Scheme::Torch => part.uniform("bias", [d_out], 1.0 / (d_in as f64).sqrt()),
            Scheme::Flax => part.constant("bias", [d_out], 0.0),
        };
        Linear { weight: part.matrix("weight", [d_in, d_out]), bias: bias.then(biases) }
    }

    /// A linear map of attention: `parts` maps from `d_in` to `d_out`, side by side.
    pub fn projection(&self, name: &str, [d_in, d_out, parts]: [usize; 3], bias: bool) -> Linear {
        let linear = self.linear(name, d_in, parts * d_out, bias);
        match self.scheme {
            Scheme::Torch => linear,
            Scheme::Flax => {
                let bound = xavier(d_in, d_out);
                let weight = self.at(name).uniform("weight", [d_in, parts * d_out], bound);
                Linear { weight, ..linear }
            }
        }
    }

    /// The matrices `[networks, d_in, d_out]` of a stack of feed-forward networks.
    pub fn stack(&self, name: &str, [networks, d_in, d_out]: [usize; 3]) -> Param<Tensor<3>> {
        let shape = [networks, d_in, d_out];
        match self.scheme {
            Scheme::Torch => self.uniform(name, shape, 1.0 / (d_in as f64).sqrt()),
            Scheme::Flax => {
                let bound = xavier(d_in, d_out);
                let draw =
                    move |rng: &mut ChaCha8Rng| ((rng.random::<f64>() * 2.0 - 1.0) * bound) as f32;
                self.alike(name, shape, networks, draw)
            }
        }
    }

    /// The biases `[networks, 1, width]` of a stack of feed-forward networks.
    pub fn stack_bias(&self, name: &str, shape: [usize; 3]) -> Param<Tensor<3>> {
        match self.scheme {
            Scheme::Torch => self.constant(name, shape, 0.0),
            Scheme::Flax => {
                let draw =
                    |rng: &mut ChaCha8Rng| (rng.sample::<f64, _>(StandardNormal) * 1e-6) as f32;
                self.alike(name, shape, shape[0], draw)
            }
        }
    }

    /// A table of `n` vectors, normal with standard deviation `std`.
    pub fn embedding(&self, name: &str, n: usize, width: usize, std: f64) -> Embedding {
        Embedding { weight: self.at(name).normal("weight", [n, width], std) }
    }

    /// A tensor that is saved with the network but not trained, such as a running mean or a bias that an
    /// update rule changes.
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
        self.alike(name, shape, 1, draw)
    }

    /// A parameter whose first axis consists of `copies` parts with the same values.
    fn alike<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        copies: usize,
        draw: impl Fn(&mut ChaCha8Rng) -> f32 + Send + Sync + 'static,
    ) -> Param<Tensor<D>> {
        let n = shape.iter().product::<usize>() / copies;
        self.drawn(name, shape, move |rng| {
            (0..n).map(|_| draw(rng)).collect::<Vec<f32>>().repeat(copies)
        })
    }

    /// Values that are drawn together, row by row, when the parameter is first used.
    ///
    /// # Panics
    /// If the number of values differs from that of the shape.
    pub fn drawn<const D: usize>(
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

/// Half the range of Xavier's uniform distribution.
/// Glorot, Bengio. *Understanding the difficulty of training deep feedforward neural networks*. 2010.
fn xavier(d_in: usize, d_out: usize) -> f64 {
    (6.0 / (d_in + d_out) as f64).sqrt()
}

/// A standard normal number between -2 and 2.
fn cut_normal(rng: &mut ChaCha8Rng) -> f64 {
    loop {
        let x: f64 = rng.sample(StandardNormal);
        if x.abs() < 2.0 {
            return x;
        }
    }
}

/// FNV-1a: a hash that, unlike that of the standard library, is the same on every machine and in every
/// version. For seeds and names, not for security.
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

    fn spread(values: &[f32]) -> (f32, f32) {
        let n = values.len() as f32;
        let deviation = (values.iter().map(|x| x * x).sum::<f32>() / n).sqrt();
        (deviation, values.iter().fold(0.0, |most, x| most.max(x.abs())))
    }

    #[test]
    fn flax_draws_as_published() {
        let init = Init::new(0, &Device::flex()).by(Scheme::Flax);
        let of = |data: TensorData| data.try_to_vec::<f32>().unwrap();
        // LeCun: deviation 1 / 8, and no value beyond two deviations of the normal distribution that was
        // cut off.
        let (deviation, most) = spread(&of(init.matrix("m", [64, 200]).val().into_data()));
        assert!((deviation * 8.0 - 1.0).abs() < 0.02, "{deviation}");
        assert!(most <= 2.0 / 8.0 / 0.8796 && most > 0.27, "{most}");
        // Xavier, for each part separately: sqrt(6 / 128); the deviation of a uniform distribution is that
        // over sqrt 3.
        let bound = (6.0_f32 / 128.0).sqrt();
        let linear = init.projection("qkv", [64, 64, 3], true);
        let (deviation, most) = spread(&of(linear.weight.val().into_data()));
        assert!((deviation * 3_f32.sqrt() / bound - 1.0).abs() < 0.02 && most <= bound);
        assert_eq!(spread(&of(linear.bias.unwrap().val().into_data())), (0.0, 0.0));
        // All networks of a stack are the same.
        let stack = of(init.stack("w1", [3, 8, 24]).val().into_data());
        assert_eq!(stack[..192], stack[384..]);
        assert!(spread(&stack).1 <= (6.0_f32 / 32.0).sqrt() && stack[0] != stack[1]);
        let biases = of(init.stack_bias("b1", [2, 1, 500]).val().into_data());
        assert_eq!(biases[..500], biases[500..]);
        assert!((spread(&biases).0 * 1e6 - 1.0).abs() < 0.15);
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(stable_hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(stable_hash("a"), 0xaf63_dc4c_8601_ec8c); // published test vector
    }
}
