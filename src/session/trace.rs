//! Which experts served which token on which layer.

use std::sync::Arc;

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
    /// Their weights as applied, which sum to 1, or to less where experts open by their gates.
    pub weights: Vec<f32>,
}

/// The experts of some tokens on the layers of a recording, as numbers: to name every choice as it is made would take a
/// tenth of a small model's step. Iterated over, it names them, layer by layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Routing {
    /// What the numbers stand for.
    pub names: Arc<RoutingNames>,
    /// The first of the tokens.
    pub first_token: usize,
    /// How many they are, on every layer.
    pub tokens: usize,
    /// The most experts of a token.
    pub top_k: usize,
    /// (layers, tokens, top_k): places in [`Session::experts`], best first; `u32::MAX` where fewer were chosen.
    pub choices: Vec<u32>,
    /// (layers, tokens, top_k): their weights, which sum to 1 or less; 0 where there is no expert.
    pub weights: Vec<f32>,
}

/// What the routing of a recording is told in.
#[derive(Debug, PartialEq, Default)]
pub struct RoutingNames {
    /// The routed layers' Hugging Face names, in the order in which they compute.
    pub modules: Vec<String>,
    /// The ids of [`Session::experts`].
    pub experts: Vec<String>,
}

impl IntoIterator for Routing {
    type Item = RoutedToken;
    type IntoIter = std::vec::IntoIter<RoutedToken>;

    fn into_iter(self) -> Self::IntoIter {
        let Routing { names, first_token, tokens, top_k, choices, weights } = self;
        let named = |(index, (chosen, weights)): (usize, (&[u32], &[f32]))| {
            let experts: Vec<String> = (chosen.iter())
                .filter(|place| **place != ABSENT)
                .map(|place| names.experts[*place as usize].clone())
                .collect();
            RoutedToken {
                module: names.modules[index / tokens].clone(),
                token: first_token + index % tokens,
                weights: weights[..experts.len()].to_vec(),
                experts,
            }
        };
        let cells = choices.chunks_exact(top_k.max(1)).zip(weights.chunks_exact(top_k.max(1)));
        cells.enumerate().map(named).collect::<Vec<_>>().into_iter()
    }
}

impl Session {
    /// What the routing of a recording is told in; nothing, if it does not trace.
    pub(super) fn routing_names(&self, routes: &Routes) -> Arc<RoutingNames> {
        if !routes.trace {
            return Arc::default();
        }
        Arc::new(RoutingNames {
            modules: routes.sites.iter().map(|site| site.module.clone()).collect(),
            experts: self.experts.iter().map(|expert| expert.id.clone()).collect(),
        })
    }
}

impl Routing {
    /// The choices that a step left, from the words of all steps; nothing if it did not trace. The first row of every
    /// layer is the token `first_token`.
    pub(super) fn read(
        names: &Arc<RoutingNames>,
        routes: &Routes,
        words: &[u32],
        step: usize,
        first_token: usize,
    ) -> Routing {
        let top_k = routes.choices.cols / 2;
        let tokens = routes.sites.first().map_or(0, |site| site.tokens);
        let cells = routes.sites.len() * tokens * top_k;
        let (mut choices, mut weights) = (Vec::with_capacity(cells), Vec::with_capacity(cells));
        for site in &routes.sites {
            let first_row = step * routes.rows_per_step + site.first_row;
            for row in words[first_row * 2 * top_k..][..tokens * 2 * top_k].chunks_exact(2 * top_k) {
                let (chosen, of_them) = row.split_at(top_k);
                choices.extend(chosen.iter().map(|choice| match *choice {
                    ABSENT => ABSENT,
                    choice => site.experts[choice as usize],
                }));
                weights.extend(of_them.iter().map(|weight| f32::from_bits(*weight)));
            }
        }
        Routing { names: names.clone(), first_token, tokens, top_k, choices, weights }
    }
}
