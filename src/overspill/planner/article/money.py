"""Checks of money and time: the formula, its result, the cloud's bill, the break-even and what it is said in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import msgspec

from overspill.catalog.hardware_prices import HardwarePrices
from overspill.planner.article.flags import Finding, Flag
from overspill.planner.article.statements import Article, LocalStatement, RateStatement
from overspill.planner.tco import HOURS_A_YEAR, electricity_usd, owned_cost

_CLOSE: Final = 0.05
_LOADS: Final = (1.0, 0.5, 0.2, 0.05)
_OWN_ROOM: Final = "own_room"
_TERMS_ZH: Final = {
    "capital": "资本",
    "support": "维保",
    "spares": "备件",
    "electricity": "电费",
    "rent": "机位租金",
    "operations": "运维",
}


class BreakEven(msgspec.Struct, frozen=True, kw_only=True):
    """When owning costs as much as renting by the hour, by the article's own method."""

    platform: str
    name: str
    usd_per_hour: float
    hours: float
    """Capital cost a year by price per hour."""
    usd_per_year_all_hours: float
    hours_for_cloud_bill: float | None
    """What the article's yearly bill buys at this price."""
    fixed_usd_per_year_for_stated: float | None
    """What owning would have to cost beside capital for the stated hours to be right."""


def capital_usd_per_year(local: LocalStatement) -> float:
    """Return the first term of the article's formula: price by years."""
    return local.capex_usd / local.years


def break_evens(article: Article) -> tuple[BreakEven, ...]:
    """Return the break-even for each rate of the article's table."""
    if article.local is None:
        return ()
    capital = capital_usd_per_year(article.local)
    bill = None if article.cloud is None else article.cloud.on_demand_usd_per_year
    hours = None if article.break_even is None else article.break_even.hours
    return tuple(
        BreakEven(
            platform=rate.platform,
            name=rate.name,
            usd_per_hour=rate.usd_per_hour,
            hours=capital / rate.usd_per_hour,
            usd_per_year_all_hours=rate.usd_per_hour * HOURS_A_YEAR,
            hours_for_cloud_bill=None if bill is None else bill / rate.usd_per_hour,
            fixed_usd_per_year_for_stated=None if hours is None else hours * rate.usd_per_hour - capital,
        )
        for rate in article.rates
    )


def money_flags(article: Article, prices: HardwarePrices) -> Iterator[Flag]:
    """Yield what there is to say of money and time."""
    yield from _formula(article, prices)
    yield from _today(article, prices)
    if article.local is not None:
        yield from _local(article, article.local, prices)
    if article.cloud is not None:
        yield from _cloud(article)
    if article.local is not None and article.cloud is not None and article.cloud.reserved_usd_per_year:
        yield _reserved(article, article.local, article.cloud.reserved_usd_per_year)
    if article.break_even is not None:
        yield from _break_even(article)
    if article.spot is not None:
        yield from _spot(article, prices)
    if article.measured is not None and article.local is not None:
        yield _tokens(article, article.local)


def _formula(article: Article, prices: HardwarePrices) -> Iterator[Flag]:
    said = article.formula
    if said is None:
        return
    site = prices.site(_OWN_ROOM)
    node = None if article.machine is None else prices.node(article.machine.node)
    if not said.electricity_has_power:
        usd = None if node is None else electricity_usd(node.kw_max, site.pue, HOURS_A_YEAR, site.usd_per_kwh)
        bare = None if node is None else electricity_usd(node.kw_max, 1.0, HOURS_A_YEAR, site.usd_per_kwh)
        en = "" if node is None else f" ({node.kw_max:g} kW: ${bare:,.0f} a year, with PUE {site.pue:g} ${usd:,.0f})"
        zh = "" if node is None else f"（{node.kw_max:g} kW：每年 ${bare:,.0f}，PUE {site.pue:g} 时为 ${usd:,.0f}）"
        yield Flag(
            code="formula_units",
            finding=Finding.WRONG,
            subject="electricity",
            unit="$ a year",
            expected=usd,
            stated=None,
            quote=said.quote,
            en="“Electricity cost × hours” has no unit: it must be kW × PUE × hours × $ per kWh" + en + ".",
            zh="“电力成本 × 年运行小时数”缺少单位：应为 kW × PUE × 小时 × 每 kWh 电价" + zh + "。",
            sources=(f"{site.source} ({site.as_of})",)
            if node is None
            else (f"{site.source} ({site.as_of})", node.source),
        )
    for name, has, en, zh in (
        ("residual value", said.has_residual, "what the machine sells for at the end", "残值"),
        ("cost of capital", said.has_cost_of_capital, "what the money costs meanwhile", "资金成本"),
    ):
        if not has:
            yield Flag(
                code="formula_term_missing",
                finding=Finding.MISSING,
                subject=name,
                unit="",
                expected=None,
                stated=None,
                quote=said.quote,
                en=f"The formula leaves out {en}.",
                zh=f"公式没有计入{zh}。",
            )


def _local(article: Article, local: LocalStatement, prices: HardwarePrices) -> Iterator[Flag]:
    capital = capital_usd_per_year(local)
    yield Flag(
        code="local_capital",
        finding=Finding.RIGHT if _is_close(capital, local.usd_per_year) else Finding.WRONG,
        subject="",
        unit="$ a year",
        expected=capital,
        stated=local.usd_per_year,
        quote=local.quote,
        en=f"${local.capex_usd:,.0f} / {local.years:g} years = ${capital:,.0f} a year.",
        zh=f"${local.capex_usd:,.0f} / {local.years:g} 年 = 每年 ${capital:,.0f}。",
    )
    if article.machine is None or not _is_close(capital, local.usd_per_year):
        return
    node = msgspec.structs.replace(prices.node(article.machine.node), usd=local.capex_usd, years=local.years)
    full = owned_cost(node, prices.site(_OWN_ROOM), prices.finance)
    terms = ", ".join(f"{line.name} ${line.usd_per_year:,.0f}" for line in full.lines)
    terms_zh = "、".join(f"{_TERMS_ZH[line.name]} ${line.usd_per_year:,.0f}" for line in full.lines)
    yield Flag(
        code="capital_only",
        finding=Finding.MISSING,
        subject="",
        unit="$ a year",
        expected=full.usd_per_year,
        stated=local.usd_per_year,
        quote=local.quote,
        en="The stated cost is the price of the machine and nothing else: electricity and staff, which its own formula "
        f"names, are 0. With them: {terms}.",
        zh=f"所给成本只有硬件价格：其公式中的电力与人力都按 0 计。计入后：{terms_zh}。",
        sources=tuple(line.source for line in full.lines),
    )


def _cloud(article: Article) -> Iterator[Flag]:
    cloud = article.cloud
    assert cloud is not None
    bill = cloud.on_demand_usd_per_year
    for rate in article.rates:
        whole = rate.usd_per_hour * HOURS_A_YEAR
        yield Flag(
            code="cloud_bill",
            finding=Finding.RIGHT if _is_close(whole, bill) else Finding.WRONG,
            subject=rate.name,
            unit="$ a year, all hours",
            expected=whole,
            stated=bill,
            quote=cloud.quote,
            en=f"{rate.name} at ${rate.usd_per_hour:g}/h is ${whole:,.0f} a year; ${bill:,.0f} buys "
            f"{bill / rate.usd_per_hour:,.0f} h of it.",
            zh=f"{rate.name} 每小时 ${rate.usd_per_hour:g}，全年为 ${whole:,.0f}；"
            f"${bill:,.0f} 只够 {bill / rate.usd_per_hour:,.0f} 小时。",
        )
    implied = bill / HOURS_A_YEAR
    if article.rates and not any(_is_close(implied, rate.usd_per_hour) for rate in article.rates):
        nearest = min(article.rates, key=lambda rate: abs(math.log(rate.usd_per_hour / implied)))
        yield Flag(
            code="cloud_rate_unknown",
            finding=Finding.WRONG,
            subject="",
            unit="$ an hour",
            expected=implied,
            stated=nearest.usd_per_hour,
            quote=cloud.quote,
            en=f"${bill:,.0f} over {HOURS_A_YEAR:,.0f} h is ${implied:.2f} an hour, which no row of its own table has.",
            zh=f"${bill:,.0f} 除以 {HOURS_A_YEAR:,.0f} 小时为每小时 ${implied:.2f}，与其价格表中任何一行都不符。",
        )


def _reserved(article: Article, local: LocalStatement, reserved_usd: float) -> Flag:
    assert article.cloud is not None
    capital = capital_usd_per_year(local)
    spare = reserved_usd - capital
    saved = 1 - reserved_usd / article.cloud.on_demand_usd_per_year
    is_never = spare > 0
    return Flag(
        code="reserved_has_no_break_even",
        finding=Finding.WRONG,
        subject="",
        unit="$ a year",
        expected=capital,
        stated=reserved_usd,
        quote=article.cloud.quote,
        en=f"A reservation ({saved:.1%} off) is paid for all hours: ${reserved_usd:,.0f} against ${capital:,.0f} holds "
        "whatever the hours, so there is no break-even in hours. "
        + (
            f"Owning is cheaper at any use, or, if power and people cost more than ${spare:,.0f} a year, at none."
            if is_never
            else "The reservation is cheaper at any use."
        ),
        zh=f"预留实例（优惠 {saved:.1%}）按全年付费：${reserved_usd:,.0f} 对 ${capital:,.0f} 与时长无关，"
        "不存在小时数的临界点。"
        + (f"自建始终更便宜；若电力与人力每年超过 ${spare:,.0f}，则始终更贵。" if is_never else "预留实例始终更便宜。"),
    )


def _break_even(article: Article) -> Iterator[Flag]:
    said = article.break_even
    assert said is not None
    for row in break_evens(article):
        yield Flag(
            code="break_even_hours",
            finding=Finding.RIGHT if _is_close(row.hours, said.hours) else Finding.WRONG,
            subject=row.name,
            unit="h a year",
            expected=row.hours,
            stated=said.hours,
            quote=said.quote,
            en=f"By the article's method {row.name} breaks even at {row.hours:,.0f} h, not {said.hours:,.0f}; for "
            f"that, owning would have to cost ${row.fixed_usd_per_year_for_stated:,.0f} a year more than its price.",
            zh=f"按文中方法，{row.name} 的临界点为 {row.hours:,.0f} 小时，而不是 {said.hours:,.0f}；"
            f"要得到后者，自建每年还须另花 ${row.fixed_usd_per_year_for_stated:,.0f}。",
        )
    if article.local is not None:
        yield from _implied(article, article.local, said.hours)
    if said.days is not None:
        yield _days(said.hours, said.days, said.quote)


def _implied(article: Article, local: LocalStatement, hours: float) -> Iterator[Flag]:
    rate = capital_usd_per_year(local) / hours
    assert article.break_even is not None
    near = [row for row in article.rates if _is_close(row.usd_per_hour, rate)]
    bill = None if article.cloud is None else article.cloud.on_demand_usd_per_year
    more_en = more_zh = ""
    if bill is not None:
        more_en = f" (at which ${bill:,.0f} would be {bill / rate:,.0f} h, not {hours:,.0f} h at ${bill / hours:.2f})"
        more_zh = (
            f"（此时 ${bill:,.0f} 相当于 {bill / rate:,.0f} 小时；若为 {hours:,.0f} 小时则每小时 ${bill / hours:.2f}）"
        )
    nearest = min(article.rates, key=lambda row: abs(row.usd_per_hour - rate), default=None)
    if not near:
        yield Flag(
            code="break_even_rate",
            finding=Finding.WRONG,
            subject="",
            unit="$ an hour",
            expected=rate,
            stated=None if nearest is None else nearest.usd_per_hour,
            quote=article.break_even.quote,
            en=f"{hours:,.0f} h would need ${rate:.2f} an hour{more_en}; no row of its table has that.",
            zh=f"{hours:,.0f} 小时对应每小时 ${rate:.2f}{more_zh}，价格表中没有这样的一行。",
        )


def _days(hours: float, days: float, quote: str) -> Flag:
    expected = hours / 24
    return Flag(
        code="hours_and_days",
        finding=Finding.RIGHT if _is_close(expected, days) else Finding.WRONG,
        subject="",
        unit="days",
        expected=expected,
        stated=days,
        quote=quote,
        en=f"{hours:,.0f} h are {expected:.1f} days; {days:g} days are {days * 24:,.0f} h ({hours / days:.1f} h each).",
        zh=f"{hours:,.0f} 小时是 {expected:.1f} 天；{days:g} 天是 {days * 24:,.0f} 小时"
        f"（或每天 {hours / days:.1f} 小时）。",
    )


def _spot(article: Article, prices: HardwarePrices) -> Iterator[Flag]:
    said = article.spot
    assert said is not None
    for rate in article.rates:
        for name in rate.readings:
            yield from _spot_of(rate, name, said.discount, said.quote, prices)


def _spot_of(rate: RateStatement, name: str, discount: float, quote: str, prices: HardwarePrices) -> Iterator[Flag]:
    instance = prices.instance(name)
    if instance.spot is None or instance.on_demand is None:
        return
    low, high = (1 - usd / instance.on_demand for usd in reversed(instance.spot))
    is_one = f"{low:.0%}" == f"{high:.0%}"
    seen_en, seen_zh = (f"{low:.0%}",) * 2 if is_one else (f"{low:.0%} to {high:.0%}", f"{low:.0%} 至 {high:.0%}")
    statistics = prices.spot(instance.gpus, 1)
    yield Flag(
        code="spot_discount",
        finding=Finding.MISSING if discount <= high + _CLOSE else Finding.WRONG,  # it may be cheaper than promised
        subject=name,
        unit="share off",
        expected=(low + high) / 2,
        stated=discount,
        quote=quote,
        en=f"{discount:.0%} off ${rate.usd_per_hour:g} is ${rate.usd_per_hour * (1 - discount):.2f}; seen: {seen_en} "
        f"off ${instance.on_demand:.2f} ({instance.as_of}). Machines of {instance.gpus} GPUs in one zone "
        f"were to be had {statistics.availability:.0%} of the time, for {statistics.mean_up_h:g} h on average; "
        "otherwise checkpoints serve no requests.",
        zh=f"${rate.usd_per_hour:g} 降 {discount:.0%} 为 ${rate.usd_per_hour * (1 - discount):.2f}；实际见到比 "
        f"${instance.on_demand:.2f} 低 {seen_zh}（{instance.as_of}）。单可用区 {instance.gpus} 卡机器"
        f"只有 {statistics.availability:.0%} 的时间可得，平均持续 {statistics.mean_up_h:g} 小时；"
        "其余时间检查点不能响应请求。",
        sources=(f"{instance.source} ({instance.as_of})", f"{statistics.source} ({statistics.as_of})"),
    )


def _tokens(article: Article, local: LocalStatement) -> Flag:
    measured = article.measured
    assert measured is not None
    full = local.usd_per_year / (measured.output_tokens_per_s * HOURS_A_YEAR * 3600) * 1e6
    by_load = ", ".join(f"${full / share:.2f} ({share:.0%})" for share in _LOADS)
    return Flag(
        code="never_by_the_token",
        finding=Finding.MISSING,
        subject=measured.model,
        unit="$ per million answer tokens, at full load",
        expected=full,
        stated=None,
        quote=local.quote,
        en=f"The article never divides by tokens. {measured.node} was measured at {measured.output_tokens_per_s:g} "
        f"answer tokens/s with {measured.model} (batch {measured.batch}): by million of them and load {by_load}.",
        zh=f"文中从未折算到 token。实测 {measured.node} 运行 {measured.model}（批大小 {measured.batch}）每秒输出 "
        f"{measured.output_tokens_per_s:g} token：按负载折算每百万输出 token 为 {by_load}。",
        sources=(measured.source,),
    )


def _today(article: Article, prices: HardwarePrices) -> Iterator[Flag]:
    for rate in article.rates:
        for instance in (prices.instance(name) for name in rate.readings):
            if instance.on_demand is None or _is_close(instance.on_demand, rate.usd_per_hour):
                continue
            noted = f", {instance.note}" if instance.note else ""
            yield Flag(
                code="rate_today",
                finding=Finding.DATED,
                subject=instance.name,
                unit="$ an hour",
                expected=instance.on_demand,
                stated=rate.usd_per_hour,
                quote=rate.quote,
                en=f"{instance.name} is listed at ${instance.on_demand:.2f} ({instance.as_of}{noted}); the article has "
                f"${rate.usd_per_hour:g}.",
                zh=f"{instance.name} 标价 ${instance.on_demand:.2f}（{instance.as_of}），"
                f"文中为 ${rate.usd_per_hour:g}。",
                sources=(f"{instance.source} ({instance.as_of})",),
            )


def _is_close(expected: float, stated: float) -> bool:
    return math.isclose(expected, stated, rel_tol=_CLOSE)
