"""How far the best plan can be trusted, in words of both languages."""

from __future__ import annotations

from overspill.planner.hindsight import Drift
from overspill.planner.online import OnlineCost
from overspill.planner.options import Comparison, Option, Rented
from overspill.planner.remarks import Language, Remark, in_language


def trust_lines(found: Comparison, best: Option, language: Language = "en") -> list[str]:
    """Return the bound, the regret, the alarm, and what those would have paid who know nothing of the future."""
    said = [_bound(found, best)]
    if found.regret is not None:
        share = f"{found.regret.share:.1%}"
        said.append(
            Remark(
                f"Learned on the first half of the log and paid on the second: regret {share}.",
                f"用日志前半段得出方案、在后半段结算：后悔值 {share}。",
            )
        )
    said.append(_drift(found.drift))
    if found.rented is not None and found.rented.online_usd_per_year > 0:
        said.append(_rented(found.rented))
    if found.online is not None:
        said.append(_online(found.online))
    return [in_language(line, language) for line in said]


def _bound(found: Comparison, best: Option) -> Remark:
    if not found.bound_usd_per_year:
        return Remark("No cost at all.", "没有任何成本。")
    above = f"{best.usd_per_year / found.bound_usd_per_year - 1:.1%}"
    return Remark(
        f"The optimum of whole units is {above} above the bound for units of any size.",
        f"整数单元的最优方案比单元可任意分割时的下界高 {above}。",
    )


def _drift(found: Drift | None) -> Remark:
    if found is None:
        return Remark(
            "Whether demand drifts cannot be told from less than six days.", "日志不足六天，无法判断需求是否漂移。"
        )
    if found.is_alarm:
        verdict = "has drifted: plan anew", "已漂移：请重新规划"
    else:  # it may have changed, and yet leave the plan as good as any
        verdict = "has not drifted so far that another plan would be better", "没有漂移到需要更换方案的程度"
    regret, alarm = f"{found.regret_share:.1%}", f"{max(found.threshold_share, found.material_share):.1%}"
    quiet = f"{found.false_alarm_share:.0%}"
    return Remark(
        f"Demand {verdict[0]} (regret {regret}; the alarm rings above {alarm}, in at most {quiet} of unchanged logs).",
        f"需求{verdict[1]}（后悔值 {regret}；超过 {alarm} 才报警，未变化的日志中至多 {quiet} 会如此）。",
    )


def _rented(found: Rented) -> Remark:
    online, known = f"${found.online_usd_per_year:,.0f}", f"${found.clairvoyant_usd_per_year:,.0f}"
    return Remark(
        f"Serving what goes beyond the committed units by starting and stopping machines on demand: {online} a year by "
        f"the bill of tokens, {found.starts:,} starts in the log; {known} by one who knew it, starts paid.",
        f"超出承诺单元的部分若靠启停按需机器承担：按 token 账单启停为每年 {online}，"
        f"日志内启动 {found.starts:,} 次；预知日志时为 {known}，均含启动费用。",
    )


def _online(found: OnlineCost) -> Remark:
    fixed, drawn = f"{found.deterministic_ratio:.2f}", f"{found.randomised_ratio:.2f}"
    return Remark(
        f"Knowing nothing of the future, ski rental would have paid {fixed} times the best ({drawn} randomised).",
        f"对未来一无所知时，滑雪租赁规则的花费为最优的 {fixed} 倍（随机化为 {drawn} 倍）。",
    )
