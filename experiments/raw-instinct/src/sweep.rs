//! Computes speed-ups, total(RGB) / total(RAW), from the times of stages, over frames, crops and classifiers.

use report::stats::{Mean, mean};

use crate::{
    chain::{BATCH, Frame, Times, classify, crop, frame, plus, size},
    networks::{Format, NAMES, Network},
};

/// The number of blocks into which repeats are divided. Each block gives one speed-up, a seed of the claims.
pub(crate) const BLOCKS: usize = 5;

/// The settings of a measurement.
pub(crate) struct Plan {
    /// Sizes of frames, in million pixels.
    pub(crate) frames: Vec<f64>,
    /// Numbers of crops of a frame.
    pub(crate) crops: Vec<usize>,
    pub(crate) repeats: usize,
    /// Classifiers, of [`NAMES`].
    pub(crate) networks: Vec<&'static str>,
    /// Nanoseconds per pixel of another decoder, which replace the measured time of decoding.
    pub(crate) decode: Option<f64>,
}

/// A line of `stages.csv`.
pub(crate) struct Stage {
    pub(crate) frame: Option<f64>,
    pub(crate) stage: &'static str,
    pub(crate) crops: Option<usize>,
    pub(crate) network: &'static str,
    pub(crate) input: &'static str,
    pub(crate) seconds: f64,
    /// Pixels of the frame, or crops.
    pub(crate) units: usize,
}

/// A line of `speed-up.csv`.
pub(crate) struct SpeedUp {
    /// The size of the frame in million pixels; none if only the crop is converted.
    pub(crate) frame: Option<f64>,
    pub(crate) crops: usize,
    pub(crate) network: &'static str,
    /// The number of floating-point operations of the classifier for an RGB crop.
    pub(crate) flops: f64,
    pub(crate) rgb: f64,
    pub(crate) raw: f64,
    /// The speed-up of each block.
    pub(crate) blocks: Vec<f64>,
}

impl SpeedUp {
    /// The speed-up computed from the medians over all repeats.
    pub(crate) fn ratio(&self) -> f64 {
        self.rgb / self.raw
    }

    /// The mean speed-up over blocks.
    pub(crate) fn mean(&self) -> Option<Mean> {
        mean(&self.blocks)
    }

    /// The name of the speed-up in the claims.
    pub(crate) fn name(&self) -> String {
        let (crops, network) = (self.crops, self.network);
        match self.frame {
            Some(frame) => format!("{frame} Mpx, {crops} crops, {network}"),
            None => format!("crop alone, {network}"),
        }
    }
}

/// All measurements.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) stages: Vec<Stage>,
    pub(crate) speed_ups: Vec<SpeedUp>,
}

pub(crate) fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

fn speed_up(
    frame: Option<f64>,
    crops: usize,
    network: &Network,
    [rgb, raw]: [&Times; 2],
) -> SpeedUp {
    let size = rgb.len() / BLOCKS;
    let blocks = rgb.chunks_exact(size).zip(raw.chunks_exact(size)).take(BLOCKS);
    SpeedUp {
        frame,
        crops,
        network: network.name,
        flops: network.flops(Format::Rgb),
        rgb: median(rgb),
        raw: median(raw),
        blocks: blocks.map(|(rgb, raw)| median(rgb) / median(raw)).collect(),
    }
}

/// The times of a classifier on both formats.
type OfBoth = [Times; 2];

/// Measures; `say` receives the name of each next measurement.
pub(crate) fn measure(plan: &Plan, say: impl Fn(String)) -> anyhow::Result<Measured> {
    let mut measured = Measured::default();
    let mut classifiers: Vec<(Network, Vec<OfBoth>)> = Vec::new();
    // For each number of crops, and for one.
    let counts: Vec<usize> = plan.crops.iter().copied().chain([1]).collect();
    for name in NAMES.into_iter().filter(|name| plan.networks.contains(name)) {
        say(format!("{name}: at most {} crops at once", BATCH));
        let network = Network::new(name)?;
        let of = |count: &usize| {
            Format::BOTH.map(|format| classify(&network, format, *count, plan.repeats))
        };
        let times: Vec<OfBoth> = counts.iter().map(of).collect();
        for (crops, both) in plan.crops.iter().zip(&times) {
            for (format, times) in Format::BOTH.into_iter().zip(both) {
                measured.stages.push(Stage {
                    frame: None,
                    stage: "classify",
                    crops: Some(*crops),
                    network: name,
                    input: format.name(),
                    seconds: median(times),
                    units: *crops,
                });
            }
        }
        classifiers.push((network, times));
    }
    let [rgb, raw] = crop(plan.repeats.max(100))?;
    let of_crop = |times: Times| times[..plan.repeats].to_vec();
    let of_crop = [of_crop(rgb), of_crop(raw)];
    for (network, times) in &classifiers {
        let [rgb, raw] = &times[plan.crops.len()];
        let totals = [plus(&of_crop[0], rgb), plus(&of_crop[1], raw)];
        measured.speed_ups.push(speed_up(None, 1, network, totals.each_ref()));
    }
    for millions in &plan.frames {
        let [width, height] = size(*millions);
        say(format!("frame of {width} x {height} pixels"));
        let mut frame = frame([width, height], &plan.crops, plan.repeats)?;
        if let Some(nanoseconds) = plan.decode {
            frame.decode = vec![nanoseconds * 1e-9 * (width * height) as f64; plan.repeats];
        }
        measured.stages.extend(stages(*millions, &frame, &plan.crops));
        for (i, crops) in plan.crops.iter().enumerate() {
            let [cut_rgb, cut_raw] = &frame.cut[i];
            let rgb = plus(&plus(&frame.decode, &frame.convert), cut_rgb);
            let raw = plus(&frame.decode, cut_raw);
            for (network, times) in &classifiers {
                let totals = [plus(&rgb, &times[i][0]), plus(&raw, &times[i][1])]; // (1), (2)
                let totals = totals.each_ref();
                measured.speed_ups.push(speed_up(Some(*millions), *crops, network, totals));
            }
        }
    }
    Ok(measured)
}

fn stages(millions: f64, frame: &Frame, crops: &[usize]) -> Vec<Stage> {
    let of_frame = |stage, times: &Times| Stage {
        frame: Some(millions),
        stage,
        crops: None,
        network: "",
        input: "",
        seconds: median(times),
        units: frame.size[0] * frame.size[1],
    };
    let mut stages = vec![
        of_frame("decode", &frame.decode),
        of_frame("balance", &frame.balance),
        of_frame("convert", &frame.convert),
    ];
    for (crops, both) in crops.iter().zip(&frame.cut) {
        for (format, times) in Format::BOTH.into_iter().zip(both) {
            let (crops, input) = (Some(*crops), format.name());
            let units = crops.unwrap_or(1);
            stages.push(Stage { crops, input, units, ..of_frame("cut", times) });
        }
    }
    stages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_speed_up_is_the_ratio_of_totals_and_has_a_value_for_each_block() {
        let network = Network::new("small").unwrap();
        let rgb: Times = (0..10).map(|i| 2.0 + f64::from(i / 2)).collect();
        let found = speed_up(Some(16.0), 64, &network, [&rgb, &vec![2.0; 10]]);
        assert_eq!(found.blocks, [1.0, 1.5, 2.0, 2.5, 3.0]);
        assert_eq!((found.ratio(), found.mean().unwrap().mean), (2.0, 2.0));
        assert_eq!(found.name(), "16 Mpx, 64 crops, small");
    }
}
