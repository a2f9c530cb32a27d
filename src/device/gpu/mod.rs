//! The GPU device, by wgpu: WebGPU in a browser; Vulkan, Metal or DX12 elsewhere.
//!
//! Everything that running takes is made when a recording is bound, or was made for one of the same shape before. Running encodes dispatches; reading submits them,
//! together with the copies that it wants, and waits once.

mod bind;
mod faults;
mod open;
mod pipelines;
mod read;

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

pub use bind::BoundRecording;
pub use open::Adapter;

use bind::Kept;
use faults::Faults;
use pipelines::Pipelines;

use crate::error::ErrorCode;
use crate::recording::Integers;
use crate::tensor::{BufferId, Tensor};

/// Bytes up to which a buffer may also be a uniform: the control words.
const UNIFORM_BYTES: u64 = 256;
/// Bytes of buffers that are kept for the next answer: what a line of 512 tokens takes in a flan-t5-small, twice.
const MOST_SPARE_BYTES: u64 = 64 << 20;

/// The GPU as a device.
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    adapter: Adapter,
    pipelines: Pipelines,
    buffers: Vec<Option<Numbered>>,
    freed: Vec<BufferId>,
    /// Buffers that were given back, for those who want one of just that size.
    spare: Vec<Numbered>,
    /// The number of the next buffer.
    next_number: u64,
    /// Bind groups of the last recordings.
    kept: VecDeque<Rc<Kept>>,
    /// Work that is encoded and not yet submitted.
    encoder: Option<wgpu::CommandEncoder>,
    staging: Option<wgpu::Buffer>,
    faults: Faults,
    has_integer_dots: bool,
    integers: Integers,
    /// The most bytes of one buffer, where that is less than the adapter's; for tests.
    buffer_limit: usize,
    /// Bytes of a buffer for which there is no memory; for tests.
    refused_from: usize,
    /// What was done so far.
    pub counts: Counts,
}

/// A buffer with a number that no other had before it.
struct Numbered {
    buffer: wgpu::Buffer,
    number: u64,
}

/// What a GPU device did since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Dispatches encoded.
    pub dispatches: usize,
    /// Command buffers submitted.
    pub submissions: usize,
    /// Waits for results.
    pub readbacks: usize,
    /// Buffers, bind groups, modules and pipelines made.
    pub objects: usize,
}

impl Gpu {
    /// What this device runs on.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Computes from now on as on hardware, even where a CPU plays the GPU. For tests: it is slower there.
    pub fn take_for_hardware(&mut self) {
        self.adapter.is_software = false;
        self.adapter.is_swiftshader = false;
    }

    /// Whether its shaders may have integer dot products: WGSL's `packed_4x8_integer_dot_product`.
    pub fn has_integer_dots(&self) -> bool {
        self.has_integer_dots
    }

    /// Which products are computed in whole numbers: none, until somebody says otherwise.
    pub fn integers(&self) -> Integers {
        self.integers
    }

    /// Computes these products in whole numbers from the next recording on. Without integer dot products none are.
    pub fn set_integers(&mut self, integers: Integers) {
        self.integers = if self.has_integer_dots { integers } else { Integers::default() };
    }

    /// Has memory from now on only for buffers of fewer bytes. For tests: real drivers run out when they like.
    pub fn refuse_buffers_from(&mut self, bytes: usize) {
        self.refused_from = bytes;
    }

    /// Takes from now on no buffer for one that is larger. For tests: adapters have the limits that they have.
    pub fn limit_buffers_to(&mut self, bytes: usize) {
        self.buffer_limit = bytes;
    }

    /// The most bytes that one buffer may have.
    pub fn largest_buffer(&self) -> usize {
        let limits = self.device.limits();
        let largest = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        largest.try_into().unwrap_or(usize::MAX).min(self.buffer_limit)
    }

    /// Computes again after it ran out of memory. What did not fit must be freed first.
    pub fn forgive_out_of_memory(&mut self) {
        self.spare.clear();
        self.kept.clear();
        self.faults.forgive(ErrorCode::OutOfMemory);
    }

    /// A zeroed buffer of at least `bytes` bytes. One that is too large is a fault, which the next read reports.
    pub fn alloc(&mut self, bytes: usize) -> BufferId {
        let largest = self.largest_buffer();
        if bytes > largest {
            self.faults.too_large(bytes, largest);
        }
        if bytes >= self.refused_from {
            self.faults.out_of_memory();
        }
        let size = if self.faults.any() { 0 } else { bytes as u64 }.next_multiple_of(16).max(16);
        let buffer = self.take_spare(size).unwrap_or_else(|| {
            let mut usage =
                wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
            if size <= UNIFORM_BYTES {
                usage |= wgpu::BufferUsages::UNIFORM;
            }
            self.next_number += 1;
            Numbered { buffer: self.make_buffer(size, usage), number: self.next_number }
        });
        match self.freed.pop() {
            Some(id) => {
                self.buffers[id.0 as usize] = Some(buffer);
                id
            }
            None => {
                self.buffers.push(Some(buffer));
                BufferId(self.buffers.len() as u32 - 1)
            }
        }
    }

    /// A buffer of that size that was given back, zeroed: the oldest, so that who asks for the same ones in the same order gets the
    /// same ones.
    fn take_spare(&mut self, size: u64) -> Option<Numbered> {
        let fits = self.spare.iter().enumerate().filter(|(_, spare)| spare.buffer.size() == size);
        let (place, _) = fits.min_by_key(|(_, spare)| spare.number)?;
        let spare = self.spare.swap_remove(place);
        self.encoder().clear_buffer(&spare.buffer, 0, None);
        Some(spare)
    }

    /// Gives a buffer's memory back, once the work that uses it is done. What answers work in is kept for the next answer.
    pub fn free(&mut self, id: BufferId) {
        self.freed.push(id);
        let Some(freed) = self.buffers[id.0 as usize].take() else { return };
        let spare_bytes: u64 = self.spare.iter().map(|spare| spare.buffer.size()).sum();
        if spare_bytes + freed.buffer.size() <= MOST_SPARE_BYTES {
            self.spare.push(freed);
        } else {
            // Whatever is bound holds its memory.
            self.kept.clear();
        }
    }

    /// Gives all memory back, once the work that uses it is done.
    pub fn reset(&mut self) {
        self.submit();
        self.buffers.clear();
        self.freed.clear();
        self.spare.clear();
        self.kept.clear();
    }

    /// Fills a tensor, after all that was run before.
    pub fn write(&mut self, tensor: &Tensor, bytes: &[u8]) {
        if bytes.is_empty() || self.faults.any() {
            return;
        }
        self.submit();
        let buffer = self.buffer(tensor);
        // Whole words: what lies behind a tensor in its buffer is padding.
        let whole = bytes.len() / 4 * 4;
        self.queue.write_buffer(buffer, tensor.offset as u64, &bytes[..whole]);
        if whole < bytes.len() {
            let mut word = [0; 4];
            word[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.queue.write_buffer(buffer, (tensor.offset + whole) as u64, &word);
        }
    }

    /// Encodes a part of a recording's dispatches, `times` times over.
    pub fn run(&mut self, bound: &BoundRecording, dispatches: Range<usize>, times: usize) {
        if self.faults.any() || dispatches.is_empty() {
            return;
        }
        let steps = &bound.steps[dispatches];
        let mut pass = self.encoder().begin_compute_pass(&Default::default());
        for _ in 0..times {
            for step in steps {
                pass.set_pipeline(&step.pipeline);
                pass.set_bind_group(0, &step.bind_group, &[]);
                let [x, y, z] = step.workgroups;
                pass.dispatch_workgroups(x, y, z);
            }
        }
        drop(pass);
        self.counts.dispatches += times * steps.len();
    }

    fn encoder(&mut self) -> &mut wgpu::CommandEncoder {
        self.encoder.get_or_insert_with(|| self.device.create_command_encoder(&Default::default()))
    }

    fn submit(&mut self) {
        if let Some(encoder) = self.encoder.take() {
            self.queue.submit([encoder.finish()]);
            self.counts.submissions += 1;
        }
    }

    fn buffer(&self, tensor: &Tensor) -> &wgpu::Buffer {
        &self.numbered(tensor).buffer
    }

    fn numbered(&self, tensor: &Tensor) -> &Numbered {
        self.buffers[tensor.buffer.0 as usize].as_ref().expect("a tensor of a buffer that was not freed")
    }

    fn make_buffer(&mut self, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.counts.objects += 1;
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    }
}
