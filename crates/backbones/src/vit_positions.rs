//! Position embeddings of a vision transformer at another resolution.
//!
//! Dosovitskiy et al. *An Image is Worth 16x16 Words*. ICLR 2021. <https://arxiv.org/abs/2010.11929>,
//! section 3.2: "we perform 2D interpolation of the pre-trained position embeddings".
//!
//! The rule of the published code (`zoom` of SciPy with splines of order 1): the vectors of the patches form
//! a square grid; the corners of the new grid are the corners of the old one, and vectors between four old
//! ones are their bilinear mixture. The vector of a class token is unchanged.

use burn::{module::Param, prelude::*};
use moe::{PathMapper, map_paths};

use crate::AnyBackbone;

/// A network whose position embeddings are resized to `tokens` tokens; a network without position embeddings,
/// or with this many, is unchanged.
///
/// # Errors
/// If the tokens before or after form no square grid, with or without a class token in both.
pub fn zoomed(network: AnyBackbone, tokens: usize) -> Result<AnyBackbone, String> {
    let mut zoom = Zoom { tokens, wrong: None };
    let network = map_paths(network, &mut zoom);
    zoom.wrong.map_or(Ok(network), Err)
}

/// Resizes the parameter `positions` of a network.
struct Zoom {
    tokens: usize,
    wrong: Option<String>,
}

impl PathMapper for Zoom {
    fn map<const D: usize>(
        &mut self,
        path: &[String],
        param: Param<Tensor<D>>,
    ) -> Param<Tensor<D>> {
        let shape = param.lazy_shape().to_vec();
        if path != ["positions"] || D != 3 || shape[1] == self.tokens {
            return param;
        }
        let (id, old, mapper) = param.consume();
        let (device, width) = (old.device(), shape[2]);
        let vectors: Vec<f32> = kernels::read_back(old.clone()).iter::<f32>().collect();
        let value = match zoom(&vectors, width, self.tokens) {
            Ok(vectors) => {
                let data = TensorData::new(vectors, vec![1, self.tokens, width]);
                Tensor::from_data(data, &device).set_require_grad(old.is_require_grad())
            }
            Err(wrong) => {
                self.wrong.get_or_insert(wrong);
                old
            }
        };
        Param::from_mapped_value(id, value, mapper)
    }
}

/// Position vectors `[n, width]`, resized to `tokens` tokens.
///
/// # Errors
/// If the tokens before or after form no square grid, with or without a class token in both.
pub fn zoom(vectors: &[f32], width: usize, tokens: usize) -> Result<Vec<f32>, String> {
    let before = vectors.len() / width;
    let ((old, class), (new, wanted)) = (grid(before)?, grid(tokens)?);
    if class != wanted {
        let word = |class| if class { "with" } else { "without" };
        return Err(format!(
            "cannot resize {before} tokens {} a class token to {tokens} tokens {} one",
            word(class),
            word(wanted)
        ));
    }
    let (first, patches) = vectors.split_at(if class { width } else { 0 });
    let at = |row: usize, column: usize| &patches[(row * old + column) * width..][..width];
    let mut zoomed = first.to_vec();
    for row in 0..new {
        for column in 0..new {
            let ((top, down), (left, right)) = (place(row, old, new), place(column, old, new));
            let (bottom, other) = ((top + 1).min(old - 1), (left + 1).min(old - 1));
            let corners = [at(top, left), at(top, other), at(bottom, left), at(bottom, other)];
            zoomed.extend((0..width).map(|i| {
                let above = corners[0][i] * (1.0 - right) + corners[1][i] * right;
                let below = corners[2][i] * (1.0 - right) + corners[3][i] * right;
                above * (1.0 - down) + below * down
            }));
        }
    }
    Ok(zoomed)
}

/// The side of a square grid of tokens, and whether there is a class token beside it.
fn grid(tokens: usize) -> Result<(usize, bool), String> {
    let side = |n: usize| Some(n.isqrt()).filter(|side| side * side == n && n > 0);
    match (side(tokens), tokens.checked_sub(1).and_then(side)) {
        (Some(side), _) => Ok((side, false)),
        (None, Some(side)) => Ok((side, true)),
        (None, None) => Err(format!("{tokens} tokens do not form a square grid")),
    }
}

/// For index `i` on the new axis, the index before it on the old axis, and the distance beyond that.
fn place(i: usize, old: usize, new: usize) -> (usize, f32) {
    if new == 1 {
        return (0, 0.0);
    }
    let at = i as f64 * (old - 1) as f64 / (new - 1) as f64;
    (at as usize, at.fract() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_stay_and_the_rest_is_between_them() {
        // A class token of 9, then the grid 0 1 / 2 3.
        let zoomed = zoom(&[9.0, 0.0, 1.0, 2.0, 3.0], 1, 10).unwrap();
        assert_eq!(zoomed, [9.0, 0.0, 0.5, 1.0, 1.0, 1.5, 2.0, 2.0, 2.5, 3.0]);
        assert_eq!(zoom(&zoomed, 1, 5).unwrap(), [9.0, 0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn scipy_gives_the_same() {
        // The values are those of scipy.ndimage.zoom(v.reshape(4, 4, 2), (6 / 4, 6 / 4, 1), order=1), v =
        // sin(0), sin(1), ...; and with 3 / 4.
        let vectors: Vec<f32> = (0..32).map(|i| (i as f32).sin()).collect();
        let larger = [(3, 0.4212604), (17, -0.4611308), (40, -0.44306687), (70, -0.9880316)];
        let smaller = [(3, -0.40890214), (9, 0.101_677_42), (17, -0.40403765)];
        for (tokens, expected) in [(36, &larger[..]), (9, &smaller)] {
            let zoomed = zoom(&vectors, 2, tokens).unwrap();
            for (place, value) in expected {
                assert!((zoomed[*place] - value).abs() < 1e-6, "{place}: {}", zoomed[*place]);
            }
        }
    }

    #[test]
    fn what_is_no_grid_is_refused() {
        assert_eq!(zoom(&[0.0; 7], 1, 4).unwrap_err(), "7 tokens do not form a square grid");
        assert!(zoom(&[0.0; 5], 1, 9).unwrap_err().contains("with a class token"));
        assert_eq!(zoom(&[1.0, 2.0], 2, 1), Ok(vec![1.0, 2.0]));
    }
}
