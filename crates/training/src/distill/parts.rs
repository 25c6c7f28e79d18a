//! Initialisation of a network with the weights of parts of other networks.

use burn::module::Module;
use moe::{numbers_of, parameters, with_parameters};

/// The path of a part in its own network, and in the network that takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// The path of the part in the network from which it is taken, `module`; empty for the whole network.
    pub take: &'a str,
    /// The path of the part in the network that takes it, `meta`; empty for its root.
    pub into: &'a str,
}

impl Part<'_> {
    /// The new path of a parameter; none if it does not belong to the part.
    fn place(&self, path: &str) -> Option<String> {
        let rest = match self.take {
            "" => path,
            part => path.strip_prefix(part)?.strip_prefix('.')?,
        };
        Some(if self.into.is_empty() { rest.into() } else { format!("{}.{rest}", self.into) })
    }
}

/// Copies the weights and states of a part of `from` into `to`, by their paths. Parameters that `to` does not
/// have, such as stitches and the blocks of other slots, are left out; other parameters of `to` stay
/// unchanged.
///
/// # Errors
/// If no parameter matches, or if one has another shape.
pub fn take_over<N: Module, M: Module>(from: &N, to: M, part: Part) -> Result<M, String> {
    let known: Vec<String> = parameters(&to).into_iter().map(|known| known.path).collect();
    let place = |path: &str| part.place(path).filter(|path| known.contains(path));
    let found = numbers_of(from, |parameter| place(&parameter.path).is_some());
    if found.is_empty() {
        let Part { take, into } = part;
        let (there, here) = (tops(parameters(from).into_iter().map(|p| p.path)), tops(known));
        return Err(format!(
            "no weight of {take:?} in the source matches {into:?} in the network; \
             source: {there}; network: {here}"
        ));
    }
    let placed = found.into_iter().filter_map(|(of, data)| Some((place(&of.path)?, data)));
    with_parameters(to, placed.collect())
}

/// The distinct first components of paths.
fn tops(paths: impl IntoIterator<Item = String>) -> String {
    let mut tops: Vec<String> = Vec::new();
    for path in paths {
        let top = path.split('.').next().unwrap_or_default().to_string();
        if !tops.contains(&top) {
            tops.push(top);
        }
    }
    tops.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::{nn::Linear, prelude::*};
    use moe::Init;

    #[derive(Module, Debug)]
    struct Two {
        a: Linear,
        b: Option<Linear>,
    }

    #[derive(Module, Debug)]
    struct Around {
        module: Two,
        stitch: Linear,
    }

    fn two(seed: u64, width: usize) -> Two {
        let init = Init::new(seed, &Device::flex());
        Two { a: init.linear("a", 2, width, true), b: Some(init.linear("b", 3, 1, true)) }
    }

    fn around(seed: u64) -> Around {
        let init = Init::new(seed, &Device::flex());
        let module = Two { b: None, ..two(seed, 3) };
        Around { module, stitch: init.linear("stitch", 2, 2, true) }
    }

    fn weight(linear: &Linear) -> TensorData {
        linear.weight.val().into_data()
    }

    #[test]
    fn a_part_is_put_in_and_taken_out_by_its_path() {
        let (whole, hybrid) = (two(0, 3), around(1));
        let stitch = weight(&hybrid.stitch);
        // b is missing in the hybrid's part.
        let filled = take_over(&whole, hybrid, Part { take: "", into: "module" }).unwrap();
        assert_eq!(weight(&filled.module.a), weight(&whole.a));
        assert_eq!(weight(&filled.stitch), stitch);
        // The stitch is missing in a whole network.
        let other = two(5, 3);
        let b = weight(other.b.as_ref().unwrap());
        let back = take_over(&filled, other, Part { take: "module", into: "" }).unwrap();
        assert_eq!(weight(&back.a), weight(&whole.a));
        assert_eq!(weight(back.b.as_ref().unwrap()), b);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let into = |part| take_over(&two(0, 3), around(1), part).err().unwrap();
        assert_eq!(
            into(Part { take: "modul", into: "module" }),
            "no weight of \"modul\" in the source matches \"module\" in the network; \
             source: a, b; network: module, stitch"
        );
        let err =
            take_over(&two(0, 4), around(1), Part { take: "", into: "module" }).err().unwrap();
        assert_eq!(err, "module.a.bias has the shape [3], not [4]");
    }
}
