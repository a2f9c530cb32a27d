//! A new token's key and value, put into the decoder's cache.

use crate::recording::{Access, Argument, Kernel, Recording};
use crate::tensor::{DType, Tensor};

/// `cache[position] = row`.
pub static KERNEL: Kernel =
    Kernel { name: "kv_append", access: &[Access::Read, Access::Read, Access::Write], cpu };

/// Appends the copy. Doing it again at the same position changes nothing else, so that a step can be repeated.
///
/// * `row`: (1, inner)
/// * `position`: (1, 1) of `u32`, below the rows of `cache`
/// * `cache`: (positions, inner)
pub fn record(recording: &mut Recording, row: Tensor, position: Tensor, cache: Tensor) {
    assert!(
        row.rows == 1 && row.cols == cache.cols && position.dtype == DType::U32,
        "kv_append: {row:?} {cache:?}"
    );
    recording.push(&KERNEL, &[0u32; 0], &[row, position, cache]);
}

fn cpu(_: &[u8], arguments: &mut [Argument]) {
    let [row, position, cache] = arguments else { unreachable!("access list") };
    let first = position.as_slice::<u32>()[0] as usize * row.cols;
    cache.as_mut_slice::<f32>()[first..first + row.cols].copy_from_slice(row.as_slice());
}
