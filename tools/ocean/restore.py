"""From the folder that the demo serves back to the folder that training leaves, so that variants and figures need no training from the start.

    python -m ocean.restore --ocean ../www/demo/sixteen --out DIR

Experts and gates come back as they were. The base comes back as Q8_0 kept it, in float32: made to Q8_0 again it is the same model.
"""
import argparse
import shutil
from pathlib import Path

import gguf_t5

from . import model as t5, tokenizer
from .kinds import KINDS
from .publish import COPIED, folder_of


def restore(ocean: Path, out: Path) -> None:
    base = out / "base-hf"
    tokenizer.build(base)
    model = gguf_t5.load_gguf(ocean / "base.gguf")
    model.config.dropout_rate = 0.0  # GGUF has no key for it
    model.save_pretrained(base)
    t5.untie(base)
    (out / "base.done").touch()
    for kind in KINDS:
        folder = out / "experts" / kind
        folder.mkdir(parents=True, exist_ok=True)
        for name in COPIED:
            shutil.copyfile(folder_of(ocean, kind) / name, folder / name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m ocean.restore", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ocean", type=Path, required=True, help="the folder that ocean.publish made")
    parser.add_argument("--out", type=Path, required=True, help="the folder to fill")
    arguments = parser.parse_args()
    restore(arguments.ocean, arguments.out)
