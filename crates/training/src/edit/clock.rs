//! What workers get done in a time, with stragglers among them: a clock, no training.
//!
//! Workers that step together wait for the slowest one at each step. Workers that meet every so many
//! steps wait for the one that is slowest over the round, so that chance delays even out. Workers that
//! meet after some time (A-EDiT) wait for nobody longer than a step: who is fast does more steps.

/// When workers meet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rhythm {
    /// After every step.
    Together,
    /// After this many steps.
    Steps(usize),
    /// After this many seconds: each ends the step that it is at.
    Seconds(f64),
}

/// The steps of all workers together in the rounds that end within `time` seconds.
///
/// `durations[k]` are the seconds that the steps of worker k take, from the first one on, again and
/// again; a meeting takes `meeting` seconds.
///
/// # Panics
/// If a worker has no durations, or one that is not above 0.
pub fn pace(durations: &[Vec<f64>], rhythm: Rhythm, meeting: f64, time: f64) -> usize {
    let valid = |worker: &Vec<f64>| !worker.is_empty() && worker.iter().all(|d| *d > 0.0);
    assert!(durations.iter().all(valid), "every worker's steps take some time");
    let mut done = vec![0; durations.len()];
    let (mut clock, mut counted) = (0.0, 0);
    if durations.is_empty() {
        return 0;
    }
    loop {
        let mut longest = 0.0_f64;
        for (steps, durations) in done.iter_mut().zip(durations) {
            let mut spent = 0.0;
            let mut here = 0;
            while goes_on(rhythm, here, spent) {
                spent += durations[*steps % durations.len()];
                *steps += 1;
                here += 1;
            }
            longest = longest.max(spent);
        }
        clock += longest + meeting;
        if clock > time {
            return counted;
        }
        counted = done.iter().sum();
    }
}

/// Does a worker do another step before it meets the others? It does at least one.
fn goes_on(rhythm: Rhythm, steps: usize, spent: f64) -> bool {
    steps == 0
        || match rhythm {
            Rhythm::Together => false,
            Rhythm::Steps(wanted) => steps < wanted,
            Rhythm::Seconds(wanted) => spent < wanted,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_worker_by_hand() {
        // Steps of 1 s and of 2 s, 24 s, meetings of 1 s.
        let durations = [vec![1.0], vec![2.0]];
        let steps = |rhythm| pace(&durations, rhythm, 1.0, 24.0);
        // 3 s a step: 8 steps of both.
        assert_eq!(steps(Rhythm::Together), 16);
        // 4 * 2 + 1 = 9 s a round of 4 steps: 2 rounds of both.
        assert_eq!(steps(Rhythm::Steps(4)), 16);
        // 7 + 1 s a round: 7 steps of the fast one; 4 of the slow one, which ends at 8 s: 9 s a round.
        assert_eq!(steps(Rhythm::Seconds(7.0)), 22);
        // 8 + 1 s a round, 8 and 4 steps.
        assert_eq!(steps(Rhythm::Seconds(8.0)), 24);
        assert_eq!(pace(&durations, Rhythm::Together, 1.0, 2.9), 0);
    }

    #[test]
    fn delays_that_come_in_turns_even_out() {
        // Every other step takes 3 s in the place of 1 s, never of both workers at once.
        let durations = [vec![1.0, 3.0], vec![3.0, 1.0]];
        let steps = |rhythm| pace(&durations, rhythm, 0.0, 24.0);
        assert_eq!(steps(Rhythm::Together), 16); // 3 s a step
        assert_eq!(steps(Rhythm::Steps(2)), 24); // 4 s for two steps
        assert_eq!(steps(Rhythm::Seconds(4.0)), 24);
    }

    #[test]
    fn equal_workers_gain_only_the_meetings() {
        let durations = vec![vec![1.0]; 4];
        assert_eq!(pace(&durations, Rhythm::Together, 0.5, 12.0), 4 * 8);
        assert_eq!(pace(&durations, Rhythm::Steps(5), 0.5, 11.0), 4 * 10);
        assert_eq!(pace(&durations, Rhythm::Seconds(5.0), 0.5, 11.0), 4 * 10);
        assert_eq!(pace(&[], Rhythm::Together, 0.5, 12.0), 0);
    }
}
