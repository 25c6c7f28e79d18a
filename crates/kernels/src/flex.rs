//! The tensors of the processor back end as slices.

use std::cell::Cell;

use burn::{
    backend::{DispatchDevice, flex::FlexTensor},
    tensor::{DType, Device, Shape, Tensor, TensorData},
};

thread_local! {
    static WITHOUT_KERNELS: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` as on a device without kernels of this crate: by compositions of Burn's operations, on
/// whatever device its tensors are. It is for tests and for counting read-backs, on machines without such
/// a device. It affects this thread only, and ends with `work`.
pub fn without_kernels<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            WITHOUT_KERNELS.set(self.0);
        }
    }
    let _restore = Restore(WITHOUT_KERNELS.replace(true));
    work()
}

/// Whether the device is the processor with Burn's Flex, where the kernels of this crate run; never in
/// [`without_kernels`].
pub fn on_flex(device: &Device) -> bool {
    !WITHOUT_KERNELS.get()
        && matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// Whether the kernels support this tensor: `f32` on Flex.
pub(crate) fn takes<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && on_flex(&x.device())
}

/// The numbers of a contiguous tensor.
pub(crate) fn slice(x: &FlexTensor) -> &[f32] {
    x.as_slice().expect("the tensor must be contiguous")
}

/// A tensor of zeros. Burn's own function would fill it, and then copy it to memory of known alignment.
pub(crate) fn zeros(shape: impl Into<Shape>) -> FlexTensor {
    let shape = shape.into();
    FlexTensor::from_data(TensorData::new(vec![0.0_f32; shape.num_elements()], shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_without_kernels_ends() {
        let device = Device::flex();
        let here = || (on_flex(&device), takes(&Tensor::<1>::zeros([1], &device)));
        assert_eq!(
            (here(), without_kernels(here), here()),
            ((true, true), (false, false), (true, true))
        );
        assert!(std::panic::catch_unwind(|| without_kernels(|| panic!("a test"))).is_err());
        assert_eq!(here(), (true, true));
    }
}
