//! Comparison with LibRaw, by scripts/golden/raw_libraw.py.

use raw::{Cfa, Gamma, Isp, Method, Mosaic, interpolate};
use serde_json::Value;

fn numbers<T>(value: &Value, of: fn(f64) -> T) -> Vec<T> {
    value.as_array().unwrap().iter().map(|number| of(number.as_f64().unwrap())).collect()
}

struct Case {
    mosaic: Mosaic,
    isp: Isp,
    linear: Vec<f32>,
    codes: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let text = include_str!("golden/libraw.json");
    let cases: Vec<Value> = serde_json::from_str(text).unwrap();
    let case = |case: &Value| {
        let number = |key: &str| case[key].as_f64().unwrap();
        let pattern = case["pattern"].as_str().unwrap();
        let cfa = Cfa::ALL.into_iter().find(|cfa| cfa.to_string() == pattern).unwrap();
        let size = [number("width") as usize, number("height") as usize];
        let levels = [number("black") as f32, number("white") as f32];
        let values = numbers(&case["values"], |x| x as u16);
        Case {
            mosaic: Mosaic::new(size, cfa, levels, values).unwrap(),
            isp: Isp {
                neutral: numbers(&case["neutral"], |x| x as f32).try_into().unwrap(),
                matrix: Some(numbers(&case["matrix"], |x| x as f32).try_into().unwrap()),
                method: Method::Bilinear,
                gamma: Gamma::Bt709,
            },
            linear: numbers(&case["linear"], |x| x as f32),
            codes: numbers(&case["codes"], |x| x as u8),
        }
    };
    cases.iter().map(case).collect()
}

#[test]
fn codes_are_within_one_of_libraws() {
    let (mut sum, mut count) = (0, 0);
    for case in cases() {
        let codes = case.isp.develop(&case.mosaic).unwrap();
        let gaps = codes.iter().zip(&case.codes).map(|(a, b)| a.abs_diff(*b));
        assert!(gaps.clone().all(|gap| gap <= 1), "{}", gaps.max().unwrap_or(0));
        sum += gaps.map(usize::from).sum::<usize>();
        count += codes.len();
    }
    // LibRaw truncates, so half of the codes are one less.
    assert!(count == 6 * 24 * 28 * 3 && sum * 10 < count * 6, "{sum} of {count}");
}

/// Compares values before the conversion of colours and the curve, in parts of 65,535, with the border.
#[test]
fn interpolation_is_within_two_parts_of_65535() {
    for case in cases() {
        let mosaic = &case.mosaic;
        let light: Vec<f32> = mosaic.values.iter().map(|value| mosaic.normal(*value)).collect();
        let size = [mosaic.height, mosaic.width];
        let pixels = interpolate(&light, size, mosaic.cfa, Method::Bilinear);
        let gaps =
            pixels.as_flattened().iter().zip(&case.linear).map(|(a, b)| (65535.0 * a - b).abs());
        let most = gaps.fold(0.0, f32::max);
        assert!(most < 2.0, "{most}");
    }
}

/// In the other order, interpolation before clipping, overexposed pixels are far off.
#[test]
fn the_place_of_the_clip_matters() {
    let case = &cases()[1];
    let multipliers = case.isp.multipliers().unwrap();
    let bright = case.mosaic.values.iter().enumerate().filter(|(at, value)| {
        let colour = case.mosaic.cfa.at(at / 28, at % 28) as usize;
        case.mosaic.normal(**value) * multipliers[colour] > 1.0
    });
    assert!(bright.count() > 100, "the case has pixels with too much light");
}
