//! Descriptors of the boxes of sequences, and the measures of the tracker that uses them.

use super::{
    association::{Descriptor, GALLERY, appearance_distance},
    measured::{TrackMeasures, measures},
    sequences::Clip,
    tracker::{Appearance, straight, track},
};

/// Descriptors of the boxes of each frame, by clip; none for a clip without frames.
pub(super) type Described = Vec<Option<Vec<Vec<Descriptor>>>>;

/// The use of descriptors, see [`Appearance`].
#[derive(Clone, Copy)]
pub(super) struct Use {
    pub(super) lambda: f64,
    pub(super) gate: f64,
    pub(super) memory: usize,
}

/// The descriptor with these values, scaled to length 1.
pub(super) fn of_length_1(values: &[f64]) -> Descriptor {
    let length = values.iter().map(|x| x.powi(2)).sum::<f64>().sqrt().max(1e-12);
    values.iter().map(|x| (x / length) as f32).collect()
}

/// The descriptors of all rows of clips with frames, one clip after the other, frame by frame.
pub(super) fn by_frame(clips: &[Clip], all: Vec<Descriptor>) -> Described {
    let mut all = all.into_iter();
    let of = |clip: &Clip| {
        clip.crops.as_ref()?;
        let own: Vec<Descriptor> = all.by_ref().take(clip.rows.len()).collect();
        let frame = |rows: Vec<usize>| rows.into_iter().map(|at| own[at].clone()).collect();
        Some(clip.by_frame().into_iter().map(frame).collect())
    };
    clips.iter().map(of).collect()
}

/// The distance that covers this share of the distances of boxes of these clips to earlier boxes of their
/// tracks.
pub(super) fn gate(clips: &[Clip], all: &[Descriptor], share: f64) -> f64 {
    let (mut tracks, mut first) = (Vec::new(), 0);
    for clip in clips.iter().filter(|clip| clip.crops.is_some()) {
        let own = |rows: Vec<usize>| rows.iter().map(|row| &*all[first + row]).collect();
        tracks.extend(clip.by_track().into_iter().map(own));
        first += clip.rows.len();
    }
    quantile(&tracks, share).unwrap_or(0.0)
}

/// The quantile of the distances, for tracks given as descriptors in order; none if there are no distances.
fn quantile(tracks: &[Vec<&[f32]>], share: f64) -> Option<f64> {
    let of_track = |track: &Vec<&[f32]>| -> Vec<f64> {
        let before = |at: usize| &track[at.saturating_sub(GALLERY)..at];
        (1..track.len()).filter_map(|at| appearance_distance(before(at), track[at])).collect()
    };
    let mut distances: Vec<f64> = tracks.iter().flat_map(of_track).collect();
    distances.sort_by(f64::total_cmp);
    let last = distances.len().checked_sub(1)?;
    Some(distances[(share * last as f64).round() as usize])
}

/// The measures of a tracker with motion and appearance.
pub(super) fn tracked(clips: &[Clip], of: &Described, how: Use) -> TrackMeasures {
    let Use { lambda, gate, memory } = how;
    let mut of = of.iter();
    measures(clips, &mut |clip| {
        let of = of.next().and_then(Option::as_ref);
        let appearance = of.map(|of| Appearance { of, lambda, gate, memory });
        track(&clip.boxes(), &mut straight, appearance)
    })
}

/// The measures of a tracker with motion alone.
pub(super) fn by_motion(clips: &[Clip]) -> TrackMeasures {
    measures(clips, &mut |clip| track(&clip.boxes(), &mut straight, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_holds_a_share_of_the_distances() {
        let (a, b): (&[f32], &[f32]) = (&[1.0, 0.0], &[0.0, 1.0]);
        let tracks = [vec![a, a, a], vec![b, b, a], vec![b]];
        assert_eq!((quantile(&tracks, 0.5), quantile(&tracks, 1.0)), (Some(0.0), Some(1.0)));
        assert_eq!(quantile(&[vec![a]], 0.95), None);
    }

    #[test]
    fn a_descriptor_has_length_1() {
        assert_eq!(of_length_1(&[3.0, 0.0, 4.0]), [0.6, 0.0, 0.8]);
        assert_eq!(of_length_1(&[0.0, 0.0]), [0.0, 0.0]);
    }
}
