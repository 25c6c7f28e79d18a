//! The windows of an image as the rows of a matrix, so that a convolution is a matrix product.
//!
//! Chellapilla, Puri, Simard. *High Performance Convolutional Neural Networks for Document
//! Processing*. IWFHR 2006. <https://inria.hal.science/inria-00112631>
//!
//! ```text
//! row(y, x) = [image(y s + i - top, x s + j - left, all channels) for i, j of the window]
//! ```
//!
//! Pixels outside of the image are 0. The gradient of a pixel is the sum over its copies, window by
//! window.

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex, TensorMetadata,
        autodiff::checkpoint::strategy::CheckpointStrategy, backend_extension, flex::FlexTensor,
        tensor::FloatTensor,
    },
    tensor::{Int, Tensor, TensorData},
};
use rayon::prelude::*;

use crate::{
    differentiable::{SavedForBackward, differentiable},
    flex::{slice, takes, zeros},
};

/// Square windows over images of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Rows and columns of a window.
    pub side: usize,
    /// The distance between adjacent windows, in pixels.
    pub stride: usize,
    /// Rows and columns of an image.
    pub image: [usize; 2],
    /// Rows of zeros above an image, columns of zeros left of it.
    pub before: [usize; 2],
    /// Rows and columns of windows.
    pub count: [usize; 2],
}

impl Windows {
    /// `ceil(size / stride)` windows along each side, with the number of zeros around the image that they
    /// require; if it is odd, there is one more zero after the image than before it (TensorFlow's "same").
    ///
    /// # Panics
    /// If `side` or `stride` is 0.
    pub fn same(side: usize, stride: usize, image: [usize; 2]) -> Self {
        assert!(side > 0 && stride > 0, "side = {side}, stride = {stride}: must be at least 1");
        let count = image.map(|size| size.div_ceil(stride));
        let before = [0, 1].map(|axis| {
            let reach = (count[axis].max(1) - 1) * stride + side;
            reach.saturating_sub(image[axis]) / 2
        });
        Self { side, stride, image, before, count }
    }

    /// The row or column of the image at offset `at` of window `window` along an axis; none outside of the
    /// image.
    fn pixel(&self, axis: usize, window: usize, at: usize) -> Option<usize> {
        let pixel = (window * self.stride + at).checked_sub(self.before[axis])?;
        (pixel < self.image[axis]).then_some(pixel)
    }

    /// For each row of a window within the image: the start of its pixels in the image, their start in the
    /// window, and their number.
    fn runs(&self, [y, x]: [usize; 2]) -> impl Iterator<Item = [usize; 3]> + '_ {
        let inside = move |at: &usize| self.pixel(1, x, *at).is_some();
        let first = (0..self.side).find(inside).unwrap_or(0);
        let many = (first..self.side).take_while(inside).count();
        let left = self.pixel(1, x, first).unwrap_or(0);
        (0..self.side).filter_map(move |i| {
            let row = self.pixel(0, y, i)?;
            Some([row * self.image[1] + left, i * self.side + first, many])
        })
    }

    /// All windows, row by row.
    fn places(&self) -> impl Iterator<Item = [usize; 2]> + '_ {
        (0..self.count[0]).flat_map(|y| (0..self.count[1]).map(move |x| [y, x]))
    }
}

/// `[B, height, width, C] -> [B, rows of windows, columns of windows, side * side * C]`.
///
/// # Panics
/// If the size of the images is not that of `windows`.
pub fn unfold(x: Tensor<4>, windows: Windows) -> Tensor<4> {
    let [_, height, width, _] = x.dims();
    assert_eq!([height, width], windows.image, "the images do not fit the windows");
    if takes(&x) {
        return Tensor::from_dispatch(<Dispatch as Unfold>::unfold(x.into_dispatch(), windows));
    }
    composed(x, windows)
}

/// [`unfold`] by Burn's operations: the image is padded with zeros, and one pixel of all windows is
/// selected after the other.
fn composed(x: Tensor<4>, windows: Windows) -> Tensor<4> {
    let ([b, h, w, c], side) = (x.dims(), windows.side);
    let device = x.device();
    let around = |x: Tensor<4>, dim: usize, shape: [usize; 4]| {
        let zeros = Tensor::<4>::zeros(shape, &device);
        Tensor::cat(vec![zeros.clone(), x, zeros], dim)
    };
    let x = around(x, 1, [b, side, w, c]);
    let x = around(x, 2, [b, h + 2 * side, side, c]);
    let pixels = |axis: usize, at: usize| {
        let place = |window| window * windows.stride + at + side - windows.before[axis];
        let last = windows.image[axis] + 2 * side - 1;
        let places: Vec<i32> =
            (0..windows.count[axis]).map(|window| place(window).min(last) as i32).collect();
        let places = TensorData::new(places, [windows.count[axis]]);
        Tensor::<1, Int>::from_data(places, &device.clone().inner())
    };
    let places = (0..side).flat_map(|i| (0..side).map(move |j| (i, j)));
    let one = |(i, j)| x.clone().select(1, pixels(0, i)).select(2, pixels(1, j));
    Tensor::cat(places.map(one).collect(), 3)
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait Unfold: Backend {
    /// See [`unfold`].
    fn unfold(x: FloatTensor<Self>, windows: Windows) -> FloatTensor<Self>;
    /// The sum over the copies of each pixel, from `unfold`'s shape back to the images'.
    fn fold(dy: FloatTensor<Self>, windows: Windows) -> FloatTensor<Self>;
}

impl Unfold for Flex {
    fn unfold(x: FlexTensor, windows: Windows) -> FlexTensor {
        let x = x.to_contiguous();
        let [b, h, w, c] = x.shape().dims();
        let ([rows, columns], window) = (windows.count, windows.side * windows.side * c);
        let mut out = zeros([b, rows, columns, window]);
        let images = out.storage_mut::<f32>().par_chunks_mut((rows * columns * window).max(1));
        images.enumerate().for_each(|(image, out)| {
            let pixels = &slice(&x)[image * h * w * c..(image + 1) * h * w * c];
            for (out, place) in out.chunks_exact_mut(window).zip(windows.places()) {
                for [from, to, many] in windows.runs(place) {
                    out[to * c..(to + many) * c]
                        .copy_from_slice(&pixels[from * c..(from + many) * c]);
                }
            }
        });
        out
    }

    fn fold(dy: FlexTensor, windows: Windows) -> FlexTensor {
        let dy = dy.to_contiguous();
        let [b, rows, columns, window] = dy.shape().dims();
        let [h, w] = windows.image;
        let c = window / (windows.side * windows.side);
        let mut out = zeros([b, h, w, c]);
        let images = out.storage_mut::<f32>().par_chunks_mut((h * w * c).max(1));
        images.enumerate().for_each(|(image, out)| {
            let size = rows * columns * window;
            let dy = &slice(&dy)[image * size..(image + 1) * size];
            for (dy, place) in dy.chunks_exact(window).zip(windows.places()) {
                for [to, from, many] in windows.runs(place) {
                    let sums = out[to * c..(to + many) * c].iter_mut();
                    sums.zip(&dy[from * c..(from + many) * c]).for_each(|(sum, dy)| *sum += dy);
                }
            }
        });
        out
    }
}

impl<B: Unfold, C: CheckpointStrategy> Unfold for Autodiff<B, C> {
    fn unfold(x: FloatTensor<Self>, windows: Windows) -> FloatTensor<Self> {
        let tracked = |x| (B::unfold(x, windows), Unfolded(windows));
        differentiable::<B, C, _>(x, tracked, |x| B::unfold(x, windows))
    }

    fn fold(dy: FloatTensor<Self>, windows: Windows) -> FloatTensor<Self> {
        let tracked = |dy| (B::fold(dy, windows), Folded(windows));
        differentiable::<B, C, _>(dy, tracked, |dy| B::fold(dy, windows))
    }
}

#[derive(Clone, Debug)]
struct Unfolded(Windows);

impl<B: Unfold> SavedForBackward<B> for Unfolded {
    fn gradient(self, dy: FloatTensor<B>) -> FloatTensor<B> {
        B::fold(dy, self.0)
    }
}

#[derive(Clone, Debug)]
struct Folded(Windows);

impl<B: Unfold> SavedForBackward<B> for Folded {
    fn gradient(self, dx: FloatTensor<B>) -> FloatTensor<B> {
        B::unfold(dx, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn tensor(shape: [usize; 4], salt: usize) -> Tensor<4> {
        let n = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..n).map(|i| ((i * 7919 + salt) % 101) as f32 - 50.0).collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff())
    }

    fn values(x: Tensor<4>) -> Vec<f32> {
        x.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn tensorflows_same() {
        // 20 -> 10 with windows of 3: one row of zeros, and it is after the image.
        let even = Windows::same(3, 2, [20, 20]);
        assert_eq!((even.count, even.before), ([10, 10], [0, 0]));
        let odd = Windows::same(3, 2, [23, 5]);
        assert_eq!((odd.count, odd.before), ([12, 3], [1, 1]));
        assert_eq!(Windows::same(7, 1, [40, 40]).before, [3, 3]);
        assert_eq!(Windows::same(1, 2, [12, 12]).before, [0, 0]);
    }

    #[test]
    fn a_window_at_the_corner_has_zeros_around_it() {
        let x = Tensor::<1, Int>::arange(1..10, &Device::flex()).float().reshape([1, 3, 3, 1]);
        let y = unfold(x, Windows::same(3, 1, [3, 3]));
        assert_eq!(y.dims(), [1, 3, 3, 9]);
        let y = values(y);
        assert_eq!(y[..9], [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 4.0, 5.0]);
        assert_eq!(y[4 * 9..5 * 9], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        assert_eq!(y[8 * 9..], [5.0, 6.0, 0.0, 8.0, 9.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn the_kernel_agrees_with_burns_operations_and_so_does_its_gradient() {
        for (side, stride, [h, w]) in [
            (3, 2, [6, 5]),
            (3, 1, [4, 4]),
            (7, 2, [9, 8]),
            (1, 2, [5, 5]),
            (2, 2, [3, 3]),
            (5, 1, [2, 1]),
        ] {
            let windows = Windows::same(side, stride, [h, w]);
            let run = |of: fn(Tensor<4>, Windows) -> Tensor<4>| {
                let x = tensor([2, h, w, 3], 0).require_grad();
                let y = of(x.clone(), windows);
                let grads = (y.clone() * tensor(y.dims(), 17)).sum().backward();
                [values(y), values(Tensor::from_inner(x.grad(&grads).unwrap()))]
            };
            assert_eq!(run(unfold), run(composed), "{windows:?}");
        }
    }
}
