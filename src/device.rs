//! Where recordings run. Four verbs: alloc, write, run, read. A device knows nothing of T5.

mod cpu;

pub use cpu::Cpu;

use bytemuck::{AnyBitPattern, NoUninit};

use crate::recording::Dispatch;
use crate::tensor::{BufferId, DType, Tensor};

/// A processor with memory of its own.
pub enum Device {
    /// The processor this code runs on.
    Cpu(Cpu),
}

impl Device {
    /// The CPU device.
    pub fn cpu() -> Self {
        Device::Cpu(Cpu::default())
    }

    /// The name that users see: `"cpu"`.
    pub fn name(&self) -> &'static str {
        match self {
            Device::Cpu(_) => "cpu",
        }
    }

    /// A new buffer that holds exactly one (rows, cols) tensor, zeroed.
    pub fn alloc(&mut self, rows: usize, cols: usize, dtype: DType) -> Tensor {
        let bytes = rows * cols * dtype.bytes();
        let buffer = match self {
            Device::Cpu(cpu) => cpu.alloc(bytes),
        };
        Tensor { buffer, offset: 0, rows, cols, dtype }
    }

    /// Gives a buffer's memory back. Tensors in it must not be used any more.
    pub fn free(&mut self, buffer: BufferId) {
        match self {
            Device::Cpu(cpu) => cpu.free(buffer),
        }
    }

    /// Fills the whole of `tensor` with `values`, whose size in bytes must be the tensor's.
    pub fn write<T: NoUninit>(&mut self, tensor: &Tensor, values: &[T]) {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        assert_eq!(bytes.len(), tensor.byte_len(), "write: {tensor:?}");
        match self {
            Device::Cpu(cpu) => cpu.write(tensor, bytes),
        }
    }

    /// A new buffer with `values` in it.
    pub fn upload<T: NoUninit>(&mut self, rows: usize, cols: usize, dtype: DType, values: &[T]) -> Tensor {
        let tensor = self.alloc(rows, cols, dtype);
        self.write(&tensor, values);
        tensor
    }

    /// Runs the dispatches in order.
    pub fn run(&mut self, dispatches: &[Dispatch]) {
        match self {
            Device::Cpu(cpu) => cpu.run(dispatches),
        }
    }

    /// The elements of `tensor`.
    pub fn read<T: AnyBitPattern + NoUninit>(&self, tensor: &Tensor) -> Vec<T> {
        match self {
            Device::Cpu(cpu) => bytemuck::cast_slice(cpu.bytes(tensor)).to_vec(),
        }
    }
}
