//! Segment memory: hidden states of earlier windows, for tasks whose windows continue each other. Row b of a
//! batch continues row b of the previous batch.
//!
//! No gradient flows into earlier windows. Their states were computed with the weights of earlier steps.
//!
//! Dai et al. *Transformer-XL: Attentive Language Models beyond a Fixed-Length Context*. ACL 2019.
//! <https://arxiv.org/abs/1901.02860>

use std::mem;

use backbones::{AnyBackbone, Cache};
use burn::prelude::*;
use distributed::Communicator;
use moe::{Input, Pass};
use tasks::Task;

use crate::parallel::{pack, unpack};

/// The hidden states of earlier windows, for each part of a step's examples.
#[derive(Clone, Default)]
pub(crate) struct SegmentMemory {
    on: bool,
    parts: Vec<Cache>,
}

impl SegmentMemory {
    /// An empty memory. Nothing is stored if the task is not a stream.
    pub(crate) fn over(task: &dyn Task) -> Self {
        Self { on: task.as_stream().is_some(), parts: Vec::new() }
    }

    /// Clears the memory, for streams that start again.
    pub(crate) fn forget(&mut self) {
        self.parts.clear();
    }

    /// Runs the network on a part's next windows.
    pub(crate) fn forward(
        &mut self,
        part: usize,
        model: &AnyBackbone,
        pass: &mut Pass,
        input: Input,
    ) -> Tensor<3> {
        if !self.on {
            return model.forward(pass, input);
        }
        if self.parts.len() <= part {
            self.parts.resize_with(part + 1, Cache::of_stream);
        }
        pass.put(mem::replace(&mut self.parts[part], Cache::of_stream()));
        let output = model.forward(pass, input);
        self.parts[part] = pass.take().unwrap_or_else(Cache::of_stream);
        output
    }

    /// The contents for a checkpoint, part by part: the number of layers, the three dimensions of each
    /// layer's inputs, then the inputs, all in little endian.
    pub(crate) fn bytes(&self) -> Vec<Vec<u8>> {
        let part = |cache: &Cache| {
            let inputs = cache.inputs();
            let [b, a, d] = inputs.first().map_or([0; 3], Tensor::dims);
            let head = [inputs.len(), b, a, d].map(|side| (side as u64).to_le_bytes());
            let numbers = inputs.into_iter().flat_map(|inputs| {
                inputs.into_data().iter::<f32>().flat_map(f32::to_le_bytes).collect::<Vec<_>>()
            });
            head.concat().into_iter().chain(numbers).collect()
        };
        self.parts.iter().map(part).collect()
    }

    /// The same if each process has the windows of its own parts: rank r of N has those of the parts r, N + r
    /// and so on.
    pub(crate) fn bytes_of_all(&self, world: &dyn Communicator) -> Vec<Vec<u8>> {
        let own = self.bytes();
        if world.size() == 1 || !self.on {
            return own;
        }
        let all = world.all_gather("windows before", &pack(&own));
        let all: Vec<Vec<Vec<u8>>> = all.iter().map(|bytes| unpack(bytes)).collect();
        let parts = all.iter().map(Vec::len).max().unwrap_or(0);
        (0..parts).map(|part| all[part % all.len()][part].clone()).collect()
    }

    /// Restores the memory of a checkpoint.
    pub(crate) fn read(self, parts: &[Vec<u8>], device: &Device) -> Result<Self, String> {
        let parts = parts.iter().map(|bytes| cache(bytes, device)).collect::<Option<_>>();
        let parts = parts.ok_or("the memory of the previous windows is incomplete")?;
        Ok(Self { parts, ..self })
    }
}

/// Parses a part; see [`SegmentMemory::bytes`].
fn cache(bytes: &[u8], device: &Device) -> Option<Cache> {
    let (head, numbers) = bytes.split_at_checked(32)?;
    let side = |at: usize| Some(u64::from_le_bytes(*head[8 * at..].first_chunk()?) as usize);
    let (layers, shape) = (side(0)?, [side(1)?, side(2)?, side(3)?]);
    let numbers: Vec<f32> =
        numbers.chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]])).collect();
    let size: usize = shape.iter().product();
    if numbers.len() != layers * size {
        return None;
    }
    let layer = |at: usize| {
        let numbers = numbers[at * size..(at + 1) * size].to_vec();
        Tensor::from_data(TensorData::new(numbers, shape), device)
    };
    Some(Cache::restored((0..layers).map(layer).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_can_be_written_down() {
        let device = Device::flex();
        let layer = |x: f32| Tensor::<3>::full([2, 3, 1], x, &device);
        let parts = vec![
            Cache::restored(vec![layer(0.1), layer(-2.5)]),
            Cache::of_stream(),
            Cache::restored(vec![layer(7.0)]),
        ];
        let memory = SegmentMemory { on: true, parts };
        let bytes = memory.bytes();
        let again = SegmentMemory::default().read(&bytes, &device).unwrap();
        assert_eq!(again.bytes(), bytes);
        let data = |memory: &SegmentMemory| memory.parts[0].inputs()[1].to_data();
        assert_eq!(data(&again), data(&memory));
        let cut = vec![bytes[0][..40].to_vec()];
        assert!(SegmentMemory::default().read(&cut, &device).is_err());
        assert!(SegmentMemory::default().read(&[vec![1, 2]], &device).is_err());
    }
}
