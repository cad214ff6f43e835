"""Checks of the project as a whole.  python .ci/project.py readme | check | notebooks | outputs [NAME ...] | site

readme     write README.md from nbs/index.ipynb
check      README, addresses, badges and the notebooks' hygiene are in step
notebooks  execute every notebook, top to bottom, in a real Jupyter kernel, and compare what it prints with what is committed
outputs    execute notebooks (all, or those named) and write their outputs, clean, into the files
site       the docs step before Quarto: every page is made, in the sidebar, with whole links and described figures
"""
import json
import os
import re
import sys
import time
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "nbs").glob("*.ipynb"))
MADE_WITH = ROOT / ".ci" / "outputs.json"  # what the committed outputs were computed with
COLAB = """#| hide
if "google.colab" in str(get_ipython()):  # Colab has torch; this brings the package, and does nothing elsewhere
    %pip install -q git+{git_url}"""


def settings():
    config = ConfigParser(delimiters=["="])
    config.read(ROOT / "settings.ini", encoding="utf-8")
    return config["DEFAULT"]


def cells(path):
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        yield cell["cell_type"], "".join(cell["source"]), cell


def readme():
    "The index's markdown and visible code, with the images' paths as seen from the root."
    parts = []
    for kind, source, _ in cells(ROOT / "nbs" / "index.ipynb"):
        if source.startswith("#| hide"): continue
        source = re.sub(r"^#\|.*\n", "", source, flags=re.M).strip()
        if kind == "code": source = f"```python\n{source}\n```"
        parts.append(source)
    text = "\n\n".join(parts) + "\n"
    text = re.sub(r"^> (.*)$", r"\1", text, count=1, flags=re.M)
    text = text.replace("](images/", "](nbs/images/")
    return re.sub(r"\]\((\w+)\.ipynb\)", r"](nbs/\1.ipynb)", text)


def check():
    cfg, problems = settings(), []
    if (ROOT / "README.md").read_text(encoding="utf-8") != readme():
        problems.append("README.md differs from nbs/index.ipynb: run `python .ci/project.py readme`")
    for path in NOTEBOOKS:
        sources = [source for _, source, _ in cells(path)]
        if path.stem != "index":
            for badge in (f"({cfg['colab_url']}/{path.name})", f"({cfg['binder_url']}{path.name})"):
                if badge not in sources[1]: problems.append(f"{path.name}: no badge to {badge} in the second cell")
            if sources[2] != COLAB.format(git_url=cfg["git_url"]): problems.append(f"{path.name}: the third cell does not install the package on Colab")
        for kind, source, cell in cells(path):
            if kind != "code": continue
            if cell.get("execution_count"): problems.append(f"{path.name}: an execution count: run nbdev_clean")
            outputs = json.dumps(cell["outputs"])
            leak = re.search(r"/root/|/home/|/tmp/|/Users/|Warning:|widget-view|\"output_type\": \"error\"", outputs)
            if leak: problems.append(f"{path.name}: {leak[0]!r} in an output of the cell {source[:40]!r}")
    addresses = re.compile(r"https://[\w.-]*(?:github\.com|github\.io|colab\.research\.google\.com/github|mybinder\.org/v2/gh)/[^\s)\"'>]*slm[-_]nb[^\s)\"'>]*")
    right = (cfg["git_url"], cfg["doc_host"] + cfg["doc_baseurl"], cfg["colab_url"], cfg["binder_url"])
    files = [*NOTEBOOKS, *ROOT.glob("*.md"), *ROOT.glob("*.yml"), *(ROOT / ".github").rglob("*.yml")]
    for path in files:
        for address in addresses.findall(path.read_text(encoding="utf-8")):
            if not address.startswith(right): problems.append(f"{path.name}: {address} does not derive from settings.ini")
    return problems


def computed_with():
    "What decides the last digits of a result, and with them now and then a word of a told story."
    import torch

    return dict(torch=torch.__version__.split("+")[0], cpu=torch.backends.cpu.get_cpu_capability(), machine=os.uname().machine)


def execute(path):
    "Run a notebook in a kernel of its own, with two threads; return it with its outputs, clean."
    import nbformat
    from nbclient import NotebookClient

    os.environ["OMP_NUM_THREADS"] = "2"
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # as Jupyter sets it, whatever was set here
    began, notebook = time.time(), nbformat.read(path, as_version=4)
    skip = [cell for cell in notebook.cells if "nbdev_export()" in cell.source or cell.source.startswith(("#| notest", "#| eval: false"))]
    run = nbformat.v4.new_notebook(cells=[cell for cell in notebook.cells if cell not in skip])
    NotebookClient(run, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
    for cell in run.cells:
        if cell.cell_type == "code": clean(cell)
    print(f"{path.name}: ran in {time.time() - began:.0f} s", flush=True)
    return notebook


def clean(cell):
    "Take away counts, metadata, what went to stderr (bars), widgets, and the text that stands for a picture."
    cell.execution_count, cell.metadata, outputs = None, {}, []
    for output in cell.outputs:
        if output.output_type == "stream":
            if output.name == "stderr": continue
            if outputs and outputs[-1].output_type == "stream": outputs[-1].text += output.text
            else: outputs.append(output)
            continue
        data = output.get("data", {})
        if any("widget" in kind for kind in data): continue
        output.metadata = {}
        if "execution_count" in output: output.execution_count = None
        if "image/png" in data: data["text/plain"] = "<Figure>"
        outputs.append(output)
    cell.outputs = outputs


def said(cell):
    "What a cell printed and returned, as one text."
    parts = []
    for output in cell["outputs"]:
        data = output.get("data", {})
        text = output.get("text") or data.get("text/html") or data.get("text/plain") or ""
        parts.append("".join(text).strip())
    return "\n".join(parts)


NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")


def same(a, b):
    "Whether two outputs say the same: the words exactly, the numbers but for two in a hundred."
    number = lambda text: float(text.replace(",", ""))
    if NUMBER.split(a) != NUMBER.split(b): return False
    return all(abs(number(x) - number(y)) <= 0.011 + 0.02 * abs(number(x)) for x, y in zip(NUMBER.findall(a), NUMBER.findall(b)))


def notebooks():
    problems, where = [], computed_with()
    strict = json.loads(MADE_WITH.read_text(encoding="utf-8")) == where
    for path in NOTEBOOKS:
        committed = [cell for kind, _, cell in cells(path)]
        for old, new in zip(committed, execute(path).cells):
            if new.cell_type != "code" or new.source.startswith("#| varies") or same(said(old), said(new)): continue
            problems.append(f"{path.name}: the cell {new.source[:60]!r} said\n{said(old)[:400]}\nand now says\n{said(new)[:400]}\n")
    if problems and not strict:
        print(*problems, f"The committed outputs were computed with other means than {where}: these differences are no fault.", sep="\n")
        return []
    return problems


def outputs(names):
    for path in NOTEBOOKS:
        if names and path.stem not in names and path.name not in names: continue
        notebook = execute(path)
        notebook.metadata = {"kernelspec": {"display_name": "python3", "language": "python", "name": "python3"}}
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    MADE_WITH.write_text(json.dumps(computed_with(), indent=1) + "\n", encoding="utf-8")
    return 0


def site():
    import shutil

    from nbdev.doclinks import _build_modidx
    from nbdev.quarto import refresh_quarto_yml
    from nbdev.serve import proc_nbs

    refresh_quarto_yml()
    _build_modidx()
    cache = Path(proc_nbs(force=True))
    problems = [problem for path in NOTEBOOKS for problem in page(path, cache)]
    for name in ("_quarto.yml", "images/favicon.png", "images/card.png", "images/demo.png"):
        if not (cache / name).is_file(): problems.append(f"{name} did not reach the site")
    shutil.rmtree(cache, ignore_errors=True)
    return problems


def page(path, cache):
    "What is wrong with the page that the docs step made of a notebook."
    if not (cache / path.name).is_file(): return [f"{path.name}: no page was made"]
    site, problems = settings()["doc_host"] + settings()["doc_baseurl"], []
    pages = {name for other in NOTEBOOKS for name in (other.name, re.sub(r"^\d+_", "", other.stem) + ".html")}
    if path.name not in (ROOT / "nbs" / "sidebar.yml").read_text(encoding="utf-8"): problems.append("not in the sidebar")
    made = list(cells(cache / path.name))
    if not made[0][1].startswith("---\n") or "title:" not in made[0][1]: problems.append("the page has no front matter with a title")
    for kind, source, cell in made:
        if kind == "markdown":
            for target in re.findall(r"\]\(([^)\s]+)\)", source):
                target = target.removeprefix(site + "/").split("#")[0]
                if re.fullmatch(r"[\w./-]+\.(?:ipynb|html)", target) and target not in pages: problems.append(f"a link to {target}, which is no page")
                if target.startswith("images/") and not (cache / target).is_file(): problems.append(f"{target} is not there")
            if re.search(r"!\[\]\(", source): problems.append("an image without a text for those who cannot see it")
            if source.count("<details>") != source.count("</details>"): problems.append("an answer that is folded, and never unfolded")
        elif any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            for wanted in ("fig-cap", "fig-alt"):
                if f"#| {wanted}:" not in source: problems.append(f"a figure without {wanted}: {source[:50]!r}")
    return [f"{path.name}: {problem}" for problem in problems]


def main(what, *names):
    if what == "outputs": return outputs(names)
    if what == "readme":
        (ROOT / "README.md").write_text(readme(), encoding="utf-8")
        return 0
    problems = {"check": check, "notebooks": notebooks, "site": site}[what]()
    for problem in problems: print(problem)
    print(f"{what}: {'failed' if problems else 'ok'}")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 1 else __doc__)
