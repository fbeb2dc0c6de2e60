"""One HTML file: everything in it, nothing loaded, which its own security policy enforces."""

from __future__ import annotations

import msgspec

from overspill.planner.report.contents import Report
from overspill.planner.report.marks import Markup, joined, text
from overspill.planner.report.sections import Plots, figure_sections
from overspill.planner.report.tables import (
    inputs_section,
    limits_section,
    options_section,
    owned_section,
    trust_section,
    verdict_section,
    workload_section,
)
from overspill.planner.report.words import colon, say
from overspill.planner.verdict_words import Language

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)
_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; color: #222; background: #fff;
  font: 16px/1.55 system-ui, "Noto Sans", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .5rem; border-bottom: 1px solid #ccc; padding-bottom: .2rem;
  overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
p, li { overflow-wrap: anywhere; }
.meta, figcaption, .source { color: #555; font-size: .875rem; }
.lead { font-size: 1.2rem; font-weight: 600; }
.cards { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0; }
.cards div { flex: 1 1 12rem; border: 1px solid #ccc; border-radius: .5rem; padding: .75rem 1rem; }
.cards b { display: block; font-size: 1.6rem; }
figure { margin: 0 0 1rem; }
.plot { min-height: 16rem; }
.wide { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; min-width: 20rem; font-size: .9rem; }
caption { text-align: left; font-weight: 600; padding: .5rem 0; }
th, td { text-align: left; overflow-wrap: break-word; vertical-align: top;
  padding: .3rem .7rem .3rem 0; border-bottom: 1px solid #e4e4e4; }
thead th { border-bottom: 2px solid #999; }
tbody th { font-weight: 500; min-width: 4.5rem; }
span.source { display: inline-block; min-width: 14rem; overflow-wrap: anywhere; }
tbody th.source { padding-top: .9rem; font-weight: 400; overflow-wrap: anywhere; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
summary { cursor: pointer; padding: .3rem 0; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0; list-style: none; font-size: .9rem; }
@page { size: A4; margin: 14mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav, summary, .modebar { display: none !important; }
  h2, h3, caption { break-after: avoid; }
  figure, .cards, tr, .lead { break-inside: avoid; }
  #break_even, #inputs { break-before: page; }
  .wide { overflow: visible; }
  table { font-size: 8.5pt; min-width: 0; }
  span.source { min-width: 60mm; font-size: 7.5pt; }
  .plot { min-height: 0; }
}
"""
_DRAW = """
const figures = JSON.parse(document.getElementById("figures").textContent);
const config = {responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"]};
for (const [place, figure] of Object.entries(figures)) {
  Plotly.newPlot(place, figure.data, figure.layout, config);
}
addEventListener("beforeprint", () => {
  for (const place of Object.keys(figures)) {
    Plotly.relayout(place, {width: 680, height: Math.min(330, figures[place].layout.height)});
  }
});
addEventListener("afterprint", () => {
  for (const place of Object.keys(figures)) {
    Plotly.relayout(place, {width: null, height: figures[place].layout.height, autosize: true});
  }
});
"""


def page(report: Report, language: Language, script: str) -> str:
    """Return the whole page; ``script`` is plotly's."""
    plots = Plots(language)
    body = joined(
        (
            verdict_section(report, language),
            options_section(report, language),
            workload_section(report, language),
            figure_sections(report, plots),
            trust_section(report, language),
            owned_section(report, language),
            inputs_section(report, language),
            limits_section(report, language),
        )
    )
    title = text(f"{say('title', language)}{colon(language)}{report.workload}")
    tag = "zh-CN" if language == "zh" else "en"
    return f"""<!DOCTYPE html>
<html lang="{tag}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<header><h1>{text(say("title", language))}</h1>{_made(report, language)}{_contents(language)}</header>
<noscript><p>{text(say("no_script", language))}</p></noscript>
<main>
{body}
</main>
<script type="application/json" id="figures">{_as_script(plots)}</script>
<script>{script}</script>
<script>{_DRAW}</script>
</body>
</html>
"""


def _made(report: Report, language: Language) -> Markup:
    said = say("made", language, day=report.made_on, version=report.version)
    return Markup(f'<p class="meta">{text(said)} {text(report.workload)}</p>')


def _contents(language: Language) -> Markup:
    places = (
        ("verdict", "verdict"), ("options", "options"), ("break_even", "break_even_title"),
        ("load_duration", "load_duration_title"), ("spill", "spill_title"), ("latency", "latency_title"),
        ("sensitivity", "sensitivity_title"), ("regret", "regret_title"), ("inputs", "inputs_title"),
        ("limits", "not_modelled"),
    )  # fmt: skip
    items = "".join(f'<li><a href="#{place}">{text(say(word, language))}</a></li>' for place, word in places)
    return Markup(f"<nav><ul>{items}</ul></nav>")


def _as_script(plots: Plots) -> str:
    """Return the figures as JSON that cannot end the script that it stands in."""
    return msgspec.json.encode(plots.figures).decode().replace("<", "\\u003c").replace("&", "\\u0026")
