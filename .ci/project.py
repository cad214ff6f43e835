"""Checks of the project as a whole.

python .ci/project.py readme   write README.md from nbs/index.ipynb
python .ci/project.py check    README, addresses, badges and notebooks are in step and clean
python .ci/project.py site     run the docs step as far as Quarto, and check the pages it makes
python .ci/project.py embed    show the page of the demo, _docs/live, on the site's front page
"""

import json
import re
import shutil
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "nbs").glob("*.ipynb"))
COLAB = """#| hide
if "google.colab" in str(get_ipython()):  # Colab has torch; this brings the package, and does nothing elsewhere
    %pip install -q git+{git_url}"""  # noqa: E501
WIDTH = 100  # characters in a line of exported code
SHOWN_WIDTH = 84  # characters in a line of code that a page shows
HOSTS = r"github\.com|github\.io|colab\.research\.google\.com/github|mybinder\.org/v2/gh"
ADDRESS = re.compile(rf"https://[\w.-]*(?:{HOSTS})/[^\s)\"'>]*slm[-_]nb[^\s)\"'>]*")
PRIVATE = re.compile(
    r"/root/|/home/|/tmp/|/Users/|Warning:|widget-view|\"output_type\": \"error\"|object at 0x"
)


def settings():
    "The one section of settings.ini."
    config = ConfigParser(delimiters=["="])
    config.read(ROOT / "settings.ini", encoding="utf-8")
    return config["DEFAULT"]


def cells(path):
    "The kind, source and content of each cell of a notebook."
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        yield cell["cell_type"], "".join(cell["source"]), cell


def readme():
    "The index's markdown and visible code, with the images' paths as seen from the root."
    parts = []
    for kind, source, _ in cells(ROOT / "nbs" / "index.ipynb"):
        if source.startswith("#| hide"):
            continue
        source = re.sub(r"^#\|.*\n", "", source, flags=re.MULTILINE).strip()
        if kind == "code":
            source = f"```python\n{source}\n```"
        parts.append(source)
    text = "\n\n".join(parts) + "\n"
    text = re.sub(r"^> (.*)$", r"\1", text, count=1, flags=re.MULTILINE)
    text = text.replace("](images/", "](nbs/images/")
    return re.sub(r"\]\((\w+\.(?:ipynb|qmd))\)", r"](nbs/\1)", text)


def write_readme():
    "Write README.md. Returns no problems."
    (ROOT / "README.md").write_text(readme(), encoding="utf-8")
    return []


def check():
    "What is out of step in README, notebooks and addresses."
    problems = []
    if (ROOT / "README.md").read_text(encoding="utf-8") != readme():
        problems.append("README.md differs from nbs/index.ipynb: run python .ci/project.py readme")
    for path in NOTEBOOKS:
        found = [*check_head(path), *check_cells(path)]
        problems += [f"{path.name}: {problem}" for problem in found]
    return problems + check_addresses() + check_index() + check_glossary()


def check_index():
    "The index names each notebook by its title."
    text = "\n".join(source for _, source, _ in cells(ROOT / "nbs" / "index.ipynb"))
    problems = []
    for path in NOTEBOOKS:
        if path.stem != "index" and f"[{title(path)}]({path.name})" not in text:
            problems.append(f"index.ipynb: no link to [{title(path)}]({path.name})")
    return problems


def check_glossary():
    "Each term of the glossary occurs in the chapter that it names; links to terms lead somewhere."
    glossary = (ROOT / "nbs" / "glossary.qmd").read_text(encoding="utf-8")
    prose = {}
    for path in NOTEBOOKS:
        prose[path.name] = "\n".join(s for kind, s, _ in cells(path) if kind == "markdown")
    problems = []
    entry = r"\[\*\*(.+?)\*\*\]\{#([\w-]+)\}.*\(\[\d\d\]\(([\w.]+)\)\)"
    anchors = set()
    for terms, anchor, chapter in re.findall(entry, glossary):
        anchors.add(anchor)
        for term in re.sub(r"\(.*?\)", "", terms).split(","):
            words = r"\s+".join(re.escape(word) for word in term.split())
            if not re.search(words.removesuffix("s"), prose.get(chapter, ""), re.IGNORECASE):
                problems.append(f"glossary.qmd: {term.strip()!r} does not occur in {chapter}")
    if len(anchors) != glossary.count("]{#"):
        problems.append("glossary.qmd: an entry without the chapter that explains it")
    for name, text in prose.items():
        for anchor in re.findall(r"\(glossary\.qmd#([\w-]+)\)", text):
            if anchor not in anchors:
                problems.append(f"{name}: a link to glossary.qmd#{anchor}, which is no term")
    return problems


def title(path):
    "The title of a notebook: its first heading."
    first = next(source for kind, source, _ in cells(path) if kind == "markdown")
    return first.splitlines()[0].removeprefix("#").strip()


def check_head(path):
    "Each notebook but the index has a number in its title, badges, and installs itself on Colab."
    if path.stem == "index":
        return
    if not title(path).startswith(path.stem[:2] + " "):
        yield f"the title {title(path)!r} doesn't begin with the number {path.stem[:2]}"
    config = settings()
    sources = [source for _, source, _ in cells(path)]
    for badge in (f"({config['colab_url']}/{path.name})", f"({config['binder_url']}{path.name})"):
        if badge not in sources[1]:
            yield f"no badge to {badge} in the second cell"
    if sources[2] != COLAB.format(git_url=config["git_url"]):
        yield "the third cell does not install the package on Colab"


def check_cells(path):
    "No execution counts, nothing of the machine in an output, no code that is too wide."
    for kind, source, cell in cells(path):
        if kind == "markdown":
            yield from check_prose(source)
        if kind != "code":
            continue
        if cell.get("execution_count"):
            yield "it has an execution count: run nbdev_clean"
        if leak := PRIVATE.search(json.dumps(cell["outputs"])):
            yield f"{leak[0]!r} is in an output of the cell {source[:40]!r}"
        if any("text/html" in output.get("data", {}) for output in cell["outputs"]):
            yield f"an HTML output, which makes the page load scripts: {source[:40]!r}"
        if source.startswith("#| hide"):
            continue
        width = WIDTH if source.startswith("#| export") else SHOWN_WIDTH
        for line in source.splitlines():
            if len(line) > width and not line.startswith("#|"):
                yield f"a line of {len(line)} characters, {width} are allowed: {line[:40]!r}"


def check_prose(source):
    "Chapters are linked with the right number, and nbdev doesn't delete the cell."
    lines = source.strip().splitlines()
    if source.startswith("#") and source.rstrip().endswith(" -") and len(lines) > 1:
        yield f"the docs step would delete this cell: {source[:40]!r}"
    link = r"\[(?:chapter|appendix) (\d\d)[^\]]*\]\((\w+)\.ipynb"
    for number, target in re.findall(link, source):
        if not target.startswith(number + "_"):
            yield f"a link to {number} that leads to {target}"
    plain = re.sub(r"\[[^\]]*\]\([^)]*\)|`[^`]*`|```.*?```", " ", source, flags=re.DOTALL)
    for mention in re.findall(r"(?i)\b(?:chapter|appendix) \d\d\b", plain):
        yield f"{mention!r} is no link"


def check_addresses():
    "Every address of the project comes from settings.ini."
    config = settings()
    site = config["doc_host"] + config["doc_baseurl"]
    right = (config["git_url"], site, config["colab_url"], config["binder_url"])
    files = [*NOTEBOOKS, *ROOT.glob("*.md"), *ROOT.glob("*.yml")]
    files += (ROOT / ".github").rglob("*.yml")
    problems = []
    for path in files:
        for address in ADDRESS.findall(path.read_text(encoding="utf-8")):
            if not address.startswith(right):
                problems.append(f"{path.name}: {address} does not come from settings.ini")
    return problems


def site():
    "Run the docs step before Quarto; return what is wrong with its pages."
    from nbdev.doclinks import _build_modidx
    from nbdev.quarto import refresh_quarto_yml
    from nbdev.serve import proc_nbs

    refresh_quarto_yml()
    _build_modidx()
    cache = Path(proc_nbs(force=True))
    problems = []
    for path in NOTEBOOKS:
        problems += [f"{path.name}: {problem}" for problem in check_page(path, cache)]
    images = [f"images/{name}.png" for name in ("favicon", "card", "front")]
    for name in ("_quarto.yml", "site.scss", "glossary.qmd", "404.qmd", *images):
        if not (cache / name).is_file():
            problems.append(f"{name} did not reach the site")
    problems += check_anchors(cache)
    shutil.rmtree(cache, ignore_errors=True)
    return problems


def check_page(path, cache):
    "What is wrong with the page that the docs step made of a notebook."
    if not (cache / path.name).is_file():
        yield "no page was made"
        return
    if path.name not in (ROOT / "nbs" / "sidebar.yml").read_text(encoding="utf-8"):
        yield "it is not in the sidebar"
    made = list(cells(cache / path.name))
    front_matter = made[0][1]
    if not front_matter.startswith("---\n") or "title:" not in front_matter:
        yield "the page has no front matter with a title"
    for kind, source, cell in made:
        if kind == "markdown":
            yield from check_markdown(source, cache)
        elif any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            for wanted in ("fig-cap", "fig-alt"):
                if f"#| {wanted}:" not in source:
                    yield f"a figure without {wanted}: {source[:50]!r}"


def slug(heading):
    "The id that pandoc gives to a heading."
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    text = re.sub(r"[^\w\s.-]", "", text)
    return re.sub(r"\s+", "-", text.strip()).lstrip("0123456789-.")


def check_anchors(cache):
    "Links to a heading of the site, such as those that nbdev makes of names, lead to a heading."
    config = settings()
    address = re.escape(config["doc_host"] + config["doc_baseurl"])
    anchors = {}
    links = []
    for path in sorted(Path(cache).glob("*.ipynb")):
        page = re.sub(r"^\d+_", "", path.stem) + ".html"
        found = anchors.setdefault(page, set())
        for kind, source, cell in cells(path):
            texts = [source] if kind == "markdown" else []
            for output in cell.get("outputs", []):
                texts.append("".join(output.get("data", {}).get("text/markdown", "")))
            for text in texts:
                headings = re.findall(r"^#+ (.+?)(?: \{.*\})?$", text, re.MULTILINE)
                found |= {slug(heading) for heading in headings}
                targets = re.findall(address + r"/([\w.]+)#([\w.-]+)", text)
                links += [(path.name, *target) for target in targets]
    for name, page, anchor in sorted(set(links)):
        if anchor not in anchors.get(page, ()):
            yield f"{name}: a link to {page}#{anchor}, which is no heading"


def check_markdown(source, cache):
    "Links lead to pages and images, images have a description, details are closed."
    config = settings()
    address = config["doc_host"] + config["doc_baseurl"] + "/"
    pages = set()
    for other in NOTEBOOKS:
        pages |= {other.name, re.sub(r"^\d+_", "", other.stem) + ".html"}
    for target in re.findall(r"\]\(([^)\s]+)\)", source):
        target = target.removeprefix(address).split("#")[0]
        if re.fullmatch(r"[\w./-]+\.(?:ipynb|html)", target) and target not in pages:
            yield f"a link to {target}, which is no page"
        if target.startswith("images/") and not (cache / target).is_file():
            yield f"{target} is not there"
    if re.search(r"!\[\]\(", source):
        yield "an image without a description"
    if source.count("<details>") != source.count("</details>"):
        yield "a folded answer that is not closed"


LIVE = """<section id="live">
<p><a href="live/index.html">Explore this model in a page of its own</a>, or here:</p>
<iframe src="live/index.html" title="Explore the demo's model" loading="lazy"
  style="width: 100%; height: 800px; border: 1px solid #8888"></iframe>
</section>
"""


def embed(docs=ROOT / "_docs"):
    "Put the page of the demo before the first section of the front page. Returns problems."
    front_page = docs / "index.html"
    text = front_page.read_text(encoding="utf-8")
    first_section = re.search(r'<section id="[^"]+" class="level2', text)
    if not first_section or not (docs / "live" / "index.html").is_file():
        return ["the front page has no section, or _docs/live has no page"]
    if LIVE not in text:
        start = first_section.start()
        front_page.write_text(text[:start] + LIVE + text[start:], encoding="utf-8")
    return []


def main(command):
    "Run a command, print its problems, return the exit status."
    problems = COMMANDS[command]()
    for problem in problems:
        print(problem)
    print(f"{command}: {'failed' if problems else 'ok'}")
    return bool(problems)


COMMANDS = {"readme": write_readme, "check": check, "site": site, "embed": embed}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
