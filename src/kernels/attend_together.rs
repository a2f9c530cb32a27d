//! The attention of many queries, on the CPU: a few of them at a time, by a few keys or columns of values at a time, so that all
//! sums of a tile stay in registers and nothing is added across a vector.

use crate::kernels::attend::{KeysAndValues, PositionBias};
use crate::kernels::softmax;
use crate::processor::Processor;
use crate::recording::Argument;

/// Queries of a tile.
pub(crate) const QUERIES: usize = 4;

/// All queries of `q`, whose columns begin at `column`. `LANES` keys or columns of values are computed side by side; the bits do
/// not depend on it.
#[inline(always)]
pub(crate) fn attend_together<const LANES: usize>(
    q: &Argument,
    column: usize,
    keys: &KeysAndValues,
    bias: &PositionBias,
    processor: Processor,
    room: &mut Vec<f32>,
    out: &mut Argument,
) {
    let (first, queries, inner) = (q.first_row, q.rows, out.cols);
    let heads = bias.heads;
    let d_kv = inner / heads;
    let count = keys.count();
    let [padded, width] = [count, d_kv].map(|length| length.next_multiple_of(LANES));
    // Of the last query for all keys; that of an earlier query begins as many places further on.
    let distances = if bias.is_there() { queries + count - 1 } else { 0 };
    room.clear();
    room.resize(padded * d_kv + count * width + QUERIES * padded + distances, 0.0);
    let (k_panels, rest) = room.split_at_mut(padded * d_kv);
    let (v_panels, rest) = rest.split_at_mut(count * width);
    let (scores, bias_by_distance) = rest.split_at_mut(QUERIES * padded);

    let (q, q_cols) = (q.as_slice::<f32>(), q.cols);
    let out = out.as_mut_slice::<f32>();
    for head in 0..heads {
        let begin = head * d_kv;
        turn_keys::<LANES>(keys, begin, d_kv, k_panels);
        cut_values::<LANES>(keys, begin, d_kv, v_panels);
        let last = first + queries - 1;
        bias_by_distance.iter_mut().enumerate().for_each(|(j, spread)| *spread = bias.of(head, last, j));
        for tile in (0..queries).step_by(QUERIES) {
            // Where the last tile has fewer, its last query is there several times.
            let places: [usize; QUERIES] = std::array::from_fn(|index| (tile + index).min(queries - 1));
            let rows = places.map(|place| &q[place * q_cols + column + begin..][..d_kv]);
            // Not divided by sqrt(d_kv): T5's initialisation accounts for it.
            for (index, panel) in k_panels.chunks_exact(LANES * d_kv).enumerate() {
                for (row, sums) in processor.products::<LANES>(rows, panel).iter().enumerate() {
                    scores[row * padded + index * LANES..][..LANES].copy_from_slice(sums);
                }
            }
            for (scores, place) in scores.chunks_exact_mut(padded).zip(places) {
                let scores = &mut scores[..count];
                if distances > 0 {
                    let bias = &bias_by_distance[queries - 1 - place..];
                    scores.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
                }
                softmax(scores);
            }
            let probabilities = std::array::from_fn(|row| &scores[row * padded..][..count]);
            for (index, panel) in v_panels.chunks_exact(LANES * count).enumerate() {
                let columns = index * LANES..d_kv.min((index + 1) * LANES);
                for (sums, place) in processor.products::<LANES>(probabilities, panel).iter().zip(places) {
                    out[place * inner + begin..][columns.clone()].copy_from_slice(&sums[..columns.len()]);
                }
            }
        }
    }
}

/// `sums[row][lane] = Σ_i rows[row][i] panel[i][lane]`, in the order of i.
#[inline(always)]
pub(crate) fn products<const LANES: usize>(
    rows: [&[f32]; QUERIES],
    panel: &[f32],
) -> [[f32; LANES]; QUERIES] {
    let [mut first, mut second, mut third, mut fourth] = [[0.0; LANES]; QUERIES];
    let [a, b, c, d] = rows;
    for ((((line, a), b), c), d) in panel.as_chunks::<LANES>().0.iter().zip(a).zip(b).zip(c).zip(d) {
        first = std::array::from_fn(|lane| first[lane] + a * line[lane]);
        second = std::array::from_fn(|lane| second[lane] + b * line[lane]);
        third = std::array::from_fn(|lane| third[lane] + c * line[lane]);
        fourth = std::array::from_fn(|lane| fourth[lane] + d * line[lane]);
    }
    [first, second, third, fourth]
}

/// Panels (d_kv, LANES) of keys, one after the other; places behind the last key keep what they have.
#[inline(always)]
fn turn_keys<const LANES: usize>(keys: &KeysAndValues, begin: usize, d_kv: usize, panels: &mut [f32]) {
    let rows = keys.floats.chunks_exact(keys.cols);
    for (index, row) in rows.enumerate() {
        let panel = &mut panels[index / LANES * LANES * d_kv..][..LANES * d_kv];
        let (lines, _) = panel.as_chunks_mut::<LANES>();
        for (line, value) in lines.iter_mut().zip(&row[keys.k + begin..]) {
            line[index % LANES] = *value;
        }
    }
}

/// Panels (keys, LANES) of columns of values; columns behind the last keep what they have.
#[inline(always)]
fn cut_values<const LANES: usize>(keys: &KeysAndValues, begin: usize, d_kv: usize, panels: &mut [f32]) {
    let count = keys.count();
    for (index, row) in keys.floats.chunks_exact(keys.cols).enumerate() {
        let row = &row[keys.v + begin..][..d_kv];
        for (panel, columns) in panels.chunks_exact_mut(LANES * count).zip(row.chunks(LANES)) {
            panel[index * LANES..][..columns.len()].copy_from_slice(columns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::QUERIES;
    use crate::processor::Processor;

    fn check<const LANES: usize>(processor: Processor, count: usize) {
        let mut random = fastrand::Rng::with_seed(count as u64);
        let mut floats = |count| (0..count).map(|_| random.f32() - 0.5).collect::<Vec<_>>();
        // One more than there are lines: what is behind them is not looked at.
        let (rows, panel) = (floats(QUERIES * (count + 1)), floats(count * LANES));
        let rows = std::array::from_fn(|row| &rows[row * (count + 1)..][..count + 1]);
        let sums = processor.products::<LANES>(rows, &panel);
        for (row, sums) in rows.iter().zip(&sums) {
            for (lane, sum) in sums.iter().enumerate() {
                let expected =
                    (0..count).fold(0.0, |sum, index| sum + row[index] * panel[index * LANES + lane]);
                assert_eq!(
                    sum.to_bits(),
                    expected.to_bits(),
                    "{processor:?}, {LANES} lanes, {count}, {lane}"
                );
            }
        }
    }

    #[test]
    fn products_of_every_processor_and_width_are_the_same() {
        for processor in Processor::all() {
            for count in [0, 1, 7, 64, 129] {
                check::<8>(processor, count);
                check::<16>(processor, count);
                check::<32>(processor, count);
            }
        }
    }
}
