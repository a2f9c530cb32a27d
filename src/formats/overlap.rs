//! Parts of a file that share bytes.

use std::ops::Range;

/// Pairs of neighbours, by where they begin, of which the second begins within the first. With an index each.
pub fn overlaps(mut ranges: Vec<(Range<u64>, usize)>) -> Vec<[(Range<u64>, usize); 2]> {
    ranges.sort_unstable_by_key(|(range, index)| (range.start, range.end, *index));
    let pairs = ranges.windows(2).filter(|pair| pair[1].0.start < pair[0].0.end);
    pairs.map(|pair| [pair[0].clone(), pair[1].clone()]).collect()
}
