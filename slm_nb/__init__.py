__version__ = "0.1.0"

import importlib
import os
import sys

# nbdev_test sets IN_TEST and runs a notebook on each core: more threads would slow all of them down
if os.environ.get("IN_TEST"):
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)

# the names that `import slm_nb` provides; their modules need torch, so they are imported on demand
_MODULES = {
    "GPT": "model",
    "GPTConfig": "model",
    "load_model": "checkpoints",
    "prepare": "data",
    "generate_text": "sample",
    "stream_text": "sample",
}
__all__ = [*_MODULES]


def __getattr__(name):
    "Import a public name when it is first used."
    if name not in _MODULES:
        raise AttributeError(f"module 'slm_nb' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"slm_nb.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
