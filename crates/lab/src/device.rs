//! Where to compute: `flex`, `wgpu`, `vulkan`, `cuda:0`.

use anyhow::{anyhow, bail};
use burn::prelude::*;

const KNOWN: &str = "flex, wgpu, vulkan, cuda:0";

/// The device of that name, without autodiff.
pub(crate) fn device(name: &str) -> anyhow::Result<Device> {
    let (kind, index) = match name.split_once(':') {
        Some((kind, index)) => {
            let wrong = || anyhow!("--device {name}: {index:?} is no number; known: {KNOWN}");
            (kind, index.parse().map_err(|_| wrong())?)
        }
        None => (name, 0),
    };
    match kind {
        "flex" => Ok(Device::flex()),
        "wgpu" => wgpu(name, index),
        "vulkan" => vulkan(name, index),
        "cuda" => cuda(name, index),
        _ => bail!("no device is named {name:?}; known: {KNOWN}"),
    }
}

/// A device that this program was built without.
#[cfg(not(all(feature = "wgpu", feature = "vulkan", feature = "cuda")))]
fn not_compiled_in(name: &str, feature: &str) -> anyhow::Result<Device> {
    bail!("device {name} is not compiled in; build with --features {feature}")
}

#[cfg(feature = "wgpu")]
fn wgpu(_name: &str, index: usize) -> anyhow::Result<Device> {
    Ok(Device::wgpu(gpu(index)))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu(name: &str, _index: usize) -> anyhow::Result<Device> {
    not_compiled_in(name, "wgpu")
}

#[cfg(feature = "vulkan")]
fn vulkan(_name: &str, index: usize) -> anyhow::Result<Device> {
    Ok(Device::vulkan(gpu(index)))
}

#[cfg(not(feature = "vulkan"))]
fn vulkan(name: &str, _index: usize) -> anyhow::Result<Device> {
    not_compiled_in(name, "vulkan")
}

#[cfg(feature = "cuda")]
fn cuda(_name: &str, index: usize) -> anyhow::Result<Device> {
    Ok(Device::cuda(index))
}

#[cfg(not(feature = "cuda"))]
fn cuda(name: &str, _index: usize) -> anyhow::Result<Device> {
    not_compiled_in(name, "cuda")
}

/// The graphics card of that number. Number 0 is whatever the driver thinks best.
#[cfg(any(feature = "wgpu", feature = "vulkan"))]
fn gpu(index: usize) -> DeviceKind {
    if index == 0 { DeviceKind::DefaultDevice } else { DeviceKind::DiscreteGpu(index) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_devices_are_told_apart_from_missing_ones() {
        assert!(device("flex").is_ok());
        let err = device("gpu").unwrap_err().to_string();
        assert_eq!(err, "no device is named \"gpu\"; known: flex, wgpu, vulkan, cuda:0");
        assert!(device("cuda:x").unwrap_err().to_string().contains("\"x\" is no number"));
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_device_that_is_not_compiled_in_says_how_to_get_it() {
        let err = device("cuda:0").unwrap_err().to_string();
        assert_eq!(err, "device cuda:0 is not compiled in; build with --features cuda");
    }
}
