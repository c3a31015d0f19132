"""Build the documentation: `sphinx-build -W --keep-going -n -b html docs docs/_build`."""

import sys
from pathlib import Path

import runge

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "runge"
version = release = runge.__version__
extensions = [
    "myst_nb",
    "sphinx_copybutton",
    "mathml",
]
exclude_patterns = ["_build"]

smartquotes_action = "D"  # dashes alone: f' is a derivative
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"  # the notebook is run at every build, in a directory of its own
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_output_stderr = "remove"  # progress bars

html_theme = "furo"
html_title = "runge"
html_static_path = ["_static"]
html_css_files = ["runge.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_use_index = False  # it would be empty
