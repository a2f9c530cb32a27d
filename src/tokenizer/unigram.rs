//! The most probable way to write a text as pieces.

use super::trie::Trie;

/// A vocabulary with scores.
#[derive(Debug)]
pub(super) struct Unigram {
    trie: Trie,
    /// (pieces): log-probabilities
    scores: Vec<f64>,
    unk_id: u32,
    unk_score: f64,
    arithmetic: Arithmetic,
}

/// How path scores are added up. Ties come out differently: in f32, sums that are equal on paper seldom are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    /// SentencePiece (measured on 0.2.3; 0.2.1 and older compare in f64 what they keep in f32).
    Single,
    /// `tokenizers`.
    Double,
}

/// A character that no piece covers costs this much more than the least probable piece. SentencePiece's `kUnkPenalty`.
const UNK_PENALTY: f64 = 10.0;

/// The best way to a position of the text: the last piece, and where it starts.
#[derive(Clone, Copy)]
struct Step {
    score: f64,
    start: usize,
    id: u32,
}

impl Unigram {
    /// * `trie`: the texts that may be matched, by id
    /// * `scores`: (pieces)
    /// * `min_score`: the least score of an ordinary piece
    pub fn new(trie: Trie, scores: Vec<f64>, unk_id: u32, min_score: f64, arithmetic: Arithmetic) -> Self {
        Unigram { trie, scores, unk_id, unk_score: min_score - UNK_PENALTY, arithmetic }
    }

    /// The pieces of the best path through `text`, in order: id and text. Neighbouring unknown characters are one.
    ///
    /// Of equal paths to a position, the one found first stays: the one whose last piece starts earliest.
    /// Source: `Model::EncodeOptimized` in SentencePiece's unigram_model.cc.
    pub fn best_path<'a>(&self, text: &'a str) -> Vec<(u32, &'a str)> {
        let mut best: Vec<Option<Step>> = vec![None; text.len() + 1];
        for (start, c) in text.char_indices() {
            let so_far = best[start].map_or(0.0, |step| step.score);
            let mut reach = |end: usize, id: u32, score: f64| {
                let score = match self.arithmetic {
                    // Both terms are f32: rounding their exact sum is what f32 addition does.
                    Arithmetic::Single => f64::from((so_far + score) as f32),
                    Arithmetic::Double => so_far + score,
                };
                if best[end].is_none_or(|step| score > step.score) {
                    best[end] = Some(Step { score, start, id });
                }
            };
            let mut covered = false;
            for (length, id) in self.trie.prefixes(&text.as_bytes()[start..]) {
                reach(start + length, id, self.scores[id as usize]);
                covered |= length == c.len_utf8();
            }
            if !covered {
                reach(start + c.len_utf8(), self.unk_id, self.unk_score);
            }
        }

        let mut path: Vec<(u32, &str)> = Vec::new();
        let mut end = text.len();
        let mut run_end = end;
        while end > 0 {
            let step = best[end]
                .expect("every character is a piece or unknown, so every position on a path is reached");
            match path.last_mut() {
                Some((last, run)) if *last == self.unk_id && step.id == self.unk_id => {
                    *run = &text[step.start..run_end];
                }
                _ => {
                    path.push((step.id, &text[step.start..end]));
                    run_end = end;
                }
            }
            end = step.start;
        }
        path.reverse();
        path
    }

    /// The id of exactly this text.
    pub fn id(&self, text: &str) -> Option<u32> {
        self.trie.get(text)
    }
}
