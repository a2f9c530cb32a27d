//! Which experts served which token on which layer.

use std::sync::Arc;

use serde::Serialize;

use super::Session;
use crate::kernels::ABSENT;
use crate::router::Routes;

/// How many experts behind the chosen are told.
pub const RUNNERS_UP: usize = 2;

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
    /// How many experts behind them are told: at most [`RUNNERS_UP`].
    pub runners_up: usize,
    /// (layers, tokens, top_k + runners_up): places in [`Session::experts`]: the chosen, best first, `u32::MAX` where they are
    /// fewer; then those who would have been next, likewise.
    pub choices: Vec<u32>,
    /// (layers, tokens, top_k + runners_up): the weights of the chosen, which sum to 1 or less; then the weight of each runner-up,
    /// had it been let in beside them, to within two hundredths of it. 0 where there is no expert.
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
        let Routing { names, first_token, tokens, .. } = &self;
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
        self.cells().enumerate().map(named).collect::<Vec<_>>().into_iter()
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
    /// The chosen experts and their weights, `top_k` of each, token by token on one layer after another.
    pub fn cells(&self) -> impl Iterator<Item = (&[u32], &[f32])> {
        let Routing { top_k, runners_up, choices, weights, .. } = self;
        let told = (top_k + runners_up).max(1);
        let cells = choices.chunks_exact(told).zip(weights.chunks_exact(told));
        cells.map(|(choices, weights)| (&choices[..*top_k], &weights[..*top_k]))
    }

    /// The choices that a step left, from the words of all steps; nothing if it did not trace. The first row of every
    /// layer is the token `first_token`.
    pub(super) fn read(
        names: &Arc<RoutingNames>,
        routes: &Routes,
        words: &[u32],
        step: usize,
        first_token: usize,
    ) -> Routing {
        let (width, runners_up) = (routes.choices.cols, routes.runners_up);
        let top_k = width / 2 - runners_up;
        let tokens = routes.sites.first().map_or(0, |site| site.tokens);
        let cells = routes.sites.len() * tokens * width / 2;
        let (mut choices, mut weights) = (Vec::with_capacity(cells), Vec::with_capacity(cells));
        for site in &routes.sites {
            let first_row = step * routes.rows_per_step + site.first_row;
            for row in words[first_row * width..][..tokens * width].chunks_exact(width) {
                let (chosen, next) = row.split_at(2 * top_k);
                for (rows, bits) in [chosen.split_at(top_k), next.split_at(runners_up)] {
                    choices.extend(rows.iter().map(|row| match *row {
                        ABSENT => ABSENT,
                        row => site.experts[row as usize],
                    }));
                    weights.extend(bits.iter().map(|bits| f32::from_bits(*bits)));
                }
            }
        }
        Routing { names: names.clone(), first_token, tokens, top_k, runners_up, choices, weights }
    }
}
