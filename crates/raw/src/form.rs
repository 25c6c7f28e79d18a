//! Forms of a mosaic as input of a network.
//!
//! | form | planes | of what |
//! | --- | --- | --- |
//! | `raw1` | 1 x H x W | the mosaic |
//! | `raw3` | 3 x H x W | red, green, blue, 0 where a pixel has another colour |
//! | `pack4` | 4 x H/2 x W/2 | red, the green in red's row, the green in blue's row, blue |
//! | `pack3` | 3 x H/2 x W/2 | red, the mean of both greens, blue |
//! | `bca` | 1 x H x W | the mosaic; the network of that name makes the four planes itself |
//!
//! Values are normalised, 0 at black and 1 at white.

use crate::{Colour, Mosaic};

/// The form of a mosaic as input of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The mosaic.
    Raw1,
    /// Three sparse planes.
    Raw3,
    /// Four planes of half the size.
    Pack4,
    /// Three planes of half the size.
    Pack3,
    /// The mosaic, for a network with a branch for its planes.
    Bca,
}

/// Planes of numbers, one after the other, each row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Planes {
    /// Planes, rows, columns.
    pub shape: [usize; 3],
    /// The numbers.
    pub values: Vec<f32>,
}

impl Form {
    /// All forms, with their names.
    pub const ALL: [(&str, Self); 5] = [
        ("raw1", Self::Raw1),
        ("raw3", Self::Raw3),
        ("pack4", Self::Pack4),
        ("pack3", Self::Pack3),
        ("bca", Self::Bca),
    ];

    /// Planes, rows and columns of a mosaic of this many rows and columns.
    pub fn shape(self, [height, width]: [usize; 2]) -> [usize; 3] {
        match self {
            Self::Raw1 | Self::Bca => [1, height, width],
            Self::Raw3 => [3, height, width],
            Self::Pack4 => [4, height / 2, width / 2],
            Self::Pack3 => [3, height / 2, width / 2],
        }
    }

    /// The planes of a mosaic. Packed planes have whole squares only: an odd row or column at the end is left
    /// out.
    pub fn of(self, mosaic: &Mosaic) -> Planes {
        let values = match self {
            Self::Raw1 | Self::Bca => {
                mosaic.values.iter().map(|value| mosaic.normal(*value)).collect()
            }
            Self::Raw3 => sparse(mosaic),
            Self::Pack4 => packed(mosaic).concat(),
            Self::Pack3 => {
                let [red, first, second, blue] = packed(mosaic);
                let green = first.iter().zip(second).map(|(a, b)| (a + b) / 2.0);
                [red, green.collect(), blue].concat()
            }
        };
        Planes { shape: self.shape([mosaic.height, mosaic.width]), values }
    }
}

fn sparse(mosaic: &Mosaic) -> Vec<f32> {
    let size = mosaic.values.len();
    let mut planes = vec![0.0; 3 * size];
    for (at, value) in mosaic.values.iter().enumerate() {
        let colour: Colour = mosaic.cfa.at(at / mosaic.width, at % mosaic.width);
        planes[colour as usize * size + at] = mosaic.normal(*value);
    }
    planes
}

/// The planes of red, the two greens and blue.
fn packed(mosaic: &Mosaic) -> [Vec<f32>; 4] {
    let width = mosaic.width;
    mosaic.cfa.places().map(|place| {
        let rows = mosaic.values.chunks_exact(2 * width);
        let of_rows = |rows: &[u16]| -> Vec<f32> {
            let line = &rows[place / 2 * width..][..width / 2 * 2];
            line.iter().skip(place % 2).step_by(2).map(|value| mosaic.normal(*value)).collect()
        };
        rows.flat_map(of_rows).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cfa;

    /// Greens 1 and 4, red 2, blue 3; then ten times these values.
    fn mosaic() -> Mosaic {
        let values = vec![1, 2, 10, 20, 3, 4, 30, 40];
        Mosaic::new([4, 2], Cfa::GRBG, [0.0, 100.0], values).unwrap()
    }

    fn hundreds(form: Form) -> Vec<f32> {
        let planes = form.of(&mosaic());
        assert_eq!(planes.shape.iter().product::<usize>(), planes.values.len());
        planes.values.iter().map(|value| (value * 1000.0).round() / 10.0).collect()
    }

    #[test]
    fn planes_by_hand() {
        let all = [1.0, 2.0, 10.0, 20.0, 3.0, 4.0, 30.0, 40.0];
        assert_eq!(hundreds(Form::Raw1), all);
        assert_eq!(hundreds(Form::Bca), all);
        assert_eq!(hundreds(Form::Pack4), [2.0, 20.0, 1.0, 10.0, 4.0, 40.0, 3.0, 30.0]);
        assert_eq!(hundreds(Form::Pack3), [2.0, 20.0, 2.5, 25.0, 3.0, 30.0]);
        let red = [0.0, 2.0, 0.0, 20.0, 0.0, 0.0, 0.0, 0.0];
        let green = [1.0, 0.0, 10.0, 0.0, 0.0, 4.0, 0.0, 40.0];
        let blue = [0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 30.0, 0.0];
        assert_eq!(hundreds(Form::Raw3), [red, green, blue].concat());
    }

    #[test]
    fn packed_planes_of_any_phase_have_the_same_colours() {
        let plain = Mosaic::new([6, 6], Cfa::RGGB, [0.0, 64.0], (0..36).collect()).unwrap();
        let whole = Form::Pack4.of(&plain.crop([0, 0], [4, 4]).unwrap());
        let shifted = Form::Pack4.of(&plain.crop([1, 1], [4, 4]).unwrap());
        // Red is next at row 2, column 2: the place of row 1, column 1 in the shifted crop.
        assert_eq!(shifted.values[0], plain.normal(plain.values[2 * 6 + 2]));
        assert_eq!(whole.values[0], plain.normal(plain.values[0]));
        let odd = Form::Pack4.of(&plain.crop([0, 0], [5, 5]).unwrap());
        assert_eq!(odd, whole);
    }
}
