//! Devices by name: `flex`, `flex:fast`, `wgpu`, `vulkan`, `cuda:0`.

use anyhow::{anyhow, bail};
use burn::prelude::*;

const KNOWN: &str = "flex, flex:fast, wgpu, vulkan, cuda:0";

/// Opens the device of that name, without autodiff. `flex` is the processor, with the same bits on every
/// processor; `flex:fast` uses a library for matrix products, in the whole process, see
/// [`kernels::use_library_products`]. `wgpu:1` and `vulkan:1` are the second graphics card; `wgpu:cpu` and
/// `vulkan:cpu` are a software driver.
///
/// # Errors
/// If the name is unknown, if this program was built without the device, or if this machine has no card or
/// driver for it.
pub fn device(name: &str) -> anyhow::Result<Device> {
    let (kind, index) = match name.split_once(':') {
        Some((kind, index)) => (kind, Some(index)),
        None => (name, None),
    };
    match kind {
        "flex" if index.is_none() => Ok(Device::flex()),
        "flex" if index == Some("fast") => {
            kernels::use_library_products();
            Ok(Device::flex())
        }
        "wgpu" => wgpu(name, card(name, index, true)?),
        "vulkan" => vulkan(name, card(name, index, true)?),
        "cuda" => cuda(name, card(name, index, false)?),
        _ => bail!("no device is named {name:?}; known: {KNOWN}"),
    }
}

/// A graphics card by its number, or the software driver.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Card {
    Number(usize),
    Software,
}

fn card(name: &str, index: Option<&str>, software: bool) -> anyhow::Result<Card> {
    let wrong = |index| anyhow!("--device {name}: {index:?} is not a number; known: {KNOWN}");
    match index {
        None => Ok(Card::Number(0)),
        Some("cpu") if software => Ok(Card::Software),
        Some(index) => index.parse().map(Card::Number).map_err(|_| wrong(index)),
    }
}

/// The error for a device that this program was built without.
#[cfg(not(all(feature = "wgpu", feature = "vulkan", feature = "cuda")))]
fn not_compiled_in(name: &str, feature: &str) -> anyhow::Result<Device> {
    bail!("device {name} is not compiled in; build with --features {feature}")
}

#[cfg(feature = "wgpu")]
fn wgpu(name: &str, card: Card) -> anyhow::Result<Device> {
    there(name, Device::wgpu(kind(card)))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu(name: &str, _card: Card) -> anyhow::Result<Device> {
    not_compiled_in(name, "wgpu")
}

#[cfg(feature = "vulkan")]
fn vulkan(name: &str, card: Card) -> anyhow::Result<Device> {
    there(name, Device::vulkan(kind(card)))
}

#[cfg(not(feature = "vulkan"))]
fn vulkan(name: &str, _card: Card) -> anyhow::Result<Device> {
    not_compiled_in(name, "vulkan")
}

#[cfg(feature = "cuda")]
fn cuda(name: &str, card: Card) -> anyhow::Result<Device> {
    match card {
        Card::Number(index) => there(name, Device::cuda(index)),
        Card::Software => bail!("no device is named {name:?}; known: {KNOWN}"),
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda(name: &str, _card: Card) -> anyhow::Result<Device> {
    not_compiled_in(name, "cuda")
}

/// The kind of device in Burn. Number 0 is the driver's default.
#[cfg(any(feature = "wgpu", feature = "vulkan"))]
fn kind(card: Card) -> DeviceKind {
    match card {
        Card::Number(0) => DeviceKind::DefaultDevice,
        Card::Number(index) => DeviceKind::DiscreteGpu(index),
        Card::Software => DeviceKind::Cpu,
    }
}

/// Uses the device once: Burn opens a device at its first use, and panics if the machine has none.
#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "cuda"))]
fn there(name: &str, device: Device) -> anyhow::Result<Device> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let first = || Tensor::<1>::zeros([1], &device).into_data();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(first));
    std::panic::set_hook(hook);
    match found {
        Ok(_) => Ok(device),
        Err(_) => bail!("--device {name}: this machine has no such card, or no driver for it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_devices_are_told_apart_from_missing_ones() {
        assert!(device("flex").is_ok());
        for name in ["gpu", "flex:1"] {
            let err = device(name).unwrap_err().to_string();
            let known = "known: flex, flex:fast, wgpu, vulkan, cuda:0";
            assert_eq!(err, format!("no device is named {name:?}; {known}"));
        }
        assert!(device("cuda:x").unwrap_err().to_string().contains("\"x\" is not a number"));
        assert!(device("cuda:cpu").unwrap_err().to_string().contains("\"cpu\" is not a number"));
    }

    #[test]
    fn cards_have_numbers_and_software_a_name() {
        assert_eq!(card("wgpu", None, true).unwrap(), Card::Number(0));
        assert_eq!(card("wgpu:2", Some("2"), true).unwrap(), Card::Number(2));
        assert_eq!(card("wgpu:cpu", Some("cpu"), true).unwrap(), Card::Software);
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_device_that_is_not_compiled_in_says_how_to_get_it() {
        let err = device("cuda:0").unwrap_err().to_string();
        assert_eq!(err, "device cuda:0 is not compiled in; build with --features cuda");
    }
}
