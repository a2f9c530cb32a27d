//! What the chosen experts add to a layer's output.

use crate::kernels::route::{Entry, Routing};
use crate::kernels::{ABSENT, dot};
use crate::recording::{Access, Argument, Kernel, Recording};
use crate::tensor::Tensor;

/// `y += Σ_z w_z s_z B_z (A_z u)` over the chosen experts z.
pub static KERNEL: Kernel = Kernel {
    name: "lora",
    access: &[
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Read,
        Access::Write,
    ],
    cpu,
};

/// The adapters' memory, as the kernels see it.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    /// (1, pages) of `u32`: where a page begins in `floats`, or [`ABSENT`].
    pub pages: Tensor,
    /// (1, capacity): the LoRA factors of the resident pages.
    pub floats: Tensor,
}

/// Appends the sum. Outputs are mixed, never A and B apart: `Σ w B A` is not `(Σ w B)(Σ w A)`. An expert whose page is
/// absent adds nothing; the route kernel has marked that page as wanted.
///
/// * `u`: (tokens, d_in)
/// * `table`: (experts here, [`Entry::WORDS`])
/// * `y`: (tokens, d_out)
pub fn record(recording: &mut Recording, u: Tensor, routing: Routing, table: Tensor, pool: Pool, y: Tensor) {
    assert!(u.rows == y.rows && u.rows == routing.choices.rows, "lora: {u:?} {routing:?} {y:?}");
    recording.push(
        &KERNEL,
        &[0u32; 0],
        &[u, routing.choices, routing.weights, table, pool.pages, pool.floats, y],
    );
}

fn cpu(_: &[u8], arguments: &mut [Argument]) {
    let [u, choices, weights, table, pages, pool, y] = arguments else { unreachable!("access list") };
    let (d_in, d_out, k) = (u.cols, y.cols, choices.cols);
    let table: &[Entry] = table.as_slice();
    let pages = pages.as_slice::<u32>();
    let pool = pool.as_slice::<f32>();
    let mut projected = Vec::new();
    let rows = u.as_slice::<f32>().chunks_exact(d_in).zip(y.as_mut_slice::<f32>().chunks_exact_mut(d_out));
    let routing = choices.as_slice::<u32>().chunks_exact(k).zip(weights.as_slice::<f32>().chunks_exact(k));
    for ((u, y), (choices, weights)) in rows.zip(routing) {
        for (choice, weight) in choices.iter().zip(weights) {
            if *choice == ABSENT {
                continue;
            }
            let entry = table[*choice as usize];
            let page = pages[entry.page as usize];
            if page == ABSENT {
                continue;
            }
            let rank = entry.rank as usize;
            let a = &pool[(page + entry.a) as usize..][..rank * d_in];
            let b = &pool[(page + entry.b) as usize..][..d_out * rank];
            projected.clear();
            projected.extend(a.chunks_exact(d_in).map(|a| weight * entry.scale * dot(a, u)));
            for (y, b) in y.iter_mut().zip(b.chunks_exact(rank)) {
                *y += dot(b, &projected);
            }
        }
    }
}
