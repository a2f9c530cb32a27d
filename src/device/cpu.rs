//! The CPU device: buffers are vectors, a dispatch is a function call.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use crate::recording::{Access, Argument, Control, Dispatch, Half, MOST_TENSORS, OnTheWay};
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

    /// Runs the dispatches in order, those that can be in one with the one behind them.
    pub fn run(&mut self, dispatches: &[Dispatch]) {
        let mut rest = dispatches;
        while let [dispatch, behind @ ..] = rest {
            rest = behind;
            if self.is_halted(dispatch) {
                continue;
            }
            let next = behind.split_first();
            match next.and_then(|(next, behind)| Some((next, next.on_the_way_of(dispatch)?, behind))) {
                Some((next, way, behind)) => {
                    self.run_both(way, dispatch, next);
                    rest = behind;
                }
                None => self.run_one(dispatch),
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
        let mut taken = take_written(buffers, dispatch);
        let mut arguments = arguments(dispatch, buffers, &mut taken, |_| false);
        (dispatch.kernel.cpu)(&dispatch.params, &mut arguments[..dispatch.tensors.len()], scratch);
        put_back(buffers, dispatch, taken);
    }

    fn run_both(&mut self, way: &OnTheWay, first: &Dispatch, second: &Dispatch) {
        let Cpu { buffers, scratch, .. } = self;
        let between = second.tensors[way.between];
        let mut taken = take_written(buffers, second);
        let has_second = |tensor: &Tensor| second.written().any(|written| written.buffer == tensor.buffer);
        let mut none = [const { Buffer::new() }; MOST_WRITTEN];
        let mut of_first =
            arguments(first, buffers, &mut none, |tensor| *tensor == between || has_second(tensor));
        let mut of_second = arguments(second, buffers, &mut taken, |tensor| *tensor == between);
        (way.cpu)(
            Half { params: &first.params, arguments: &mut of_first[..first.tensors.len()] },
            Half { params: &second.params, arguments: &mut of_second[..second.tensors.len()] },
            scratch,
        );
        put_back(buffers, second, taken);
    }
}

/// Takes the buffers that a dispatch writes out of the table while it runs: a kernel that also reads one of them, which WebGPU
/// forbids, then finds it empty and panics here too.
fn take_written(buffers: &mut [Buffer], dispatch: &Dispatch) -> [Buffer; MOST_WRITTEN] {
    let mut taken = [const { Buffer::new() }; MOST_WRITTEN];
    for (tensor, taken) in dispatch.written().zip(&mut taken) {
        *taken = std::mem::take(&mut buffers[tensor.buffer.0 as usize]);
    }
    taken
}

fn put_back(buffers: &mut [Buffer], dispatch: &Dispatch, taken: [Buffer; MOST_WRITTEN]) {
    for (tensor, taken) in dispatch.written().zip(taken) {
        buffers[tensor.buffer.0 as usize] = taken;
    }
}

/// The arguments of a dispatch, in buffers and in those that were taken; of those that are nowhere the shape.
fn arguments<'a>(
    dispatch: &Dispatch,
    buffers: &'a [Buffer],
    taken: &'a mut [Buffer; MOST_WRITTEN],
    is_nowhere: impl Fn(&Tensor) -> bool,
) -> [Argument<'a>; MOST_TENSORS] {
    let mut outputs = taken.iter_mut();
    let mut uses = dispatch.tensors.iter().zip(dispatch.kernel.access);
    std::array::from_fn(|_| match uses.next() {
        None => Argument::NONE,
        Some((tensor, _)) if is_nowhere(tensor) => Argument::shape(tensor),
        Some((tensor, Access::Write)) => {
            let buffer = outputs.next().expect("a kernel writes at most MOST_WRITTEN tensors");
            Argument::write(tensor, bytes_mut(buffer, tensor))
        }
        Some((tensor, _)) => Argument::read(tensor, bytes(buffers, tensor)),
    })
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
