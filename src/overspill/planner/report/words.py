"""The words of a report in both languages; figures come from elsewhere, so these have none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from overspill.planner.demand import DemandSeries
from overspill.planner.remarks import Language, Remark
from overspill.planner.verdict_words import tier_name
from overspill.planner.workload import Dropped

_COLUMN: Final[Mapping[Language, int]] = {"en": 0, "zh": 1}

WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "title": ("What to own, rent or buy by the token", "自建、租用还是按 token 购买"),
    "made": ("Made on {day} by Overspill {version} from", "由 Overspill {version} 于 {day} 生成，依据"),
    "verdict": ("Verdict", "结论"),
    "workload": ("Workload", "负载"),
    "requests": ("requests", "请求数"),
    "begins": ("begins", "开始时间"),
    "length": ("length, h", "时长（小时）"),
    "prompt_tokens": ("prompt tokens", "输入 token"),
    "cached_tokens": ("of these in the prefix cache", "其中前缀缓存命中"),
    "output_tokens": ("answer tokens", "输出 token"),
    "mean_units": ("units busy on average", "平均占用单元数"),
    "peak_units": ("units busy at the peak", "高峰占用单元数"),
    "left_out": ("left out", "未计入"),
    "assumed": ("Assumed", "假设"),
    "r": ("r: committed price of a unit-hour by what its work saves", "r：单元小时的承诺价与其工作所省之比"),
    "utilisation": ("use of the first unit", "第一个单元的利用率"),
    "break_even": ("hours of full work a year from which on it pays", "每年满负荷多少小时后回本"),
    "never": ("never", "不会"),
    "options": ("Every way to serve it", "所有方案"),
    "option": ("option", "方案"),
    "committed": ("committed", "承诺"),
    "usd_per_year": ("$ a year", "每年 $"),
    "usd_per_mtok": ("$/M tokens", "$/百万 token"),
    "usd_per_mtok_output": ("$/M answer tokens", "$/百万输出 token"),
    "used": ("used", "利用率"),
    "spilled": ("spilled", "转出"),
    "optimum": ("best mix", "最优组合"),
    "only": ("{tier} only", "全部{tier}"),
    "for_peak": ("{tier}, for the peak", "{tier}，按高峰配置"),
    "and_spill": ("{tier}, and spill", "{tier}，其余转出"),
    "as_table": ("The same figures as a table", "同样的数字（表格）"),
    "no_script": (
        "Plots need JavaScript, which is off; the tables below them have the same figures.",
        "图表需要 JavaScript，目前已关闭；图下的表格包含同样的数字。",
    ),
    "break_even_title": ("Where each option breaks even", "各方案的盈亏平衡点"),
    "break_even_note": (
        ("What the first unit costs a year, by how much it works. Committed tiers cost the same whether they work or "
        "not; others cost by use. What is paid once for all units, such as staff, is on the first. "
        "The upright line is this workload's use of the first unit."),
        "第一个单元每年的成本随工作时间的变化。承诺方案无论是否工作费用都一样，其他方案按使用计费。全部单元共担的费用（如人员）计入第一个单元。竖线为本负载下第一个单元的利用率。",
    ),
    "hours_of_work": ("hours of full work a year", "每年满负荷小时数"),
    "this_workload": ("this workload", "本负载"),
    "fixed_usd": ("fixed, $ a year", "固定费用，每年 $"),
    "hourly_usd": ("by hour of full work, $", "每满负荷小时 $"),
    "pays_from": ("pays from, h a year", "回本所需，每年小时"),
    "against": ("against", "相对于"),
    "load_duration_title": ("Load by duration, with the tiers that are advised", "负载持续曲线与建议的层级"),
    "load_duration_note": (
        ("For which share of the time demand is at least as high. What lies above the committed units goes to whatever "
        "is cheapest at that time."),
        "需求至少达到该水平的时间占比。超过承诺单元的部分在当时由最便宜的方案承担。",
    ),
    "time_share": ("share of the time", "时间占比"),
    "units": ("units busy", "占用单元数"),
    "elsewhere": ("elsewhere", "外部"),
    "demand_title": ("Demand over time", "需求随时间的变化"),
    "demand_note": (
        "Units busy, as the mean and the highest window of each point; the dashed line is what is committed to.",
        "占用单元数：每个点的平均值与最高窗口；虚线为承诺的单元数。",
    ),
    "hours_from_start": ("hours from the beginning", "距开始的小时数"),
    "mean": ("mean", "平均"),
    "highest": ("highest", "最高"),
    "spill_title": ("Spill over the day, against tariff windows", "一天中的转出与分时价格"),
    "spill_note": (
        ("The mean day of the log. Spill is reckoned from the demand above the committed units, not from a simulation: "
        "queues, faults and caches are not in it."),
        "日志的平均一天。转出量由超过承诺单元的需求推算，并非来自仿真：未包含排队、故障与缓存。",
    ),
    "simulated_note": (
        ("As simulated with the gateway's own controller and the configuration {config}: shares of the requests that "
        "came in each hour, with queues and refusals."),
        "由网关自身的控制器按配置 {config} 仿真：各小时到达请求的占比，包含排队与拒绝。",
    ),
    "refused": ("refused", "被拒绝"),
    "no_clock": (
        "The log tells no dates: hours count from its beginning, and no tariff windows can be shown.",
        "日志没有日期：小时从日志开始计算，无法显示分时价格。",
    ),
    "clock": ("The hours are those of the clock at", "小时按此时区计算："),
    "hour": ("hour", "小时"),
    "demand": ("demand, units", "需求（单元）"),
    "spill_units": ("spilled, units", "转出（单元）"),
    "held": ("by committed units", "由承诺单元承担"),
    "at_peak": ("windows at the peak price", "处于高峰价的窗口"),
    "usd_output": ("$/M answer tokens", "$/百万输出 token"),
    "latency_title": ("Latency", "延迟"),
    "recorded_note": (
        "As the ledger recorded it: the share of answered requests that were at least as fast.",
        "按账本记录：不慢于该值的已回答请求占比。",
    ),
    "recorded_spill": ("answered requests that the ledger has as spilled", "账本记录为转出的已回答请求"),
    "predicted_note": (
        "Predicted for a replica at the most requests at once that keep the SLO; the bars hold nine times of ten.",
        "对单个副本在满足 SLO 的最大并发下的预测；误差条为九成的预测区间。",
    ),
    "no_latency": (
        ("What a unit carries was given, not sized, and the workload is no ledger: nothing is known of latency. Give "
        "--model-config, or a ledger."),
        "单元的承载能力是直接给出的，负载也不是账本，因此延迟未知。请提供 --model-config 或账本。",
    ),
    "ttft": ("time to the first token", "首 token 时间"),
    "tpot": ("time per output token", "每输出 token 时间"),
    "local": ("local", "本地"),
    "spilled_where": ("spilled", "转出"),
    "percentile": ("percentile", "百分位"),
    "expected": ("expected", "预期"),
    "low": ("low", "下限"),
    "high": ("high", "上限"),
    "limit": ("SLO", "SLO"),
    "replica": ("replica", "副本"),
    "at_once": ("requests at once", "并发请求数"),
    "seconds": ("seconds", "秒"),
    "share_of_requests": ("share of requests", "请求占比"),
    "sensitivity_title": ("What the cost depends on", "成本取决于什么"),
    "sensitivity_note": (
        "The best plan's cost a year with one figure moved down and up alone, planned anew each time.",
        "单独下调或上调某一数字并重新规划后，最优方案的年成本。",
    ),
    "figure": ("figure", "数字"),
    "lower": ("lower", "下调"),
    "higher": ("higher", "上调"),
    "today": ("today", "当前"),
    "owned_price": ("price of own machines", "自有机器价格"),
    "rent_price": ("price of rented machines", "租用机器价格"),
    "token_price": ("price of tokens", "token 价格"),
    "load": ("number of requests", "请求数"),
    "unit_capacity": ("what a unit carries", "单元承载能力"),
    "turns": ("What would turn the verdict", "什么会改变结论"),
    "factor": ("factor", "倍数"),
    "becomes": ("becomes", "变为"),
    "own": ("own", "自建"),
    "hybrid": ("own the base", "自建加转出"),
    "reserve": ("reserve", "预留"),
    "rent": ("rent by the hour", "按小时租用"),
    "buy_tokens": ("buy tokens", "按 token 购买"),
    "regret_title": ("What not knowing the future costs", "不知道未来的代价"),
    "regret_note": (
        ("Each way to decide, as a factor on the best plan of one who knew the log. The learned plan was made on the "
        "first half and is paid on the second, beside that half's best; ski rental stands beside the best with the "
        "same two choices for each unit."),
        ("各种决策方式相对于预知日志的最优方案的倍数。“学得的方案”由前半段得出，在后半段结算，并与后半段的最优比较；"
        "滑雪租赁规则则与每个单元只有同样两种选择时的最优比较。"),
    ),
    "way": ("way to decide", "决策方式"),
    "clairvoyant": ("knows the log", "预知日志"),
    "learned": ("learned on the first half", "由前半段学得"),
    "ski_rental": ("ski rental", "滑雪租赁规则"),
    "ski_rental_random": ("ski rental, randomised", "随机化滑雪租赁规则"),
    "advised": ("this verdict", "本结论"),
    "uncommitted": ("no commitment", "不做承诺"),
    "owned_for_peak": ("own for the peak", "按高峰自建"),
    "paid_on": ("paid on", "结算于"),
    "log": ("the log", "整个日志"),
    "second_half": ("its second half", "后半段"),
    "trust": ("How far the plan can be trusted", "方案的可信程度"),
    "bound": ("bound for units of any size, $ a year", "单元可任意分割时的下界，每年 $"),
    "drift_regret": ("regret of the earlier days' plan on the later", "前期方案在后期的后悔值"),
    "drift_threshold": ("drift alarm above", "漂移报警阈值"),
    "drift_alarm": ("Demand has drifted: plan anew.", "需求已漂移：请重新规划。"),
    "drift_none": (
        "Demand has not drifted so far that another plan would be better.",
        "需求没有漂移到需要更换方案的程度。",
    ),
    "drift_unknown": (
        "Whether demand drifts cannot be told from a log this short.",
        "日志太短，无法判断需求是否漂移。",
    ),
    "rented_online": ("starting and stopping machines by the bill, $ a year", "按账单启停机器，每年 $"),
    "rented_clairvoyant": ("the same by one who knew the log, $ a year", "预知日志时的同一做法，每年 $"),
    "starts": ("starts in the log", "日志内启动次数"),
    "owned_title": ("A unit of one's own, term by term", "自有单元的成本构成"),
    "term": ("term", "项目"),
    "how": ("how", "算法"),
    "source": ("source", "来源"),
    "as_of": ("as of", "日期"),
    "capital": ("capital", "资本"),
    "support": ("support", "维保"),
    "spares": ("spares", "备件"),
    "electricity": ("electricity", "电费"),
    "site_rent": ("rent of the place", "机位租金"),
    "operations": ("operations", "运维"),
    "staff": ("staff, for all machines together", "人员（全部机器合计）"),
    "all": ("all", "合计"),
    "by_unit": ("all, by unit", "每单元合计"),
    "inputs_title": ("Every figure that went in, and where it is from", "全部输入数字及其来源"),
    "value": ("value", "数值"),
    "unit": ("unit", "单位"),
    "sources": ("Sources", "来源"),
    "not_modelled": ("What is not modelled", "未建模的内容"),
    "accuracy_title": ("How accurate predicted speeds are", "速度预测的准确度"),
    "accuracy_note": (
        ("Median errors on published measurements of models that the formulas were not fitted to, by rows that were "
        "observed of the same deployment."),
        "对公式未拟合过的模型的公开测量值的误差中位数，按同一部署的已观测行数列出。",
    ),
    "accuracy_given": (
        "What a unit carries was given and not predicted, so this does not touch the verdict.",
        "单元的承载能力为直接给出而非预测，因此不影响结论。",
    ),
    "observed_rows": ("rows observed", "已观测行数"),
    "observed_here": ("rows observed here", "本次已观测行数"),
    "tpot_error": ("error of TPOT", "TPOT 误差"),
    "ttft_error": ("error of TTFT", "TTFT 误差"),
}  # fmt: skip

_MOVED_UTILISATION: Final = ("utilisation: mean by peak demand", "利用率：均值与峰值之比")

_INPUTS: Final[Mapping[str, tuple[str, str]]] = {
    "window": ("window into which demand is summed", "需求汇总窗口"),
    "load_factor": ("factor on the requests", "请求量倍数"),
    "hurdle": ("what committing must save", "承诺至少需节省"),
    "unit_requests": ("requests that a unit carries", "单元可承载请求"),
    "unit_prompt_tokens": ("prompt tokens of a unit that only reads", "仅预填充时单元的输入 token"),
    "unit_output_tokens": ("answer tokens of a unit that only writes", "仅解码时单元的输出 token"),
    "machines": ("machines that make a unit", "每单元机器数"),
    "machines_rented": ("rented machines that make a unit", "每单元租用机器数"),
    "node_usd": ("price", "价格"),
    "node_years": ("years of use", "使用年数"),
    "node_residual": ("residual value", "残值"),
    "node_support": ("support", "维保"),
    "node_kw_max": ("power at full load", "满载功率"),
    "node_kw_idle": ("power without requests", "空载功率"),
    "site_rent": ("rent by power kept ready", "按预留功率的租金"),
    "site_pue": ("PUE", "PUE"),
    "site_electricity": ("electricity", "电价"),
    "site_operations": ("network and remote hands", "网络与现场运维"),
    "cost_of_capital": ("cost of capital", "资本成本"),
    "staff": ("people, for all machines", "人员（全部机器）"),
    "spares": ("spare machines or parts", "备机或备件"),
    "rent_on_demand": ("rent, on demand", "按需租金"),
    "rent_spot_low": ("rent, spot, cheapest zone", "竞价租金（最低区域）"),
    "rent_spot_high": ("rent, spot, dearest zone", "竞价租金（最高区域）"),
    "spot_availability": ("spot machine to be had", "竞价实例可得时间占比"),
    "spot_run": ("mean run of a spot machine", "竞价实例平均运行时长"),
    "start": ("start of a rented machine", "租用机器启动时间"),
    "egress": ("traffic out of the cloud", "云出口流量"),
    "egress_bytes": ("bytes sent by answer token", "每输出 token 的字节数"),
    "tokens_in": ("input", "输入"),
    "tokens_hit": ("input from the cache", "缓存命中输入"),
    "tokens_out": ("output", "输出"),
    "tokens_in_peak": ("input, peak price", "输入（高峰价）"),
    "tokens_hit_peak": ("input from the cache, peak price", "缓存命中输入（高峰价）"),
    "tokens_out_peak": ("output, peak price", "输出（高峰价）"),
    "tokens_in_off_peak": ("input, off-peak", "输入（低谷价）"),
    "tokens_hit_off_peak": ("input from the cache, off-peak", "缓存命中输入（低谷价）"),
    "tokens_out_off_peak": ("output, off-peak", "输出（低谷价）"),
    "tariff": ("peak hours", "高峰时段"),
}

_UNITS_ZH: Final[Mapping[str, str]] = {
    "share": "占比", "share/year": "占比/年", "years": "年", "1/unit": "台/单元", "1/s": "个/秒", "s": "秒",
    "h": "小时", "tokens/s": "token/秒", "$/h": "$/小时", "$/year": "$/年", "$/machine/year": "$/台/年",
    "$/kW/month": "$/kW/月", "$/M tokens": "$/百万 token", "bytes/token": "字节/token",
}  # fmt: skip
_DAYS_ZH: Final[Mapping[str, str]] = {
    "mon": "周一", "tue": "周二", "wed": "周三", "thu": "周四", "fri": "周五", "sat": "周六", "sun": "周日",
}  # fmt: skip
_DAY_SPAN: Final = re.compile(r"([a-z]{3})-([a-z]{3})")

NOT_MODELLED: Final[Mapping[Language, tuple[str, ...]]] = {
    "en": (
        "Bursts shorter than a window: a unit's rate must leave room for them.",
        "Requests that were refused: the length of their answers is unknown, so demand may be higher than the log's.",
        "Growth: a plan is for the load of the log, times --load.",
        "Failures and repairs, other than the share of spares.",
        "Privacy, availability, and the quality of one model against another: none has a price here.",
        "Queues, rescue and caches of the gateway: spill is the demand above the committed units.",
        (
            "Speculative decoding, CPU offload, LoRA, vision, disaggregated prefill, engine releases: predicted speeds "
            "do not know of them unless observed rows do."
        ),
        "Taxes, discounts that were negotiated, and changes of prices after their dates.",
    ),
    "zh": (
        "短于一个窗口的突发：单元的承载率必须为其留出余量。",
        "被拒绝的请求：其回答长度未知，实际需求可能高于日志。",
        "增长：方案针对日志中的负载乘以 --load。",
        "故障与维修（备件占比除外）。",
        "隐私、可用性以及模型之间的质量差异：此处均没有价格。",
        "网关的排队、续写与缓存：转出即超过承诺单元的需求。",
        "投机解码、CPU 卸载、LoRA、视觉、预填充分离、引擎版本：除非观测行包含，否则速度预测不考虑。",
        "税费、议定折扣以及标注日期之后的价格变化。",
    ),
}


_LEFT_OUT: Final[Mapping[Dropped, Remark]] = {
    Dropped.NO_PROMPT: Remark("no prompt tokens (no_prompt)", "没有输入 token（no_prompt）"),
    Dropped.NO_OUTPUT: Remark("no answer tokens: a failed call (no_output)", "没有输出 token：调用失败（no_output）"),
    Dropped.NOT_ANSWERED: Remark("refused or failed (not_answered)", "被拒绝或失败（not_answered）"),
    Dropped.NOT_GENERATED: Remark(
        "embeddings, or answered from the gateway's cache (not_generated)", "嵌入，或由网关缓存回答（not_generated）"
    ),
    Dropped.OTHER_MODEL: Remark("for another model (other_model)", "其他模型（other_model）"),
    Dropped.BATCH: Remark("sent as a batch (batch)", "批处理（batch）"),
}
_ENDS: Final = Remark(
    "in the windows at both ends, which the log covers only in part", "位于首尾窗口，日志只覆盖其中一部分"
)


def left_out(dropped: Mapping[Dropped, int], demand: DemandSeries) -> dict[Remark, float]:
    """Return what was not planned for, in words, and how many of it."""
    found: dict[Remark, float] = {_LEFT_OUT[reason]: count for reason, count in dropped.items()}
    if demand.left_out_requests:
        found[_ENDS] = demand.left_out_requests
    return found


def colon(language: Language) -> str:
    """Return a colon as it is set in a language."""
    return "：" if language == "zh" else ": "


def say(key: str, language: Language, **values: str) -> str:
    """Return some words, with ``values`` put in."""
    return WORDS[key][_COLUMN[language]].format(**values)


def lever_name(lever: str, language: Language) -> str:
    """Return what a figure is called that the sensitivity moves."""
    return _MOVED_UTILISATION[_COLUMN[language]] if lever == "utilisation" else say(lever, language)


def unit_name(unit: str, language: Language) -> str:
    """Return the unit of an input."""
    return _UNITS_ZH.get(unit, unit) if language == "zh" else unit


def hours_named(text: str, language: Language) -> str:
    """Return a tariff's hours, ``mon-fri 09:00-12:00``, with the days of the week in a language."""
    if language == "zh":
        text = _DAY_SPAN.sub(lambda match: f"{_DAYS_ZH[match[1]]}至{_DAYS_ZH[match[2]]}", text)
        for day, name in _DAYS_ZH.items():
            text = text.replace(day, name)
        text = text.replace(", ", "、")
    return text


def input_name(name: str, language: Language) -> str:
    """Return what an input is called; reserved terms by what the tier is."""
    if name.startswith("rent_reserved_"):
        return tier_name(name.removeprefix("rent_"), language)
    return _INPUTS[name][_COLUMN[language]]


def option_name(name: str, language: Language) -> str:
    """Return what an option is called."""
    for ending in ("only", "for_peak", "and_spill"):
        if name.endswith(f"_{ending}"):
            tier = tier_name(name.removesuffix(f"_{ending}"), language)
            return say(ending, language, tier=tier)
    return say(name, language) if name in WORDS else name
