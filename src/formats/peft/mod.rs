//! LoRA adapters as PEFT saves them, with PHATGOOSE's gates.
//!
//! An adapter is `adapter_config.json` and `adapter_model.safetensors`, unchanged, with keys
//! `base_model.model.<module>.lora_A.weight` (rank, d_in) and `….lora_B.weight` (d_out, rank). A module's gate is
//! `base_model.model.<module>.lora_gate.weight` (d_in), in the same file or in `gates.safetensors` beside it.
//!
//! Only headers are read here: where each factor lies, not its numbers. Those are fetched when the router asks.

mod config;
mod pattern;

use std::collections::BTreeMap;
use std::ops::Range;

pub use config::LARGEST_RANK;
use config::LoraConfig;

use super::encoding::Encoding;
use super::layout;
use super::safetensors::{Header, HeaderTensor};
use crate::error::{Error, ErrorCode, Result};
use crate::tensor::DType;

/// The factors.
pub const WEIGHTS: &str = "adapter_model.safetensors";
/// The gates, where they are a file of their own.
pub const GATES: &str = "gates.safetensors";
/// How strong the adapter is, and of what kind.
pub const CONFIG: &str = config::FILE;

/// A LoRA adapter: where its factors are, how strong it is, and when it is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// Every factor, in the order of the file. A module has both or none.
    pub tensors: Vec<LoraTensor>,
    /// By module, what `B A u` is multiplied with: alpha / rank, or alpha / sqrt(rank) with `use_rslora`.
    pub scales: BTreeMap<String, f32>,
    /// By module, the gate vector (d_in): finite, and not all zeros.
    pub gates: BTreeMap<String, Vec<f32>>,
    /// Modules whose gate is all zeros, the value before training: there the expert takes no part in the routing.
    pub untrained: Vec<String>,
    /// Gates that the adapter file holds and that were not read, because only its header was given.
    pub unread_gates: Vec<UnreadGate>,
    /// The base that the adapter says it was trained on: a name or a path, as its author had it.
    pub base_model: Option<String>,
}

/// One factor of one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoraTensor {
    /// The linear layer: `encoder.block.0.layer.0.SelfAttention.q`.
    pub module: String,
    /// Which factor.
    pub part: LoraPart,
    /// F32, F16 or Bf16.
    pub dtype: DType,
    /// (rank, d_in) of A, (d_out, rank) of B.
    pub shape: [usize; 2],
    /// Its bytes, counted from the start of the adapter file.
    pub range: Range<usize>,
}

/// A factor of a LoRA: the layer adds `scale · B (A u)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoraPart {
    /// (rank, d_in)
    A,
    /// (d_out, rank)
    B,
}

/// A gate in an adapter file of which only the header was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadGate {
    /// The linear layer.
    pub module: String,
    /// F32, F16 or Bf16.
    pub dtype: DType,
    /// Its bytes, counted from the start of the adapter file.
    pub range: Range<usize>,
}

impl Adapter {
    /// Reads an adapter from its files.
    pub fn from_files(config_json: &[u8], weights: &[u8], gates: Option<&[u8]>) -> Result<Adapter> {
        let header = Header::of_file(WEIGHTS, weights)?;
        let mut adapter = Adapter::from_header(config_json, &header, gates)?;
        for gate in std::mem::take(&mut adapter.unread_gates) {
            let place = gate_place(WEIGHTS, &gate.module);
            adapter.add_gate(&place, gate.module, gate.dtype, &weights[gate.range])?;
        }
        Ok(adapter)
    }

    /// Reads an adapter from the header of its weights alone, which is all that routing over a network needs.
    pub fn from_header(config_json: &[u8], header: &Header, gates: Option<&[u8]>) -> Result<Adapter> {
        let config = LoraConfig::parse(config_json)?;
        let mut adapter = Adapter {
            tensors: Vec::new(),
            scales: BTreeMap::new(),
            gates: BTreeMap::new(),
            untrained: Vec::new(),
            unread_gates: Vec::new(),
            base_model: config.base_model.clone(),
        };
        for (name, tensor) in &header.tensors {
            let place = format!("{}: {name}", header.file);
            let (module, kind) = parse_key(name).map_err(|error| error.inside(&header.file))?;
            let dtype = float_type(tensor).map_err(|error| error.inside(&place))?;
            let module = module.to_string();
            let range = tensor.range.clone();
            match kind {
                Kind::Gate => {
                    check_gate_shape(&place, &tensor.shape)?;
                    adapter.unread_gates.push(UnreadGate { module, dtype, range });
                }
                Kind::Factor(part) => {
                    let &[rows, cols] = tensor.shape.as_slice() else {
                        return Err(mismatch(
                            place,
                            format!("has shape {:?}", tensor.shape),
                            "a matrix: two numbers",
                        ));
                    };
                    let shape = [rows, cols];
                    adapter.tensors.push(LoraTensor { module, part, dtype, shape, range });
                }
            }
        }
        adapter.tensors.sort_by_key(|tensor| tensor.range.start);
        adapter.pair_factors(&header.file, &config)?;
        adapter.check_unread_gates(&header.file)?;
        if let Some(gates) = gates {
            adapter.read_gates(gates)?;
        }
        Ok(adapter)
    }

    /// Every A has its B, their rank is one and is the configuration's; then the scales follow.
    fn pair_factors(&mut self, file: &str, config: &LoraConfig) -> Result<()> {
        let mut pairs: BTreeMap<&str, [Option<[usize; 2]>; 2]> = BTreeMap::new();
        for tensor in &self.tensors {
            pairs.entry(&tensor.module).or_default()[tensor.part as usize] = Some(tensor.shape);
        }
        for (module, pair) in pairs {
            let place = |part| format!("{file}: {}", factor_name(module, part));
            let (a, b) = match pair {
                [Some(a), Some(b)] => (a, b),
                [a, _] => {
                    let (there, absent) =
                        if a.is_some() { (LoraPart::A, LoraPart::B) } else { (LoraPart::B, LoraPart::A) };
                    return Err(Error::new(
                        ErrorCode::MissingTensor,
                        file,
                        format!("has no {}", factor_name(module, absent)),
                        format!("both factors of a module; {} is there", factor_name(module, there)),
                    ));
                }
            };
            let rank = a[0];
            if b[1] != rank {
                let problem = format!("has {} columns, and A has {rank} rows", b[1]);
                return Err(mismatch(place(LoraPart::B), problem, "one rank in both factors"));
            }
            let configured = config.rank_of(module);
            if rank == 0 || configured != rank as f64 {
                let expected = format!("{configured}, its rank by {CONFIG}");
                return Err(mismatch(place(LoraPart::A), format!("has {rank} rows"), expected));
            }
            if a[1] == 0 || b[0] == 0 {
                return Err(mismatch(
                    place(LoraPart::A),
                    format!("maps {} inputs to {} outputs", a[1], b[0]),
                    "at least one of each",
                ));
            }
            self.scales.insert(module.to_string(), config.scale_of(module, rank)?);
        }
        Ok(())
    }

    fn check_unread_gates(&self, file: &str) -> Result<()> {
        for gate in &self.unread_gates {
            let (_, bytes) = encoding_of(gate.dtype).block();
            self.check_gate(&gate_place(file, &gate.module), &gate.module, gate.range.len() / bytes)?;
        }
        Ok(())
    }

    fn read_gates(&mut self, bytes: &[u8]) -> Result<()> {
        let header = Header::of_file(GATES, bytes)?;
        for (name, tensor) in &header.tensors {
            let place = format!("{GATES}: {name}");
            let (module, kind) = parse_key(name).map_err(|error| error.inside(GATES))?;
            if kind != Kind::Gate {
                return Err(Error::new(ErrorCode::Unsupported, place, "is not a gate", "gates alone"));
            }
            let dtype = float_type(tensor).map_err(|error| error.inside(&place))?;
            check_gate_shape(&place, &tensor.shape)?;
            if self.unread_gates.iter().any(|gate| gate.module == module) {
                let problem = format!("is in {WEIGHTS} too");
                return Err(Error::new(ErrorCode::InvalidFile, place, problem, "each gate once"));
            }
            self.check_gate(&place, module, tensor.shape[0])?;
            self.add_gate(&place, module.to_string(), dtype, &bytes[tensor.range.clone()])?;
        }
        Ok(())
    }

    /// A gate reads the same input as the module's A.
    fn check_gate(&self, place: &str, module: &str, length: usize) -> Result<()> {
        let factor = self.tensors.iter().find(|tensor| tensor.module == module && tensor.part == LoraPart::A);
        let Some(factor) = factor else {
            return Err(Error::new(
                ErrorCode::MissingTensor,
                place,
                "is the gate of a module without LoRA factors",
                factor_name(module, LoraPart::A),
            ));
        };
        let d_in = factor.shape[1];
        if length != d_in {
            let problem = format!("has {length} numbers");
            return Err(mismatch(place, problem, format!("{d_in}, the module's inputs")));
        }
        Ok(())
    }

    fn add_gate(&mut self, place: &str, module: String, dtype: DType, bytes: &[u8]) -> Result<()> {
        let encoding = encoding_of(dtype);
        let gate = encoding.decode(1, bytes.len() / encoding.block().1, bytes).to_f32();
        if let Some(at) = gate.iter().position(|value| !value.is_finite()) {
            let problem = format!("is {} at {at}", gate[at]);
            return Err(Error::new(ErrorCode::NotFinite, place, problem, "finite numbers"));
        }
        if gate.iter().all(|&value| value == 0.0) {
            self.untrained.push(module);
        } else {
            self.gates.insert(module, gate);
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Factor(LoraPart),
    Gate,
}

/// The module and kind of a tensor in an adapter or gates file.
fn parse_key(key: &str) -> Result<(&str, Kind)> {
    let refuse =
        |problem: &str, expected: &str| Err(Error::new(ErrorCode::Unsupported, key, problem, expected));
    const PLAIN: &str = "plain LoRA: lora_A.weight, lora_B.weight and lora_gate.weight";
    let parts = [("lora_magnitude_vector", "is part of DoRA"), ("lora_embedding_", "adapts an embedding")];
    if let Some((_, problem)) = parts.iter().find(|(part, _)| key.contains(part)) {
        return refuse(problem, PLAIN);
    }
    if key.contains("modules_to_save") {
        return refuse("is a whole layer of modules_to_save", PLAIN);
    }
    if key.ends_with(".bias") {
        return refuse("is a bias", PLAIN);
    }
    let kinds = [
        (".lora_A.weight", Kind::Factor(LoraPart::A)),
        (".lora_B.weight", Kind::Factor(LoraPart::B)),
        (".lora_gate.weight", Kind::Gate),
    ];
    let found = kinds.iter().find_map(|(suffix, kind)| Some((key.strip_suffix(suffix)?, *kind)));
    let Some((prefixed, kind)) = found else { return refuse("is not known", PLAIN) };
    let Some(module) = prefixed.strip_prefix("base_model.model.") else {
        return refuse("is not a key of PEFT", "base_model.model. and the name of a layer");
    };
    if !layout::is_linear(module) {
        return refuse(
            "adapts something other than a linear layer of T5's blocks",
            "SelfAttention or EncDecAttention q, k, v, o; DenseReluDense wi, wi_0, wi_1, wo",
        );
    }
    Ok((module, kind))
}

fn float_type(tensor: &HeaderTensor) -> Result<DType> {
    Ok(match Encoding::from_dtype(tensor.dtype)? {
        Encoding::F16 => DType::F16,
        Encoding::Bf16 => DType::Bf16,
        _ => DType::F32,
    })
}

/// How files encode the floats of a factor or gate.
pub(crate) fn encoding_of(dtype: DType) -> Encoding {
    match dtype {
        DType::F16 => Encoding::F16,
        DType::Bf16 => Encoding::Bf16,
        _ => Encoding::F32,
    }
}

fn check_gate_shape(place: &str, shape: &[usize]) -> Result<()> {
    match shape {
        [_] => Ok(()),
        _ => Err(mismatch(place, format!("has shape {shape:?}"), "a vector: one number")),
    }
}

fn factor_name(module: &str, part: LoraPart) -> String {
    format!("base_model.model.{module}.lora_{part:?}.weight")
}

fn gate_place(file: &str, module: &str) -> String {
    format!("{file}: base_model.model.{module}.lora_gate.weight")
}

fn mismatch(place: impl Into<String>, problem: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::new(ErrorCode::ShapeMismatch, place, problem, expected)
}
