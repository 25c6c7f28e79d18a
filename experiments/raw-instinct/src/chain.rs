//! The chain from a RAW file to class labels, and the time of each of its stages.
//!
//! total(RGB) = decode + conversion of the frame + cutting crops + classifier           (1)
//! total(RAW) = decode + cutting and packing crops + classifier                         (2)
//!
//! Every stage runs once before it is timed. Buffers of the size of a frame are allocated in advance, except
//! the mosaic that decoding returns. The times of all repeats are kept.

use std::{hint::black_box, time::Instant};

use anyhow::anyhow;
use raw::{Cfa, Developer, Form, Isp, Mosaic, dng, dng::Dng};

use crate::networks::{Format, Network, SIDE};

/// The largest number of crops that are classified at once.
pub(crate) const BATCH: usize = 64;

/// The time of each repeat, in seconds.
pub(crate) type Times = Vec<f64>;

/// Runs `work` once without timing it, then times it `repeats` times.
fn timed(repeats: usize, mut work: impl FnMut()) -> Times {
    work();
    let one = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..repeats).map(one).collect()
}

/// Adds the times of two stages, repeat by repeat.
pub(crate) fn plus(a: &Times, b: &Times) -> Times {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// The time of running the same stage `n` times.
pub(crate) fn times(a: &Times, n: usize) -> Times {
    a.iter().map(|a| a * n as f64).collect()
}

/// The size of a frame and the times of its stages.
pub(crate) struct Frame {
    /// Columns and rows.
    pub(crate) size: [usize; 2],
    /// Reading the DNG file from memory.
    pub(crate) decode: Times,
    /// White balance and clipping, part of the conversion.
    pub(crate) balance: Times,
    /// The whole conversion.
    pub(crate) convert: Times,
    /// Cutting crops, as RGB and as RAW, for each number of crops.
    pub(crate) cut: Vec<[Times; 2]>,
}

/// Columns and rows of a frame of about `millions` million pixels, with ratio 4 to 3, both even.
pub(crate) fn size(millions: f64) -> [usize; 2] {
    let even = |x: f64| ((x / 2.0).round() as usize * 2).max(SIDE);
    let width = even((millions * 1e6 * 4.0 / 3.0).sqrt());
    [width, even(millions * 1e6 / width as f64)]
}

/// A frame of generated numbers, with levels, white balance and colours as from a camera.
fn made_up([width, height]: [usize; 2]) -> anyhow::Result<Dng> {
    let mut state = 1_u32;
    let mut number = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        64 + (state >> 19) as u16
    };
    let values = (0..width * height).map(|_| number()).collect();
    let mosaic = Mosaic::new([width, height], Cfa::GRBG, [64.0, 8000.0], values);
    Ok(Dng {
        mosaic: mosaic.map_err(|err| anyhow!(err))?,
        make: "MoeLab".into(),
        model: "made up".into(),
        neutral: [0.45, 1.0, 0.55],
        matrix: [0.8, -0.2, -0.05, -0.4, 1.2, 0.2, -0.05, 0.15, 0.6],
    })
}

fn isp(dng: &Dng) -> Isp {
    Isp { neutral: dng.neutral, matrix: Some(dng.matrix), ..Isp::PLAIN }
}

/// The positions of `count` crops, spread over the frame, at even rows and columns.
fn places([width, height]: [usize; 2], count: usize) -> Vec<[usize; 2]> {
    let (rows, columns) = (height - SIDE + 1, width - SIDE + 1);
    let place = |i: usize| [i * 7919 % rows / 2 * 2, i * 104_729 % columns / 2 * 2];
    (0..count).map(place).collect()
}

/// Cuts crops from the RGB codes of a frame, as three planes each with values from 0 to 1.
fn cut_rgb(codes: &[u8], width: usize, places: &[[usize; 2]], crops: &mut Vec<f32>) {
    crops.clear();
    for [row, column] in places {
        for colour in 0..3 {
            for line in *row..row + SIDE {
                let line = &codes[3 * (line * width + column)..][..3 * SIDE];
                let one = line.iter().skip(colour).step_by(3);
                crops.extend(one.map(|code| f32::from(*code) / 255.0));
            }
        }
    }
}

/// Cuts crops from a mosaic, normalised and packed.
fn cut_raw(mosaic: &Mosaic, places: &[[usize; 2]], crops: &mut Vec<f32>) {
    crops.clear();
    for place in places {
        let crop = mosaic.crop(*place, [SIDE, SIDE]).expect("the place is in the frame");
        crops.extend(Form::Pack4.of(&crop).values);
    }
}

/// Times the stages of a frame, for each of these numbers of crops.
pub(crate) fn frame(size: [usize; 2], counts: &[usize], repeats: usize) -> anyhow::Result<Frame> {
    let file = dng::write(&made_up(size)?).map_err(|err| anyhow!(err))?;
    let decode = timed(repeats, || drop(black_box(dng::read(black_box(&file), "frame"))));
    let dng = dng::read(&file, "frame")?;
    drop(file);
    let mut developer = Developer::new(isp(&dng), &dng.mosaic).map_err(|err| anyhow!(err))?;
    let mut codes = vec![0; 3 * dng.mosaic.values.len()];
    let balance = timed(repeats, || developer.balance(black_box(&dng.mosaic)));
    let convert = timed(repeats, || {
        developer.balance(black_box(&dng.mosaic));
        developer.finish(black_box(&mut codes));
    });
    let mut crops = Vec::new();
    let mut cut = |count: &usize| {
        let places = places(size, *count);
        let rgb = timed(repeats, || cut_rgb(black_box(&codes), size[0], &places, &mut crops));
        let raw = timed(repeats, || cut_raw(black_box(&dng.mosaic), &places, &mut crops));
        [rgb, raw]
    };
    let cut = counts.iter().map(&mut cut).collect();
    Ok(Frame { size, decode, balance, convert, cut })
}

/// Times the conversion of a crop alone with two more pixels on each side, and the cutting of a RAW crop.
pub(crate) fn crop(repeats: usize) -> anyhow::Result<[Times; 2]> {
    let side = SIDE + 4;
    let dng = made_up([side, side])?;
    let mut developer = Developer::new(isp(&dng), &dng.mosaic).map_err(|err| anyhow!(err))?;
    let mut codes = vec![0; 3 * side * side];
    let mut crops = Vec::new();
    let rgb = timed(repeats, || {
        developer.balance(black_box(&dng.mosaic));
        developer.finish(black_box(&mut codes));
        cut_rgb(&codes, side, &[[2, 2]], &mut crops);
    });
    let raw = timed(repeats, || cut_raw(black_box(&dng.mosaic), &[[2, 2]], &mut crops));
    Ok([rgb, raw])
}

/// Times a classifier on `count` crops; more than [`BATCH`] crops are counted as several batches.
pub(crate) fn classify(network: &Network, format: Format, count: usize, repeats: usize) -> Times {
    let (batch, batches) = (count.min(BATCH), count.div_ceil(BATCH));
    let crops = vec![0.5; batch * format.shape().iter().product::<usize>()];
    let of_batch = timed(repeats, || drop(black_box(network.classify(format, crops.clone()))));
    times(&of_batch, batches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_four_to_three_and_even() {
        assert_eq!(size(12.0), [4000, 3000]);
        let [width, height] = size(0.01);
        assert!(width.is_multiple_of(2) && height.is_multiple_of(2) && height >= SIDE);
    }

    #[test]
    fn crops_lie_in_the_frame_at_even_places() {
        for [row, column] in places([100, 60], 500) {
            assert!(row + SIDE <= 60 && column + SIDE <= 100);
            assert!(row.is_multiple_of(2) && column.is_multiple_of(2));
        }
    }

    /// Crops of both formats equal the same part of the converted, or packed, whole frame.
    #[test]
    fn crops_are_parts_of_the_frame() {
        let dng = made_up([60, 50]).unwrap();
        let codes = isp(&dng).develop(&dng.mosaic).unwrap();
        let mut crops = Vec::new();
        cut_rgb(&codes, 60, &[[4, 6]], &mut crops);
        assert_eq!(crops.len(), 3 * SIDE * SIDE);
        let at = |row: usize, column: usize, colour: usize| {
            f32::from(codes[3 * ((4 + row) * 60 + 6 + column) + colour]) / 255.0
        };
        assert_eq!(crops[1600 + 41], at(1, 1, 1));
        cut_raw(&dng.mosaic, &[[4, 6]], &mut crops);
        // Red is at row 0, column 1 of a square.
        let red = dng.mosaic.normal(dng.mosaic.values[4 * 60 + 7]);
        assert_eq!((crops.len(), crops[0]), (SIDE * SIDE, red));
    }
}
