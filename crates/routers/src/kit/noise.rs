//! Random tensors from a generator of the pass, drawn on the host, so that they are the same on every
//! device. A given noise replaces them.

use burn::prelude::*;
use moe::Pass;
use rand::RngExt;
use rand_distr::StandardNormal;

/// Noise that replaces the first draw of its shape in the pass, so that a router can be compared with
/// another implementation on the same noise. Put it into the pass before the forward pass.
#[derive(Clone, Debug)]
pub struct GivenNoise {
    /// Numbers as the router uses them: standard normal, or uniform in the router's range.
    pub numbers: TensorData,
    /// Whether a router has drawn them.
    pub used: bool,
    /// The shapes of all draws in the pass so far.
    pub draws: Vec<Vec<usize>>,
}

impl GivenNoise {
    /// Noise with these numbers, not yet used.
    pub fn new(numbers: TensorData) -> Self {
        Self { numbers, used: false, draws: Vec::new() }
    }
}

/// The given noise for a draw of this shape, if it has not been used.
fn given<const D: usize>(pass: &mut Pass, shape: [usize; D], device: &Device) -> Option<Tensor<D>> {
    let mut noise = pass.take::<GivenNoise>()?;
    noise.draws.push(shape.to_vec());
    let fits = !noise.used && noise.numbers.shape().as_slice() == shape;
    noise.used |= fits;
    let numbers = fits.then(|| noise.numbers.clone().convert::<f32>());
    pass.put(noise);
    Some(Tensor::from_data(numbers?, device))
}

/// A tensor of shape `shape`, uniform in `low..high`.
pub fn uniform<const D: usize>(
    pass: &mut Pass,
    shape: [usize; D],
    (low, high): (f64, f64),
    device: &Device,
) -> Tensor<D> {
    if let Some(given) = given(pass, shape, device) {
        return given;
    }
    let mut rng = pass.rng();
    let draw = |_| (low + (high - low) * rng.random::<f64>()) as f32;
    let values: Vec<f32> = (0..shape.iter().product()).map(draw).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// A tensor of shape `shape`, normal with mean 0 and standard deviation 1.
pub fn normal<const D: usize>(pass: &mut Pass, shape: [usize; D], device: &Device) -> Tensor<D> {
    if let Some(given) = given(pass, shape, device) {
        return given;
    }
    let mut rng = pass.rng();
    let draw = |_| rng.sample::<f32, _>(StandardNormal);
    let values: Vec<f32> = (0..shape.iter().product()).map(draw).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_noise_takes_the_place_of_the_first_draw_of_its_shape() {
        let (mut pass, device) = (Pass::train(0, 0, 0.0), Device::flex());
        pass.put(GivenNoise::new(TensorData::from([1.5_f32, -2.0])));
        let draw = |pass: &mut Pass, n: usize| {
            normal(pass, [n], &device).into_data().try_to_vec::<f32>().unwrap()
        };
        let (other, first, second) = (draw(&mut pass, 3), draw(&mut pass, 2), draw(&mut pass, 2));
        assert_eq!(first, [1.5, -2.0]);
        assert!(other.len() == 3 && second != first);
        let noise = pass.take::<GivenNoise>().unwrap();
        assert_eq!((noise.used, noise.draws), (true, vec![vec![3], vec![2], vec![2]]));
    }

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
