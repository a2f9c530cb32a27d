//! `y[t] = table[ids[t]]`

use std::mem::offset_of;

use fastrand::Rng;
use gander::kernels::embed;
use gander::recording::Control;
use gander::tensor::Tensor;

use super::case::{Bench, Case, Word};
use super::numbers::{Format, element};

const VOCABULARY: usize = 37;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for format in Format::ALL {
        for d in [1, 7, 20, 32, 33, 96, 512, 1024, 2049] {
            if format.takes(d) {
                cases.push(case(format, d, &[0, 36, 5, 5, 17]));
            }
        }
        cases.push(case(format, 64, &[36]));
    }
    cases.push(decoder(Format::Q8_0));
    cases.push(decoder(Format::F32));
    cases.push(case(Format::Q4_0, 64, &[1, 2]).halted(2));
    cases
}

fn case(format: Format, d: usize, ids: &[u32]) -> Case {
    let ids = ids.to_vec();
    Case::new(format!("embed of {} ids, d {d}, {format:?}", ids.len()), move |bench: &mut Bench| {
        let tensor = bench.words(1, ids.len(), &ids);
        look_up(bench, format, d, tensor, &ids);
    })
}

/// The decoder's token is one of the control words.
fn decoder(format: Format) -> Case {
    Case::new(format!("embed of the decoder's token, {format:?}"), move |bench: &mut Bench| {
        bench.words.token = 11;
        let offset = offset_of!(Control, token);
        let token = Tensor { offset, cols: 1, ..bench.control };
        look_up(bench, format, 64, token, &[11]);
    })
}

fn look_up(bench: &mut Bench, format: Format, d: usize, tensor: Tensor, ids: &[u32]) {
    let matrix = format.matrix(&mut Rng::with_seed(3), VOCABULARY, d);
    let columns = |id: &u32| (0..d).map(|col| element(&matrix, *id as usize, col)).collect::<Vec<f64>>();
    // Every weight is an f32, so there is nothing to round.
    let expected = ids.iter().flat_map(columns).map(|value| Word::float(value as f32)).collect();
    let table = bench.weight(&[&matrix]);
    let y = bench.output(ids.len(), d, &vec![7.0; ids.len() * d], expected);
    embed::record(&mut bench.recording, bench.control, tensor, &table, y);
}
