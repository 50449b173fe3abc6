"""The report of one or more runs: one self-contained HTML page, and its tables as Markdown.

    python -m benchmark.report RUN [RUN ...]

`gather` reads runs into `content` (plain values, no layout), `plots` draws, `drilldown` tells single tasks
from their journals, `pages` puts all of it into the templates. Reports are made of what a run directory
holds, and no run directory holds a hidden test, so none can appear here.
"""
