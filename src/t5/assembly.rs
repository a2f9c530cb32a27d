//! A T5 in the making: weights come in any order, some rows at a time, and go straight to the devices.

use super::placed::PlacedMatrix;
use super::{Block, CrossAttention, Decoder, Encoder, FeedForwardLayer, SelfAttention, Stack, T5};
use super::{bias_by_distance, reach};
use crate::config::Config;
use crate::device::{Devices, Part};
use crate::error::{Error, ErrorCode, Result};
use crate::formats::layout::{self, EMBEDDING, HEAD};
use crate::kernels::weight::{ArrivingWeight, Weight};
use crate::quant::{Format, Matrix};
use crate::router::RoutedLinears;
use crate::tensor::{BufferId, DType, Tensor};

/// A T5 whose weights are on their way.
pub struct Assembly {
    config: Config,
    is_split: bool,
    /// In the order in which the model is put together.
    slots: Vec<Slot>,
    /// In the order of a forward pass.
    tensors: Vec<Incoming>,
}

/// A tensor that belongs to the model.
struct Incoming {
    weight: layout::Weight,
    /// Once it is known to come.
    format: Option<Format>,
    /// What came before it was known what it is joined with.
    waiting: Option<Matrix>,
}

/// One weight of the model, in one device's memory.
struct Slot {
    part: Part,
    purpose: Purpose,
    /// The tensors that are joined, one after another: their places among all, and the first row of each.
    members: Vec<(usize, usize)>,
    rows: usize,
    /// How many came.
    came: usize,
    content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A matrix to multiply with, or a table.
    Matrix,
    /// A vector of floats.
    Norm,
    /// The position bias of a stack that looks both ways, or only back.
    Bias { both_ways: bool },
}

enum Content {
    Nothing,
    Arriving(ArrivingWeight),
    There(Weight),
}

impl Assembly {
    /// Nothing is there yet. `is_split`: the decoder has a device of its own.
    pub fn new(config: &Config, is_split: bool) -> Assembly {
        let weights = layout::weights(config, true).into_iter();
        let tensors: Vec<Incoming> =
            weights.map(|weight| Incoming { weight, format: None, waiting: None }).collect();
        let mut slots = Vec::new();
        // The same code that puts the model together says what it will ask for; nothing of this one is used.
        let mut declare = |part, purpose, names: Vec<String>| {
            let mut slot =
                Slot { part, purpose, members: Vec::new(), rows: 0, came: 0, content: Content::Nothing };
            for name in names {
                let index = tensors.iter().position(|tensor| tensor.weight.name == name);
                let index = index.expect("the model is made of the layout's tensors");
                slot.members.push((index, slot.rows));
                slot.rows += tensors[index].weight.rows;
            }
            slots.push(slot);
            NOWHERE
        };
        Builder { config, is_split, has_head: true, place: &mut declare }.model();
        Assembly { config: config.clone(), is_split, slots, tensors }
    }

    /// Tells which tensors will come, and in what formats: all at once, or those of one file after another. Nothing may be
    /// on its way between two calls. Weights whose tensors are all known get their memory.
    ///
    /// # Errors
    /// [`ErrorCode::OutOfMemory`]
    pub fn expect<'a>(
        &mut self,
        devices: &mut Devices,
        formats: impl IntoIterator<Item = (&'a str, Format)>,
    ) -> Result<()> {
        for (name, format) in formats {
            let index = self.index(name);
            self.tensors[index].format = Some(format);
        }
        for slot in &mut self.slots {
            slot.alloc(devices, &self.tensors)?;
        }
        for index in 0..self.tensors.len() {
            if let Some(matrix) = self.tensors[index].waiting.take() {
                self.write(devices, index, 0, &matrix);
            }
        }
        Ok(())
    }

    /// Takes rows of a tensor that is expected, from `first` on, each once. Those of a norm and of a position bias come
    /// together.
    pub fn write_rows(&mut self, devices: &mut Devices, name: &str, first: usize, rows: &Matrix) {
        self.write(devices, self.index(name), first, rows);
    }

    /// Whether a tensor's rows are kept by a device that does not go away, so that they can be read back.
    pub fn is_safe(&self, devices: &mut Devices, name: &str) -> bool {
        let index = self.index(name);
        let slots = self.slots.iter().filter(|slot| slot.purpose == Purpose::Matrix);
        let mut slots = slots.filter(|slot| slot.members.iter().any(|(member, _)| *member == index));
        slots.any(|slot| !devices.of(slot.part).may_go_away())
    }

    fn index(&self, name: &str) -> usize {
        let index = self.tensors.iter().position(|tensor| tensor.weight.name == name);
        index.unwrap_or_else(|| panic!("{name} is none of the model's tensors"))
    }

    fn write(&mut self, devices: &mut Devices, index: usize, first: usize, rows: &Matrix) {
        let Assembly { slots, tensors, config, .. } = self;
        // The embedding has two, where both devices want it.
        let mut places: Vec<(&mut Slot, usize)> = Vec::new();
        let mut is_ready = true;
        for slot in slots {
            let Some(&(_, at)) = slot.members.iter().find(|(member, _)| *member == index) else { continue };
            is_ready &= slot.members.iter().all(|(member, _)| tensors[*member].format.is_some());
            places.push((slot, at));
        }
        if is_ready {
            for (slot, at) in places {
                slot.write_rows(devices, config, at + first, rows);
            }
            return;
        }
        let Incoming { weight, waiting, .. } = &mut tensors[index];
        let format = rows.values.format();
        waiting
            .get_or_insert_with(|| Matrix::zeroed(weight.rows, weight.cols, format))
            .write_rows(first, rows);
    }

    /// The model, if all of it has come.
    ///
    /// # Errors
    /// [`ErrorCode::MissingTensor`]
    pub fn finish(self, devices: &mut Devices) -> Result<T5> {
        let Assembly { config, is_split, slots, tensors } = self;
        let has_head = tensors.iter().any(|tensor| tensor.weight.name == HEAD && tensor.format.is_some());
        // The head is the last of all.
        let needed = if has_head { slots.len() } else { slots.len() - 1 };
        if let Some(slot) = slots[..needed].iter().find(|slot| slot.came < slot.rows) {
            let mut members = slot.members.iter().map(|(index, _)| &tensors[*index]);
            let missing = members.find(|tensor| tensor.format.is_none());
            return Err(Error::new(
                ErrorCode::MissingTensor,
                missing.map_or("a tensor", |tensor| &tensor.weight.name),
                "not in the checkpoint",
                "every weight of its configuration",
            ));
        }
        let mut matrices = Vec::new();
        let mut slots = slots.into_iter();
        let mut place = |_, _, _| {
            let Slot { part, content, members, .. } = slots.next().expect("as many slots as were declared");
            match content {
                Content::Arriving(weight) => {
                    let weight = weight.finish(devices.of(part));
                    let tensors = members.iter().map(|(index, _)| &tensors[*index].weight);
                    let tensors = tensors.map(|tensor| (tensor.name.clone(), tensor.rows)).collect();
                    matrices.push(PlacedMatrix { part, weight, tensors });
                    weight
                }
                Content::There(weight) => weight,
                Content::Nothing => unreachable!("rows of every slot have come"),
            }
        };
        let (encoder, decoder) = Builder { config: &config, is_split, has_head, place: &mut place }.model();
        Ok(T5 { config, encoder, decoder, matrices })
    }
}

impl Slot {
    /// Takes memory, if it is known for what.
    fn alloc(&mut self, devices: &mut Devices, tensors: &[Incoming]) -> Result<()> {
        let members = || self.members.iter().map(|(index, _)| &tensors[*index]);
        let is_known = members().all(|tensor| tensor.format.is_some());
        if self.purpose != Purpose::Matrix || !matches!(self.content, Content::Nothing) || !is_known {
            return Ok(());
        }
        let device = devices.of(self.part);
        let format = ArrivingWeight::format(members().filter_map(|tensor| tensor.format));
        let layout::Weight { name, cols, .. } = &tensors[self.members[0].0].weight;
        let bytes = Weight::value_bytes(device.weight_layout(), self.rows, *cols, format);
        // Where there is none left, the program would end.
        if Vec::<u8>::new().try_reserve_exact(bytes).is_err() {
            let problem = format!("{bytes} bytes are not to be had");
            return Err(Error::new(
                ErrorCode::OutOfMemory,
                name,
                problem,
                "as much memory, or a smaller base",
            ));
        }
        self.content = Content::Arriving(ArrivingWeight::new(device, self.rows, *cols, format));
        Ok(())
    }

    fn write_rows(&mut self, devices: &mut Devices, config: &Config, first: usize, rows: &Matrix) {
        let device = devices.of(self.part);
        self.came += rows.rows;
        match self.purpose {
            Purpose::Matrix => {
                if let Content::Arriving(weight) = &mut self.content {
                    weight.write_rows(device, first, rows);
                }
            }
            Purpose::Norm => {
                let values = device.upload(1, rows.cols, DType::F32, &rows.to_f32());
                self.content = Content::There(Weight { values, ..NOWHERE });
            }
            Purpose::Bias { both_ways } => {
                let bias = bias_by_distance(&rows.to_f32(), config, both_ways);
                let distances = 2 * reach(config) as usize + 1;
                let values = device.upload(distances, config.num_heads, DType::F32, &bias);
                self.content = Content::There(Weight { values, ..NOWHERE });
            }
        }
    }
}

/// No weight at all.
const NOWHERE: Weight = {
    let values = Tensor { buffer: BufferId(u32::MAX), offset: 0, rows: 0, cols: 0, dtype: DType::F32 };
    Weight { d_out: 0, d_in: 0, values, scales: values }
};

/// Puts the model together of weights that it asks for by what they are for and the names of their tensors.
struct Builder<'a> {
    config: &'a Config,
    is_split: bool,
    has_head: bool,
    place: &'a mut dyn FnMut(Part, Purpose, Vec<String>) -> Weight,
}

impl Builder<'_> {
    fn model(mut self) -> (Encoder, Decoder) {
        let mut embed = |part| (self.place)(part, Purpose::Matrix, vec![EMBEDDING.to_owned()]);
        let embedding = embed(Part::Encoder);
        let embedding_of_decoder = if self.is_split { embed(Part::Decoder) } else { embedding };
        let stack = self.stack(Part::Encoder);
        let modules = (0..self.config.num_decoder_layers).flat_map(|block| {
            ["k", "v"].map(|name| format!("decoder.block.{block}.layer.1.EncDecAttention.{name}"))
        });
        let cross_kv = self.linears(Part::Encoder, modules.collect());
        let cross_groups = cross_kv.split([cross_kv.modules.len()]);
        let encoder = Encoder { embedding, stack, cross_kv, cross_groups };

        let embedding = embedding_of_decoder;
        let stack = self.stack(Part::Decoder);
        // The last of all: where the checkpoint has none, the weights before it are the same.
        let head = match self.has_head {
            true => (self.place)(Part::Decoder, Purpose::Matrix, vec![HEAD.to_owned()]),
            false => embedding,
        };
        (encoder, Decoder { embedding, stack, head, cross_groups: 1 })
    }

    fn stack(&mut self, part: Part) -> Stack {
        let (name, blocks) = match part {
            Part::Encoder => ("encoder", self.config.num_layers),
            Part::Decoder => ("decoder", self.config.num_decoder_layers),
        };
        let table = format!("{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
        let purpose = Purpose::Bias { both_ways: part == Part::Encoder };
        Stack {
            position_bias: (self.place)(part, purpose, vec![table]).values,
            blocks: (0..blocks).map(|index| self.block(part, &format!("{name}.block.{index}"))).collect(),
            final_norm: self.norm(part, format!("{name}.final_layer_norm.weight")),
        }
    }

    fn block(&mut self, part: Part, block: &str) -> Block {
        let norm = |layer: usize| format!("{block}.layer.{layer}.layer_norm.weight");
        let attention = format!("{block}.layer.0.SelfAttention");
        let self_attention = SelfAttention {
            norm: self.norm(part, norm(0)),
            qkv: self.linears_of(part, &attention, &["q", "k", "v"]),
            o: self.linears_of(part, &attention, &["o"]),
        };
        let attention = format!("{block}.layer.1.EncDecAttention");
        let cross_attention = (part == Part::Decoder).then(|| CrossAttention {
            norm: self.norm(part, norm(1)),
            q: self.linears_of(part, &attention, &["q"]),
            o: self.linears_of(part, &attention, &["o"]),
        });
        let layer = 1 + usize::from(part == Part::Decoder);
        let dense = format!("{block}.layer.{layer}.DenseReluDense");
        let feed_forward = FeedForwardLayer {
            norm: self.norm(part, norm(layer)),
            wi: self.linears_of(part, &dense, self.config.feed_forward.inputs()),
            wo: self.linears_of(part, &dense, &["wo"]),
        };
        Block { self_attention, cross_attention, feed_forward }
    }

    /// A norm's weight (1, d_model).
    fn norm(&mut self, part: Part, name: String) -> Tensor {
        (self.place)(part, Purpose::Norm, vec![name]).values
    }

    /// The layers `names` of a block's part, which share an input.
    fn linears_of(&mut self, part: Part, within: &str, names: &[&str]) -> RoutedLinears {
        self.linears(part, names.iter().map(|name| format!("{within}.{name}")).collect())
    }

    fn linears(&mut self, part: Part, modules: Vec<String>) -> RoutedLinears {
        let names = modules.iter().map(|module| format!("{module}.weight")).collect();
        let weight = (self.place)(part, Purpose::Matrix, names);
        RoutedLinears { modules, weight, router: None }
    }
}
