"""Settings of the documentation: `make docs` builds it into `docs/_build/html`."""

import sys
from pathlib import Path

import gelora

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "gelora"
author = "the gelora authors"
release = gelora.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "site_pages",
]
exclude_patterns = ["_build"]
suppress_warnings = ["myst.header"]  # the README of an experiment may skip a layer of headings
smartquotes = False  # they turn the two hyphens of a flag into a dash
default_role = "literal"  # docstrings write code between single backticks

html_theme = "furo"
html_title = f"gelora {release}"
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
html_copy_source = False
html_show_copyright = False

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

napoleon_numpy_docstring = False
napoleon_use_ivar = True  # a field is listed once, in its class

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 60
nitpick_ignore_regex = [
    # Types of other projects, whose pages a build without network cannot look up.
    ("py:.*", r"(torch|numpy|np|transformers|peft|datasets|jaxtyping|trl|markupsafe)\b.*"),
    ("py:.*", r"(collections|pathlib|typing|abc|dataclasses|datetime)\b.*"),
    (
        "py:class",
        r"ndarray|Tensor|PreTrainedModel|PeftModel|LoraConfig|DataFrame|Axes|pd\.DataFrame",
    ),
    # Ranges of settings: the annotations of msgspec and their bounds.
    ("py:class", r"msgspec\.Meta|[\d.]+"),
    # Shapes of arrays, which are strings in annotations.
    ("py:class", r"'.*'"),
    # A type variable.
    ("py:class", r"gelora\..*\.Score"),
]
