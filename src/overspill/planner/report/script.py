"""Plotly's script, which draws the figures in the browser; it comes with the package, so that nothing is loaded."""

from __future__ import annotations

from overspill.errors import ExtraMissing


def plotly_script() -> str:
    """Return it; raise ``ExtraMissing`` that names the extra if plotly is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ExtraMissing(
            "a report needs plotly, which is not installed; run: pip install 'overspill[report]' (the summary and "
            "--json need nothing)"
        ) from error
    script: str = get_plotlyjs()
    return script
