//! Pieces of halves: frames that count, with a margin on either side that gives context.

use burn::prelude::*;
use moe::{Domain, Input};

use super::games::{Game, Games};
use crate::{Batch, Split};

/// A piece of a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) game: usize,
    pub(crate) half: usize,
    /// The first frame that counts.
    pub(crate) start: usize,
}

/// All pieces of all games, by split, in the order of the games.
pub(crate) struct Chunks {
    pub(crate) splits: [Vec<Chunk>; 3],
    /// The number of frames that count.
    pub(crate) length: usize,
    /// The number of frames before and after them.
    pub(crate) margin: usize,
}

impl Chunks {
    pub(crate) fn new(games: &Games, length: usize, margin: usize) -> Self {
        let chunks = |games: &Vec<Game>| {
            let halves = games.iter().enumerate().flat_map(|(game, all)| {
                all.halves.iter().enumerate().map(move |(half, one)| (game, half, one.frames))
            });
            let pieces = halves.flat_map(|(game, half, frames)| {
                (0..frames).step_by(length).map(move |start| Chunk { game, half, start })
            });
            pieces.collect()
        };
        let [a, b, c] = &games.splits;
        Self { splits: [chunks(a), chunks(b), chunks(c)], length, margin }
    }

    /// Checks the sizes.
    pub(crate) fn check(length: usize, margin: usize) -> Result<(), String> {
        match (8..=100_000).contains(&length) && margin <= 100_000 {
            true => Ok(()),
            false => Err(format!(
                "chunk = {length}, margin = {margin}: a chunk must have at least 8 frames"
            )),
        }
    }

    /// Rows of an example.
    pub(crate) fn rows(&self) -> usize {
        self.length + 2 * self.margin
    }

    /// The frame of a row; rows outside of the half show its first or last frame.
    pub(crate) fn frame(&self, chunk: Chunk, row: usize, frames: usize) -> usize {
        (chunk.start + row).saturating_sub(self.margin).min(frames - 1)
    }

    /// The rows that count and are in the half, each with its frame.
    pub(crate) fn inner(
        &self,
        chunk: Chunk,
        frames: usize,
    ) -> impl Iterator<Item = (usize, usize)> {
        let count = self.length.min(frames - chunk.start);
        (0..count).map(move |at| (self.margin + at, chunk.start + at))
    }

    pub(crate) fn domain(&self, width: usize) -> Domain {
        Domain::Image { channels: 1, height: self.rows(), width }
    }

    /// The chunks of a split with these indices.
    pub(crate) fn of(&self, split: Split, examples: &[usize]) -> Vec<Chunk> {
        examples.iter().map(|example| self.splits[split as usize][*example]).collect()
    }

    /// Features and labels of some chunks; the labels are from a table by game, half and frame.
    pub(crate) fn batch(
        &self,
        games: &Games,
        split: Split,
        table: &[[Vec<usize>; 2]],
        chunks: &[Chunk],
        device: &Device,
    ) -> Batch {
        Batch::new(self.input(games, split, chunks, device), self.labels(table, chunks, device))
    }

    /// The features of some chunks, `[B, 1, rows, width]`.
    fn input(&self, games: &Games, split: Split, chunks: &[Chunk], device: &Device) -> Input {
        let (rows, width) = (self.rows(), games.width);
        let mut features = Vec::with_capacity(chunks.len() * rows * width);
        for chunk in chunks {
            let half = &games.splits[split as usize][chunk.game].halves[chunk.half];
            for row in 0..rows {
                let at = self.frame(*chunk, row, half.frames) * width;
                features.extend_from_slice(&half.features[at..at + width]);
            }
        }
        let features = TensorData::new(features, [chunks.len(), 1, rows, width]);
        Input::Image(Tensor::from_data(features, device))
    }

    /// One number for each row of some chunks, from a table by game, half and frame: `[B, rows]`.
    fn labels(
        &self,
        table: &[[Vec<usize>; 2]],
        chunks: &[Chunk],
        device: &Device,
    ) -> Tensor<2, Int> {
        let of = |chunk: &Chunk| {
            let (chunk, half) = (*chunk, &table[chunk.game][chunk.half]);
            (0..self.rows()).map(move |row| half[self.frame(chunk, row, half.len())] as i32)
        };
        let labels: Vec<i32> = chunks.iter().flat_map(of).collect();
        Tensor::from_data(TensorData::new(labels, [chunks.len(), self.rows()]), device)
    }

    /// Outputs of a split by game and half: for each frame the `columns` numbers of its row.
    pub(crate) fn join(
        &self,
        games: &[Game],
        chunks: &[Chunk],
        outputs: &[Vec<f32>],
        columns: usize,
    ) -> Vec<[Vec<f32>; 2]> {
        let of =
            |game: &Game| [0, 1].map(|half: usize| vec![0.0; game.halves[half].frames * columns]);
        let mut joined: Vec<[Vec<f32>; 2]> = games.iter().map(of).collect();
        for (chunk, output) in chunks.iter().zip(outputs) {
            let half = &mut joined[chunk.game][chunk.half];
            for (row, frame) in self.inner(*chunk, half.len() / columns) {
                half[frame * columns..(frame + 1) * columns]
                    .copy_from_slice(&output[row * columns..(row + 1) * columns]);
            }
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        DataDir,
        video::games_config::{GamesConfig, List},
    };

    fn games() -> Games {
        let config =
            GamesConfig { train: 1, valid: 1, test: 1, minutes: 2, width: 3, ..Default::default() };
        Games::load("t", &config, List::Actions, &["Labels-v2.json"], &DataDir::default()).unwrap()
    }

    #[test]
    fn every_frame_is_in_one_chunk_and_comes_back_where_it_was() {
        let games = games();
        let chunks = Chunks::new(&games, 100, 5);
        let (split, all) = (Split::Test, &chunks.splits[2]);
        assert_eq!(all.len(), 2 * 3, "240 frames a half");
        let Input::Image(rows) = chunks.input(&games, split, all, &Device::flex()) else {
            panic!()
        };
        assert_eq!(rows.dims(), [6, 1, 110, 3]);
        let rows: Vec<f32> = rows.into_data().iter::<f32>().collect();
        let outputs: Vec<Vec<f32>> = rows.chunks(110 * 3).map(<[f32]>::to_vec).collect();
        let joined = chunks.join(&games.splits[2], all, &outputs, 3);
        assert_eq!(joined[0][1], games.splits[2][0].halves[1].features);
        // Before the half is its first frame, after it its last one.
        assert_eq!(outputs[0][..15], outputs[0][15..18].repeat(5));
        let last = Chunk { game: 0, half: 0, start: 200 };
        assert_eq!([0, 5, 44, 109].map(|row| chunks.frame(last, row, 240)), [195, 200, 239, 239]);
        assert_eq!(chunks.inner(last, 240).count(), 40);
        let table = [[(0..240).collect(), vec![7; 240]]];
        let labels = chunks.labels(&table, &all[..1], &Device::flex());
        assert_eq!(
            labels.narrow(1, 104, 2).into_data().iter::<i32>().collect::<Vec<_>>(),
            [99, 100]
        );
    }
}
