"""The charts of a report as ECharts options: plain dicts of JSON, without a function in them.

A text `$name` stands for the style sheet's colour `--name`, so that charts follow light and dark. Tooltips are drawn as
text, never as HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fapo.report.facts import Losses, RunReport
from fapo.report.run_summary import Gain, VariantRow
from fapo.report.words import points

Option = dict[str, Any]
SYMBOLS = {"prompt": "circle", "parameter": "diamond", "structure": "rect"}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
_LONGEST = 24


def charts(report: RunReport) -> dict[str, Option]:
    """The charts that there are figures for, by the id of their place in the page."""
    summary = report.summary
    confirmed = "$good" if summary.status == "improved" else "$warn"
    both = (("test", summary.test_gain, confirmed), ("validation", summary.validation_gain, "$accent"))
    gains = [(name, gain, color) for name, gain, color in both if gain is not None]
    found: dict[str, Option] = {}
    if gains:
        found["chart-gain"] = gain_chart(gains)
    if summary.baseline.validation is not None and drawable(summary.variants):
        found["chart-search"] = search_chart(summary.baseline.validation, report)
    if report.losses.steps:
        found["chart-losses"] = loss_chart(report.losses)
    return found


def drawable(rows: Iterable[VariantRow]) -> list[VariantRow]:
    """The variants that validation was asked about."""
    return [row for row in rows if row.estimate is not None]


def gain_chart(gains: Sequence[tuple[str, Gain, str]]) -> Option:
    """Each gain by name, with its interval and its colour, and the line at which there is none."""
    names = [name for name, _, _ in reversed(gains)]
    series: list[Option] = [
        {"type": "line", "data": [[100 * gain.ci95[0], name], [100 * gain.ci95[1], name]], "symbol": "rect",
         "symbolSize": [2, 16], "lineStyle": {"width": 3, "color": color}, "itemStyle": {"color": color},
         "tooltip": {"show": False}, "silent": True}
        for name, gain, color in gains
    ]  # fmt: skip
    series.append(
        {"type": "scatter", "symbolSize": 15, "z": 5,
         "data": [{"value": [100 * gain.mean, name], "itemStyle": {"color": color, "opacity": 1},
                   "tooltip": {"formatter": f"{name}: {points(gain.mean)} points\n{gain.won} won, {gain.lost} lost"},
                   "label": {"show": True, "position": "top", "formatter": points(gain.mean), "color": "$ink",
                             "fontWeight": "bold", "fontSize": 13}} for name, gain, color in gains],
         "markLine": {"silent": True, "symbol": "none", "data": [{"xAxis": 0}], "label": {"show": False},
                      "lineStyle": {"color": "$muted", "type": "dashed"}}}
    )  # fmt: skip
    return _base(series) | {
        "grid": {"left": 78, "right": 26, "top": 26, "bottom": 42},
        "xAxis": _value_axis("points of score", location="middle", gap=26),
        "yAxis": {"type": "category", "data": names, "axisLabel": {"color": "$ink", "fontSize": 13},
                  "axisLine": {"show": False}, "axisTick": {"show": False}},
    }  # fmt: skip


def search_chart(baseline: float, report: RunReport) -> Option:
    """Above the score of each variant, with that of the incumbent; below what a case of each takes."""
    rows = drawable(report.summary.variants)
    names = ["000", *(row.id for row in rows)]
    unit, costs = _costs(report, rows)
    incumbent, line = baseline, [100 * baseline]
    for row in rows:
        if row.verdict == "accepted" and row.estimate is not None:
            incumbent = row.estimate
        line.append(100 * incumbent)
    axis = {"type": "category", "data": names, "axisLine": {"lineStyle": {"color": "$line"}},
            "axisTick": {"show": False}, "axisLabel": {"color": "$muted", "hideOverlap": True}}  # fmt: skip
    series: list[Option] = [
        {"name": "incumbent", "type": "line", "step": "end", "data": line, "symbol": "none",
         "lineStyle": {"color": "$accent", "width": 2}, "itemStyle": {"color": "$accent"}},
        _points("accepted", "$good", rows, names), _points("rejected", "$muted", rows, names),
        {"name": unit, "type": "bar", "xAxisIndex": 1, "yAxisIndex": 1, "data": costs, "barMaxWidth": 26,
         "itemStyle": {"color": "$soft", "borderRadius": [3, 3, 0, 0]}},
    ]  # fmt: skip
    return _base(series) | {
        "legend": {"top": 0, "left": 0, "data": ["incumbent", "accepted", "rejected"],
                   "textStyle": {"color": "$ink"}, "itemGap": 16},
        "grid": [{"left": 52, "right": 14, "top": 56, "height": 190},
                 {"left": 52, "right": 14, "top": 306, "height": 74}],
        "xAxis": [axis, {**axis, "gridIndex": 1}],
        "yAxis": [_value_axis("score on validation, %"),
                  {**_value_axis(unit), "gridIndex": 1, "splitNumber": 2}],
    }  # fmt: skip


def _points(verdict: str, color: str, rows: Sequence[VariantRow], names: Sequence[str]) -> Option:
    data: list[Option] = []
    for row in rows:
        if (row.verdict == "accepted") == (verdict == "accepted") and row.estimate is not None:
            what = f"{row.id} {_short(row.technique)}\n{row.level}, {row.verdict or 'not judged'}"
            figures = "" if row.difference is None else f"\n{points(row.difference)} points on {row.cases} cases"
            fill: Option = {"color": color, "opacity": 1}
            if verdict != "accepted":
                fill |= {"color": "$surface", "borderColor": color, "borderWidth": 2}
            data.append({"value": [names.index(row.id), 100 * row.estimate], "itemStyle": fill,
                         "symbol": SYMBOLS.get(row.level or "", "circle"),
                         "tooltip": {"formatter": _plain(what + figures)}})  # fmt: skip
    return {
        "name": verdict,
        "type": "scatter",
        "symbolSize": 12,
        "z": 5,
        "data": data,
        "itemStyle": {"color": color, "opacity": 1},
    }


def _costs(report: RunReport, rows: Sequence[VariantRow]) -> tuple[str, list[float | None]]:
    """What one case takes: dollars per thousand, or tokens where nothing has a price. None where unknown."""
    first = report.steps.baseline
    dollars = [first.cost_usd if first else None, *(row.demand.cost_usd if row.demand else None for row in rows)]
    if any(cost for cost in dollars):
        return "$ per 1,000 cases", [None if cost is None else round(1000 * cost, 4) for cost in dollars]
    tokens = [first.tokens if first else None, *(row.demand.tokens if row.demand else None for row in rows)]
    return "tokens a case", [None if count is None else round(count, 1) for count in tokens]


def loss_chart(losses: Losses, first: str = "baseline") -> Option:
    """The points that each step loses; `first` is what the arm is called that is the baseline of a run."""
    rows = list(reversed(losses.steps))
    names = [_short(row.step or "unidentified") for row in rows]
    series = [_bars(first, "$soft", [row.baseline for row in rows])]
    if losses.best is not None:
        series.append(_bars("best", "$accent", [row.best for row in rows]))
    return _base(series) | {
        "legend": {"top": 0, "left": 0, "data": [each["name"] for each in series], "textStyle": {"color": "$ink"}},
        "grid": {"left": 8, "right": 44, "top": 32, "bottom": 30, "containLabel": True},
        "xAxis": _value_axis("points of score lost", location="middle", gap=26),
        "yAxis": {"type": "category", "data": names, "axisLabel": {"color": "$ink"}, "axisLine": {"show": False},
                  "axisTick": {"show": False}},
    }  # fmt: skip


def _bars(name: str, color: str, values: Iterable[float | None]) -> Option:
    return {"name": name, "type": "bar", "barMaxWidth": 16, "barGap": "15%",
            "data": [None if value is None else round(100 * value, 1) for value in values],
            "itemStyle": {"color": color, "borderRadius": [0, 3, 3, 0]},
            "label": {"show": True, "position": "right", "color": "$ink", "formatter": "{c}"}}  # fmt: skip


def _base(series: Sequence[Option]) -> Option:
    return {"animation": False, "aria": {"enabled": True}, "textStyle": {"fontFamily": FONT},
            "tooltip": {"trigger": "item", "renderMode": "richText", "confine": True, "backgroundColor": "$surface",
                        "borderColor": "$line", "textStyle": {"color": "$ink", "fontSize": 12}},
            "series": list(series)}  # fmt: skip


def _value_axis(name: str, *, location: str = "end", gap: int = 12) -> Option:
    align = {} if location == "middle" else {"nameTextStyle": {"color": "$muted", "align": "left",
                                                               "padding": [0, 0, 0, -40]}}  # fmt: skip
    return {"type": "value", "name": name, "nameLocation": location, "nameGap": gap, "axisLabel": {"color": "$muted"},
            "nameTextStyle": {"color": "$muted"}, "splitLine": {"lineStyle": {"color": "$line"}}, **align}  # fmt: skip


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _plain(text: str) -> str:
    """Text without the braces that mean something to ECharts."""
    return text.replace("{", "(").replace("}", ")")
