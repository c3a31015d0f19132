"""Build the documentation: `sphinx-build -W --keep-going -n -b html docs docs/_build`."""

import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import runge

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "runge"
version = release = runge.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "configuration",
    "mathml",
]
exclude_patterns = ["_build"]

default_role = "code"  # docstrings write `name`
smartquotes_action = "D"  # dashes alone: f' is a derivative
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"  # the notebook is run at every build, in a directory of its own
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_output_stderr = "remove"  # progress bars

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_inherit_docstrings = False
autodoc_default_options = {"members": True}
napoleon_attr_annotations = False
napoleon_use_ivar = True
napoleon_use_rtype = False
# No inventory of another project is fetched: the build needs no network.
nitpick_ignore_regex = [(r"py:.*", r"(?!runge).*")]

html_theme = "furo"
html_title = "runge"
html_static_path = ["_static"]
html_css_files = ["runge.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False


_COLON = "\ue000"  # a character that no docstring has


def _hide_colon(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Hide the colons in an attribute's first line from napoleon, which would read the text before one as a type."""
    if what in ("attribute", "data", "property") and lines:
        lines[0] = lines[0].replace(":", _COLON)


def _escape(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Let docstrings write |x| and x**2, which would be markup; formulas and code are left as they are."""
    formula = example = False
    for i, line in enumerate(lines):
        formula = line.lstrip().startswith(".. math::") or (formula and line.startswith("   "))
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        if not (formula or example):
            parts = re.split(r"(`[^`]*`)", line.replace(_COLON, ":"))
            parts[::2] = [re.sub(r"(?<!\\)([|*])", r"\\\1", part) for part in parts[::2]]
            lines[i] = "".join(parts)


def setup(app: Sphinx) -> None:
    """Connect the handlers, before and after that of napoleon."""
    app.connect("autodoc-process-docstring", _hide_colon, priority=400)
    app.connect("autodoc-process-docstring", _escape, priority=600)
