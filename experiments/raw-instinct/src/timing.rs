//! `timing`: the speed-up from a RAW file to class labels if the conversion to RGB is left out.

use std::path::PathBuf;

use anyhow::{anyhow, ensure};
use clap::Args;
use lab::{Answer, OwnResults, Session, Verb, save_files};
use report::{Line, Runs, plot::curves};

use crate::{
    networks::NAMES,
    sweep::{BLOCKS, Measured, Plan, SpeedUp, measure},
};

/// The settings of the measurement, and the folder of the results.
#[derive(Args)]
pub(crate) struct Timing {
    /// The folder for stages.csv, speed-up.csv, runs.csv, crops.svg and cost.svg
    #[arg(default_value = "runs/raw-instinct-timing")]
    folder: PathBuf,
    /// Sizes of frames, in million pixels
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64,151")]
    frames: Vec<f64>,
    /// Numbers of crops of a frame
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64,256,1024")]
    crops: Vec<usize>,
    /// The number of times that each stage is timed, a multiple of 5
    #[arg(long, default_value_t = 20)]
    repeats: usize,
    /// Classifiers: small, medium, MoE, large, ViT, ResNet; all if left out
    #[arg(long, value_delimiter = ',')]
    networks: Vec<String>,
    /// Nanoseconds per pixel of another decoder, instead of the time for reading an uncompressed DNG file;
    /// LibRaw takes 7 to 9 for compressed files
    #[arg(long, value_name = "NS")]
    decode: Option<f64>,
}

impl Verb for Timing {
    const NAME: &'static str = "timing";
    const ABOUT: &'static str =
        "Measure the time from a RAW file to class labels, with and without the conversion to RGB";

    fn run(&self, session: &Session) -> anyhow::Result<Answer> {
        let plan = self.plan()?;
        // One thread: otherwise sums of stage times would not be meaningful.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        let say = |text: String| session.say(&format!("{text}\n"));
        let measured = pool.install(|| measure(&plan, say))?;
        save_files(&self.folder, &files(&measured))
    }
}

/// The largest size of a frame in million pixels: eleven bytes are kept for each pixel.
const MOST: f64 = 400.0;

impl Timing {
    fn plan(&self) -> anyhow::Result<Plan> {
        for frame in &self.frames {
            let fits = *frame >= 0.01 && *frame <= MOST;
            ensure!(fits, "--frames {frame}: must be from 0.01 to {MOST} million pixels");
        }
        for crops in &self.crops {
            let fits = (1..=1_000_000).contains(crops);
            ensure!(fits, "--crops {crops}: must be from 1 to 1000000");
        }
        let repeats = self.repeats;
        let fits = repeats > 0 && repeats.is_multiple_of(BLOCKS) && repeats <= 10_000;
        ensure!(fits, "--repeats {repeats}: must be a multiple of {BLOCKS}, up to 10000");
        let known = |name: &String| {
            let known = NAMES.into_iter().find(|known| known == name);
            known.ok_or_else(|| anyhow!("--networks {name}: expected one of {}", NAMES.join(", ")))
        };
        let networks = match self.networks.is_empty() {
            true => NAMES.to_vec(),
            false => self.networks.iter().map(known).collect::<anyhow::Result<_>>()?,
        };
        if let Some(decode) = self.decode {
            ensure!((0.0..=1e6).contains(&decode), "--decode {decode}: must be from 0 to 1000000");
        }
        let (frames, crops) = (self.frames.clone(), self.crops.clone());
        Ok(Plan { frames, crops, repeats, networks, decode: self.decode })
    }
}

/// The files of the results, each a name and a text.
fn files(measured: &Measured) -> [(&'static str, String); 5] {
    [
        ("stages.csv", stages(measured)),
        ("speed-up.csv", speed_ups(measured)),
        ("runs.csv", runs(measured).to_csv()),
        ("crops.svg", over_crops(measured)),
        ("cost.svg", over_flops(measured)),
    ]
}

/// The speed-ups that were measured with a frame, not on a crop alone.
fn with_frames(measured: &Measured) -> impl Iterator<Item = &SpeedUp> {
    measured.speed_ups.iter().filter(|one| one.frame.is_some())
}

fn in_pixels(one: &SpeedUp) -> String {
    one.frame.map_or(String::new(), |frame| format!("{frame} Mpx"))
}

/// The plot over the number of crops, of the cheapest classifier.
fn over_crops(measured: &Measured) -> String {
    let cheapest = first(measured);
    let title = format!("Speed-up by leaving out the conversion: classifier \"{cheapest}\"");
    let of_cheapest = with_frames(measured).filter(|one| one.network == cheapest);
    let lines = lines(of_cheapest, in_pixels, |one| (one.crops as f64).log2());
    curves(&title, "crops of a frame, log2", "speed-up", &lines)
}

/// The plot over the FLOPs of the classifier, with the median number of crops.
fn over_flops(measured: &Measured) -> String {
    let mut counts: Vec<usize> = with_frames(measured).map(|one| one.crops).collect();
    counts.sort_unstable();
    let middle = counts.get(counts.len() / 2).copied().unwrap_or(0);
    let mut of_middle: Vec<&SpeedUp> =
        with_frames(measured).filter(|one| one.crops == middle && one.network != "MoE").collect();
    of_middle.sort_by(|a, b| a.flops.total_cmp(&b.flops));
    let lines = lines(of_middle.into_iter(), in_pixels, |one| one.flops.log10());
    let title = format!("Speed-up by leaving out the conversion: {middle} crops of a frame");
    curves(&title, "FLOPs of the classifier for a crop, log10", "speed-up", &lines)
}

/// The cheapest classifier that was measured.
fn first(measured: &Measured) -> &str {
    measured.speed_ups.first().map_or("", |one| one.network)
}

/// One line for each name, in order of appearance.
fn lines<'a>(
    of: impl Iterator<Item = &'a SpeedUp>,
    name: impl Fn(&SpeedUp) -> String,
    x: impl Fn(&SpeedUp) -> f64,
) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for one in of {
        let (name, Some(mean)) = (name(one), one.mean()) else { continue };
        let hue = lines.len();
        if !lines.iter().any(|line| line.name == name) {
            let range = [0.0, f64::INFINITY];
            lines.push(Line { name: name.clone(), hue, points: Vec::new(), range });
        }
        let line = lines.iter_mut().find(|line| line.name == name);
        line.into_iter().for_each(|line| line.points.push((x(one), mean)));
    }
    lines
}

fn stages(measured: &Measured) -> String {
    let mut csv = "frame_mpx,stage,crops,network,input,seconds,ns_per_pixel_or_crop\n".to_string();
    for s in &measured.stages {
        let frame = s.frame.map_or(String::new(), |frame| frame.to_string());
        let crops = s.crops.map_or(String::new(), |crops| crops.to_string());
        let each = s.seconds * 1e9 / s.units as f64;
        csv += &format!(
            "{frame},{},{crops},{},{},{:.6e},{each:.3}\n",
            s.stage, s.network, s.input, s.seconds
        );
    }
    csv
}

fn speed_ups(measured: &Measured) -> String {
    let mut csv =
        "frame_mpx,crops,network,flops_per_crop,seconds_rgb,seconds_raw,speed_up\n".to_string();
    for s in &measured.speed_ups {
        let frame = s.frame.map_or("crop alone".to_string(), |frame| frame.to_string());
        csv += &format!(
            "{frame},{},{},{:.0},{:.6e},{:.6e},{:.4}\n",
            s.crops,
            s.network,
            s.flops,
            s.rgb,
            s.raw,
            s.ratio()
        );
    }
    csv
}

const RESULTS: OwnResults = OwnResults {
    suite: "raw-instinct-timing",
    task: "frames",
    backbone: "all",
    router: "none",
    metric: "speed_up",
};

/// The rows for the claims of `timing.toml`. The largest speed-up of all frames, numbers of
/// crops and classifiers is the method "best".
fn runs(measured: &Measured) -> Runs {
    let best = with_frames(measured).max_by(|a, b| a.ratio().total_cmp(&b.ratio()));
    let named = measured.speed_ups.iter().map(|one| (one.name(), one));
    let all = named.chain(best.map(|one| ("best".to_string(), one)));
    let rows = all.flat_map(|(name, one)| {
        let of_block =
            move |(block, value): (usize, &f64)| RESULTS.row(name.clone(), block as u64, *value);
        one.blocks.iter().enumerate().map(of_block)
    });
    Runs::of(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Timing {
        Timing {
            folder: PathBuf::new(),
            frames: vec![0.05, 0.2],
            crops: vec![1, 8],
            repeats: 5,
            networks: vec!["small".into()],
            decode: None,
        }
    }

    /// The times depend on the machine, but the set of rows does not.
    #[test]
    fn all_files_are_made() {
        let files = files(&measure(&call().plan().unwrap(), |_| ()).unwrap());
        let read = |name: &str| files.iter().find(|file| file.0 == name).unwrap().1.clone();
        let speed_ups = read("speed-up.csv");
        for start in ["crop alone,1,small,", "0.05,1,small,", "0.2,8,small,"] {
            let line = speed_ups.lines().find(|line| line.starts_with(start)).unwrap();
            let numbers: Vec<f64> =
                line.split(',').skip(3).map(|number| number.parse().unwrap()).collect();
            let [_, rgb, raw, ratio] = numbers[..] else { panic!("{line}") };
            assert!(raw > 0.0 && (rgb / raw / ratio - 1.0).abs() < 1e-3, "{line}");
        }
        // Two frames with decode, balance, convert and four cuts; four classifications.
        assert_eq!(read("stages.csv").lines().count(), 1 + 2 * 7 + 4);
        assert!(read("crops.svg").contains("0.2 Mpx") && read("cost.svg").contains("8 crops"));
        // Five blocks of two frames with two numbers of crops, of the crop alone, and of the best.
        assert_eq!(read("runs.csv").lines().count(), 1 + 5 * 6);
    }

    #[test]
    fn another_decoder_takes_what_it_is_said_to_take() {
        let mut call = call();
        call.decode = Some(8.0);
        let measured = measure(&call.plan().unwrap(), |_| ()).unwrap();
        let decode = measured.stages.iter().find(|stage| stage.stage == "decode").unwrap();
        assert!((decode.seconds - 8e-9 * decode.units as f64).abs() < 1e-12);
    }

    #[test]
    fn bad_input_is_named() {
        let wrong = |change: fn(&mut Timing)| {
            let mut call = call();
            change(&mut call);
            call.plan().err().unwrap().to_string()
        };
        assert!(wrong(|c| c.frames = vec![0.0]).contains("--frames 0: must be from 0.01 to 400"));
        assert!(wrong(|c| c.frames = vec![f64::NAN]).contains("--frames NaN"));
        assert!(wrong(|c| c.crops = vec![0]).contains("--crops 0: must be from 1 to 1000000"));
        assert!(wrong(|c| c.repeats = 7).contains("--repeats 7: must be a multiple of 5"));
        assert!(wrong(|c| c.decode = Some(f64::NAN)).contains("--decode NaN: must be from 0"));
        let err = wrong(|c| c.networks = vec!["big".into()]);
        assert!(err.contains("--networks big: expected one of small, medium, MoE"), "{err}");
    }
}
