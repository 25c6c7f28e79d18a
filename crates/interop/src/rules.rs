//! Rules: correspondences between parts of tensors and parts of parameters.
//!
//! A rule works in both directions, so a checkpoint is written by the same rules by which it is read.

use anyhow::anyhow;

use crate::view::View;

/// Some entries of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    axis: usize,
    start: usize,
    len: usize,
    step: usize,
}

/// The rule that a part of a checkpoint's tensor is a part of a network's parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorRule {
    /// The path of the parameter.
    pub path: String,
    /// The name of the tensor.
    pub tensor: String,
    /// The tensor's axes in the order of the parameter's axes.
    axes: Option<Vec<usize>>,
    transposed: bool,
    take: Vec<Part>,
    put: Vec<Part>,
    /// Axes of the parameter that the tensor lacks, with the entry to which it corresponds, in the order in
    /// which they are removed.
    entries: Vec<[usize; 2]>,
    /// The shape into which the parameter is reshaped.
    shaped: Option<Vec<usize>>,
}

impl TensorRule {
    /// Makes the rule that the whole tensor is the whole parameter.
    pub fn new(path: impl Into<String>, tensor: impl Into<String>) -> Self {
        let (path, tensor) = (path.into(), tensor.into());
        let (take, put, entries) = (vec![], vec![], vec![]);
        Self { path, tensor, axes: None, transposed: false, take, put, entries, shaped: None }
    }

    /// The rule with the tensor's last two axes exchanged: a map of PyTorch is `[out, in]`, here `[in, out]`.
    pub fn transposed(self) -> Self {
        Self { transposed: true, ..self }
    }

    /// The rule with the tensor's axes in this order, and with the parameter reshaped to this shape.
    pub fn shaped(self, axes: &[usize], shape: &[usize]) -> Self {
        Self { axes: Some(axes.to_vec()), shaped: Some(shape.to_vec()), ..self }
    }

    /// The rule with `len` entries of an axis of the tensor: every `step`-th from `start` on.
    pub fn take(mut self, axis: usize, start: usize, len: usize, step: usize) -> Self {
        self.take.push(Part { axis, start, len, step });
        self
    }

    /// The rule with `len` entries of an axis of the parameter, from `start` on.
    pub fn put(mut self, axis: usize, start: usize, len: usize) -> Self {
        self.put.push(Part { axis, start, len, step: 1 });
        self
    }

    /// The rule with the entry `at` of an axis of the parameter; the tensor does not have this axis.
    pub fn entry(mut self, axis: usize, at: usize) -> Self {
        self.entries.push([axis, at]);
        self
    }

    /// The views of both parts, for a tensor and a parameter of these shapes.
    ///
    /// # Errors
    /// If they do not match; names both with their shapes.
    pub(crate) fn views(
        &self,
        tensor: &[usize],
        parameter: &[usize],
    ) -> anyhow::Result<(View, View)> {
        let wrong = || {
            let Self { path, tensor: name, .. } = self;
            anyhow!("tensor {name} is {tensor:?} and does not fit parameter {path} {parameter:?}")
        };
        let parts = |view: View, parts: &[Part]| {
            let part =
                |view: View, part: &Part| view.part(part.axis, part.start, part.len, part.step);
            parts.iter().try_fold(view, part)
        };
        let from = parts(View::whole(tensor), &self.take);
        let from = match &self.axes {
            Some(axes) => from.and_then(|from| from.permuted(axes)),
            None => from,
        };
        let from = from.map(|from| if self.transposed { from.transposed() } else { from });
        let shape = self.shaped.as_deref().unwrap_or(parameter);
        let same = shape.iter().product::<usize>() == parameter.iter().product::<usize>();
        let to = parts(View::whole(shape), &self.put).filter(|_| same);
        let entry = |to: View, [axis, at]: &[usize; 2]| to.entry(*axis, *at);
        let to = to.and_then(|to| self.entries.iter().try_fold(to, entry));
        let (from, to) = (from.ok_or_else(wrong)?, to.ok_or_else(wrong)?);
        if from.dims() != to.dims() {
            return Err(wrong());
        }
        Ok((from, to))
    }
}

/// The rules of a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// All rules.
    pub all: Vec<TensorRule>,
    /// Parameters that are not in the checkpoint and keep their initial values: states of routers.
    pub own: Vec<String>,
    /// Tensors that may occur in addition to those of which they are copies: older files store tied weights
    /// under all of their names.
    pub copies: Vec<(String, String)>,
    /// Tensors in published files that no network uses; an export omits them.
    pub unused: Vec<String>,
    /// Warnings on keys of the config that only concern training, and are not honoured there.
    pub notes: Vec<String>,
}

impl Rules {
    /// The name of the tensor of which this one is a copy, or its own name.
    pub fn original<'a>(&'a self, tensor: &'a str) -> &'a str {
        let copy = self.copies.iter().find(|(copy, _)| copy == tensor);
        copy.map_or(tensor, |(_, original)| original)
    }

    /// Whether no network uses the tensor.
    pub fn is_unused(&self, tensor: &str) -> bool {
        self.unused.iter().any(|unused| unused == tensor)
    }

    /// Adds the rule of a tensor that is unchanged.
    pub fn same(&mut self, path: impl Into<String>, tensor: impl Into<String>) {
        self.all.push(TensorRule::new(path, tensor));
    }

    /// Adds the rule of a linear map, which is `[out, in]` in the checkpoint and `[in, out]` here.
    pub fn map(&mut self, path: impl Into<String>, tensor: impl Into<String>) {
        self.all.push(TensorRule::new(path, tensor).transposed());
    }

    /// Adds the rules of linear maps that are concatenated along their outputs here, with the widths of their
    /// outputs.
    pub fn beside(&mut self, path: &str, maps: &[(String, usize)]) {
        let mut start = 0;
        for (tensor, width) in maps {
            self.all.push(TensorRule::new(path, tensor).transposed().put(1, start, *width));
            start += width;
        }
    }

    /// Adds the rules of vectors that are concatenated here, with their widths.
    pub fn joined(&mut self, path: &str, vectors: &[(String, usize)]) {
        let mut start = 0;
        for (tensor, width) in vectors {
            self.all.push(TensorRule::new(path, tensor).put(0, start, *width));
            start += width;
        }
    }

    /// Adds the rules of linear maps of `n` experts, which are stacked here.
    pub fn stack(&mut self, path: &str, n: usize, tensor: impl Fn(usize) -> String) {
        for expert in 0..n {
            self.all.push(TensorRule::new(path, tensor(expert)).transposed().entry(0, expert));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_of_size_1_are_axes() {
        let fits = |rule: &TensorRule, tensor: &[usize], parameter: &[usize]| {
            rule.views(tensor, parameter).is_ok()
        };
        let same = TensorRule::new("p", "t");
        assert!(fits(&same, &[4], &[4]) && fits(&same, &[1, 4], &[1, 4]));
        assert!(!fits(&same, &[1, 4], &[4]) && !fits(&same, &[4, 1], &[4]));
        assert!(!fits(&same, &[4], &[1, 4]));
        let map = same.clone().transposed();
        assert!(fits(&map, &[3, 1], &[1, 3]) && !fits(&map, &[1, 3, 2], &[2, 3]));
        let of_stack = map.entry(0, 4);
        assert!(fits(&of_stack, &[3, 2], &[5, 2, 3]) && !fits(&of_stack, &[3, 2], &[4, 2, 3]));
        assert!(!fits(&of_stack, &[1, 3, 2], &[5, 2, 3]));
        let bias = same.entry(0, 0).entry(0, 0);
        assert!(fits(&bias, &[4], &[1, 1, 4]) && !fits(&bias, &[1, 4], &[1, 1, 4]));
        let err = bias.views(&[1, 4], &[1, 1, 4]).unwrap_err().to_string();
        assert_eq!(err, "tensor t is [1, 4] and does not fit parameter p [1, 1, 4]");
    }
}
