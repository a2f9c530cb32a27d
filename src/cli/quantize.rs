//! `gander quantize`: a Hugging Face folder or a GGUF file in, a GGUF file out.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use gander::Result;
use gander::formats::gguf::{NO_TOKENIZER, Value};
use gander::formats::open::{OpenBase, read};
use gander::formats::quantize::{Target, metadata_to_keep, quantize};
use gander::formats::vocabulary::{self, TokenizerFiles};

use super::output::{partial_name, unwritable};

#[derive(Debug, Args)]
pub struct Quantize {
    /// A Hugging Face folder or a GGUF file
    path: PathBuf,
    /// The GGUF file to write
    #[arg(short, long, value_name = "FILE.gguf")]
    output: PathBuf,
    /// What the matrices become; norms stay 32-bit floats
    #[arg(long = "type", value_enum)]
    target: TypeArgument,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TypeArgument {
    /// 8.5 bits per weight
    #[value(name = "q8_0")]
    Q8_0,
    /// 4.5 bits per weight
    #[value(name = "q4_0")]
    Q4_0,
    /// 16 bits per weight
    F16,
}

/// Writes beside the output and renames at the end, so that no half-written file ever has its name.
pub fn run(arguments: &Quantize) -> Result<()> {
    let target = match arguments.target {
        TypeArgument::Q8_0 => Target::Q8_0,
        TypeArgument::Q4_0 => Target::Q4_0,
        TypeArgument::F16 => Target::F16,
    };
    let output = &arguments.output;
    let mut base = OpenBase::open(&arguments.path)?;
    let metadata = match &base.gguf {
        Some(gguf) => metadata_to_keep(gguf),
        None => folder_metadata(&arguments.path, base.contents.config.vocab_size)?,
    };
    let contents = base.contents.clone();

    let partial = partial_name(output);
    let file = File::create(&partial).map_err(|error| unwritable(&partial, &error))?;
    let mut out = BufWriter::new(file);
    let written = quantize(&contents, |index| base.read(index), metadata, target, &mut out)
        .map_err(|error| error.inside(arguments.path.display()));
    let written = written.and_then(|summary| {
        out.flush()
            .and_then(|()| out.get_ref().sync_all())
            .and_then(|()| fs::rename(&partial, output))
            .map_err(|error| unwritable(output, &error))?;
        Ok(summary)
    });
    let summary = match written {
        Ok(summary) => summary,
        Err(error) => {
            // The error that stopped the writing says more than one about the clean-up would.
            let _ = fs::remove_file(&partial);
            return Err(error);
        }
    };
    println!(
        "{}: {} tensors, {} of weights (from {})",
        output.display(),
        summary.tensors,
        mebibytes(summary.bytes_after),
        mebibytes(summary.bytes_before),
    );
    if !summary.left_f16.is_empty() {
        println!("{} matrices stayed F16: their rows are not multiples of 32", summary.left_f16.len());
    }
    if contents.config.relative_attention_max_distance != 128 {
        println!("relative_attention_max_distance is not 128: llama.cpp will run this model, and wrongly");
    }
    Ok(())
}

/// The keys of a folder that are not its shape: its name and its tokenizer.
fn folder_metadata(folder: &Path, vocab_size: usize) -> Result<Vec<(String, Value)>> {
    let name = fs::canonicalize(folder).ok();
    let name = name
        .as_deref()
        .and_then(Path::file_name)
        .map_or_else(|| "t5".to_string(), |name| name.to_string_lossy().into_owned());
    let text = |text: &str| Value::String(text.to_string());
    let mut metadata = vec![("general.name".to_string(), text(&name))];

    let find = |name: &str| folder.join(name).exists().then(|| read(&folder.join(name))).transpose();
    let (spiece, json) = (find("spiece.model")?, find("tokenizer.json")?);
    let config = find("tokenizer_config.json")?;
    let files = TokenizerFiles {
        spiece: spiece.as_deref(),
        tokenizer_json: json.as_deref(),
        tokenizer_config: config.as_deref(),
    };
    match vocabulary::of_folder(files, vocab_size).map_err(|error| error.inside(folder.display()))? {
        Some(model) => metadata.extend(vocabulary::keys(&model)),
        // llama.cpp wants to be told that there is no tokenizer.
        None => metadata.push(("tokenizer.ggml.model".to_string(), text(NO_TOKENIZER))),
    }
    Ok(metadata)
}

fn mebibytes(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}
