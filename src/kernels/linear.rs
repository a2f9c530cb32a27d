//! Linear layers that share an input, and what the chosen experts add to them.

use bytemuck::{Pod, Zeroable};

use crate::kernels::input::{self, Input};
use crate::kernels::route::Deltas;
use crate::kernels::weight::{Weight, decode_row, in_panels};
use crate::kernels::{ABSENT, dot};
use crate::panels::{Activations, Factor, Panels, ROWS};
use crate::processor::{Compute, Processor, vectors};
use crate::quant::BLOCK;
use crate::recording::{Access, Argument, Dispatch, Kernel, Program, Recording, Target};
use crate::scratch::{FactorUse, Scratch};
use crate::tensor::{DType, Tensor};
use crate::wgsl::wgsl;

/// `y = scale · W u + Σ_z B_z t_z`, or `y += …`, where `t_z = w_z s_z A_z u` comes from the router.
pub static KERNEL: Kernel = Kernel {
    name: "linear",
    access: &[
        Access::Control,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Write,
    ],
    cpu,
    gpu,
    on_the_way: None,
};

/// What becomes of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// `y` is overwritten.
    Store,
    /// The product is added to `y`: the residual stream.
    Add,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    input: u32,
    epsilon: f32,
    scale: f32,
    accumulate: u32,
    /// Layers with a delta of their own; 0 where nothing is routed.
    sites: u32,
    top_k: u32,
    slot_words: u32,
    site_words: u32,
}

/// From so many tokens on, a weight is read once for a tile of tokens rather than once for each.
pub const TILED_FROM: usize = 5;
/// Rows of the weight that one workgroup computes, for one token.
const OUTPUTS: usize = 32;
/// Rows of the weight and tokens that one workgroup computes, for many tokens.
pub(crate) const TILE_ROWS: usize = 64;
pub(crate) const TILE_TOKENS: usize = 32;
/// Appends the product of every token's u with every row of `weight`.
///
/// Outputs of experts are mixed, never A and B apart: `Σ w B A` is not `(Σ w B)(Σ w A)`. An expert whose page is absent
/// adds nothing; the router has marked that page as wanted.
///
/// * `input`: u (tokens, d_in)
/// * `weight`: (d_out, d_in): the layers' rows, one layer after another, all of the same height
/// * `deltas`: what the router of these layers left, if they are routed; with the memory of the adapters
/// * `y`: (tokens, d_out)
#[expect(clippy::too_many_arguments, reason = "the formula's own")]
pub fn record(
    recording: &mut Recording,
    control: Tensor,
    input: Input,
    weight: &Weight,
    scale: f32,
    deltas: Option<(Deltas, Tensor)>,
    output: Output,
    y: Tensor,
) {
    assert!(
        input.d_in() == weight.d_in && y.cols == weight.d_out && input.tokens() == y.rows,
        "linear: {input:?} {weight:?} {y:?}"
    );
    let [x, norm] = input.tensors();
    let nothing = Tensor { rows: 0, cols: 0, dtype: DType::U32, ..x };
    let (layout, deltas, pool) = match deltas {
        Some((deltas, pool)) => (Some(deltas), deltas.tensor, pool),
        None => (None, nothing, nothing),
    };
    if let Some(deltas) = layout {
        assert!(weight.d_out.is_multiple_of(deltas.sites), "linear: {weight:?} {deltas:?}");
    }
    let params = Params {
        input: input.form(),
        epsilon: input.epsilon(),
        scale,
        accumulate: (output == Output::Add) as u32,
        sites: layout.map_or(0, |deltas| deltas.sites as u32),
        top_k: layout.map_or(0, |deltas| deltas.top_k as u32),
        slot_words: layout.map_or(0, |deltas| deltas.slot_words() as u32),
        site_words: layout.map_or(0, |deltas| deltas.site_words() as u32),
    };
    let tensors = [control, x, norm, weight.values, weight.scales, deltas, pool, y];
    recording.push(&KERNEL, &params, &tensors);
}

/// Tokens that a thread should have, so that it reads the weight for enough of them.
const LEAST_TOKENS: usize = 4;
/// Products of one token from which on it is worth telling other threads.
const LEAST_PRODUCTS: usize = 200_000;

fn cpu(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
    const X: usize = 1;
    const DELTAS: usize = 5;
    const Y: usize = 7;
    match &mut scratch.team {
        Some(team) if arguments[Y].rows >= LEAST_TOKENS * team.threads() => {
            // Where nothing is routed there are no deltas, and no row of them to cut.
            team.each_rows(arguments, &[X, Y, DELTAS], |part, scratch| {
                vectors::<Linear>(params, part, scratch)
            });
        }
        _ => vectors::<Linear>(params, arguments, scratch),
    }
}

/// Whether a dispatch of it overwrites, and adds no experts.
pub(crate) fn is_plain(dispatch: &Dispatch) -> bool {
    let params: Params = dispatch.params();
    params.sites == 0 && params.accumulate == 0
}

/// One token times some rows of a weight, as a plain dispatch with these parameters would have them. `read`: the input, its
/// norm's weight, and the values and scales of those rows.
pub(crate) fn some_rows(params: &[u8], read: [Argument; 4], y: &mut [f32], scratch: &mut Scratch) {
    let [x, norm, values, scales] = read;
    let mut arguments =
        [Argument::NONE, x, norm, values, scales, Argument::NONE, Argument::NONE, Argument::row(y)];
    vectors::<Linear>(params, &mut arguments, scratch);
}

struct Linear;

impl Compute for Linear {
    #[inline(always)]
    fn compute(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
        let params: &Params = bytemuck::from_bytes(params);
        let [_, x, norm, values, scales, deltas, pool, y] = arguments else { unreachable!("access list") };
        let Scratch { processor, team, input, activations, panel, floats: rows, order, .. } = scratch;
        let processor = *processor;
        let (tokens, d_out) = (y.rows, y.cols);
        let u = input::compute(params.input, params.epsilon, x, norm, input);
        let d_in = u.len() / tokens;
        let y = y.as_mut_slice::<f32>();
        let store = |y: &mut f32, product: f32| {
            let product = params.scale * product;
            *y = if params.accumulate != 0 { *y + product } else { product };
        };
        if let Some(panels) = in_panels(values, d_in) {
            activations.quantise(u, d_in, processor);
            let activations = &*activations;
            let multiply = |panels: &Panels, y: &mut [f32], room: &mut Vec<u8>| {
                let d_out = y.len() / tokens;
                panels.multiply(activations, processor, room, |token, row, products| {
                    each_row(&mut y[token * d_out..][..d_out][row..], products, store);
                });
            };
            match team {
                Some(team) if tokens == 1 && d_in * d_out >= LEAST_PRODUCTS => {
                    let rows = d_out.div_ceil(team.threads() * ROWS) * ROWS;
                    let parts = panels.chunks(rows).zip(y.chunks_mut(rows));
                    // One token wants no room.
                    team.each(parts, |(panels, y)| multiply(&panels, y, &mut Vec::new()));
                }
                _ => multiply(&panels, y, panel),
            }
        } else {
            rows.clear();
            rows.resize(ROW_TILE * d_in, 0.0);
            for first in (0..d_out).step_by(ROW_TILE) {
                // A row is decoded once for all tokens, and a token is read once for some rows.
                let count = ROW_TILE.min(d_out - first);
                for (index, row) in rows.chunks_exact_mut(d_in).take(count).enumerate() {
                    decode_row(values, scales, first + index, row);
                }
                for (token, u) in u.chunks_exact(d_in).enumerate() {
                    let y = &mut y[token * d_out + first..][..count];
                    for (y, row) in y.iter_mut().zip(rows.chunks_exact(d_in)) {
                        store(y, dot(u, row));
                    }
                }
            }
        }
        if params.sites > 0 {
            let work = Work { processor, activations, floats: rows, order };
            add_experts(params, deltas.as_slice(), pool, y, d_out, work);
        }
    }
}

/// Rows of floats that are decoded together.
const ROW_TILE: usize = 8;

/// Does something to the rows of a panel, as many as there are. Where all are there, the compiler is told so.
#[inline(always)]
fn each_row(y: &mut [f32], sums: &[f32; ROWS], apply: impl Fn(&mut f32, f32)) {
    match y.first_chunk_mut::<ROWS>() {
        Some(y) => y.iter_mut().zip(sums).for_each(|(y, sum)| apply(y, *sum)),
        None => y.iter_mut().zip(sums).for_each(|(y, sum)| apply(y, *sum)),
    }
}

/// What adding experts works with and in.
struct Work<'a> {
    processor: Processor,
    activations: &'a mut Activations,
    floats: &'a mut Vec<f32>,
    order: &'a mut Vec<FactorUse>,
}

/// `y += Σ_z B_z t_z`
#[inline(always)]
fn add_experts(params: &Params, deltas: &[u32], pool: &Argument, y: &mut [f32], d_out: usize, work: Work) {
    let Work { processor, activations, floats, order } = work;
    let [sites, top_k, slot_words, site_words] =
        [params.sites, params.top_k, params.slot_words, params.site_words].map(|count| count as usize);
    let height = d_out / sites;
    let tokens = y.len() / d_out;
    // Slot by slot, so that a token's experts are added in their order whatever others chose.
    for slot in 0..top_k {
        order.clear();
        for (place, delta) in deltas.chunks_exact(site_words).take(tokens * sites).enumerate() {
            let factor = delta[slot * slot_words];
            if factor != ABSENT {
                let (token, site) = ((place / sites) as u32, (place % sites) as u32);
                order.push(FactorUse { factor, token, slot: site, scale: 1.0f32.to_bits() });
            }
        }
        order.sort_unstable_by_key(FactorUse::key);
        let delta = |used: &FactorUse| {
            let place = used.token as usize * sites + used.slot as usize;
            let delta = &deltas[place * site_words + slot * slot_words..];
            bytemuck::cast_slice::<u32, f32>(&delta[2..2 + delta[1] as usize])
        };
        if pool.dtype == DType::Factors {
            let width = (slot_words - 2).next_multiple_of(BLOCK);
            floats.clear();
            for used in order.iter() {
                floats.extend(delta(used));
                floats.resize(floats.len().next_multiple_of(width), 0.0);
            }
            activations.quantise_short(floats, width);
            let mut first = 0;
            for uses in order.chunk_by(|a, b| a.factor == b.factor) {
                let b =
                    Factor::new(&pool.as_slice()[uses[0].factor as usize..], height, delta(&uses[0]).len());
                let token = |index: usize| activations.token(first + index);
                b.multiply(uses.len(), token, processor, |index, row, sums| {
                    let place = uses[index].token as usize * d_out + uses[index].slot as usize * height;
                    each_row(&mut y[place..][..height][row..], sums, |y, sum| *y += sum);
                });
                first += uses.len();
            }
            continue;
        }
        for used in order.iter() {
            let t = delta(used);
            let b = pool.as_slice::<f32>()[used.factor as usize..].chunks_exact(t.len());
            let place = used.token as usize * d_out + used.slot as usize * height;
            for (y, b) in y[place..][..height].iter_mut().zip(b) {
                *y += dot(b, t);
            }
        }
    }
}

/// What a workgroup computes on SwiftShader.
struct Strips {
    tokens: usize,
    rows: usize,
    /// Of which sums wait to be stored, eight for each product: what holds them is cleared word by word before.
    waiting_rows: usize,
}

impl Strips {
    const ONE: Strips = Strips { tokens: 1, rows: 64, waiting_rows: 32 };
    const MANY: Strips = Strips { tokens: 32, rows: 256, waiting_rows: 8 };

    fn constants(&self) -> [(&'static str, f64); 3] {
        [
            ("STRIP_TOKENS", self.tokens as f64),
            ("STRIP_ROWS", self.rows as f64),
            ("WAITING_ROWS", self.waiting_rows as f64),
        ]
    }
}

fn gpu(dispatch: &Dispatch, target: Target) -> Program {
    let params: Params = dispatch.params();
    let [values, y] = [dispatch.tensors[3], dispatch.tensors[7]];
    let is_tiled = y.rows >= TILED_FROM;
    let is_quantised = matches!(values.dtype, DType::I8 | DType::Nibbles);
    let in_integers = is_quantised
        && match is_tiled {
            true => target.integers.many_tokens,
            false => target.integers.one_token,
        };
    let mut constants = vec![("INPUT", params.input as f64), ("FORMAT", Weight::format(&values) as f64)];
    let (entry, rows, tokens) = match is_tiled {
        _ if target.is_swiftshader && !in_integers => {
            let strips = if y.rows == 1 { Strips::ONE } else { Strips::MANY };
            constants.push(("ROUTED", (params.sites != 0) as u32 as f64));
            constants.extend(strips.constants());
            ("strips", strips.rows, strips.tokens)
        }
        true => ("tiles", TILE_ROWS, TILE_TOKENS),
        false => ("rows", OUTPUTS, 1),
    };
    let source: &[&str] = match in_integers {
        false => &[
            wgsl!("../../shaders/common/matrix.wgsl"),
            wgsl!("../../shaders/common/input.wgsl"),
            wgsl!("../../shaders/common/weight.wgsl"),
            wgsl!("../../shaders/common/tile.wgsl"),
            wgsl!("../../shaders/common/float_tile.wgsl"),
            wgsl!("../../shaders/common/floats.wgsl"),
            wgsl!("../../shaders/common/strips.wgsl"),
            wgsl!("../../shaders/linear.wgsl"),
        ],
        true => &[
            wgsl!("../../shaders/common/matrix.wgsl"),
            wgsl!("../../shaders/common/input.wgsl"),
            wgsl!("../../shaders/common/weight.wgsl"),
            wgsl!("../../shaders/common/tile.wgsl"),
            wgsl!("../../shaders/common/integers.wgsl"),
            wgsl!("../../shaders/linear.wgsl"),
        ],
    };
    Program {
        source,
        entry,
        constants,
        workgroups: [y.cols.div_ceil(rows) as u32, y.rows.div_ceil(tokens) as u32, 1],
    }
}
