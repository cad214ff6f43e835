"""Draw the pictures of the site that no notebook draws.

python .ci/pictures.py             write nbs/images/favicon.png and nbs/images/card.png
python .ci/pictures.py runs/demo   also nbs/images/front.png, with the loss curve of that run
"""

import sys
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

IMAGES = Path(__file__).resolve().parent.parent / "nbs" / "images"
WORDS = ["Once", "upon", "a", "time", ",", "a", "little", "fox"]


def causal(n):
    "Weights (n, n) like those of an attention head: rows sum to 1, nothing above the diagonal."
    scores = np.random.default_rng(3).normal(size=(n, n)) + 1.2 * np.eye(n)
    weights = np.tril(np.exp(scores))
    return weights / weights.sum(axis=1, keepdims=True)


def favicon():
    "Four tokens' attention as a tiny picture."
    fig, ax = plt.subplots(figsize=(1, 1), dpi=64)
    fig.subplots_adjust(0, 0, 1, 1)
    ax.imshow(np.ma.masked_equal(causal(4), 0), cmap="viridis")
    ax.axis("off")
    fig.savefig(IMAGES / "favicon.png", transparent=True, metadata={"Software": None})


def card():
    "The picture that other sites show beside a link to ours."
    fig, (left, right) = plt.subplots(
        1, 2, figsize=(12, 6.3), dpi=100, width_ratios=[1.25, 1], facecolor="#fbfaf7"
    )
    title = "a small language model,\nbuilt in notebooks"
    facts = "six chapters  ·  51 million parameters\na corpus with a known entropy"
    left.axis("off")
    name = dict(fontsize=64, fontweight="bold", family="monospace", color="#22303c")
    left.text(0, 0.78, "slm_nb", **name)
    left.text(0, 0.60, title, fontsize=31, va="top", color="#22303c")
    left.text(0, 0.20, facts, fontsize=20, va="top", color="#5a6b78")
    right.imshow(np.ma.masked_equal(causal(len(WORDS)), 0), cmap="viridis")
    right.set_xticks(range(len(WORDS)), WORDS, rotation=45, fontsize=15)
    right.set_yticks(range(len(WORDS)), WORDS, fontsize=15)
    right.set_facecolor("#fbfaf7")
    for spine in right.spines.values():
        spine.set_visible(False)
    fig.tight_layout(pad=3)
    fig.savefig(IMAGES / "card.png", metadata={"Software": None})


def front(run):
    "The map of the model beside the loss curve of a run."
    from slm_nb.diagram import model_map
    from slm_nb.progress import plot_losses

    drawing = BytesIO()
    model_map("model").figure.savefig(drawing, dpi=180)
    drawing.seek(0)
    fig, (left, right) = plt.subplots(
        1, 2, figsize=(12, 5.2), dpi=130, width_ratios=[1.15, 1], facecolor="white"
    )
    left.imshow(plt.imread(drawing))
    left.axis("off")
    plot_losses(run, ax=right)
    right.spines[["top", "right"]].set_visible(False)
    fig.tight_layout(pad=1.5)
    fig.savefig(IMAGES / "front.png", metadata={"Software": None})


if __name__ == "__main__":
    plt.switch_backend("agg")
    if len(sys.argv) > 1:
        front(sys.argv[1])
    favicon()
    card()
