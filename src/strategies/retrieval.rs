//! `retrieval`: one expert for the whole input, the one that has the training example most like it.
//!
//! ```text
//! e(input) = mean over the tokens of the base's encoder's final output
//! z        = argmax_z max_j cos(e(input), e(example j of z))        ties: the lower index
//! ```
//!
//! Source: "Retrieval" of the PHATGOOSE paper, section 4.2; `moe.py` and `retriever.py` of r-three/phatgoose. There e is a
//! sentence encoder of its own (all-MiniLM-L6-v2) over 1000 examples of each expert; a browser has the base already, so e is
//! the base's encoder, without experts. The embeddings of the examples are made by `gander catalog vectors`.

use super::{Definition, single};

/// What it is made of, once the expert is found.
pub const DEFINITION: Definition = single::DEFINITION;

/// The mean of a text's tokens (tokens, d_model).
pub fn embedding(encoded: &[f32], d_model: usize) -> Vec<f32> {
    let mut sum = vec![0.0; d_model];
    for token in encoded.chunks_exact(d_model) {
        sum.iter_mut().zip(token).for_each(|(sum, value)| *sum += value);
    }
    let tokens = encoded.len() / d_model;
    sum.into_iter().map(|sum| sum / tokens as f32).collect()
}

/// The index of the expert that has the nearest example. `examples`: by expert, embeddings (n, d_model), none of those that
/// may not be chosen.
pub fn nearest<'a>(query: &[f32], examples: impl Iterator<Item = &'a [f32]>) -> Option<usize> {
    let similarity = |examples: &[f32]| {
        let cosines = examples.chunks_exact(query.len()).map(|example| cosine(query, example));
        cosines.fold(f64::NEG_INFINITY, f64::max)
    };
    let best = |best: Option<(usize, f64)>, (index, similarity)| match best {
        Some((_, highest)) if highest >= similarity => best,
        _ => Some((index, similarity)),
    };
    let similarities = examples.map(similarity).enumerate().filter(|(_, similarity)| similarity.is_finite());
    similarities.fold(None, best).map(|(index, _)| index)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-12)
}
