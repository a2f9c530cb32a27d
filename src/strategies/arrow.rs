//! `arrow`: by the direction of input that the expert changes most, for every token and layer. It needs nothing but the
//! experts; their prototypes follow from them.
//!
//! ```text
//! v_z     = the top right-singular vector of B_z A_z, of length 1
//! score_z = |u · v_z|         T = the k best         w = softmax of the scores over T
//! ```
//!
//! u is the raw input. Source: Ostapenko et al., "Towards Modular LLMs by Building and Re-using a Library of LoRAs", ICML
//! 2024, section 4.2. As in PEFT (`tuners/lora/arrow.py`): temperature 1, the k best, and outputs are mixed; mttl mixes A and
//! B apart, over all experts. The prototypes are made by `gander catalog vectors`.

use super::{Count, Definition, Vectors};
use crate::kernels::score::Rule;

/// What it is made of.
pub const DEFINITION: Definition =
    Definition { vectors: Vectors::Prototypes, rule: Rule::Absolute, count: Count::K, opens: false };

/// Steps of the power iteration: the error shrinks by the square of the ratio of the first two singular values in each.
const STEPS: usize = 500;

/// The top right-singular vector of B A, of length 1; zeros if B A is zero. `a`: (rank, d_in), `b`: (d_out, rank).
///
/// B A = B̂ R A with orthonormal columns of B̂ and Rᵀ R = Bᵀ B, so the power iteration is on the small matrix
/// `(A Aᵀ) (Bᵀ B)` (rank, rank) instead of `Aᵀ Bᵀ B A` (d_in, d_in): `v = Aᵀ c` with `c` its top eigenvector.
pub fn prototype(a: &[f32], b: &[f32], rank: usize) -> Vec<f32> {
    let d_in = a.len() / rank;
    let row = |i: usize| &a[i * d_in..][..d_in];
    let a_a: Vec<f64> =
        pairs(rank, |i, j| row(i).iter().zip(row(j)).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum());
    let b_b: Vec<f64> =
        pairs(rank, |i, j| b.chunks_exact(rank).map(|row| f64::from(row[i]) * f64::from(row[j])).sum());
    // c ↦ Bᵀ B A Aᵀ c, since Aᵀ Bᵀ B A Aᵀ c = Aᵀ (Bᵀ B A Aᵀ c).
    let mut c: Vec<f64> = (0..rank).map(|i| b_b[i * rank + i].sqrt()).collect();
    for _ in 0..STEPS {
        c = times(&b_b, &times(&a_a, &c));
        let length = c.iter().map(|c| c * c).sum::<f64>().sqrt();
        if length == 0.0 {
            return vec![0.0; d_in];
        }
        c.iter_mut().for_each(|c| *c /= length);
    }
    let v: Vec<f64> =
        (0..d_in).map(|column| (0..rank).map(|i| f64::from(row(i)[column]) * c[i]).sum()).collect();
    let length = v.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    v.into_iter().map(|v| (v / length) as f32).collect()
}

fn pairs(rank: usize, product: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    (0..rank * rank).map(|at| product(at / rank, at % rank)).collect()
}

fn times(matrix: &[f64], vector: &[f64]) -> Vec<f64> {
    let row = |row: &[f64]| row.iter().zip(vector).map(|(x, y)| x * y).sum();
    matrix.chunks_exact(vector.len()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prototype_is_the_direction_that_b_a_stretches_most() {
        let mut random = fastrand::Rng::with_seed(7);
        for (rank, d_in, d_out) in [(1, 5, 3), (4, 12, 9), (8, 8, 20), (6, 4, 3)] {
            let mut floats = |count: usize| (0..count).map(|_| random.f32() - 0.5).collect::<Vec<_>>();
            let (a, b) = (floats(rank * d_in), floats(d_out * rank));
            let stretch = |v: &[f32]| {
                let t: Vec<f64> = a
                    .chunks_exact(d_in)
                    .map(|a| a.iter().zip(v).map(|(a, v)| f64::from(a * v)).sum())
                    .collect();
                b.chunks_exact(rank)
                    .map(|b| b.iter().zip(&t).map(|(b, t)| f64::from(*b) * t).sum::<f64>().powi(2))
                    .sum::<f64>()
                    .sqrt()
            };
            let v = prototype(&a, &b, rank);
            assert!((v.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
            let best = stretch(&v);
            for _ in 0..500 {
                let near: Vec<f32> = v.iter().map(|v| v + 0.05 * (random.f32() - 0.5)).collect();
                let length = near.iter().map(|v| v * v).sum::<f32>().sqrt();
                let near: Vec<f32> = near.iter().map(|v| v / length).collect();
                assert!(stretch(&near) <= best * (1.0 + 1e-6), "{rank} {d_in} {d_out}");
            }
        }
        assert_eq!(prototype(&[1.0; 4], &[0.0; 2], 1), [0.0; 4]);
    }
}
