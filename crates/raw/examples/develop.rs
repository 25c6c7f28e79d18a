//! `develop IN.dng OUT`: converts a DNG file to codes, three bytes per pixel.

use std::{env, error::Error, fs};

use raw::{Isp, dng};

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = env::args().skip(1).collect();
    let [from, to] = &paths[..] else { return Err("usage: develop IN.dng OUT".into()) };
    let dng = dng::read(&fs::read(from)?, from)?;
    let isp = Isp { neutral: dng.neutral, matrix: Some(dng.matrix), ..Isp::PLAIN };
    fs::write(to, isp.develop(&dng.mosaic)?)?;
    Ok(())
}
