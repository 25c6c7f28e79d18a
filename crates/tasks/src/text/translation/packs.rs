//! Batching by tokens: sentences of similar lengths that are shown together.

/// Packs of sentences, given by their indices. A pack has sentences of similar lengths with at most `most`
/// tokens in total when padded to its longest source and longest target; at least one sentence. `lengths` are
/// the lengths of source and target. Every index is in one pack, in the order of the lengths.
pub(super) fn packs(lengths: &[[usize; 2]], most: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|number| lengths[*number]);
    let mut packs: Vec<Vec<usize>> = Vec::new();
    let mut longest = [0, 0];
    for number in order {
        let [source, target] = lengths[number];
        let both = [longest[0].max(source), longest[1].max(target)];
        match packs.last_mut() {
            Some(pack) if (pack.len() + 1) * (both[0] + both[1]) <= most => {
                pack.push(number);
                longest = both;
            }
            _ => {
                packs.push(vec![number]);
                longest = [source, target];
            }
        }
    }
    packs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_is_full_and_its_lengths_are_alike() {
        let lengths: Vec<[usize; 2]> = (0..200).map(|i| [3 + i * 7 % 11, 2 + i * 5 % 13]).collect();
        let packs = packs(&lengths, 60);
        let mut all: Vec<usize> = packs.concat();
        all.sort_unstable();
        assert_eq!(all, (0..200).collect::<Vec<_>>());
        let longest = |pack: &[usize], side: usize| {
            pack.iter().map(|number| lengths[*number][side]).max().unwrap()
        };
        for pack in &packs {
            assert!(pack.len() * (longest(pack, 0) + longest(pack, 1)) <= 60);
            let sources: Vec<usize> = pack.iter().map(|number| lengths[*number][0]).collect();
            assert!(sources[sources.len() - 1] - sources[0] <= 1, "{sources:?}");
        }
    }

    #[test]
    fn a_long_sentence_is_a_pack_of_its_own() {
        assert_eq!(packs(&[[5, 5], [50, 50], [5, 6]], 22), [vec![0, 2], vec![1]]);
        assert_eq!(packs(&[], 5), [[0; 0]; 0]);
    }
}
