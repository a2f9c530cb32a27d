//! Products of packed weights: every way that this processor has, against plain code bit for bit, and plain code against the
//! definition.

#[path = "kernels/numbers.rs"]
#[allow(dead_code, reason = "the table of kernels uses all of it")]
mod numbers;

use fastrand::Rng;
use gander::panels::{Activations, Bits, Factor, Panels, ROWS, pack};
use gander::processor::Processor;
use gander::quant::{Matrix, Values};
use numbers::{Fill, Format, element};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

const FORMATS: [(Format, Bits); 2] = [(Format::Q8_0, Bits::Eight), (Format::Q4_0, Bits::Four)];

fn multiply(panels: &Panels, floats: &[f32], rows: usize, processor: Processor) -> Vec<f32> {
    let mut activations = Activations::default();
    activations.quantise(floats, panels.cols, processor);
    let mut y = vec![f32::NAN; activations.tokens() * rows];
    panels.multiply(&activations, processor, &mut Vec::new(), |token, row, sums| {
        let last = rows.min(row + ROWS);
        y[token * rows..][row..last].copy_from_slice(&sums[..last - row]);
    });
    y
}

fn plain() -> Processor {
    Processor::all().next().unwrap()
}

/// Calls `check` with awkward sizes: a matrix, its panels, and floats of some tokens.
fn each_product(mut check: impl FnMut(&Matrix, &Panels, &[f32])) {
    let mut random = Rng::with_seed(7);
    for (format, bits) in FORMATS {
        for cols in [32, 64, 96, 384, 1024] {
            for rows in [1, 15, 16, 17, 40] {
                let matrix = format.matrix(&mut random, rows, cols);
                let bytes = pack(&[&matrix], bits);
                let panels = Panels { bytes: &bytes, cols, bits };
                for tokens in [1, 2, 3, 7, 8, 13] {
                    let mut floats = Fill::Random(3.0).floats(&mut random, tokens * cols);
                    // An outlier.
                    floats[cols / 2] = -1e4;
                    check(&matrix, &panels, &floats);
                }
            }
        }
    }
}

#[test]
fn the_product_is_that_of_the_rounded_activations() {
    each_product(|matrix, panels, floats| {
        let found = multiply(panels, floats, matrix.rows, plain());
        let mut activations = Activations::default();
        activations.quantise(floats, matrix.cols, plain());
        for (token, found) in found.chunks_exact(matrix.rows).enumerate() {
            for (row, found) in found.iter().enumerate() {
                let (mut expected, mut size) = (0.0, 0.0);
                for (index, block) in activations.token(token).iter().enumerate() {
                    let quants: [i16; 32] = bytemuck::cast(block.words);
                    for (place, quant) in quants.iter().enumerate() {
                        let weight = element(matrix, row, index * 32 + place);
                        let term = weight * f64::from(*quant) * f64::from(block.scale);
                        expected += term;
                        size += term.abs();
                    }
                }
                let error = (f64::from(*found) - expected).abs();
                assert!(error <= 1e-6 * size, "row {row}, token {token}: {found}, expected {expected}");
            }
        }
    });
}

#[test]
fn every_processor_gives_the_same_bits() {
    let others = Processor::all().skip(1);
    let known = cfg!(any(target_arch = "wasm32", target_arch = "aarch64"));
    assert!(others.count() > 0 || !known, "only plain code runs here");
    each_product(|matrix, panels, floats| {
        let expected = multiply(panels, floats, matrix.rows, plain());
        for processor in Processor::all() {
            let found = multiply(panels, floats, matrix.rows, processor);
            let same = expected.iter().zip(&found).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{processor:?}, {} × {}, {} values", matrix.rows, matrix.cols, found.len());
        }
    });
}

/// Nothing saturates: the largest weights, −128 among them, by the largest activations of both signs.
#[test]
fn extreme_numbers_are_exact() {
    let quants: Vec<i8> = (0..16 * 32).map(|at| [127, -128, 127, -128, -127][at / 32 % 5]).collect();
    let matrix = Matrix {
        rows: 16,
        cols: 32,
        values: Values::Q8_0 { quants: quants.clone(), scales: vec![0x3c00; 16] },
    };
    let bytes = pack(&[&matrix], Bits::Eight);
    let panels = Panels { bytes: &bytes, cols: 32, bits: Bits::Eight };
    let largest = |signs: [f32; 2]| (0..32).map(|at| 32639.0 * signs[at % 2]).collect();
    // In halves these are 0 and −128, −126 and −128, but for the first, which keeps the scale.
    let least_halves = |x: f32| (0..32).map(|at| if at == 0 { 32639.0 } else { x }).collect();
    let cases: [Vec<f32>; 5] = [
        largest([1.0, 1.0]),
        largest([-1.0, -1.0]),
        largest([1.0, -1.0]),
        least_halves(-128.0),
        least_halves(-32640.0 + 256.0),
    ];
    for floats in cases {
        for processor in Processor::all() {
            let found = multiply(&panels, &floats, 16, processor);
            for (found, row) in found.iter().zip(quants.chunks_exact(32)) {
                let expected: f64 =
                    row.iter().zip(&floats).map(|(weight, x)| f64::from(*weight) * f64::from(*x)).sum();
                assert_eq!(*found, expected as f32, "{processor:?}");
            }
        }
    }
}

/// So an answer does not depend on how many tokens were computed together: streamed or resident, again or from a cache.
#[test]
fn a_token_s_product_does_not_depend_on_its_company() {
    each_product(|matrix, panels, floats| {
        for processor in Processor::all() {
            let together = multiply(panels, floats, matrix.rows, processor);
            for (token, floats) in floats.chunks_exact(matrix.cols).enumerate() {
                let alone = multiply(panels, floats, matrix.rows, processor);
                assert_eq!(alone, together[token * matrix.rows..][..matrix.rows], "{processor:?}");
            }
        }
    });
}

#[test]
fn a_row_is_decoded_to_what_its_format_means() {
    each_product(|matrix, panels, _| {
        let mut row = vec![f32::NAN; matrix.cols];
        for index in 0..matrix.rows {
            panels.decode_row(index, &mut row);
            for (col, found) in row.iter().enumerate() {
                assert_eq!(f64::from(*found), element(matrix, index, col), "row {index}, column {col}");
            }
        }
    });
}

#[test]
fn what_is_no_number_spoils_its_token_and_no_other() {
    let mut random = Rng::with_seed(3);
    for (format, bits) in FORMATS {
        let matrix = format.matrix(&mut random, 16, 64);
        let bytes = pack(&[&matrix], bits);
        let panels = Panels { bytes: &bytes, cols: 64, bits };
        let mut floats = Fill::Random(1.0).floats(&mut random, 3 * 64);
        floats[64 + 40] = f32::NAN;
        for processor in Processor::all() {
            for (token, row) in multiply(&panels, &floats, 16, processor).chunks_exact(16).enumerate() {
                assert!(row.iter().all(|y| y.is_finite() == (token != 1)), "{processor:?}, token {token}");
            }
        }
    }
}

fn multiply_factor(
    factor: &Factor,
    floats: &[f32],
    cols: usize,
    rows: usize,
    processor: Processor,
) -> Vec<f32> {
    let mut activations = Activations::default();
    activations.quantise_short(floats, cols.next_multiple_of(32));
    let tokens = activations.tokens();
    let mut y = vec![f32::NAN; tokens * rows];
    let token = |index| activations.token(index);
    factor.multiply(tokens, token, processor, |token, row, sums| {
        let last = rows.min(row + ROWS);
        y[token * rows..][row..last].copy_from_slice(&sums[..last - row]);
    });
    y
}

/// Calls `check` with a factor's floats (rows, cols), the factor, tokens filled up to whole blocks, and the numbers of columns
/// and rows.
fn each_factor(mut check: impl FnMut(&[f32], &Factor, &[f32], usize, usize)) {
    let mut random = Rng::with_seed(11);
    for (rows, cols) in
        [(1, 32), (4, 96), (16, 512), (17, 384), (64, 1024), (40, 1), (40, 7), (512, 16), (33, 33)]
    {
        for size in [1.0, 1e-6, 1e-41, 0.0] {
            let floats = Fill::Random(size).floats(&mut random, rows * cols);
            let mut words = vec![u32::MAX; 3];
            Factor::pack(&floats, cols, &mut words);
            assert_eq!(words.len(), 3 + Factor::words(rows, cols));
            let factor = Factor::new(&words[3..], rows, cols);
            for tokens in [1, 2, 5, 8, 13] {
                let mut padded = Vec::new();
                for _ in 0..tokens {
                    padded.extend(Fill::Random(3.0).floats(&mut random, cols));
                    padded.resize(padded.len().next_multiple_of(32), 0.0);
                }
                check(&floats, &factor, &padded, cols, rows);
            }
        }
    }
}

/// To half a unit in 8,191 of the largest weight and of the largest activation of a block.
#[test]
fn a_factor_s_product_is_that_of_its_floats_within_what_fourteen_bits_lose() {
    each_factor(|floats, factor, tokens, cols, rows| {
        let found = multiply_factor(factor, tokens, cols, rows, plain());
        for (token, found) in tokens.chunks_exact(cols.next_multiple_of(32)).zip(found.chunks_exact(rows)) {
            for (row, found) in floats.chunks_exact(cols).zip(found) {
                let (mut expected, mut doubt) = (0.0, 1e-38);
                for (row, token) in row.chunks(32).zip(token.chunks(32)) {
                    let largest = row.iter().fold(0.0, |largest: f64, x| largest.max(f64::from(x.abs())));
                    for (weight, x) in row.iter().zip(token) {
                        expected += f64::from(*weight) * f64::from(*x);
                        doubt +=
                            0.51 / 8191.0 * (largest * f64::from(x.abs()) + 3.0 * f64::from(weight.abs()));
                    }
                }
                let error = (f64::from(*found) - expected).abs();
                assert!(error <= doubt, "{rows} × {cols}: {found}, expected {expected} within {doubt}");
            }
        }
    });
}

#[test]
fn every_processor_gives_the_same_bits_for_factors_and_for_tokens_alone() {
    each_factor(|_, factor, tokens, cols, rows| {
        let expected = multiply_factor(factor, tokens, cols, rows, plain());
        for processor in Processor::all() {
            let found = multiply_factor(factor, tokens, cols, rows, processor);
            let bits = |floats: &[f32]| floats.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found), bits(&expected), "{processor:?}, {rows} × {cols}");
            let alone = tokens.chunks_exact(cols.next_multiple_of(32));
            let alone: Vec<f32> =
                alone.flat_map(|token| multiply_factor(factor, token, cols, rows, processor)).collect();
            assert_eq!(bits(&alone), bits(&expected), "{processor:?}, {rows} × {cols}, one by one");
        }
    });
}

/// The largest weights by the largest activations, 32 of them: a whole number just below 2³¹.
#[test]
fn extreme_factors_are_exact() {
    for sign in [1.0, -1.0] {
        let mut words = Vec::new();
        Factor::pack(&[8191.0; 16 * 32], 32, &mut words);
        let factor = Factor::new(&words, 16, 32);
        for processor in Processor::all() {
            let found = multiply_factor(&factor, &[sign * 8191.0; 32], 32, 16, processor);
            let expected = (f64::from(sign) * 32.0 * 8191.0 * 8191.0) as f32;
            assert!(found.iter().all(|found| *found == expected), "{processor:?}: {found:?}, {expected}");
        }
    }
}
