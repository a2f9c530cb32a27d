//! The CPU device: buffers are vectors, a dispatch is a function call.

use std::ops::Range;

use crate::recording::{Access, Argument, Control, Dispatch};
use crate::tensor::{BufferId, Tensor};

/// Memory of the CPU device. Words of 64 bits, so that every element type is aligned.
type Buffer = Vec<u64>;

/// The CPU as a device.
#[derive(Default)]
pub struct Cpu {
    buffers: Vec<Buffer>,
    freed: Vec<BufferId>,
}

impl Cpu {
    /// A zeroed buffer of at least `bytes` bytes.
    pub fn alloc(&mut self, bytes: usize) -> BufferId {
        let buffer = vec![0; bytes.div_ceil(size_of::<u64>())];
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
        *self = Cpu::default();
    }

    /// The bytes of a tensor.
    pub fn bytes(&self, tensor: &Tensor) -> &[u8] {
        &bytemuck::cast_slice(&self.buffers[tensor.buffer.0 as usize])[range(tensor)]
    }

    /// Fills a tensor.
    pub fn write(&mut self, tensor: &Tensor, bytes: &[u8]) {
        let buffer: &mut [u8] = bytemuck::cast_slice_mut(&mut self.buffers[tensor.buffer.0 as usize]);
        buffer[range(tensor)].copy_from_slice(bytes);
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
        let uses = || dispatch.tensors.iter().zip(dispatch.kernel.access);
        // Written buffers leave the table while the kernel runs: a kernel that also reads one of them, which WebGPU
        // forbids, then finds it empty and panics here too.
        let mut written: Vec<(BufferId, Buffer)> = uses()
            .filter(|(_, access)| **access == Access::Write)
            .map(|(tensor, _)| (tensor.buffer, std::mem::take(&mut self.buffers[tensor.buffer.0 as usize])))
            .collect();
        let mut outputs = written.iter_mut();
        let mut arguments: Vec<Argument> = uses()
            .map(|(tensor, access)| match access {
                Access::Control | Access::Read => Argument::read(tensor, self.bytes(tensor)),
                Access::Write => {
                    let (_, buffer) = outputs.next().expect("one taken buffer for each written tensor");
                    Argument::write(tensor, &mut bytemuck::cast_slice_mut(buffer)[range(tensor)])
                }
            })
            .collect();
        (dispatch.kernel.cpu)(&dispatch.params, &mut arguments);
        drop(arguments);
        for (id, buffer) in written {
            self.buffers[id.0 as usize] = buffer;
        }
    }
}

fn range(tensor: &Tensor) -> Range<usize> {
    tensor.offset..tensor.offset + tensor.byte_len()
}
