"""Compare training recipes at equal tokens and equal seeds.  python benchmarks/recipes.py DATA OUT.json

DATA is a folder that `slm_nb prepare` made. Writes the validation loss and bits per byte of every run, with versions.
"""
import hashlib
import json
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from slm_nb.tokenize import load_tokens, read_meta
from slm_nb.train import train

RECIPES = {
    "Muon": {},
    "AdamW, 3e-3": dict(optimizer="adamw", learning_rate=3e-3),
    "AdamW, 6e-3": dict(optimizer="adamw", learning_rate=6e-3),
    "Muon, wsd": dict(schedule="wsd"),
    "Muon, rows at stories": dict(rows="stories"),
    "Muon, no end-of-text": {},
}


def without_end_of_text(data, out):
    "A copy of a prepared folder whose stories run into each other."
    meta, out = read_meta(data), Path(out)
    shutil.copytree(data, out)
    for split in ("train", "validation"):
        tokens = np.asarray(load_tokens(data, split))
        tokens = tokens[tokens != meta["end_of_text_id"]]
        tokens.tofile(out / f"{split}.bin")
        meta[split].update(tokens=len(tokens), sha256=hashlib.sha256(tokens.tobytes()).hexdigest())
    (out / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    return out


def main(data, out, updates=250, seeds=(0, 1)):
    folder, results = Path(tempfile.mkdtemp()), []
    plain = without_end_of_text(data, folder / "plain")
    for name, settings in RECIPES.items():
        for seed in seeds:
            summary = train(plain if "no end" in name else data, folder / "run", "laptop", overwrite=True, progress=False, seed=seed,
                            max_steps=updates, eval_every=updates, **settings)
            results.append(dict(recipe=name, seed=seed, **{k: summary[k] for k in ("val_loss", "bits_per_byte", "tokens", "dtype")}))
            print(results[-1], flush=True)
    about = dict(preset="laptop", updates=updates, torch=torch.__version__, machine=platform.machine(), data=read_meta(data)["train"])
    Path(out).write_text(json.dumps(dict(about=about, results=results), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3: sys.exit(__doc__)
    main(*sys.argv[1:])
