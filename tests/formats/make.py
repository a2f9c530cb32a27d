"""Makes the files beside it, with the `gguf` and `peft` packages as the authority.

    python tests/formats/make.py

blocks.gguf     for every quantised type, blocks of random bytes with sane scales, and what the `gguf` package makes of
                them (`<type>.expected`); random `weights`, and what they become in Q8_0 and Q4_0
metadata.gguf   one key of every metadata type
adapter/        an adapter with rslora, rank_pattern and alpha_pattern, as PEFT saves it; scales.json is what PEFT applies

Written with gguf 0.19, peft 0.21, transformers 5.23, torch 2.15.
"""

import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import T5Config, T5ForConditionalGeneration

HERE = Path(__file__).parent

# Where in a block of each type its f16 numbers are: random bytes there would be NaN as often as not.
HALVES = {
    Type.Q8_0: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2],
    Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
}


def blocks(random):
    writer = gguf.GGUFWriter(HERE / "blocks.gguf", "test")
    for kind, halves in HALVES.items():
        weights, size = gguf.GGML_QUANT_SIZES[kind]
        data = random.integers(0, 256, (3, 256 // weights, size), dtype=np.uint8)
        for at in halves:
            scales = random.uniform(-0.1, 0.1, data.shape[:2]).astype(np.float16)
            data[..., at : at + 2] = scales[..., None].view(np.uint8)
        data = data.reshape(3, -1)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        writer.add_tensor(f"{kind.name}.expected", gguf.quants.dequantize(data, kind))

    weights = random.normal(0, 0.05, (6, 64)).astype(np.float32)
    weights[1] = 0  # a block without a scale
    weights[2, ::2], weights[2, 1::2] = 0.25, -0.25  # equal magnitudes: the first decides the sign
    weights[3, :32] = np.arange(32) / 16 - 1  # halves, where rounding shows
    weights[4] *= 1e-9  # scales below the smallest f16
    weights[5] *= 1e4
    writer.add_tensor("weights", weights)
    for kind in [Type.Q8_0, Type.Q4_0]:
        writer.add_tensor(f"weights.{kind.name}", gguf.quants.quantize(weights, kind), raw_dtype=kind)
    finish(writer)


def metadata():
    writer = gguf.GGUFWriter(HERE / "metadata.gguf", "test")
    writer.add_uint8("u8", 200)
    writer.add_int8("i8", -100)
    writer.add_uint16("u16", 60000)
    writer.add_int16("i16", -30000)
    writer.add_uint32("u32", 4_000_000_000)
    writer.add_int32("i32", -2_000_000_000)
    writer.add_uint64("u64", 2**63)
    writer.add_int64("i64", -(2**62))
    writer.add_float32("f32", 0.1)
    writer.add_float64("f64", 0.1)
    writer.add_bool("bool", True)
    writer.add_string("string", "▁gänder")
    writer.add_array("strings", ["▁a", "", "</s>"])
    writer.add_array("f32s", [0.5, -2.0])
    writer.add_array("i32s", [1, -2, 3])
    writer.add_array("bools", [True, False])
    writer.add_array("bytes", bytes([0, 127, 128, 255]))
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def adapter():
    torch.manual_seed(1)
    config = T5Config(
        vocab_size=40, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_decoder_layers=3, num_heads=3,
        feed_forward_proj="gated-gelu",
    )
    lora = LoraConfig(
        r=4, lora_alpha=6, target_modules=["q", "v", "wi_0", "wo"], use_rslora=True,
        # The first match counts, and `.` is any character. PEFT sorts the keys when it saves them, so they are sorted here:
        # otherwise the file would mean something else than what was trained.
        rank_pattern={
            "EncDecAttention.q": 3,
            r"block\.[01]\.layer\.1\.DenseReluDense\.wi_0": 1,
            r"decoder\.block\.2\..*\.q": 2,
            "q": 5,
        },
        alpha_pattern={
            "SelfAttention.v": 9,
            "decoder.block.0.layer.2.DenseReluDense.wo": 7,
            r"encoder.*\.v": 11,
            "i_0": 100,
            "wi.0": 13,
        },
    )
    model = get_peft_model(T5ForConditionalGeneration(config), lora)
    folder = HERE / "adapter"
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    config.save_pretrained(folder)
    # As PEFT reads the folder, not as it wrote it.
    model = PeftModel.from_pretrained(T5ForConditionalGeneration(config), folder)
    scales = {
        name.removeprefix("base_model.model."): module.scaling["default"]
        for name, module in model.named_modules()
        if hasattr(module, "lora_A")
    }
    (folder / "scales.json").write_text(json.dumps(scales, indent=1) + "\n")


random = np.random.default_rng(1)
blocks(random)
metadata()
shutil.rmtree(HERE / "adapter", ignore_errors=True)
adapter()
