//! `adapter_config.json`: how strong a LoRA is, and whether it is one that gander can apply.

use serde::Deserialize;
use serde_json::Value;

use super::pattern::{Patterns, Written};
use crate::error::{Error, ErrorCode, Result};
use crate::formats::json::{JsonObject, shown};

/// The file's name, for messages.
pub const FILE: &str = "adapter_config.json";

/// Ranks above this are mistakes: PEFT's default is 8, and T5-small's layers have 512 columns.
pub const LARGEST_RANK: u64 = 4096;

/// What PEFT takes where the file is silent.
mod defaults {
    pub const R: u64 = 8;
    pub const LORA_ALPHA: f64 = 8.0;
}

/// The parts of a `LoraConfig` that decide what its tensors mean.
#[derive(Debug)]
pub struct LoraConfig {
    /// The base that the adapter says it was trained on: a name or a path, as its author had it.
    pub base_model: Option<String>,
    rank: u64,
    alpha: f64,
    /// Scale by alpha / sqrt(rank) rather than alpha / rank.
    rank_stabilised: bool,
    rank_pattern: Patterns,
    alpha_pattern: Patterns,
}

impl LoraConfig {
    /// Reads the file; what gander cannot honour is refused by its name.
    pub fn parse(bytes: &[u8]) -> Result<LoraConfig> {
        let json = JsonObject::parse(FILE, bytes)?;
        refuse_what_is_not_plain_lora(&json)?;
        let rank = json.whole("r")?.unwrap_or(defaults::R);
        if !(1..=LARGEST_RANK).contains(&rank) {
            return Err(json.error(
                ErrorCode::InvalidFile,
                "r",
                format!("is {rank}"),
                format!("1 to {LARGEST_RANK}"),
            ));
        }
        let ordered: OrderedPatterns = serde_json::from_slice(bytes).map_err(|error| {
            Error::new(
                ErrorCode::InvalidFile,
                FILE,
                error.to_string(),
                "rank_pattern and alpha_pattern as objects of numbers",
            )
        })?;
        Ok(LoraConfig {
            base_model: json.text("base_model_name_or_path")?.map(str::to_string),
            rank,
            alpha: json.number("lora_alpha")?.unwrap_or(defaults::LORA_ALPHA),
            rank_stabilised: json.flag("use_rslora")?.unwrap_or(false),
            rank_pattern: compile("rank_pattern", ordered.rank_pattern)?,
            alpha_pattern: compile("alpha_pattern", ordered.alpha_pattern)?,
        })
    }

    /// The rank that the file gives to a module.
    pub fn rank_of(&self, module: &str) -> f64 {
        self.rank_pattern.find(module).unwrap_or(self.rank as f64)
    }

    /// What `B A u` is multiplied with, in a module whose tensors have this rank.
    pub fn scale_of(&self, module: &str, rank: usize) -> Result<f32> {
        let alpha = self.alpha_pattern.find(module).unwrap_or(self.alpha);
        let rank = rank as f64;
        let scale = if self.rank_stabilised { alpha / rank.sqrt() } else { alpha / rank };
        let scale = scale as f32;
        if !scale.is_finite() {
            return Err(Error::new(
                ErrorCode::NotFinite,
                format!("{FILE}: lora_alpha"),
                format!("gives {module} the scale {scale}"),
                "a finite number",
            ));
        }
        Ok(scale)
    }
}

/// The two fields whose keys must keep the file's order: PEFT takes the first that matches.
#[derive(Deserialize)]
struct OrderedPatterns {
    rank_pattern: Option<Written>,
    alpha_pattern: Option<Written>,
}

fn compile(field: &str, written: Option<Written>) -> Result<Patterns> {
    Patterns::compile(written.unwrap_or_default()).map_err(|error| error.inside(field).inside(FILE))
}

fn refuse_what_is_not_plain_lora(json: &JsonObject) -> Result<()> {
    let refuse = |name: &str, expected: &str| {
        let found = json.value(name).map_or("absent".to_string(), shown);
        Err(json.error(ErrorCode::Unsupported, name, format!("is {found}"), expected))
    };
    if json.text("peft_type")? != Some("LORA") {
        return refuse("peft_type", "\"LORA\"");
    }
    // Each of these changes what is computed: DoRA and QALoRA the formula, the biases and fan_in_fan_out its terms.
    for name in ["use_dora", "lora_bias", "fan_in_fan_out", "use_qalora"] {
        if json.flag(name)? == Some(true) {
            return refuse(name, "false: gander applies plain LoRA");
        }
    }
    if !matches!(json.text("bias")?, None | Some("none")) {
        return refuse("bias", "\"none\": an expert may not change the base");
    }
    let must_be_empty = [
        "modules_to_save",
        "trainable_token_indices",
        "layer_replication",
        "target_parameters",
        "alora_invocation_tokens",
        "use_bdlora",
        "arrow_config",
        "kasa_config",
        "monteclora_config",
    ];
    for name in must_be_empty {
        let empty = match json.value(name) {
            None | Some(Value::Bool(false)) => true,
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Object(fields)) => fields.is_empty(),
            Some(_) => false,
        };
        if !empty {
            return refuse(name, "nothing: gander applies plain LoRA");
        }
    }
    // The other initialisations move part of the base's weights into the adapter. PEFT can convert such an
    // adapter to a plain one when it saves it, and then writes `true` here.
    match json.value("init_lora_weights") {
        None | Some(Value::Bool(_)) => {}
        Some(Value::String(name)) if matches!(name.as_str(), "gaussian" | "eva" | "orthogonal") => {}
        Some(_) => {
            return refuse(
                "init_lora_weights",
                "one that leaves the base as it is: true, false, \"gaussian\", \"eva\" or \"orthogonal\"",
            );
        }
    }
    Ok(())
}
