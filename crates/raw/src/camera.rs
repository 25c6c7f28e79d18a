//! Files of cameras: uncompressed DNG by [`dng`], and with the feature `camera-files` all formats that
//! the crate rawloader knows (NEF, CR2, ARW, RAF, compressed DNG and others).
//!
//! The feature is off by default: rawloader's licence is LGPL-2.1.

use crate::{
    Error, Result,
    dng::{self, Dng},
};

/// The mosaic of a camera's file, and the parameters of its conversion.
///
/// # Errors
///
/// If the file is damaged, of an unknown format, or without a mosaic of 2 x 2 colours.
pub fn read(bytes: &[u8], file: &str) -> Result<Dng> {
    dng::read(bytes, file).or_else(|err| decode(bytes, file, err))
}

#[cfg(not(feature = "camera-files"))]
fn decode(_bytes: &[u8], _file: &str, Error { file, entry, problem }: Error) -> Result<Dng> {
    let feature = "other camera files need the feature camera-files";
    Err(Error { file, entry, problem: format!("{problem}; {feature}") })
}

#[cfg(feature = "camera-files")]
fn decode(bytes: &[u8], file: &str, err: Error) -> Result<Dng> {
    let fault = |problem: String| Error::file(file, problem);
    let decoded = rawloader::decode(&mut std::io::Cursor::new(bytes)).map_err(|other| {
        fault(format!(
            "not an uncompressed DNG file ({}), and rawloader cannot read it: {other}",
            err.problem
        ))
    })?;
    of_image(&decoded).map_err(fault)
}

/// A decoded image without its borders.
#[cfg(feature = "camera-files")]
fn of_image(image: &rawloader::RawImage) -> std::result::Result<Dng, String> {
    use crate::Mosaic;

    let rawloader::RawImageData::Integer(values) = &image.data else {
        return Err("the pixels are floating-point numbers; expected whole numbers".into());
    };
    if image.cpp != 1 {
        return Err(format!("{} numbers per pixel; expected 1", image.cpp));
    }
    let [top, right, bottom, left] = image.crops;
    let size = [image.height, image.width];
    let inner = [size[0].checked_sub(top + bottom), size[1].checked_sub(left + right)];
    let [Some(height), Some(width)] = inner else {
        return Err(format!("borders of {:?} pixels leave no part of {size:?}", image.crops));
    };
    let levels = [level("black", &image.blacklevels)?, level("white", &image.whitelevels)?];
    let whole =
        Mosaic::new([image.width, image.height], pattern(&image.cfa)?, levels, values.clone())?;
    let [red, green, blue, _] = image.wb_coeffs;
    let neutral = [green / red, 1.0, green / blue];
    if !neutral.iter().all(|x| x.is_finite() && *x > 0.0) {
        return Err(format!("no white balance: the factors are {:?}", image.wb_coeffs));
    }
    let mut matrix = [0.0; 9];
    matrix
        .iter_mut()
        .zip(image.xyz_to_cam[..3].iter().flatten())
        .for_each(|(to, from)| *to = *from);
    let mosaic = whole.crop([top, left], [height, width])?;
    Ok(Dng { mosaic, make: image.make.clone(), model: image.model.clone(), neutral, matrix })
}

/// The level, which must be the same for all colours.
#[cfg(feature = "camera-files")]
fn level(name: &str, levels: &[u16; 4]) -> std::result::Result<f32, String> {
    // A fourth colour may have no level of its own.
    match levels[..3].iter().all(|level| *level == levels[0]) {
        true => Ok(f32::from(levels[0])),
        false => Err(format!("{name} levels {levels:?}; expected equal ones")),
    }
}

/// The pattern of colours.
#[cfg(feature = "camera-files")]
fn pattern(cfa: &rawloader::CFA) -> std::result::Result<crate::Cfa, String> {
    use crate::{Cfa, Colour};

    let colour = |row, column| match cfa.color_at(row, column) {
        0 => Some(Colour::Red),
        1 => Some(Colour::Green),
        2 => Some(Colour::Blue),
        _ => None,
    };
    let at = [[0, 0], [0, 1], [1, 0], [1, 1]].map(|[row, column]| colour(row, column));
    let fits = |known: &Cfa| {
        let own = [[0, 0], [0, 1], [1, 0], [1, 1]].map(|[row, column]| Some(known.at(row, column)));
        own == at && cfa.width == 2 && cfa.height == 2
    };
    let found = Cfa::ALL.into_iter().find(fits);
    found.ok_or_else(|| format!("the pattern {}; expected one of 2 x 2 pixels", cfa.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cfa, Mosaic};

    fn dng() -> Dng {
        let values = (0..64 * 48).map(|i| (i * 21 % 60000) as u16).collect();
        Dng {
            mosaic: Mosaic::new([64, 48], Cfa::GRBG, [64.0, 65000.0], values).unwrap(),
            make: "MoeLab".into(),
            model: "Test".into(),
            neutral: [0.5, 1.0, 0.625],
            matrix: [0.8, -0.2, -0.05, -0.4, 1.2, 0.2, -0.05, 0.15, 0.6],
        }
    }

    #[test]
    fn an_uncompressed_file_is_read_with_and_without_the_feature() {
        assert_eq!(read(&dng::write(&dng()).unwrap(), "a.dng"), Ok(dng()));
    }

    #[test]
    #[cfg(not(feature = "camera-files"))]
    fn the_feature_is_named_where_it_is_needed() {
        let err = read(b"FUJIFILMCCD-RAW", "a.raf").unwrap_err().to_string();
        assert!(err.starts_with("a.raf: "), "{err}");
        assert!(err.ends_with("; other camera files need the feature camera-files"), "{err}");
    }

    #[test]
    #[cfg(feature = "camera-files")]
    fn rawloader_gives_the_mosaic_that_the_own_reader_gives() {
        let wanted = dng();
        let bytes = dng::write(&wanted).unwrap();
        let found = decode(&bytes, "a.dng", Error::file("a.dng", "")).unwrap();
        assert_eq!(found.mosaic, wanted.mosaic);
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3);
        assert!(near(&found.neutral, &wanted.neutral), "{:?}", found.neutral);
        assert!(near(&found.matrix, &wanted.matrix), "{:?}", found.matrix);
        let err = decode(b"no file of a camera", "a.raf", Error::file("a.raf", "")).unwrap_err();
        assert!(err.to_string().contains("and rawloader cannot read it"), "{err}");
    }
}
