//! The published pairs: a folder or a `.tar.gz` with
//! `RAW/CLASS/sample_CLASSCAPTURE_NUMBER.npy` (u16, rows and columns) and
//! `RGB/CLASS/sample_CLASSCAPTURE_NUMBER.png` of the same name and size.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;

use super::set::{CFA, LEVELS, Pairs};
use crate::{
    DataDir, DataError, Origin,
    data::{decode_image, most_unpacked},
};

const ORIGIN: Origin = Origin {
    set: "rice-raw",
    folders: &["rice-raw", ""],
    system: &[],
    get: "get Dataset/RAW and Dataset/RGB of https://github.com/viborgen/p7_final, as folders RAW and \
          RGB or as rice-raw.tar.gz of both",
};

/// The maximum size of a sample's file in bytes.
const MOST: u64 = 1 << 20;

/// Reads all pairs. Unless `rgb`, only the names of RGB images are examined.
pub(super) fn read(data: &DataDir, rgb: bool) -> Result<Pairs, DataError> {
    let place = data.locate(&ORIGIN, &["RAW", "rice-raw.tar.gz"])?;
    let (root, files) = match place.is_dir() {
        true => of_folder(data, place.parent().unwrap_or(&place))?,
        false => (place.clone(), of_archive(data, &place)?),
    };
    pairs(&root, files, rgb)
}

/// Files by their names within the set, `RAW/CLASS/sample....npy`.
type FileBytes = BTreeMap<String, Vec<u8>>;

fn of_folder(data: &DataDir, root: &Path) -> Result<(PathBuf, FileBytes), DataError> {
    let mut files = FileBytes::new();
    for part in ["RAW", "RGB"] {
        let read = data.read_tree(&ORIGIN, &root.join(part))?;
        files.extend(read.into_iter().map(|(name, bytes)| (format!("{part}/{name}"), bytes)));
    }
    Ok((root.to_path_buf(), files))
}

fn of_archive(data: &DataDir, path: &Path) -> Result<FileBytes, DataError> {
    let bytes = data.read_of(&ORIGIN, path)?;
    let wrong =
        |err: std::io::Error| ORIGIN.damaged(path, format!("not a valid .tar.gz archive: {err}"));
    let mut files = FileBytes::new();
    // Reading stops at this limit, so that a larger archive is cut off there.
    let most = most_unpacked(bytes.len() as u64);
    let mut archive = tar::Archive::new(GzDecoder::new(&bytes[..]).take(most));
    for entry in archive.entries().map_err(wrong)? {
        let mut entry = entry.map_err(wrong)?;
        let name = entry.path().map_err(wrong)?.to_string_lossy().to_string();
        let inside = ["RAW/", "RGB/"].iter().find_map(|part| Some(&name[name.find(part)?..]));
        let (Some(inside), true) = (inside, entry.header().entry_type().is_file()) else {
            continue;
        };
        if entry.size() > MOST {
            let problem =
                format!("{name}: {} bytes; the limit for a sample is {MOST}", entry.size());
            return Err(ORIGIN.damaged(path, problem));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(wrong)?;
        files.insert(inside.to_string(), content);
    }
    // Reads to the end, so that the checksum is compared.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(wrong)?;
    Ok(files)
}

/// Class, capture and number from `CLASS/sample_CLASSCAPTURE_NUMBER`.
fn parts(stem: &str) -> Option<[&str; 3]> {
    let (class, name) = stem.split_once('/')?;
    let (capture, number) = name.strip_prefix("sample_")?.strip_prefix(class)?.rsplit_once('_')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(capture) && digits(number) && !class.is_empty()).then_some([class, capture, number])
}

/// `CLASS/sample_CLASSCAPTURE_NUMBER` of all files of a part, or the name of a file with another form.
fn stems<'a>(
    files: &'a FileBytes,
    part: &str,
    end: &str,
) -> Result<BTreeSet<&'a str>, (&'a str, String)> {
    let of_part = files.keys().filter(|name| name.starts_with(part));
    let stem = |name: &'a String| {
        let stem = name[part.len()..].strip_suffix(end).filter(|stem| parts(stem).is_some());
        let expected = format!("expected {part}CLASS/sample_CLASSCAPTURE_NUMBER{end}");
        stem.ok_or((name.as_str(), expected))
    };
    of_part.map(stem).collect()
}

fn pairs(root: &Path, files: FileBytes, rgb: bool) -> Result<Pairs, DataError> {
    let damaged = |name: &str, problem: String| ORIGIN.damaged(&root.join(name), problem);
    let raws = stems(&files, "RAW/", ".npy").map_err(|(name, problem)| damaged(name, problem))?;
    let images = stems(&files, "RGB/", ".png").map_err(|(name, problem)| damaged(name, problem))?;
    if let Some(alone) = raws.difference(&images).next() {
        return Err(damaged(&format!("RAW/{alone}.npy"), format!("RGB/{alone}.png is missing")));
    }
    if let Some(alone) = images.difference(&raws).next() {
        return Err(damaged(&format!("RGB/{alone}.png"), format!("RAW/{alone}.npy is missing")));
    }
    let known: Vec<[&str; 3]> = raws.iter().filter_map(|stem| parts(stem)).collect();
    let classes: BTreeSet<&str> = known.iter().map(|[class, ..]| *class).collect();
    let captures: BTreeSet<[&str; 2]> =
        known.iter().map(|[c, capture, _]| [*c, *capture]).collect();
    let mut pairs = Pairs {
        classes: classes.iter().map(|class| class.to_string()).collect(),
        labels: Vec::new(),
        captures: Vec::new(),
        size: [0, 0],
        mosaics: Vec::new(),
        rgb: Vec::new(),
    };
    for (stem, [class, capture, _]) in raws.iter().zip(&known) {
        let name = format!("RAW/{stem}.npy");
        let path = root.join(&name).display().to_string();
        let mosaic = ::raw::npy_crop(&files[&name], &path, CFA, LEVELS)
            .map_err(|err| damaged(&name, err.problem))?;
        let size = [mosaic.height, mosaic.width];
        if pairs.size == [0, 0] {
            pairs.size = size;
        }
        if pairs.size != size {
            let ([h, w], [height, width]) = (size, pairs.size);
            let problem =
                format!("{h} x {w} pixels; expected {height} x {width}, as in the files before it");
            return Err(damaged(&name, problem));
        }
        pairs.mosaics.extend(mosaic.values);
        if rgb {
            let name = format!("RGB/{stem}.png");
            let planes = planes(&files[&name], size).map_err(|problem| damaged(&name, problem))?;
            pairs.rgb.extend(planes);
        }
        pairs.labels.push(classes.iter().position(|known| known == class).unwrap_or(0) as i32);
        let capture = captures.iter().position(|known| known == &[*class, *capture]);
        pairs.captures.push(capture.unwrap_or(0));
    }
    match pairs.len() {
        0 => Err(ORIGIN.damaged(root, "no RAW/CLASS/sample_CLASSCAPTURE_NUMBER.npy in it")),
        _ => Ok(pairs),
    }
}

/// The red, green and blue plane of a PNG file.
fn planes(png: &[u8], [height, width]: [usize; 2]) -> Result<Vec<u8>, String> {
    let image = decode_image(png, Some(image::ImageFormat::Png));
    let image = image.map_err(|err| err.to_string())?;
    let found = [image.height() as usize, image.width() as usize];
    if found != [height, width] {
        let [h, w] = found;
        return Err(format!("{h} x {w} pixels; expected {height} x {width}, as in its RAW file"));
    }
    let colour = image.color();
    if colour != image::ColorType::Rgb8 {
        return Err(format!("pixels are {colour:?}; expected Rgb8"));
    }
    let pixels = image.into_rgb8().into_raw();
    Ok((0..3).flat_map(|colour| pixels.iter().skip(colour).step_by(3).copied()).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::published;

    fn png(side: u32, value: u8) -> Vec<u8> {
        let mut file = std::io::Cursor::new(Vec::new());
        let image = image::RgbImage::from_fn(side, side, |x, y| [value, x as u8, y as u8].into());
        image::DynamicImage::from(image).write_to(&mut file, image::ImageFormat::Png).unwrap();
        file.into_inner()
    }

    /// Two classes with two captures each, of two samples.
    fn files() -> FileBytes {
        let mut files = FileBytes::new();
        for (c, class) in ["arborio", "brown"].into_iter().enumerate() {
            for (capture, number) in [("02398", 1), ("02398", 10), ("02399", 1), ("02399", 2)] {
                let stem = format!("{class}/sample_{class}{capture}_{number}");
                let values: Vec<u16> = (0..16).map(|at| 100 * c as u16 + at).collect();
                files.insert(format!("RAW/{stem}.npy"), npy::write_u16(&[4, 4], &values));
                files.insert(format!("RGB/{stem}.png"), png(4, c as u8 + 1));
            }
        }
        files
    }

    fn folder(files: &FileBytes) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join("rice-raw").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        folder
    }

    fn archive(files: &FileBytes) -> Vec<u8> {
        let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut archive = tar::Builder::new(encoder);
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, format!("Dataset/{name}"), &bytes[..]).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    fn of(folder: &Path) -> Result<Pairs, String> {
        let data = DataDir::new(Some(folder.into()));
        read(&data, true).map_err(|err| err.to_string())
    }

    #[test]
    fn folder_and_archive_give_the_same_pairs() {
        let unpacked = of(folder(&files()).path()).unwrap();
        let packed = tempfile::tempdir().unwrap();
        fs::write(packed.path().join("rice-raw.tar.gz"), archive(&files())).unwrap();
        let packed = of(packed.path()).unwrap();
        assert_eq!(unpacked.classes, ["arborio", "brown"]);
        assert_eq!(unpacked.labels, [0, 0, 0, 0, 1, 1, 1, 1]);
        assert_eq!(unpacked.captures, [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!((&unpacked.mosaics, &unpacked.rgb), (&packed.mosaics, &packed.rgb));
        assert_eq!(unpacked.mosaic(4).values[..2], [100, 101]);
        // Red is constant; green is the column, blue the row.
        let planes = unpacked.rgb(4);
        assert_eq!((planes[0], &planes[16..20], planes[47]), (2, &[0, 1, 2, 3][..], 3));
    }

    #[test]
    fn a_folder_has_two_digests_and_each_file_counts() {
        let digest = |files: &FileBytes| {
            let folder = folder(files);
            let data = DataDir::new(Some(folder.path().into()));
            read(&data, false).unwrap();
            data.digest()
        };
        let before = digest(&files());
        let names: Vec<&str> = before.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["rice-raw/RAW", "rice-raw/RGB"]);
        let mut other = files();
        other.insert("RGB/brown/sample_brown02399_2.png".into(), png(4, 9));
        assert_eq!(digest(&other).differences(&before), ["rice-raw/RGB"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_file() {
        let one = "arborio/sample_arborio02398_1";
        let err = |change: &dyn Fn(&mut FileBytes)| {
            let mut files = files();
            change(&mut files);
            of(folder(&files).path()).err().unwrap()
        };
        let (raw, rgb) = (format!("RAW/{one}.npy"), format!("RGB/{one}.png"));
        let put = |name: &str, bytes: Vec<u8>| {
            let name = name.to_string();
            err(&move |files: &mut FileBytes| drop(files.insert(name.clone(), bytes.clone())))
        };
        let found = err(&|files| drop(files.remove(&rgb)));
        assert!(found.contains(&format!("{raw}: {rgb} is missing; get Dataset/RAW")), "{found}");
        let found = err(&|files| drop(files.remove(&raw)));
        assert!(found.contains(&format!("{rgb}: {raw} is missing")), "{found}");
        let whole = npy::write_u16(&[4, 4], &[0; 16]);
        for (bytes, expected) in [
            (whole[..whole.len() - 5].to_vec(), "27 bytes of numbers; shape [4, 4] needs 32"),
            ([npy::start("<f4", &[4, 4]), vec![0; 64]].concat(), "are <f4; expected <u2"),
            (npy::write_u16(&[3, 4], &[0; 12]), "expected even numbers of rows and columns"),
            (npy::write_u16(&[4, 2], &[0; 8]), "4 x 4 pixels; expected 4 x 2, as in its RAW file"),
            (b"none".to_vec(), "not a .npy file"),
        ] {
            let found = put(&raw, bytes);
            assert!(found.contains(one) && found.contains(expected), "{found}");
        }
        let last = "RAW/brown/sample_brown02399_2.npy";
        let found = put(last, npy::write_u16(&[4, 2], &[0; 8]));
        let expected = format!("{last}: 4 x 2 pixels; expected 4 x 4, as in the files before it");
        assert!(found.contains(&expected), "{found}");
        let found = put(&rgb, png(6, 1));
        assert!(found.contains("6 x 6 pixels; expected 4 x 4, as in its RAW file"), "{found}");
        assert!(put(&rgb, b"none".to_vec()).contains(&format!("{rgb}: ")));
        let found = put("RAW/arborio/brown_1.npy", whole);
        assert!(found.contains("CLASS/sample_CLASSCAPTURE_NUMBER.npy"), "{found}");
    }

    #[test]
    fn a_damaged_archive_is_refused() {
        let whole = archive(&files());
        let folder = tempfile::tempdir().unwrap();
        for cut in [10, whole.len() / 2, whole.len() - 9] {
            fs::write(folder.path().join("rice-raw.tar.gz"), &whole[..cut]).unwrap();
            let err = of(folder.path()).err().unwrap();
            assert!(err.contains("rice-raw.tar.gz") && err.contains("not a valid"), "{cut}: {err}");
        }
        fs::write(folder.path().join("rice-raw.tar.gz"), archive(&FileBytes::new())).unwrap();
        assert!(of(folder.path()).err().unwrap().contains("no RAW/CLASS/sample"));
        let nothing = tempfile::tempdir().unwrap();
        let err = of(nothing.path()).err().unwrap();
        assert!(err.contains("rice-raw needs RAW or rice-raw.tar.gz"), "{err}");
    }

    #[test]
    #[ignore = "needs rice-raw.tar.gz in MOELAB_DATA"]
    fn the_published_pairs_have_the_pattern_the_shift_and_the_drift() {
        let pairs = read(&published(), true).unwrap();
        assert_eq!((pairs.classes.len(), pairs.size), (5, [40, 40]));
        let captures: BTreeSet<usize> = pairs.captures.iter().copied().collect();
        assert_eq!(captures.len(), 50);
        // The two greens are alike; red and blue are lower.
        let mut means = [0.0; 4];
        for mosaic in pairs.mosaics.chunks_exact(1600) {
            for (at, value) in mosaic.iter().enumerate() {
                means[at / 40 % 2 * 2 + at % 2] += f64::from(*value);
            }
        }
        let [g1, r, b, g2] = means.map(|sum| sum / (400 * pairs.len()) as f64);
        assert!((g1 / g2 - 1.0).abs() < 0.01 && r < 0.6 * g1 && b < 0.6 * g1, "{g1} {r} {b} {g2}");
        // The green plane of RGB against the greens of the mosaic, as it is and one row on.
        let correlation = |ahead: usize| {
            let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
            for sample in (0..pairs.len()).step_by(10) {
                let (mosaic, rgb) = (pairs.mosaic(sample), pairs.rgb(sample));
                let places = (0..39 * 40).filter(|at| CFA.at(at / 40, at % 40) as usize == 1);
                let pairs = places.map(|at| {
                    let x = f64::from(mosaic.normal(mosaic.values[at])).powf(0.45);
                    [x, f64::from(rgb[1600 + at + 40 * ahead])]
                });
                let pairs: Vec<[f64; 2]> = pairs.collect();
                let mean = |i: usize| pairs.iter().map(|p| p[i]).sum::<f64>() / pairs.len() as f64;
                let (mx, my) = (mean(0), mean(1));
                for [x, y] in pairs {
                    xy += (x - mx) * (y - my);
                    xx += (x - mx) * (x - mx);
                    yy += (y - my) * (y - my);
                }
            }
            xy / (xx * yy).sqrt()
        };
        let [here, ahead] = [0, 1].map(correlation);
        assert!(ahead > 0.95 && ahead > here + 0.01, "{here} {ahead}");
    }
}
