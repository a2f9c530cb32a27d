"""Makes a random-weight flan-t5-small twice: as a Hugging Face folder, and as the ONNX files that transformers.js loads.

usage: random_model.py FOLDER [--base]

FOLDER/base gets config.json and model.safetensors; with --base that is all. FOLDER/peer gets what transformers.js reads, with
32-bit weights, with 8-bit weights (dynamic quantisation), the form that it is quickest with on a CPU, and with 4-bit weights
(MatMulNBits, blocks of 32), the form that its WebGPU back end has kernels for.

Needs, from PyPI: torch transformers, and for ONNX: optimum-onnx onnx onnxruntime
"""

import shutil
import sys
from pathlib import Path

import torch
from transformers import T5Config, T5ForConditionalGeneration

SHAPE = {
    "d_model": 512,
    "d_kv": 64,
    "num_heads": 6,
    "d_ff": 1024,
    "num_layers": 8,
    "num_decoder_layers": 8,
    "vocab_size": 32128,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
    "decoder_start_token_id": 0,
}
MODELS = ["encoder_model", "decoder_model_merged"]


def make_base(base: Path) -> None:
    torch.manual_seed(1)
    model = T5ForConditionalGeneration(T5Config(**SHAPE))
    # The library's initial weights make the head's logits huge; any finite weights do for timing.
    model.save_pretrained(base)


def make_peer(folder: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    from optimum.exporters.onnx import main_export

    base, exported, peer = folder / "base", folder / "exported", folder / "peer"
    main_export(str(base), exported, task="text2text-generation-with-past", do_validation=False)
    (peer / "onnx").mkdir(parents=True, exist_ok=True)
    for name in ["config.json", "generation_config.json"]:
        shutil.copy(exported / name, peer / name)
    for name in MODELS:
        shutil.copy(exported / f"{name}.onnx", peer / "onnx" / f"{name}.onnx")
        quantize_dynamic(
            exported / f"{name}.onnx",
            peer / "onnx" / f"{name}_quantized.onnx",
            weight_type=QuantType.QUInt8,
            # The decoder's two forms are branches of one graph.
            extra_options={"EnableSubgraph": True},
        )
        quantizer = MatMulNBitsQuantizer(
            onnx.load(exported / f"{name}.onnx"), block_size=32, is_symmetric=True
        )
        quantizer.process()
        onnx.save(quantizer.model.model, peer / "onnx" / f"{name}_q4.onnx")
    shutil.rmtree(exported)


target = Path(sys.argv[1])
make_base(target / "base")
if "--base" not in sys.argv[2:]:
    make_peer(target)
