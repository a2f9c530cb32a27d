//! The work of a step as plain data: a list of kernels with their parameters and tensors.
//!
//! A model is ordinary code that appends dispatches to a [`Recording`]; a device runs them. So the model is written
//! once, and its work can be counted, printed, replayed, or run side by side on two devices.

use bytemuck::{NoUninit, Pod, Zeroable};

use crate::scratch::Scratch;
use crate::tensor::{DType, Tensor};

/// How a kernel uses one of its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// The [`Control`] words, only read. A dispatch that has them does nothing once they say that the work is halted.
    Control,
    /// Only read.
    Read,
    /// Written, and possibly read before. WebGPU allows no other use of the same buffer in that dispatch, and
    /// neither does the CPU device.
    Write,
}

/// One operation: its name, how it uses its tensors, and what it computes.
pub struct Kernel {
    /// Stem of `src/kernels/<name>.rs` and of `shaders/<name>.wgsl`.
    pub name: &'static str,
    /// One entry for each tensor of a dispatch.
    pub access: &'static [Access],
    /// The computation on the CPU: the parameters' bytes, the tensors in the order of `access`, and memory to work in.
    pub cpu: fn(&[u8], &mut [Argument], &mut Scratch),
    /// How a GPU computes a dispatch of it.
    pub gpu: fn(&Dispatch, Target) -> Program,
    /// How the CPU computes it on the way of the operation before it, where it can.
    pub on_the_way: Option<&'static OnTheWay>,
}

/// How two operations are one on a CPU: what the first would leave for the second never is in memory as a whole. A device
/// does so where both run in one go; who wants to see what is between them runs them one by one.
pub struct OnTheWay {
    /// The operation before it. Its last tensor is what is between them.
    pub first: &'static Kernel,
    /// Which of the second's tensors that is.
    pub between: usize,
    /// Whether that can be, by the first's parameters and tensors.
    pub is_possible: fn(&Dispatch) -> bool,
    /// The computation, from both. What the second writes is nothing among the first's tensors, and what is between them
    /// is a shape alone among both.
    pub cpu: fn(Half, Half, &mut Scratch),
}

/// One of two operations that are computed in one.
pub struct Half<'a, 'b> {
    /// The parameters' bytes.
    pub params: &'a [u8],
    /// The tensors, in the order of the kernel's `access`.
    pub arguments: &'a mut [Argument<'b>],
}

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// A CPU that plays a GPU. It runs the threads of a workgroup one after another and pays for each of them at every
    /// barrier: few threads are many times as fast.
    pub is_software: bool,
    /// And this one is SwiftShader, Chromium's, for which some products have programs of their own.
    pub is_swiftshader: bool,
    /// Where integer dot products are used.
    pub integers: Integers,
}

impl Target {
    /// Rounds that all loops of a thread may have together where a CPU plays the GPU: llvmpipe ends them after 65,535, without a
    /// word.
    pub const MOST_ROUNDS: usize = 60_000;
}

/// Which products of quantised weights a GPU computes in whole numbers, activations rounded to 16 bits, rather than in floats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Integers {
    /// Those of one token, or a few.
    pub one_token: bool,
    /// Those of many.
    pub many_tokens: bool,
}

/// How a GPU computes one dispatch, as plain data.
///
/// The shader finds the tensors at bindings 0, 1, … of group 0, in the order of the kernel's `access`, and after them a
/// uniform struct: for each tensor a `Matrix { offset, rows, cols }`, the offset in words of 32 bits, then the members
/// of the kernel's parameter struct.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// WGSL text, in the parts that it is put together from: each file is in the program once, however many kernels use it.
    pub source: &'static [&'static str],
    /// The function to start.
    pub entry: &'static str,
    /// Values of the shader's `override` constants.
    pub constants: Vec<(&'static str, f64)>,
    /// How many workgroups to start.
    pub workgroups: [u32; 3],
}

/// What the steps of a generation tell one another on the device, without the host in between: a (1, [`WORDS`]) tensor
/// of `u32`.
///
/// [`WORDS`]: Control::WORDS
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Control {
    /// Position of the step's token in the decoder: how many tokens are produced so far.
    pub position: u32,
    /// Anything but [`Control::GO`] and no dispatch does anything any more.
    pub halted: u32,
    /// The position that the first step of this run had.
    pub first: u32,
    /// The decoder's input: the token produced last, or the start token.
    pub token: u32,
}

impl Control {
    /// Number of words.
    pub const WORDS: usize = size_of::<Control>() / 4;
    /// Not halted.
    pub const GO: u32 = 0;
    /// Halted: an end token, or as many tokens as were asked for.
    pub const FINISHED: u32 = 1;
    /// Halted: the step wanted an absent page. Nothing of it was kept.
    pub const MISSED: u32 = 2;
    /// Halted: a logit is NaN or infinite.
    pub const NOT_FINITE: u32 = 3;
}

/// The most tensors that a kernel has.
pub const MOST_TENSORS: usize = 9;

/// A kernel with everything it needs to run.
pub struct Dispatch {
    /// What to run.
    pub kernel: &'static Kernel,
    /// The kernel's parameter struct, as bytes.
    pub params: Vec<u8>,
    /// The tensors, in the order of the kernel's `access`.
    pub tensors: Vec<Tensor>,
}

impl Dispatch {
    /// The tensors that it writes.
    pub fn written(&self) -> impl Iterator<Item = &Tensor> {
        let uses = self.tensors.iter().zip(self.kernel.access);
        uses.filter(|(_, access)| **access == Access::Write).map(|(tensor, _)| tensor)
    }

    /// How it is computed in one with the dispatch before it, if it can be.
    pub fn on_the_way_of(&self, before: &Dispatch) -> Option<&'static OnTheWay> {
        let way = self.kernel.on_the_way?;
        let is_between = before.tensors.last() == Some(&self.tensors[way.between]);
        (std::ptr::eq(way.first, before.kernel) && is_between && (way.is_possible)(before)).then_some(way)
    }

    /// The parameter struct.
    pub fn params<P: Pod>(&self) -> P {
        bytemuck::pod_read_unaligned(&self.params)
    }
}

/// A point in a recording at which a tensor holds something with a name, for tests and for looking inside.
pub struct Mark {
    /// How many dispatches run before the tensor holds it.
    pub after: usize,
    /// What it is: `encoder.block.3.output`.
    pub name: String,
    /// Where it is.
    pub tensor: Tensor,
}

/// A list of dispatches, run in order.
#[derive(Default)]
pub struct Recording {
    /// The work.
    pub dispatches: Vec<Dispatch>,
    /// Named values along the way.
    pub marks: Vec<Mark>,
}

impl Recording {
    /// Appends a dispatch. A wrong number of tensors is a bug.
    pub fn push<P: NoUninit>(&mut self, kernel: &'static Kernel, params: &P, tensors: &[Tensor]) {
        assert_eq!(kernel.access.len(), tensors.len(), "{}: number of tensors", kernel.name);
        self.dispatches.push(Dispatch {
            kernel,
            params: bytemuck::bytes_of(params).to_vec(),
            tensors: tensors.to_vec(),
        });
    }

    /// Names what `tensor` holds at this point.
    pub fn mark(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.marks.push(Mark { after: self.dispatches.len(), name: name.into(), tensor });
    }
}

/// One tensor of a dispatch, as the CPU implementation of a kernel sees it.
pub struct Argument<'a> {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Type of the elements.
    pub dtype: DType,
    /// Where the rows are some of a tensor's, which of them is the first.
    pub first_row: usize,
    bytes: Bytes<'a>,
}

enum Bytes<'a> {
    Read(&'a [u8]),
    Write(&'a mut [u8]),
}

impl<'a> Argument<'a> {
    /// No tensor at all.
    pub const NONE: Argument<'static> =
        Argument { rows: 0, cols: 0, dtype: DType::U32, first_row: 0, bytes: Bytes::Read(&[]) };

    /// A tensor that is nowhere.
    pub fn shape(tensor: &Tensor) -> Argument<'static> {
        Argument::of(tensor, Bytes::Read(&[]))
    }

    /// A tensor that is only read; `bytes` are exactly its elements.
    pub fn read(tensor: &Tensor, bytes: &'a [u8]) -> Self {
        Argument::of(tensor, Bytes::Read(bytes))
    }

    /// A tensor that is written; `bytes` are exactly its elements.
    pub fn write(tensor: &Tensor, bytes: &'a mut [u8]) -> Self {
        Argument::of(tensor, Bytes::Write(bytes))
    }

    fn of(tensor: &Tensor, bytes: Bytes<'a>) -> Argument<'a> {
        let Tensor { rows, cols, dtype, .. } = *tensor;
        Argument { rows, cols, dtype, first_row: 0, bytes }
    }

    /// A row of floats that belongs to no device, to be written.
    pub fn row(floats: &'a mut [f32]) -> Argument<'a> {
        let (cols, bytes) = (floats.len(), Bytes::Write(bytemuck::cast_slice_mut(floats)));
        Argument { rows: 1, cols, dtype: DType::F32, first_row: 0, bytes }
    }

    /// The same argument, for who only reads it while it is not written.
    pub fn to_read(&self) -> Argument<'_> {
        let bytes = match &self.bytes {
            Bytes::Read(bytes) => Bytes::Read(bytes),
            Bytes::Write(bytes) => Bytes::Read(bytes),
        };
        Argument { bytes, ..*self }
    }

    /// The same argument, for a while.
    pub fn reborrow(&mut self) -> Argument<'_> {
        let bytes = match &mut self.bytes {
            Bytes::Read(bytes) => Bytes::Read(bytes),
            Bytes::Write(bytes) => Bytes::Write(bytes),
        };
        Argument { bytes, ..*self }
    }

    /// The same argument, for one who reads it while others do.
    pub fn share(&self) -> Argument<'a> {
        match self.bytes {
            Bytes::Read(bytes) => Argument { bytes: Bytes::Read(bytes), ..*self },
            Bytes::Write(_) => panic!("a tensor that is written is shared"),
        }
    }

    /// Takes the first `count` rows away, or those that there are.
    pub fn take_rows(&mut self, count: usize) -> Argument<'a> {
        let rows = count.min(self.rows);
        let length = rows * self.cols * self.dtype.bytes();
        let bytes = match &mut self.bytes {
            Bytes::Read(bytes) => Bytes::Read(bytes.split_off(..length).expect("rows that are there")),
            Bytes::Write(bytes) => Bytes::Write(bytes.split_off_mut(..length).expect("rows that are there")),
        };
        let taken = Argument { rows, bytes, ..*self };
        self.rows -= rows;
        self.first_row += rows;
        taken
    }

    /// The elements.
    pub fn as_slice<T: Pod>(&self) -> &[T] {
        match &self.bytes {
            Bytes::Read(bytes) => bytemuck::cast_slice(bytes),
            Bytes::Write(bytes) => bytemuck::cast_slice(bytes),
        }
    }

    /// The elements, to be written.
    pub fn as_mut_slice<T: Pod>(&mut self) -> &mut [T] {
        match &mut self.bytes {
            Bytes::Read(_) => panic!("a kernel writes to a tensor that its access list says is only read"),
            Bytes::Write(bytes) => bytemuck::cast_slice_mut(bytes),
        }
    }

    /// The control words, of an argument that is them.
    pub fn control(&self) -> Control {
        self.as_slice::<Control>()[0]
    }
}
