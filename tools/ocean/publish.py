"""From the folder that training leaves to the folder that the demo serves.

    python -m ocean.publish --gander ../target/release/gander --out DIR --to ../www/demo/ocean

The base becomes one Q8_0 GGUF file, the experts a catalogue with pages and hashes; what ocean.json says of an expert goes into the
catalogue with it.
"""
import argparse
import json
import shutil
import subprocess
from pathlib import Path

ABOUT = ("title", "description", "licence", "tags", "source", "evaluation")
COPIED = ("adapter_config.json", "adapter_model.safetensors", "gates.safetensors")


def publish(gander: Path, out: Path, to: Path) -> None:
    """Rebuild `to` from scratch."""
    ocean = json.loads((out / "ocean.json").read_text())
    shutil.rmtree(to, ignore_errors=True)
    for expert in ocean["experts"]:
        folder = to / "experts" / expert["id"]
        folder.mkdir(parents=True)
        for name in COPIED:
            shutil.copyfile(out / "experts" / expert["id"] / name, folder / name)
        about = {key: expert[key] for key in ABOUT}
        (folder / "expert.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    for name in ("examples.json", "ocean.json", "REPORT.md"):
        shutil.copyfile(out / name, to / name)
    shutil.copytree(out / "eval", to / "eval")
    base = to / "base.gguf"
    run(gander, "quantize", out / "base-hf", "-o", base, "--type", "q8_0")
    folders = [to / "experts" / expert["id"] for expert in ocean["experts"]]
    run(gander, "catalog", "build", "--base", base, "--name", ocean["name"], *folders, "-o", to)


def run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gander", type=Path, required=True, help="the gander program")
    parser.add_argument("--out", type=Path, required=True, help="the folder that training wrote")
    parser.add_argument("--to", type=Path, required=True, help="the folder to serve; replaced")
    arguments = parser.parse_args()
    publish(arguments.gander.resolve(), arguments.out, arguments.to)
