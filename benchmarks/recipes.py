"""Compare training recipes at equal tokens and equal seeds.

python benchmarks/recipes.py DATA OUT.json

DATA is a folder written by `slm_nb prepare`. OUT.json receives the validation loss and the bits
per byte of every run, with the versions and the machine.
"""

import hashlib
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from slm_nb.data import load_tokens, read_meta
from slm_nb.files import write_json
from slm_nb.trainer import train

RECIPES = {
    "Muon": {},
    "AdamW, 3e-3": dict(optimizer="adamw", learning_rate=3e-3),
    "AdamW, 6e-3": dict(optimizer="adamw", learning_rate=6e-3),
    "Muon, wsd": dict(lr_schedule="wsd"),
    "Muon, documents": dict(batching="documents"),
    "Muon, no end-of-text": {},
}


def remove_end_of_text(
    data,  # a folder written by prepare
    out,  # a new folder
):
    "Copy prepared data without its end-of-text tokens, so that the texts run into each other."
    out = Path(out)
    shutil.copytree(data, out)
    meta = read_meta(data)
    for split in ("train", "validation"):
        tokens = np.asarray(load_tokens(data, split))
        tokens = tokens[tokens != meta["end_of_text_id"]]
        tokens.tofile(out / f"{split}.bin")
        meta[split]["tokens"] = len(tokens)
        meta[split]["sha256"] = hashlib.sha256(tokens.tobytes()).hexdigest()
    write_json(out / "meta.json", meta, checksum=True)
    return out


def main(
    data,  # a folder written by prepare
    out,  # the JSON file to write
    steps=250,  # training steps of each run
    seeds=(0, 1),  # one run of each recipe for each seed
):
    "Train every recipe and write the results."
    results = []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        without_end_of_text = remove_end_of_text(data, Path(folder) / "without_end_of_text")
        for name, settings in RECIPES.items():
            for seed in seeds:
                summary = train(
                    without_end_of_text if name == "Muon, no end-of-text" else data,
                    run,
                    "laptop",
                    overwrite=True,
                    progress=False,
                    seed=seed,
                    max_steps=steps,
                    eval_every=steps,
                    **settings,
                )
                result = dict(recipe=name, seed=seed)
                for key in ("val_loss", "bits_per_byte", "tokens", "dtype"):
                    result[key] = summary[key]
                results.append(result)
                print(result, flush=True)
    about = dict(
        preset="laptop",
        steps=steps,
        torch=torch.__version__,
        machine=platform.machine(),
        data=read_meta(data)["train"],
    )
    write_json(out, dict(about=about, results=results))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
