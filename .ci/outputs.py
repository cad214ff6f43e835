"""Run the notebooks in Jupyter kernels, and compare or store what they print.

python .ci/outputs.py check [NAME ...]   run notebooks, compare outputs with the committed ones
python .ci/outputs.py write [NAME ...]   run notebooks, store their outputs, clean, in the files

Two notebooks run at a time, the longest first, with one thread each. In an output, words and
whole numbers must be the same. Other numbers may differ by 2 % or by one in the last digit shown,
since another version of torch or another processor rounds differently. A cell can ask for more:

#| varies        the output may be anything, for example a time or a generated story
#| varies: 20%   all numbers, whole ones too, may differ by so much; the words may not
"""

import json
import os
import re
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
SECONDS = ROOT / ".ci" / "seconds.json"  # how long each notebook took when its outputs were stored
NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]\d{2})?")
NOT_RUN = re.compile(r"#\| ?(notest|eval: false)|.*nbdev_export\(\)", re.DOTALL)


def select(names):
    "The paths of the notebooks with these names (all of them without names), the longest first."
    paths = sorted((ROOT / "nbs").glob("*.ipynb"))
    if names:
        paths = [path for path in paths if path.stem in names or path.name in names]
    seconds = json.loads(SECONDS.read_text(encoding="utf-8")) if SECONDS.exists() else {}
    return sorted(paths, key=lambda path: -seconds.get(path.stem, 0))


def execute(path):
    "Run a notebook in a kernel of its own; return it with clean outputs, and the seconds it took."
    os.environ["OMP_NUM_THREADS"] = "1"
    # as Jupyter sets it: a variable of the calling shell would make every figure disappear
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    began = time.time()
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if not NOT_RUN.match(cell.source)]
    run = nbformat.v4.new_notebook(cells=cells)
    folder = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(run, timeout=900, kernel_name="python3", resources=folder)
    client.execute()
    for cell in run.cells:
        if cell.cell_type == "code":
            clean(cell)
    return notebook, time.time() - began


def clean(cell):
    "Remove what differs from run to run: counts, metadata, progress bars, widgets, addresses."
    cell.execution_count = None
    cell.metadata = {}
    outputs = []
    for output in cell.outputs:
        if output.output_type == "stream":
            if output.name == "stderr":
                continue
            if outputs and outputs[-1].output_type == "stream":
                outputs[-1].text += output.text
            else:
                outputs.append(output)
            continue
        data = output.get("data", {})
        if any("widget" in kind for kind in data):
            continue
        # the size on the page of a figure with twice as many pixels
        size = output.metadata.get("image/png")
        output.metadata = {"image/png": size} if size else {}
        if "execution_count" in output:
            output.execution_count = None
        if "image/png" in data:
            data["text/plain"] = "<Figure>"
        outputs.append(output)
    cell.outputs = outputs


def printed(cell):
    "What a cell printed and returned, as one text."
    parts = []
    for output in cell["outputs"]:
        data = output.get("data", {})
        text = output.get("text") or data.get("text/html") or data.get("text/plain") or ""
        parts.append("".join(text).strip())
    return "\n".join(parts)


def allowed(text, fraction):
    "How far a number, as it is printed, may be from another run's."
    value = abs(float(text.replace(",", "")))
    if fraction is not None:
        return fraction * value
    mantissa, _, exponent = text.partition("e")
    if "." not in mantissa and not exponent:
        return 0.0
    digits = len(mantissa.partition(".")[2])
    last_digit = 10.0 ** (int(exponent or 0) - digits)
    return max(1.01 * last_digit, 0.02 * value)


def same(before, now, fraction=None):
    "Whether two outputs have the same words, and numbers that are close enough."
    if NUMBER.split(before) != NUMBER.split(now):
        return False
    for old, new in zip(NUMBER.findall(before), NUMBER.findall(now)):
        difference = abs(float(old.replace(",", "")) - float(new.replace(",", "")))
        if difference > max(allowed(old, fraction), allowed(new, fraction)):
            return False
    return True


def differences(committed, executed, name):
    "One message for each cell whose output is not what is committed."
    problems = []
    for old, new in zip(committed.cells, executed.cells, strict=True):
        if new.cell_type != "code":
            continue
        varies = re.search(r"^#\| ?varies(?:: ?(\d+) ?%)?", new.source, re.MULTILINE)
        if varies and not varies[1]:
            continue
        fraction = int(varies[1]) / 100 if varies else None
        before = printed(old)
        now = printed(new)
        if not same(before, now, fraction):
            cell = new.source[:70].replace("\n", " ")
            problems.append(
                f"{name}: the output of the cell {cell!r} has changed\n"
                f"--- committed\n{before[:600]}\n--- now\n{now[:600]}\n"
            )
    return problems


def can_fail(notebook):
    "Check the check: a changed number and a changed word in an output must both be noticed."
    for pattern, change in ((r"\d", lambda m: str((int(m[0]) + 5) % 10)), (r"[a-z]{3}", "zzz")):
        for cell in notebook.cells:
            if cell.cell_type != "code" or "varies" in cell.source or not cell.outputs:
                continue
            text = printed(cell)
            if re.search(pattern, text):
                changed = nbformat.from_dict(notebook)
                where = changed.cells[notebook.cells.index(cell)]
                new_text = re.sub(pattern, change, text, count=1)
                where.outputs = [nbformat.v4.new_output("stream", text=new_text)]
                if not differences(notebook, changed, "can_fail"):
                    return False
                break
        else:
            return False
    return True


def run(paths):
    "Execute notebooks two at a time; yield each path, its notebook or None, and the seconds."
    with ProcessPoolExecutor(max_workers=2) as pool:
        jobs = [(path, pool.submit(execute, path)) for path in paths]
        for path, job in jobs:
            try:
                notebook, seconds = job.result()
            except Exception as error:
                print(f"{path.name}: failed\n{error}", flush=True)
                yield path, None, 0.0
            else:
                print(f"{path.name}: ran in {seconds:.0f} s", flush=True)
                yield path, notebook, seconds


def check(names):
    "Run notebooks and compare. Returns the number of notebooks that fail or differ."
    failed = 0
    proven = False
    for path, notebook, _ in run(select(names)):
        if notebook is None:
            failed += 1
            continue
        problems = differences(nbformat.read(path, as_version=4), notebook, path.name)
        print("".join(problems), end="", flush=True)
        failed += bool(problems)
        proven = proven or can_fail(notebook)
    if not proven:
        print("the comparison did not notice a changed number and a changed word")
        failed += 1
    print(f"notebooks: {'failed' if failed else 'ok'}")
    return failed


def write(names):
    "Run notebooks and store their outputs. Returns the number of notebooks that fail."
    seconds = json.loads(SECONDS.read_text(encoding="utf-8")) if SECONDS.exists() else {}
    failed = 0
    for path, notebook, took in run(select(names)):
        if notebook is None:
            failed += 1
            continue
        name = "python3"
        notebook.metadata = {
            "kernelspec": {"display_name": name, "language": "python", "name": name}
        }
        content = json.loads(nbformat.writes(notebook))
        text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True)
        path.write_text(text + "\n", encoding="utf-8")
        seconds[path.stem] = round(took)
    SECONDS.write_text(json.dumps(seconds, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return failed


if __name__ == "__main__":
    commands = {"check": check, "write": write}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    sys.exit(bool(commands[sys.argv[1]](sys.argv[2:])))
