//! Which experts served which token on which layer.

use serde::Serialize;

use super::Session;
use crate::kernels::ABSENT;
use crate::router::Routes;

/// The experts that one token was given on one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RoutedToken {
    /// The layer's Hugging Face name.
    pub module: String,
    /// The token: its input position in the encoder and in the keys and values of cross-attention, its output step
    /// elsewhere in the decoder.
    pub token: usize,
    /// Expert ids, best first.
    pub experts: Vec<String>,
    /// The same as places in [`Session::experts`].
    #[serde(skip)]
    pub expert_places: Vec<u32>,
    /// Their weights, which sum to 1.
    pub weights: Vec<f32>,
}

impl Session {
    /// The choices that a step left, from the words of all steps; nothing if it did not trace. The first row of every
    /// layer is the token `first_token`.
    pub(super) fn routed_tokens(
        &self,
        routes: &Routes,
        choices: &[u32],
        step: usize,
        first_token: usize,
    ) -> Vec<RoutedToken> {
        let k = routes.choices.cols / 2;
        let mut tokens = Vec::new();
        for site in &routes.sites {
            for token in 0..site.tokens {
                let row = step * routes.rows_per_step + site.first_row + token;
                let (chosen, weights) = choices[row * 2 * k..][..2 * k].split_at(k);
                let (expert_places, weights): (Vec<u32>, Vec<f32>) = chosen
                    .iter()
                    .zip(weights)
                    .filter(|(choice, _)| **choice != ABSENT)
                    .map(|(choice, weight)| (site.experts[*choice as usize], f32::from_bits(*weight)))
                    .unzip();
                let id = |place: &u32| self.experts[*place as usize].id.clone();
                tokens.push(RoutedToken {
                    module: site.module.clone(),
                    token: first_token + token,
                    experts: expert_places.iter().map(id).collect(),
                    expert_places,
                    weights,
                });
            }
        }
        tokens
    }
}
