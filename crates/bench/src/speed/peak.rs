//! The highest rate of a device in a product of matrices: the bound with which layers are compared.

use std::time::Instant;

use anyhow::Result;
use burn::{prelude::*, tensor::Distribution};
use kernels::{matmul, on_flex};
use serde::Serialize;

/// The sizes in increasing order: two matrices of 8192 x 8192 take half a gigabyte.
const SIZES: [usize; 4] = [1024, 2048, 4096, 8192];
/// The seconds from which on the time of a product measures the device; the time of a shorter product may be
/// dominated by its launch.
const LONG: f64 = 0.02;

/// The highest rate of some products of two square matrices.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Peak {
    /// The rows and columns of each matrix.
    pub(crate) size: usize,
    /// The rate in GFLOP/s.
    pub(crate) gflops: f64,
}

impl Peak {
    /// Chooses the size for a device, without measuring a rate yet.
    pub(crate) fn of(device: &Device) -> Result<Self> {
        let size = match on_flex(device) {
            true => SIZES[0],
            false => long_enough(|size| {
                // The first product of a size may compile a kernel.
                seconds(size, device)?;
                seconds(size, device)
            })?,
        };
        Ok(Self { size, gflops: 0.0 })
    }

    /// Measures one product, and keeps the higher rate.
    pub(crate) fn measure(&mut self, device: &Device) -> Result<()> {
        let rate = 2.0 * (self.size as f64).powi(3) / seconds(self.size, device)? / 1e9;
        self.gflops = self.gflops.max(rate);
        Ok(())
    }
}

/// The first size whose product takes long enough, or the largest.
fn long_enough(seconds: impl Fn(usize) -> Result<f64>) -> Result<usize> {
    let [smaller @ .., largest] = SIZES;
    for size in smaller {
        if seconds(size)? >= LONG {
            return Ok(size);
        }
    }
    Ok(largest)
}

/// The time of a product of two matrices of `size` x `size`.
fn seconds(size: usize, device: &Device) -> Result<f64> {
    let a = Tensor::<2>::random([size, size], Distribution::Default, device);
    device.sync()?;
    let started = Instant::now();
    let product = matmul(a.clone(), a);
    device.sync()?;
    let time = started.elapsed().as_secs_f64();
    drop(product);
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_fits_the_speed_of_the_device() {
        // By the rate in GFLOP/s: software, an integrated card, a large one.
        for (rate, size) in [(20.0, 1024), (500.0, 2048), (1e5, 8192)] {
            let time = |size: usize| Ok(2.0 * (size as f64).powi(3) / rate / 1e9);
            assert_eq!(long_enough(time).unwrap(), size, "{rate}");
        }
    }

    #[test]
    fn the_processor_keeps_its_size_and_the_highest_rate() {
        let device = Device::flex();
        let mut peak = Peak::of(&device).unwrap();
        assert_eq!(peak, Peak { size: 1024, gflops: 0.0 });
        peak.measure(&device).unwrap();
        assert!(peak.gflops > 0.0);
        let highest = Peak { gflops: 1e9, ..peak };
        let mut again = highest;
        again.measure(&device).unwrap();
        assert_eq!(again, highest);
    }
}
