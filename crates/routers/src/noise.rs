//! Random tensors from a generator of the pass, drawn on the host: the same on every device.

use burn::prelude::*;
use moe::Pass;
use rand::RngExt;
use rand_distr::StandardNormal;

/// `shape` numbers, uniform in `low..high`.
pub(crate) fn uniform<const D: usize>(
    pass: &mut Pass,
    shape: [usize; D],
    (low, high): (f64, f64),
    device: &Device,
) -> Tensor<D> {
    let mut rng = pass.rng();
    let draw = |_| (low + (high - low) * rng.random::<f64>()) as f32;
    let values: Vec<f32> = (0..shape.iter().product()).map(draw).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// `shape` numbers, normal with mean 0 and standard deviation 1.
pub(crate) fn normal<const D: usize>(
    pass: &mut Pass,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    let mut rng = pass.rng();
    let draw = |_| rng.sample::<f32, _>(StandardNormal);
    let values: Vec<f32> = (0..shape.iter().product()).map(draw).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_noise_has_its_mean_and_range() {
        let noise = uniform(&mut Pass::train(0, 0, 0.0), [1000], (0.9, 1.1), &Device::flex());
        let values = noise.into_data().try_to_vec::<f32>().unwrap();
        assert!(values.iter().all(|x| (0.9..1.1).contains(x)));
        // The standard deviation of the mean is 0.2 / sqrt(12 * 1000) = 0.0018.
        let mean = values.iter().sum::<f32>() / 1000.0;
        assert!((mean - 1.0).abs() < 4.0 * 0.0018, "{mean}");
    }

    #[test]
    fn normal_noise_has_its_mean_and_variance() {
        let noise = normal(&mut Pass::train(0, 0, 0.0), [4000], &Device::flex());
        let values = noise.into_data().try_to_vec::<f32>().unwrap();
        let mean = values.iter().sum::<f32>() / 4000.0;
        let variance = values.iter().map(|x| x * x).sum::<f32>() / 4000.0;
        // Standard errors: 1 / sqrt(4000) = 0.016, and sqrt(2 / 4000) = 0.022.
        assert!(
            mean.abs() < 4.0 * 0.016 && (variance - 1.0).abs() < 4.0 * 0.022,
            "{mean} {variance}"
        );
    }
}
