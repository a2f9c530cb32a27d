//! The gates of layers that share an input, as the CPU reads them: exactly, and in few bits to find those that matter.
//!
//! A token's product with every gate is most of what routing costs, and all but the best of them are thrown away. So the
//! gates are scanned in 8 bits, and only what may be among the best, by a bound on what the bits leave out, is
//! multiplied exactly. The choice is the same as without the scan, always, and so are the weights.

use crate::kernels::route::{Entry, LAYER_NORM_EPSILON};
use crate::kernels::score::{LOWEST, Rule};
use crate::kernels::{dot, dot_by, hash, total};
use crate::panels::{self, Activations, Bits, Panels, ROWS};
use crate::processor::Processor;
use crate::quant::{Matrix, Values};
use crate::recording::Argument;

/// Where scores go among the words of deltas.
#[derive(Clone, Copy)]
pub(crate) struct ScoreRows {
    /// Words of a site of one token.
    pub site_words: usize,
    /// Of these, those before the scores.
    pub slots_words: usize,
}

/// Tokens for which a gate is read once: with it they fit the first cache.
const TILE: usize = 8;

/// One expert on one site.
pub(crate) struct GateRow {
    pub site: usize,
    /// Its place among the site's.
    pub index: usize,
    pub entry: Entry,
}

/// The gates of all sites, as the CPU reads them.
pub(crate) struct GateRows<'a> {
    vectors: &'a [f32],
    stride: usize,
    /// For each site the first of its rows and their number.
    ranges: &'a [u32],
    /// By row.
    pub entries: &'a [Entry],
    /// The same gates in few bits, where there are.
    pub scan: Option<Scan<'a>>,
    /// As a number.
    rule: u32,
    /// What noise is a hash of, beside site, token and expert.
    key: u32,
}

impl<'a> GateRows<'a> {
    pub fn new(vectors: &'a Argument, table: &'a Argument, sites: usize, rule: u32, key: u32) -> Self {
        let words = table.as_slice::<u32>();
        let (ranges, rest) = words.split_at(2 * sites);
        let rows = ranges.chunks_exact(2).map(|range| range[1] as usize).sum::<usize>();
        let (entries, rest) = rest.split_at(rows * Entry::WORDS);
        let scan = (!rest.is_empty()).then(|| {
            let first = scan_begins(words.len() - rest.len(), sites);
            Scan {
                margins: bytemuck::cast_slice(&rest[..sites]),
                panels: Panels {
                    bytes: bytemuck::cast_slice(&words[first..]),
                    cols: vectors.cols,
                    bits: Bits::Eight,
                },
            }
        });
        GateRows {
            vectors: vectors.as_slice(),
            stride: vectors.cols,
            ranges,
            entries: bytemuck::cast_slice(entries),
            scan,
            rule,
            key,
        }
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = GateRow> {
        let sites = 0..self.ranges.len() / 2;
        sites.flat_map(move |site| {
            let (first, count) = self.range(site);
            (0..count).map(move |index| GateRow { site, index, entry: self.entries[first + index] })
        })
    }

    /// The first row of a site, and how many it has.
    pub fn range(&self, site: usize) -> (usize, usize) {
        (self.ranges[2 * site] as usize, self.ranges[2 * site + 1] as usize)
    }

    /// The gate of a row of a site.
    #[inline(always)]
    pub fn gate(&self, row: usize, d_in: usize) -> &[f32] {
        &self.vectors[row * self.stride..][..d_in]
    }

    /// `sigmoid(v · u)` of a row, by the gate v before it was normalised.
    #[inline(always)]
    pub fn openness(&self, row: usize, u: &[f32]) -> f32 {
        let Entry { gate_mean, gate_length, .. } = self.entries[row];
        let product = gate_mean * total(u) + gate_length * dot(u, self.gate(row, u.len()));
        1.0 / (1.0 + (-product).exp())
    }

    /// The biases of all rows, from those of all experts.
    #[inline(always)]
    pub fn biases(&self, of_experts: &[f32], biases: &mut Vec<f32>) {
        biases.clear();
        biases.extend(self.entries.iter().map(|entry| of_experts[entry.expert as usize]));
    }

    /// The scores of all tokens on every site, as the bits of floats. `position`: of the first token; `biases`: by expert;
    /// `centred`: room for some tokens.
    #[expect(clippy::too_many_arguments, reason = "what scores depend on, and room")]
    // As in `input::compute`.
    #[cfg_attr(target_arch = "wasm32", inline(never))]
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    pub fn score(
        &self,
        u: &[f32],
        tokens: usize,
        position: u32,
        biases: &[f32],
        rows: ScoreRows,
        deltas: &mut [u32],
        centred: &mut Vec<f32>,
        processor: Processor,
    ) {
        let d_in = u.len() / tokens;
        let token_words = self.ranges.len() / 2 * rows.site_words;
        let [is_normalised, is_absolute, is_noise] =
            [Rule::Normalised, Rule::Absolute, Rule::Noise].map(|rule| self.rule == rule as u32);
        let tiles = u.chunks(TILE * d_in).zip(deltas.chunks_mut(TILE * token_words));
        for (position, (u, deltas)) in (position..).step_by(TILE).zip(tiles) {
            let mut scales = [0.0; TILE];
            centred.clear();
            for (u, scale) in u.chunks_exact(d_in).zip(&mut scales) {
                match is_normalised {
                    true => *scale = centre(u, centred, processor),
                    false => centred.extend(u),
                }
            }
            for GateRow { site, index, entry } in self.rows() {
                let gate = match is_normalised || is_absolute {
                    true => self.gate(self.range(site).0 + index, d_in),
                    false => &[],
                };
                let bias = biases[entry.expert as usize];
                let place = site * rows.site_words + rows.slots_words + index;
                let tokens = centred.chunks_exact(d_in).zip(&scales);
                let tokens = (position..).zip(tokens).zip(deltas.chunks_exact_mut(token_words));
                for ((position, (centred, scale)), deltas) in tokens {
                    let score = if is_normalised {
                        scale * dot_by(processor, centred, gate)
                    } else if is_absolute {
                        dot_by(processor, centred, gate).abs()
                    } else if is_noise {
                        (hash([self.key, site as u32, position, entry.expert]) >> 8) as f32 / (1 << 24) as f32
                    } else {
                        0.0
                    };
                    let score = if bias == LOWEST { LOWEST } else { score + bias };
                    deltas[place] = score.to_bits();
                }
            }
        }
    }
}

/// Gates in 8 bits, and how far their products may be off.
pub(crate) struct Scan<'a> {
    /// By site: the product of a token with a gate is off by at most this times the token's length.
    margins: &'a [f32],
    panels: Panels<'a>,
}

impl Scan<'_> {
    /// The greatest error of a product of a token, of this length, with any gate of a site.
    pub fn error(&self, site: usize, length: f32) -> f32 {
        self.margins[site] * length
    }

    /// Columns of [`Scan::products`].
    pub fn rows(&self) -> usize {
        self.panels.rows()
    }

    /// Roughly `u · g` for all tokens (tokens, d_in) and gates, into (tokens, [`Scan::rows`]).
    pub fn products(
        &self,
        u: &[f32],
        activations: &mut Activations,
        processor: Processor,
        room: &mut Vec<u8>,
        products: &mut Vec<f32>,
    ) {
        activations.quantise(u, self.panels.cols, processor);
        let rows = self.rows();
        products.resize(activations.tokens() * rows, 0.0);
        self.panels.multiply(activations, processor, room, |token, row, sums| {
            products[token * rows + row..][..ROWS].copy_from_slice(sums);
        });
    }
}

/// What a table of gates ends with where they are scanned: the margins, then the panels, on a line of the cache.
///
/// * `table`: the table so far
/// * `vectors`: (gates, d_in), d_in a multiple of 32
/// * `counts`: gates on each site
pub(crate) fn append_scan(table: &mut Vec<u32>, vectors: &[f32], d_in: usize, counts: &[usize]) {
    let rows = vectors.len() / d_in;
    let matrix = Matrix { rows, cols: d_in, values: Values::q8_0_from(vectors) };
    let bytes = panels::pack(&[&matrix], Bits::Eight);
    let panels = Panels { bytes: &bytes, cols: d_in, bits: Bits::Eight };
    let first = scan_begins(table.len(), counts.len());
    let mut decoded = vec![0.0; d_in];
    let mut margin = |(row, gate): (usize, &[f32])| {
        panels.decode_row(row, &mut decoded);
        let square = |sum: f64, x: f64| sum + x * x;
        let lost = gate.iter().zip(&decoded).map(|(x, y)| f64::from(*x) - f64::from(*y)).fold(0.0, square);
        let length = gate.iter().map(|x| f64::from(*x)).fold(0.0, square);
        // Cauchy and Schwarz for what the gate lost. By what the token loses to 16 bits a product is off by less than
        // 9e-5 of the lengths, by sums of floats, here and in the exact product, by much less than the rest.
        (1.001 * lost.sqrt() + 1.5e-4 * length.sqrt()) as f32
    };
    let mut gates = vectors.chunks_exact(d_in).enumerate();
    for count in counts {
        let worst = gates.by_ref().take(*count).map(&mut margin).fold(0.0, f32::max);
        table.push(worst.to_bits());
    }
    table.resize(first, 0);
    table.extend(bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned::<u32>));
}

/// The word of a table at which panels begin, from that at which the margins do.
fn scan_begins(margins: usize, sites: usize) -> usize {
    const LINE_WORDS: usize = 16;
    (margins + sites).next_multiple_of(LINE_WORDS)
}

/// Appends `u − mean(u)` and returns what makes it LN(u): `1 / sqrt(var(u) + epsilon)`.
#[inline(always)]
pub(crate) fn centre(u: &[f32], centred: &mut Vec<f32>, processor: Processor) -> f32 {
    let d_in = u.len() as f32;
    let mean = total(u) / d_in;
    let first = centred.len();
    centred.extend(u.iter().map(|u| u - mean));
    let variance = dot_by(processor, &centred[first..], &centred[first..]) / d_in;
    1.0 / (variance + LAYER_NORM_EPSILON).sqrt()
}
