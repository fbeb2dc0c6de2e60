"""A verdict in words, English and Chinese: what to do, the three numbers, what would change it, what to beware of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from overspill.planner.remarks import LANGUAGES, Language
from overspill.planner.sensitivity import Turn
from overspill.planner.verdict import Advice, Caution, Verdict

__all__ = ["LANGUAGES", "Language", "in_words", "tier_name"]

_MOST_TURNS: Final = 4

_ADVICE: Final[Mapping[Language, Mapping[Advice, str]]] = {
    "en": {
        Advice.OWN: "Own it: {units}.",
        Advice.HYBRID: "Own the base and spill the peaks: {units}; {spilled} of the work goes elsewhere.",
        Advice.RESERVE: "Reserve, do not buy: {units}; {spilled} of the work goes elsewhere.",
        Advice.RENT: "Rent by the hour; commit to nothing.",
        Advice.BUY_TOKENS: "Buy tokens; commit to no machine.",
    },
    "zh": {
        Advice.OWN: "自建：{units}。",
        Advice.HYBRID: "自建承担基础负载，高峰转出：{units}；{spilled} 的工作量由外部承担。",
        Advice.RESERVE: "用预留实例，不买硬件：{units}；{spilled} 的工作量由外部承担。",
        Advice.RENT: "按小时租用，不做任何长期承诺。",
        Advice.BUY_TOKENS: "按 token 购买，不做任何长期承诺。",
    },
}
_DO_NOT_BUY: Final[Mapping[Language, str]] = {"en": "Do not buy machines. ", "zh": "不要购买机器。"}
_TIERS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {"owned": "owned", "on_demand": "rented on demand", "spot": "spot", "tokens": "by the token"},
    "zh": {"owned": "自有", "on_demand": "按需租用", "spot": "竞价实例", "tokens": "按 token"},
}  # fmt: skip
_LEVERS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {"owned_price": "your machines cost", "rent_price": "rented machines cost", "token_price": "tokens cost",
           "load": "you have", "unit_capacity": "one unit carries",
           "utilisation": "utilisation (mean by peak demand) is"},
    "zh": {"owned_price": "自有机器的成本", "rent_price": "租用机器的价格", "token_price": "token 价格",
           "load": "请求量", "unit_capacity": "单个单元的承载能力", "utilisation": "利用率（均值与峰值之比）"},
}  # fmt: skip
_OBJECTS: Final[Mapping[str, str]] = {"load": " as many requests", "unit_capacity": " as much within the SLO",
                                      "utilisation": " as high"}  # fmt: skip
_BECOMES: Final[Mapping[Language, Mapping[Advice, str]]] = {
    "en": {Advice.OWN: "own", Advice.HYBRID: "own the base", Advice.RESERVE: "reserve", Advice.RENT: "rent by the hour",
           Advice.BUY_TOKENS: "buy tokens"},
    "zh": {Advice.OWN: "自建", Advice.HYBRID: "自建加转出", Advice.RESERVE: "预留", Advice.RENT: "按小时租用",
           Advice.BUY_TOKENS: "按 token 购买"},
}  # fmt: skip
_CAUTIONS: Final[Mapping[Language, Mapping[Caution, str]]] = {
    "en": {
        Caution.SHORT_LOG: "the log is shorter than two weeks: weekly and seasonal peaks are not in it",
        Caution.DRIFTED: "demand has drifted within the log: plan anew from recent weeks, and commit late (ski rental)",
        Caution.LARGE_REGRET: "the plan of the log's first half would have been a bad one for the second",
        Caution.CLOSE_CALL: "one figure that moves by a quarter or less turns this",
        Caution.NO_DATES: "the log tells no dates, so tariff windows were not applied: tokens count at the peak price",
        Caution.DRAWN: "the requests were drawn from rates or a few figures, not recorded one by one",
    },
    "zh": {
        Caution.SHORT_LOG: "日志不足两周，看不到每周和季节性的高峰",
        Caution.DRIFTED: "日志内的需求已经漂移：请用最近几周重新规划，并推迟承诺（滑雪租赁规则）",
        Caution.LARGE_REGRET: "用前半段日志做出的计划，放到后半段并不划算",
        Caution.CLOSE_CALL: "任一数字变动四分之一以内，结论就会改变",
        Caution.NO_DATES: "日志没有日期，未套用分时价格：token 一律按高峰价计算",
        Caution.DRAWN: "请求由速率或少量数字抽取生成，并非逐条记录",
    },
}


def in_words(verdict: Verdict, language: Language) -> tuple[str, ...]:
    """Return the verdict as paragraphs."""
    parts = [_what(verdict, language), _why(verdict, language), _money(verdict, language)]
    if verdict.turns[:_MOST_TURNS]:
        parts.append(_changes(verdict, language))
    if verdict.cautions:
        lead = "Take it with care: " if language == "en" else "请注意："
        separator = "; " if language == "en" else "；"
        end = "." if language == "en" else "。"
        parts.append(lead + separator.join(_CAUTIONS[language][caution] for caution in verdict.cautions) + end)
    return tuple(parts)


def tier_name(name: str, language: Language) -> str:
    """Return what a tier is called; reserved ones by their term."""
    if name.startswith("reserved_"):
        count, unit = int(name[9:-1]), name[-1]
        if language == "zh":
            return f"预留 {count} {'年' if unit == 'y' else '个月'}"
        return f"reserved for {count} {'year' if unit == 'y' else 'month'}{'' if count == 1 else 's'}"
    return _TIERS[language].get(name, name)


def _what(verdict: Verdict, language: Language) -> str:
    joined = (" + " if language == "en" else "＋").join(
        f"{count:g} × {tier_name(name, language)}" for name, count in verdict.units.items()
    )
    said = _ADVICE[language][verdict.advice].format(units=joined, spilled=f"{verdict.spilled_share:.1%}")
    return (_DO_NOT_BUY[language] if verdict.is_not_to_buy else "") + said


def _why(verdict: Verdict, language: Language) -> str:
    if not verdict.candidate:
        if language == "zh":
            return "只提供了一种方案，无从比较：请用 --own、--rent、--reserved 或 --tokens 给出其他选项。"
        return (
            "Only one way to serve it was offered, so there is nothing to weigh: name others with --own, --rent, "
            "--reserved or --tokens."
        )
    return _ratio_zh(verdict) if language == "zh" else _ratio_en(verdict)


def _ratio_en(verdict: Verdict) -> str:
    ratio, used, hours = (number.value for number in verdict.numbers)
    name = tier_name(verdict.candidate, "en") + (", with its share of the staff" if verdict.has_shared_cost else "")
    running, spill = verdict.running_usd_per_unit_hour, f"${verdict.spill_usd_per_unit_hour:,.2f}"
    own = f", of which ${running:,.2f} would still be paid (energy, egress)" if running >= 0.005 else ""
    start = (
        f"r = {_number(ratio)}: a unit-hour ({name}) costs ${verdict.unit_usd_per_hour:,.2f}, the same work without "
        f"commitment {spill}{own}. The first unit would be busy {used:.0%} of the time"
    )
    if hours > 8760:
        return f"{start}; it does not pay even at full work all year."
    said = f"{start}, and pays from {hours:,.0f} h of full work a year ({ratio:.0%}) on."
    if verdict.units or not verdict.best_saved_share:
        return said
    return f"{said} That would save {verdict.best_saved_share:.1%}; a commitment must save {verdict.hurdle_share:.0%}."


def _ratio_zh(verdict: Verdict) -> str:
    ratio, used, hours = (number.value for number in verdict.numbers)
    name = tier_name(verdict.candidate, "zh") + ("，含人员分摊" if verdict.has_shared_cost else "")
    running, spill = verdict.running_usd_per_unit_hour, f"${verdict.spill_usd_per_unit_hour:,.2f}"
    own = f"，其中 ${running:,.2f} 仍须支付（电费、出口流量）" if running >= 0.005 else ""
    start = (
        f"r = {_number(ratio)}：一个单元（{name}）每小时 ${verdict.unit_usd_per_hour:,.2f}，"
        f"同样的工作不做承诺时每小时 {spill}{own}。第一个单元的利用率为 {used:.0%}"
    )
    if hours > 8760:
        return f"{start}；即使满负荷全年运行也不回本。"
    said = f"{start}，每年满负荷 {hours:,.0f} 小时（{ratio:.0%}）才回本。"
    if verdict.units or not verdict.best_saved_share:
        return said
    return f"{said}这样可节省 {verdict.best_saved_share:.1%}，而承诺至少须节省 {verdict.hurdle_share:.0%}。"


def _money(verdict: Verdict, language: Language) -> str:
    year, free = f"${verdict.usd_per_year:,.0f}", f"${verdict.uncommitted_usd_per_year:,.0f}"
    mtok = None if verdict.usd_per_mtok is None else f"${verdict.usd_per_mtok:,.3f}"
    peak = verdict.owned_for_peak_usd_per_year
    if language == "zh":
        parts = [f"每年 {year}" + (f"，每百万 token {mtok}" if mtok else "")]
        if verdict.units:
            parts.append(f"不做承诺的最佳方案为 {free}，节省 {verdict.saved_share:.0%}")
        if peak is not None:
            parts.append(f"按高峰自建为 ${peak:,.0f}")
        return "；".join(parts) + "。"
    parts = [f"{year} a year" + (f", {mtok} per million tokens" if mtok else "")]
    if verdict.units:
        parts.append(f"the best without commitment is {free}: {verdict.saved_share:.0%} saved")
    if peak is not None:
        parts.append(f"owning for the peak would be ${peak:,.0f}")
    return "; ".join(parts) + "."


def _changes(verdict: Verdict, language: Language) -> str:
    if language == "zh":
        said = [
            f"{_LEVERS['zh'][turn.lever]}变为 {_times(turn.factor)} 倍 → {_BECOMES['zh'][Advice(turn.becomes)]}"
            for turn in verdict.turns[:_MOST_TURNS]
        ]
        return "什么会改变结论：" + "；".join(said) + "。"
    return "It would change if " + "; if ".join(_change(turn) for turn in verdict.turns[:_MOST_TURNS]) + "."


def _change(turn: Turn) -> str:
    said = f"{_LEVERS['en'][turn.lever]} {_times(turn.factor)} times{_OBJECTS.get(turn.lever, ' as much')}"
    return f"{said} → {_BECOMES['en'][Advice(turn.becomes)]}"


def _times(factor: float) -> str:
    """Return a factor with as many digits as tell it from 1."""
    return next((said for digits in range(2, 6) if float(said := f"{factor:.{digits}g}") != 1), f"{factor:.6g}")


def _number(ratio: float) -> str:
    return "∞" if math.isinf(ratio) else f"{ratio:.2f}"
