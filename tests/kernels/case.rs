//! One case of the table: some dispatches over tensors with known contents, and what the tensors hold afterwards.

use gander::device::Device;
use gander::kernels::weight::Weight;
use gander::quant::Matrix;
use gander::recording::{Control, Recording};
use gander::tensor::{BufferId, DType, Tensor};

/// Greatest error of a sum in f32, relative to the sum of the magnitudes of its terms.
pub const TOLERANCE: f64 = 4e-6;

/// A case. It is the same on every device.
pub struct Case {
    pub name: String,
    build: Box<dyn Fn(&mut Bench)>,
    /// What the control words say instead of going on.
    halted: Option<u32>,
}

/// What a word must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Word {
    /// These bits.
    Bits(u32),
    /// A float this close to a value.
    Near(f64, f64),
    /// Whatever a device leaves there.
    Anything,
}

impl Word {
    /// This float and no other.
    pub fn float(value: f32) -> Word {
        Word::Bits(value.to_bits())
    }

    fn admits(self, word: u32) -> bool {
        match self {
            Word::Bits(bits) => word == bits,
            Word::Near(value, within) => (f64::from(f32::from_bits(word)) - value).abs() <= within,
            Word::Anything => true,
        }
    }
}

impl Case {
    /// A case by what is put on the bench.
    pub fn new(name: impl Into<String>, build: impl Fn(&mut Bench) + 'static) -> Case {
        Case { name: name.into(), build: Box::new(build), halted: None }
    }

    /// The same work once something has halted it: nothing may change.
    pub fn halted(self, why: u32) -> Case {
        Case { name: format!("{}, halted by {why}", self.name), halted: Some(why), ..self }
    }

    /// Runs it. What differs comes back as a message.
    pub async fn run(&self, device: &mut Device) -> Result<(), String> {
        let control = device.alloc(1, Control::WORDS, DType::U32);
        let mut bench = Bench {
            device,
            buffers: vec![control.buffer],
            control,
            words: Control::default(),
            times: 1,
            recording: Recording::default(),
            expected: Vec::new(),
        };
        (self.build)(&mut bench);
        let Bench { device, buffers, mut words, times, recording, mut expected, .. } = bench;
        words.halted = self.halted.unwrap_or(words.halted);
        device.write(&control, bytemuck::cast_slice::<Control, u32>(&[words]));
        let tensors: Vec<Tensor> = expected.iter().map(|(_, tensor, _)| *tensor).collect();
        let fault = |error: gander::Error| format!("{}: {error}", self.name);
        if self.halted.is_some() {
            let before = device.read_words(&tensors).await.map_err(fault)?;
            for ((_, _, expected), before) in expected.iter_mut().zip(before) {
                *expected = before.into_iter().map(Word::Bits).collect();
            }
        }
        let count = recording.dispatches.len();
        let plan = device.prepare(recording);
        device.run(&plan, 0..count, times);
        let found = device.read_words(&tensors).await.map_err(fault)?;
        for buffer in buffers {
            device.free(buffer);
        }
        for ((name, _, expected), found) in expected.iter().zip(&found) {
            assert_eq!(expected.len(), found.len(), "{}: {name}: words expected and found", self.name);
            let differs = |(expected, found): (&Word, &u32)| !expected.admits(*found);
            let wrong = expected.iter().zip(found).filter(|pair| differs(*pair)).count();
            if let Some(at) = expected.iter().zip(found).position(differs) {
                let (expected, found) = (expected[at], found[at]);
                return Err(format!(
                    "{}: {name}[{at}] is {found:#x} = {:e}, expected {expected:?}; {wrong} words are wrong",
                    self.name,
                    f32::from_bits(found),
                ));
            }
        }
        Ok(())
    }
}

/// Where a case is put together.
pub struct Bench<'a> {
    pub device: &'a mut Device,
    pub recording: Recording,
    /// The control words, a tensor.
    pub control: Tensor,
    /// What they hold at first.
    pub words: Control,
    /// How often the recording is run.
    pub times: usize,
    buffers: Vec<BufferId>,
    expected: Vec<(&'static str, Tensor, Vec<Word>)>,
}

impl Bench<'_> {
    /// A tensor of floats.
    pub fn floats(&mut self, rows: usize, cols: usize, values: &[f32]) -> Tensor {
        self.kept(|device| device.upload(rows, cols, DType::F32, values))
    }

    /// A tensor of words.
    pub fn words(&mut self, rows: usize, cols: usize, values: &[u32]) -> Tensor {
        self.kept(|device| device.upload(rows, cols, DType::U32, values))
    }

    /// Floats with a row of NaN before them and one after, which no kernel may read.
    pub fn fenced(&mut self, rows: usize, cols: usize, values: &[f32]) -> Tensor {
        let mut all = vec![f32::NAN; cols];
        all.extend(values);
        all.resize((rows + 2) * cols, f32::NAN);
        self.floats(rows + 2, cols, &all).slice_rows(1, rows)
    }

    /// A weight.
    pub fn weight(&mut self, matrices: &[&Matrix]) -> Weight {
        let weight = Weight::upload_joined(self.device, matrices);
        self.keep(weight.values.buffer);
        self.keep(weight.scales.buffer);
        weight
    }

    fn kept(&mut self, make: impl FnOnce(&mut Device) -> Tensor) -> Tensor {
        let tensor = make(self.device);
        self.keep(tensor.buffer);
        tensor
    }

    /// Gives the buffer's memory back after the case.
    pub fn keep(&mut self, buffer: BufferId) {
        if !self.buffers.contains(&buffer) {
            self.buffers.push(buffer);
        }
    }

    /// What a tensor holds after the run.
    pub fn expect(&mut self, name: &'static str, tensor: Tensor, words: Vec<Word>) {
        self.expected.push((name, tensor, words));
    }

    /// A place for an output with a row of its own before and after, where nothing may be written: `words` are expected
    /// between them. The output holds `before` at first.
    pub fn output(&mut self, rows: usize, cols: usize, before: &[f32], words: Vec<Word>) -> Tensor {
        const FENCE: f32 = 12345.0;
        let mut all = vec![FENCE; cols];
        all.extend(before);
        all.resize((rows + 2) * cols, FENCE);
        let tensor = self.floats(rows + 2, cols, &all);
        let mut expected = vec![Word::float(FENCE); cols];
        expected.extend(words);
        expected.resize((rows + 2) * cols, Word::float(FENCE));
        self.expect("y", tensor, expected);
        tensor.slice_rows(1, rows)
    }
}
