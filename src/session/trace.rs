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
    /// Their weights, which sum to 1.
    pub weights: Vec<f32>,
}

impl Session {
    /// The choices that the last pass left in `routes`; nothing if it did not trace. The first row of every layer is
    /// the token `first_token`.
    pub(super) fn read_trace(&self, routes: &Routes, first_token: usize) -> Vec<RoutedToken> {
        if !routes.trace {
            return Vec::new();
        }
        let choices: Vec<u32> = self.device.read(&routes.routing.choices);
        let weights: Vec<f32> = self.device.read(&routes.routing.weights);
        let k = routes.routing.choices.cols;
        let mut tokens = Vec::new();
        for site in &routes.sites {
            for token in 0..site.tokens {
                let row = (site.first_row + token) * k;
                let chosen = choices[row..row + k].iter().zip(&weights[row..row + k]);
                let (experts, weights) = chosen
                    .filter(|(choice, _)| **choice != ABSENT)
                    .map(|(choice, weight)| {
                        let expert = site.experts[*choice as usize];
                        (self.experts[expert as usize].id.clone(), *weight)
                    })
                    .unzip();
                tokens.push(RoutedToken {
                    module: site.module.clone(),
                    token: first_token + token,
                    experts,
                    weights,
                });
            }
        }
        tokens
    }
}
