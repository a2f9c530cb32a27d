//! Experts and their pages: what can be fetched at once.

use std::collections::BTreeMap;
use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::error::{Error, ErrorCode, Result};
use crate::formats::layout;
use crate::formats::peft::{Adapter, LoraPart, encoding_of};
use crate::panels::Factor;
use crate::strategies::Vectors;
use crate::tensor::DType;

/// A LoRA adapter with its gates.
#[derive(Debug, Clone)]
pub struct Expert {
    /// What it is called here: its id, or its full name where another expert has the same id. See [`name_apart`].
    pub id: String,
    /// `<catalogue>/<id>`; of an expert that comes from no catalogue, its id.
    pub full_name: String,
    /// By module, the gate vector (d_in). A module without a gate, or with an untrained one, is not adapted.
    pub gates: BTreeMap<String, Vec<f32>>,
    /// What strategies other than PHATGOOSE know it by.
    pub vectors: OtherVectors,
    /// By module, what `B A u` is multiplied with: alpha / rank, or alpha / sqrt(rank).
    pub scales: BTreeMap<String, f32>,
    /// The LoRA factors, block by block.
    pub pages: Vec<Page>,
}

/// What strategies other than PHATGOOSE know an expert by. Empty where nobody brought it.
#[derive(Debug, Clone, Default)]
pub struct OtherVectors {
    /// By module (d_in), see [`average_activation`](crate::strategies::average_activation).
    pub means: BTreeMap<String, Vec<f32>>,
    /// By module (d_in), see [`arrow`](crate::strategies::arrow).
    pub prototypes: BTreeMap<String, Vec<f32>>,
    /// (n, d_model), see [`retrieval`](crate::strategies::retrieval).
    pub examples: Vec<f32>,
}

/// The LoRA factors of one expert for one block: one range of bytes of its adapter file.
#[derive(Debug, Clone)]
pub struct Page {
    /// `encoder.block.3`
    pub block: String,
    /// The adapter file, as the catalogue or the folder names it.
    pub file: String,
    /// Where in that file the page is.
    pub range: Range<u64>,
    /// SHA-256 of the bytes, where a catalogue gives it.
    pub sha256: Option<[u8; 32]>,
    /// What the bytes hold.
    pub tensors: Vec<PageTensor>,
}

/// A LoRA factor in a page.
#[derive(Debug, Clone, PartialEq)]
pub struct PageTensor {
    /// The module that it adapts.
    pub module: String,
    /// A (rank, d_in) or B (d_out, rank).
    pub part: LoraPart,
    /// F32, F16 or Bf16.
    pub dtype: DType,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Offset in bytes from the page's first byte.
    pub offset: usize,
}

impl PageTensor {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    /// Whether there is no element at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the page that are this tensor's.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len() * self.dtype.bytes()
    }
}

/// How the factors of a page lie in a device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactorLayout {
    /// Row after row, as floats.
    Floats,
    /// Each a [`Factor`].
    Panels,
}

impl FactorLayout {
    /// Words of 32 bits that a factor takes.
    fn words(self, [rows, cols]: [usize; 2]) -> usize {
        match self {
            FactorLayout::Floats => rows * cols,
            FactorLayout::Panels => Factor::words(rows, cols),
        }
    }

    /// The type of a pool of such pages.
    pub fn dtype(self) -> DType {
        match self {
            FactorLayout::Floats => DType::U32,
            FactorLayout::Panels => DType::Factors,
        }
    }
}

/// Where one module's factors are in a page in a device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// First word of A (rank, d_in).
    pub a: usize,
    /// First word of B (d_out, rank).
    pub b: usize,
    /// Rank of the LoRA.
    pub rank: usize,
    /// Inputs of the module.
    pub d_in: usize,
    /// Outputs of the module.
    pub d_out: usize,
}

impl Page {
    /// Number of bytes to fetch.
    pub fn byte_len(&self) -> usize {
        (self.range.end - self.range.start) as usize
    }

    /// Number of words that the page occupies in a device's memory.
    pub fn word_len(&self, layout: FactorLayout) -> usize {
        self.tensors.iter().map(|tensor| layout.words(tensor.shape)).sum()
    }

    /// Where a module's factors are in the page in a device's memory, if both are in it.
    pub fn placement(&self, module: &str, layout: FactorLayout) -> Option<Placement> {
        let mut at = 0;
        let (mut a, mut b) = (None, None);
        for tensor in &self.tensors {
            if tensor.module == module {
                match tensor.part {
                    LoraPart::A => a = Some((at, tensor.shape)),
                    LoraPart::B => b = Some((at, tensor.shape)),
                }
            }
            at += layout.words(tensor.shape);
        }
        let ((a, [rank, d_in]), (b, [d_out, _])) = (a?, b?);
        Some(Placement { a, b, rank, d_in, d_out })
    }

    /// The factors as floats, one tensor after another, once the bytes are known to be the right ones.
    ///
    /// # Errors
    /// [`ErrorCode::PageMismatch`] for another number of bytes or another hash; [`ErrorCode::NotFinite`].
    pub fn decode(&self, expert: &str, bytes: &[u8]) -> Result<Vec<f32>> {
        let place = || format!("page {} of expert {expert:?} ({})", self.block, self.file);
        let mismatch =
            |problem, expected| Err(Error::new(ErrorCode::PageMismatch, place(), problem, expected));
        if bytes.len() != self.byte_len() {
            return mismatch(format!("{} bytes", bytes.len()), format!("{} bytes", self.byte_len()));
        }
        if let Some(expected) = self.sha256 {
            let found = sha256(bytes);
            if found != expected {
                return mismatch(format!("SHA-256 {}", hex(&found)), format!("SHA-256 {}", hex(&expected)));
            }
        }
        let mut floats = Vec::with_capacity(self.tensors.iter().map(PageTensor::len).sum());
        for tensor in &self.tensors {
            let [rows, cols] = tensor.shape;
            floats.extend(encoding_of(tensor.dtype).decode(rows, cols, &bytes[tensor.range()]).to_f32());
        }
        if let Some(at) = floats.iter().position(|value| !value.is_finite()) {
            let problem = format!("value {at} is {}", floats[at]);
            return Err(Error::new(ErrorCode::NotFinite, place(), problem, "finite LoRA factors"));
        }
        Ok(floats)
    }

    /// The decoded page as a device wants it in [`FactorLayout::Panels`].
    pub fn pack(&self, floats: &[f32]) -> Vec<u32> {
        let mut words = Vec::with_capacity(self.word_len(FactorLayout::Panels));
        let mut rest = floats;
        for tensor in &self.tensors {
            let (factor, others) = rest.split_at(tensor.len());
            Factor::pack(factor, tensor.shape[1], &mut words);
            rest = others;
        }
        words
    }
}

impl Expert {
    /// An expert from a PEFT adapter, cut into one page for each block. `file` is the name of the adapter file.
    pub fn from_adapter(id: &str, file: &str, adapter: Adapter) -> Expert {
        let mut blocks: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for tensor in adapter.tensors {
            blocks.entry(block_of(&tensor.module).to_owned()).or_default().push(tensor);
        }
        let pages = blocks.into_iter().map(|(block, tensors)| {
            let start = tensors.iter().map(|tensor| tensor.range.start).min().unwrap_or(0);
            let end = tensors.iter().map(|tensor| tensor.range.end).max().unwrap_or(0);
            let tensors = tensors
                .into_iter()
                .map(|tensor| PageTensor {
                    offset: tensor.range.start - start,
                    module: tensor.module,
                    part: tensor.part,
                    dtype: tensor.dtype,
                    shape: tensor.shape,
                })
                .collect();
            Page { block, file: file.to_owned(), range: start as u64..end as u64, sha256: None, tensors }
        });
        let (gates, scales) = (adapter.gates, adapter.scales);
        let vectors = OtherVectors::default();
        Expert { id: id.to_owned(), full_name: id.to_owned(), pages: pages.collect(), gates, vectors, scales }
    }

    /// By module, what a strategy tells it apart by; nothing where it needs no vectors.
    pub fn vectors_of(&self, vectors: Vectors) -> &BTreeMap<String, Vec<f32>> {
        static NOTHING: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        match vectors {
            Vectors::Gates => &self.gates,
            Vectors::Means => &self.vectors.means,
            Vectors::Prototypes => &self.vectors.prototypes,
            Vectors::None => &NOTHING,
        }
    }

    /// The LoRA factors of a module, in whichever page holds both: where they are in that, decoded.
    pub fn placement(&self, module: &str) -> Option<Placement> {
        self.pages.iter().find_map(|page| page.placement(module, FactorLayout::Floats))
    }

    /// The id that it has in its catalogue.
    pub fn own_id(&self) -> &str {
        self.full_name.rsplit('/').next().unwrap_or(&self.full_name)
    }

    /// Whether it comes from a catalogue.
    pub fn is_catalogued(&self) -> bool {
        self.full_name.contains('/')
    }

    /// Whether it is the one that people mean by a name.
    pub fn is_called(&self, name: &str) -> bool {
        name == self.id || name == self.full_name
    }

    /// Checks that every factor and gate fits the layer that it adapts.
    ///
    /// # Errors
    /// The first of [`Expert::problems_with`].
    pub fn check_against(&self, config: &Config) -> Result<()> {
        self.problems_with(config).into_iter().next().map_or(Ok(()), Err)
    }

    /// Every factor and gate that does not fit the layer that it adapts: [`ErrorCode::WrongBase`] for a layer that the base
    /// does not have or that maps other sizes, [`ErrorCode::ShapeMismatch`] for a gate of another length.
    pub fn problems_with(&self, config: &Config) -> Vec<Error> {
        let factors = self.pages.iter().flat_map(|page| &page.tensors);
        let factors = factors.filter_map(|tensor| {
            let place = || format!("{}, factor {:?}", tensor.module, tensor.part);
            let Some([d_out, d_in]) = layout::linear_shape(config, &tensor.module) else {
                let expected = format!(
                    "an adapter for {} encoder and {} decoder blocks with {}",
                    config.num_layers,
                    config.num_decoder_layers,
                    config.feed_forward.inputs().join(" and "),
                );
                let problem = "the base has no such layer";
                return Some(Error::new(ErrorCode::WrongBase, place(), problem, expected));
            };
            let [rows, cols] = tensor.shape;
            let (found, expected, side) = match tensor.part {
                LoraPart::A => (cols, d_in, "columns, the layer's inputs"),
                LoraPart::B => (rows, d_out, "rows, the layer's outputs"),
            };
            let problem = format!("it is {rows} × {cols}");
            (found != expected)
                .then(|| Error::new(ErrorCode::WrongBase, place(), problem, format!("{expected} {side}")))
        });
        let gates = self.gates.iter().filter_map(|(module, gate)| {
            let d_in = layout::linear_shape(config, module).map_or(gate.len(), |[_, d_in]| d_in);
            let (place, problem) = (format!("{module}, gate"), format!("it has {} values", gate.len()));
            let expected = format!("{d_in}, the layer's inputs");
            (gate.len() != d_in).then(|| Error::new(ErrorCode::ShapeMismatch, place, problem, expected))
        });
        factors.chain(gates).collect()
    }
}

/// Gives every expert the shortest name that is its alone: its id, or its full name where several have the same id. An
/// expert from no catalogue has no longer name and keeps its id.
pub fn name_apart(experts: &mut [Expert]) {
    let mut bearers: BTreeMap<String, usize> = BTreeMap::new();
    for expert in &*experts {
        *bearers.entry(expert.own_id().to_owned()).or_default() += 1;
    }
    for expert in experts {
        let is_alone = bearers[expert.own_id()] == 1;
        expert.id = if is_alone { expert.own_id().to_owned() } else { expert.full_name.clone() };
    }
}

/// The block that a module belongs to: the first three parts of its name.
pub fn block_of(module: &str) -> &str {
    match module.match_indices('.').nth(2) {
        Some((at, _)) => &module[..at],
        None => module,
    }
}

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
