//! The CPU device: buffers are vectors, a dispatch is a function call.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use crate::recording::{Access, Argument, Control, Dispatch, MOST_TENSORS};
use crate::scratch::Scratch;
use crate::tensor::{BufferId, Tensor};
use crate::threads::Team;

/// Memory of the CPU device, in lines of its caches, so that every element type is aligned and no vector lies on two lines.
type Buffer = Vec<Line>;

#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Line([u64; 8]);

/// The most of them that it writes.
const MOST_WRITTEN: usize = 3;

/// How weights of Q8_0 and Q4_0 lie in a device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightLayout {
    /// Row after row, as in a file, the scales apart.
    Rows,
    /// In [`panels`](crate::panels), for products with activations that are rounded too.
    Panels,
}

/// The CPU as a device.
pub struct Cpu {
    weight_layout: WeightLayout,
    buffers: Vec<Buffer>,
    freed: Vec<BufferId>,
    scratch: Box<Scratch>,
}

impl Cpu {
    /// The CPU with no memory in use, and the threads that it computes with.
    pub fn new(weight_layout: WeightLayout, threads: usize) -> Self {
        let scratch = Box::new(Scratch { team: Team::new(threads), ..Scratch::default() });
        Cpu { weight_layout, buffers: Vec::new(), freed: Vec::new(), scratch }
    }

    /// Number of threads that it computes with.
    pub fn threads(&self) -> usize {
        self.scratch.team.as_ref().map_or(1, Team::threads)
    }

    /// How it wants weights.
    pub fn weight_layout(&self) -> WeightLayout {
        self.weight_layout
    }

    /// A zeroed buffer of at least `bytes` bytes.
    pub fn alloc(&mut self, bytes: usize) -> BufferId {
        let buffer = bytemuck::zeroed_vec(bytes.div_ceil(size_of::<Line>()));
        match self.freed.pop() {
            Some(id) => {
                self.buffers[id.0 as usize] = buffer;
                id
            }
            None => {
                self.buffers.push(buffer);
                BufferId(self.buffers.len() as u32 - 1)
            }
        }
    }

    /// Gives a buffer's memory back.
    pub fn free(&mut self, id: BufferId) {
        self.buffers[id.0 as usize] = Buffer::new();
        self.freed.push(id);
    }

    /// Gives all memory back.
    pub fn reset(&mut self) {
        self.buffers.clear();
        self.freed.clear();
    }

    /// The bytes of a tensor.
    pub fn bytes(&self, tensor: &Tensor) -> &[u8] {
        bytes(&self.buffers, tensor)
    }

    /// Fills a tensor.
    pub fn write(&mut self, tensor: &Tensor, bytes: &[u8]) {
        bytes_mut(&mut self.buffers[tensor.buffer.0 as usize], tensor).copy_from_slice(bytes);
    }

    /// Runs the dispatches in order.
    pub fn run(&mut self, dispatches: &[Dispatch]) {
        for dispatch in dispatches {
            if !self.is_halted(dispatch) {
                self.run_one(dispatch);
            }
        }
    }

    fn is_halted(&self, dispatch: &Dispatch) -> bool {
        let mut uses = dispatch.tensors.iter().zip(dispatch.kernel.access);
        let control = uses.find(|(_, access)| **access == Access::Control);
        control.is_some_and(|(tensor, _)| {
            bytemuck::cast_slice::<u8, Control>(self.bytes(tensor))[0].halted != Control::GO
        })
    }

    fn run_one(&mut self, dispatch: &Dispatch) {
        let Cpu { buffers, scratch, .. } = self;
        let Dispatch { kernel, params, tensors } = dispatch;
        let is_written = |index: &usize| kernel.access[*index] == Access::Write;
        // Written buffers leave the table while the kernel runs: a kernel that also reads one of them, which WebGPU
        // forbids, then finds it empty and panics here too.
        let mut taken = [const { Buffer::new() }; MOST_WRITTEN];
        for (index, taken) in (0..tensors.len()).filter(is_written).zip(&mut taken) {
            *taken = std::mem::take(&mut buffers[tensors[index].buffer.0 as usize]);
        }
        let mut outputs = taken.iter_mut();
        let mut arguments: [Argument; MOST_TENSORS] = std::array::from_fn(|index| match tensors.get(index) {
            Some(tensor) if is_written(&index) => {
                let buffer = outputs.next().expect("a kernel writes at most MOST_WRITTEN tensors");
                Argument::write(tensor, bytes_mut(buffer, tensor))
            }
            Some(tensor) => Argument::read(tensor, bytes(buffers, tensor)),
            None => Argument::NONE,
        });
        (kernel.cpu)(params, &mut arguments[..tensors.len()], scratch);
        for (index, taken) in (0..tensors.len()).filter(is_written).zip(&mut taken) {
            buffers[tensors[index].buffer.0 as usize] = std::mem::take(taken);
        }
    }
}

fn bytes<'a>(buffers: &'a [Buffer], tensor: &Tensor) -> &'a [u8] {
    &bytemuck::cast_slice(&buffers[tensor.buffer.0 as usize])[range(tensor)]
}

fn bytes_mut<'a>(buffer: &'a mut Buffer, tensor: &Tensor) -> &'a mut [u8] {
    &mut bytemuck::cast_slice_mut(buffer)[range(tensor)]
}

fn range(tensor: &Tensor) -> Range<usize> {
    tensor.offset..tensor.offset + tensor.byte_len()
}
