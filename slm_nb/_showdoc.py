"""How the site shows a function or class: the renderer that settings.ini names for nbdev."""

import inspect

from fastcore.docments import docments
from nbdev.showdoc import BasicMarkdownRenderer

WIDTH = 84  # columns of code on a page


def _signature(symbol, name):
    "The call on one line if it fits, else one parameter per line; no types guessed from defaults."
    parameters = inspect.signature(symbol).parameters.values()
    shown = []
    for parameter in parameters:
        if parameter.name == "self":
            continue
        text = parameter.replace(annotation=inspect.Parameter.empty)
        shown.append(str(text))
    if inspect.isclass(symbol):
        name = f"class {name}"
    line = f"{name}({', '.join(shown)})"
    if len(line) <= WIDTH:
        return line
    inner = "".join(f"    {text},\n" for text in shown)
    return f"{name}(\n{inner})"


def _table(symbol):
    "The parameters with their comments as a table, or an empty text if no parameter has one."
    rows = []
    for name, details in docments(symbol, full=True, args_kwargs=True).items():
        comment = details.docment
        if not comment or name == "self":
            continue
        default = details.default
        if name == "return":
            name = "*returns*"
        else:
            name = f"`{name}`"
        shown = "" if default is inspect.Parameter.empty else f"`{default!r}`"
        cells = [cell.replace("|", "\\|").replace("\n", " ") for cell in (name, shown, comment)]
        rows.append(f"| {' | '.join(cells)} |")
    if not rows:
        return ""
    return "\n".join(["| parameter | default | details |", "|---|---|---|", *rows])


class Renderer(BasicMarkdownRenderer):
    "A link to the source, the name, the signature, the docstring and a table of the parameters."

    def _repr_markdown_(self):
        heading, _, _ = super()._repr_markdown_().partition("```python")
        try:
            signature = f"```python\n{_signature(self.sym, self.nm)}\n```"
        except (ValueError, TypeError):
            signature = ""
        parts = [heading.strip(), signature, self.docs, _table(self.sym)]
        return "\n\n".join(part for part in parts if part)
