//! The processor back end's tensors as slices.

use burn::{
    backend::{DispatchDevice, flex::FlexTensor},
    tensor::{DType, Device, Shape, Tensor, TensorData},
};

/// Whether the device is the processor with Burn's Flex, where the kernels of this crate run.
pub fn on_flex(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// Whether the kernels support this tensor: `f32` on Flex.
pub(crate) fn takes<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && on_flex(&x.device())
}

/// The numbers of a tensor that is contiguous.
pub(crate) fn slice(x: &FlexTensor) -> &[f32] {
    x.as_slice().expect("made contiguous before")
}

/// Zeros. Burn's own would fill them, and then copy them to where their alignment is known.
pub(crate) fn zeros(shape: impl Into<Shape>) -> FlexTensor {
    let shape = shape.into();
    FlexTensor::from_data(TensorData::new(vec![0.0_f32; shape.num_elements()], shape))
}
