//! Drawn football players: their clothes, and the colour at each place of a figure. Players of a team share
//! shirt and shorts; number, hair, skin, boots and build are individual.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Shirt and shorts of a team.
#[derive(Clone, Copy)]
pub(super) struct Team([[f32; 3]; 2]);

/// The colours and proportions of a player. Colours are red, green and blue from 0 to 1.
#[derive(Clone)]
pub(super) struct Figure {
    shirt: [f32; 3],
    shorts: [f32; 3],
    skin: [f32; 3],
    hair: [f32; 3],
    boots: [f32; 3],
    number: usize,
    build: f32,
}

fn colour(rng: &mut ChaCha8Rng) -> [f32; 3] {
    [(); 3].map(|()| rng.random_range(0.1..0.95))
}

impl Team {
    pub(super) fn random(rng: &mut ChaCha8Rng) -> Self {
        Self([colour(rng), colour(rng)])
    }
}

impl Figure {
    /// A player of a team.
    pub(super) fn random(Team([shirt, shorts]): Team, rng: &mut ChaCha8Rng) -> Self {
        let tone = rng.random_range(0.35..0.9);
        Self {
            shirt,
            shorts,
            skin: [tone, 0.75 * tone, 0.6 * tone],
            hair: [rng.random_range(0.05..0.7), rng.random_range(0.05..0.5), 0.1],
            boots: colour(rng),
            number: rng.random_range(1..100),
            build: rng.random_range(0.85..1.1),
        }
    }
}

/// The seven bars of each digit: top, upper left and right, middle, lower left and right, bottom.
const BARS: [[bool; 7]; 10] = {
    const X: bool = true;
    const O: bool = false;
    [
        [X, X, X, O, X, X, X],
        [O, O, X, O, O, X, O],
        [X, O, X, X, X, O, X],
        [X, O, X, X, O, X, X],
        [O, X, X, X, O, X, O],
        [X, X, O, X, O, X, X],
        [X, X, O, X, X, X, X],
        [X, O, X, O, O, X, O],
        [X, X, X, X, X, X, X],
        [X, X, X, X, O, X, X],
    ]
};

/// Whether a digit is drawn at a place of its box, both from 0 to 1.
fn on_digit(digit: usize, x: f32, y: f32) -> bool {
    let bars = BARS[digit];
    let (left, right) = (x < 0.35, x > 0.65);
    (bars[0] && y < 0.2)
        || (bars[3] && (0.4..0.6).contains(&y))
        || (bars[6] && y > 0.8)
        || (y < 0.5 && ((bars[1] && left) || (bars[2] && right)))
        || (y > 0.5 && ((bars[4] && left) || (bars[5] && right)))
}

/// The colour at a place of the figure, with x from -1 to 1 and y from 0 to 1 downwards; none beside the
/// figure.
pub(super) fn part(figure: &Figure, x: f32, y: f32, stride: f32) -> Option<[f32; 3]> {
    let across = x.abs();
    match y {
        _ if y < 0.05 => None,
        _ if y < 0.11 => (across < 0.18).then_some(figure.hair),
        _ if y < 0.2 => (across < 0.17).then_some(figure.skin),
        _ if y < 0.52 => {
            let digit = |of: usize, from: f32| {
                let (dx, dy) = ((x - from) / 0.24, (y - 0.26) / 0.2);
                (0.0..1.0).contains(&dx) && (0.0..1.0).contains(&dy) && on_digit(of, dx, dy)
            };
            let bright = figure.shirt.iter().sum::<f32>() > 1.5;
            let ink = if bright { [0.05; 3] } else { [0.95; 3] };
            match () {
                () if digit(figure.number / 10, -0.28) || digit(figure.number % 10, 0.04) => {
                    Some(ink)
                }
                () if across < 0.42 * figure.build => Some(figure.shirt),
                () if across < 0.58 * figure.build && y < 0.45 => Some(figure.skin),
                () => None,
            }
        }
        _ if y < 0.68 => (across < 0.36 * figure.build).then_some(figure.shorts),
        _ => {
            let leg = (across - 0.18 - stride * (y - 0.68)).abs() < 0.12;
            let colour = if y < 0.88 { figure.skin } else { figure.boots };
            (leg && y < 0.97).then_some(colour)
        }
    }
}

/// A random factor for all colours of a view.
pub(super) fn light(rng: &mut ChaCha8Rng) -> f32 {
    rng.random_range(0.7..1.15)
}

/// A random distance of the feet in a view.
pub(super) fn stride(rng: &mut ChaCha8Rng) -> f32 {
    rng.random_range(0.0..0.5)
}

/// A pixel of a colour in some light, with noise.
pub(super) fn pixel(colour: [f32; 3], light: f32, rng: &mut ChaCha8Rng) -> [u8; 3] {
    colour.map(|value| {
        let noise: f32 = rng.sample(StandardNormal);
        ((value * light + 0.05 * noise).clamp(0.0, 1.0) * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_have_their_bars() {
        assert!(on_digit(8, 0.5, 0.5) && !on_digit(0, 0.5, 0.5) && !on_digit(1, 0.1, 0.3));
    }
}
