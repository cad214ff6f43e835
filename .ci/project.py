"""Checks of the project as a whole.  python .ci/project.py readme | check | notebooks | site

readme     write README.md from nbs/index.ipynb
check      README, addresses, badges and the notebooks' hygiene are in step
notebooks  execute every notebook, top to bottom, in a real Jupyter kernel
site       the docs step before Quarto: every page is made and in the sidebar
"""
import json
import re
import sys
import time
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "nbs").glob("*.ipynb"))


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
        badge = f"({cfg['colab_url']}/{path.name})"
        text = "\n".join(source for _, source, _ in cells(path))
        if path.stem != "index" and badge not in text: problems.append(f"{path.name}: no Colab badge to {badge}")
        for kind, source, cell in cells(path):
            if kind != "code": continue
            if cell.get("execution_count"): problems.append(f"{path.name}: an execution count: run nbdev_clean")
            outputs = json.dumps(cell["outputs"])
            leak = re.search(r"/root/|/home/|/tmp/|/Users/|Warning:|widget-view|\"output_type\": \"error\"", outputs)
            if leak: problems.append(f"{path.name}: {leak[0]!r} in an output of the cell {source[:40]!r}")
    addresses = re.compile(r"https://[\w.-]*(?:github\.com|github\.io|colab\.research\.google\.com/github)/[^\s)\"'>]*slm[-_]nb[^\s)\"'>]*")
    right = (cfg["git_url"], cfg["doc_host"] + cfg["doc_baseurl"], cfg["colab_url"])
    files = [*NOTEBOOKS, *ROOT.glob("*.md"), *ROOT.glob("*.yml"), *(ROOT / ".github").rglob("*.yml")]
    for path in files:
        for address in addresses.findall(path.read_text(encoding="utf-8")):
            if not address.startswith(right): problems.append(f"{path.name}: {address} does not derive from settings.ini")
    return problems


def notebooks():
    import nbformat
    from nbclient import NotebookClient

    for path in NOTEBOOKS:
        began, notebook = time.time(), nbformat.read(path, as_version=4)
        notebook.cells = [cell for cell in notebook.cells if "nbdev_export()" not in cell.source and not cell.source.startswith(("#| notest", "#| eval: false"))]
        NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
        print(f"{path.name}: ran in {time.time() - began:.0f} s", flush=True)
    return []


def site():
    import shutil

    from nbdev.doclinks import _build_modidx
    from nbdev.quarto import nbdev_sidebar, refresh_quarto_yml
    from nbdev.serve import proc_nbs

    refresh_quarto_yml()
    _build_modidx()
    nbdev_sidebar.__wrapped__()
    cache = Path(proc_nbs(force=True))
    sidebar, problems = (ROOT / "nbs" / "sidebar.yml").read_text(encoding="utf-8"), []
    for path in NOTEBOOKS:
        if not (cache / path.name).is_file(): problems.append(f"{path.name}: no page was made")
        if path.name not in sidebar: problems.append(f"{path.name}: not in the sidebar")
    if not (cache / "_quarto.yml").is_file(): problems.append("_quarto.yml did not reach the site")
    shutil.rmtree(cache, ignore_errors=True)
    return problems


def main(what):
    if what == "readme":
        (ROOT / "README.md").write_text(readme(), encoding="utf-8")
        return 0
    problems = {"check": check, "notebooks": notebooks, "site": site}[what]()
    for problem in problems: print(problem)
    print(f"{what}: {'failed' if problems else 'ok'}")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) == 2 else __doc__)
