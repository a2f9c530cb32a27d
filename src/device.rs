//! Where recordings run. Four verbs: alloc, write, run, read. A device knows nothing of T5.

mod cpu;
mod gpu;

use std::collections::HashMap;
use std::ops::Range;

pub use cpu::{Cpu, WeightLayout};
pub use gpu::{Adapter, Counts, Gpu};

use bytemuck::NoUninit;

use crate::error::Result;
use crate::recording::Recording;
use crate::tensor::{BufferId, DType, Tensor};

/// A processor with memory of its own.
pub enum Device {
    /// The processor this code runs on.
    Cpu(Cpu),
    /// A GPU, by WebGPU in a browser, by Vulkan, Metal or DX12 elsewhere.
    Gpu(Box<Gpu>),
}

/// Where a model computes: all on one device, or the encoder on one and the decoder on another.
pub struct Devices {
    /// For the encoder, and for the decoder too where that has none of its own.
    pub encoder: Device,
    /// For the decoder alone.
    pub decoder: Option<Device>,
}

/// A part of a model that has a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// From the input to keys and values.
    Encoder,
    /// From token to token.
    Decoder,
}

impl Devices {
    /// The device of a part.
    pub fn of(&mut self, part: Part) -> &mut Device {
        match (part, &mut self.decoder) {
            (Part::Decoder, Some(device)) => device,
            _ => &mut self.encoder,
        }
    }

    /// The place of a part's device among all.
    pub fn index(&self, part: Part) -> usize {
        (part == Part::Decoder && self.decoder.is_some()) as usize
    }

    /// All devices: one or two.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Device> {
        std::iter::once(&mut self.encoder).chain(&mut self.decoder)
    }

    /// Number of threads that the CPU among them computes with; 1 where there is none.
    pub fn threads(&self) -> usize {
        let threads = |device: &Device| match device {
            Device::Cpu(cpu) => cpu.threads(),
            Device::Gpu(_) => 1,
        };
        threads(&self.encoder).max(self.decoder.as_ref().map_or(1, threads))
    }

    /// Whether one of them may go away.
    pub fn may_go_away(&self) -> bool {
        std::iter::once(&self.encoder).chain(&self.decoder).any(Device::may_go_away)
    }

    /// The name that users see: `cpu`, `gpu`, or `gpu+cpu` for encoder and decoder.
    pub fn name(&self) -> &'static str {
        match (self.encoder.name(), self.decoder.as_ref().map(Device::name)) {
            ("gpu", Some("cpu")) => "gpu+cpu",
            (name, _) => name,
        }
    }
}

impl From<Device> for Devices {
    fn from(device: Device) -> Self {
        Devices { encoder: device, decoder: None }
    }
}

/// A recording that is ready to run on the device that made it so.
pub struct Plan {
    /// What it does.
    pub recording: Recording,
    /// On a GPU, what it takes besides: made once, so that running makes nothing.
    bound: gpu::BoundRecording,
}

impl Plan {
    /// On a GPU, the buffers that its dispatches bind, with their sizes in bytes. Each once, however often it is bound.
    pub fn bound_buffers(&self) -> &HashMap<BufferId, u64> {
        &self.bound.buffers
    }
}

impl Device {
    /// The CPU device, on the calling thread alone.
    pub fn cpu() -> Self {
        Device::cpu_with_threads(1)
    }

    /// The CPU device, on so many threads, the calling one among them: at most [`MOST_THREADS`](crate::threads::MOST_THREADS). The
    /// results do not depend on their number.
    pub fn cpu_with_threads(threads: usize) -> Self {
        Device::Cpu(Cpu::new(WeightLayout::Panels, threads))
    }

    /// The CPU, and no activation is rounded: many times as slow for quantised weights, and what rounding is compared with.
    pub fn exact_cpu() -> Self {
        Device::Cpu(Cpu::new(WeightLayout::Rows, 1))
    }

    /// The GPU device. [`self_test`](crate::self_test) tests it.
    ///
    /// # Errors
    /// Those of [`Gpu::open`].
    pub async fn gpu() -> Result<Self> {
        Ok(Device::Gpu(Box::new(Gpu::open().await?)))
    }

    /// The name that users see: `"cpu"` or `"gpu"`.
    pub fn name(&self) -> &'static str {
        match self {
            Device::Cpu(_) => "cpu",
            Device::Gpu(_) => "gpu",
        }
    }

    /// Whether it may go away, and its memory with it.
    pub fn may_go_away(&self) -> bool {
        matches!(self, Device::Gpu(_))
    }

    /// The most bytes that one buffer may have.
    pub fn largest_buffer(&self) -> usize {
        match self {
            Device::Cpu(_) => isize::MAX as usize,
            Device::Gpu(gpu) => gpu.largest_buffer(),
        }
    }

    /// How it wants weights of Q8_0 and Q4_0.
    pub fn weight_layout(&self) -> WeightLayout {
        match self {
            Device::Cpu(cpu) => cpu.weight_layout(),
            Device::Gpu(_) => WeightLayout::Rows,
        }
    }

    /// How many steps are worth running before looking at what came of them. Looking costs a GPU as much as a step.
    pub fn steps_per_look(&self) -> usize {
        match self {
            Device::Cpu(_) => 1,
            Device::Gpu(_) => 8,
        }
    }

    /// A new buffer that holds exactly one (rows, cols) tensor, zeroed.
    pub fn alloc(&mut self, rows: usize, cols: usize, dtype: DType) -> Tensor {
        let bytes = rows * cols * dtype.bytes();
        let buffer = match self {
            Device::Cpu(cpu) => cpu.alloc(bytes),
            Device::Gpu(gpu) => gpu.alloc(bytes),
        };
        Tensor { buffer, offset: 0, rows, cols, dtype }
    }

    /// Gives a buffer's memory back. Tensors in it must not be used any more.
    pub fn free(&mut self, buffer: BufferId) {
        match self {
            Device::Cpu(cpu) => cpu.free(buffer),
            Device::Gpu(gpu) => gpu.free(buffer),
        }
    }

    /// Gives all memory back. No tensor may be used any more.
    pub fn reset(&mut self) {
        match self {
            Device::Cpu(cpu) => cpu.reset(),
            Device::Gpu(gpu) => gpu.reset(),
        }
    }

    /// Fills the whole of `tensor` with `values`, whose size in bytes must be the tensor's.
    pub fn write<T: NoUninit>(&mut self, tensor: &Tensor, values: &[T]) {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        assert_eq!(bytes.len(), tensor.byte_len(), "write: {tensor:?}");
        match self {
            Device::Cpu(cpu) => cpu.write(tensor, bytes),
            Device::Gpu(gpu) => gpu.write(tensor, bytes),
        }
    }

    /// A new buffer with `values` in it.
    pub fn upload<T: NoUninit>(&mut self, rows: usize, cols: usize, dtype: DType, values: &[T]) -> Tensor {
        let tensor = self.alloc(rows, cols, dtype);
        self.write(&tensor, values);
        tensor
    }

    /// Makes all that running a recording takes.
    pub fn prepare(&mut self, recording: Recording) -> Plan {
        let bound = match self {
            Device::Cpu(_) => gpu::BoundRecording::default(),
            Device::Gpu(gpu) => gpu.bind(&recording),
        };
        Plan { recording, bound }
    }

    /// Runs a part of a plan's dispatches in order, `times` times over.
    pub fn run(&mut self, plan: &Plan, dispatches: Range<usize>, times: usize) {
        match self {
            Device::Cpu(cpu) => {
                for _ in 0..times {
                    cpu.run(&plan.recording.dispatches[dispatches.clone()]);
                }
            }
            Device::Gpu(gpu) => gpu.run(&plan.bound, dispatches, times),
        }
    }

    /// The bytes of each of `tensors`, once all that was run before is done. All of them in one go: on a GPU, one
    /// submission and one wait.
    ///
    /// # Errors
    /// On a GPU, [`ErrorCode::DeviceLost`](crate::ErrorCode::DeviceLost) and
    /// [`ErrorCode::OutOfMemory`](crate::ErrorCode::OutOfMemory).
    pub async fn read_bytes(&mut self, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        match self {
            Device::Cpu(cpu) => Ok(tensors.iter().map(|tensor| cpu.bytes(tensor).to_vec()).collect()),
            Device::Gpu(gpu) => gpu.read(tensors).await,
        }
    }

    /// The elements of each of `tensors`, as words.
    ///
    /// # Errors
    /// Those of [`Device::read_bytes`].
    pub async fn read_words(&mut self, tensors: &[Tensor]) -> Result<Vec<Vec<u32>>> {
        let read = self.read_bytes(tensors).await?;
        Ok(read.iter().map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect())
    }

    /// The elements of a tensor of floats.
    ///
    /// # Errors
    /// Those of [`Device::read_bytes`].
    pub async fn read_floats(&mut self, tensor: &Tensor) -> Result<Vec<f32>> {
        let read = self.read_bytes(std::slice::from_ref(tensor)).await?;
        Ok(bytemuck::pod_collect_to_vec(&read[0]))
    }
}
