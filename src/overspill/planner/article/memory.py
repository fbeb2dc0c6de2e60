"""Checks of memory and number formats: what fits into which machine, in GiB."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from overspill.catalog.gpus import GpuCatalog
from overspill.catalog.hardware_prices import HardwarePrices
from overspill.planner.article.flags import Finding, Flag
from overspill.planner.article.statements import Article, ModelStatement, RateStatement
from overspill.units import GIB

_SEQUENCE_TOKENS: Final = 2048
_CACHE_BYTES: Final = 2
_USABLE_SHARE: Final = 0.9
_RESERVED_GIB_PER_GPU: Final = 3.5
_RESERVES: Final = "10 % of the memory and 3.5 GiB for each GPU are kept for the engine, as aiconfigurator 0.12 does"
_CPU_BACKENDS: Final = {"fbgemm": "x86", "x86": "x86", "qnnpack": "ARM"}


def memory_flags(article: Article, prices: HardwarePrices, gpus: GpuCatalog) -> Iterator[Flag]:
    """Yield what there is to say of memory."""
    if article.model is not None:
        if article.machine is not None:
            yield _machine(article, article.model, prices)
        for rate in article.rates:
            yield from _instances(article.model, rate, prices)
    if article.quantisation is not None:
        yield from _quantisation(article, prices, gpus)


def weights_gib(model: ModelStatement, bits: float | None = None) -> float:
    """Return the weights' size; GiB are 2**30 bytes."""
    return model.params * (model.bits if bits is None else bits) / 8 / GIB


def sequences(model: ModelStatement, memory_gib: float, gpus: int, bits: float | None = None) -> int:
    """Return how many sequences of 2,048 tokens fit beside the weights, with one head of keys and values per query."""
    free_gib = memory_gib * _USABLE_SHARE - _RESERVED_GIB_PER_GPU * gpus - weights_gib(model, bits)
    cache_gib = 2 * model.layers * model.hidden * _CACHE_BYTES * _SEQUENCE_TOKENS / GIB
    return max(0, math.floor(free_gib / cache_gib))


def _machine(article: Article, model: ModelStatement, prices: HardwarePrices) -> Flag:
    assert article.machine is not None
    node = prices.node(article.machine.node)
    need, room = weights_gib(model), sequences(model, node.memory_gib, node.gpus)
    fits = room > 0
    return Flag(
        code="machine_memory",
        finding=Finding.RIGHT if fits else Finding.WRONG,
        subject=node.name,
        unit="GiB",
        expected=need,
        stated=node.memory_gib,
        quote=article.machine.quote,
        en=f"{model.params / 1e9:g}B parameters in {model.bits:g} bits are {need:.0f} GiB ({need * GIB / 1e9:.0f} GB); "
        f"{node.name} has {node.memory_gib:.0f} GiB: {'it fits' if fits else 'it does not fit'}, with room for {room} "
        f"sequences of {_SEQUENCE_TOKENS:,} tokens.",
        zh=f"{model.params / 1e9:g}B 参数、{model.bits:g} 位精度需要 {need:.0f} GiB（{need * GIB / 1e9:.0f} GB）；"
        f"{node.name} 共 {node.memory_gib:.0f} GiB：{'可以放下' if fits else '放不下'}，"
        f"还可容纳 {room} 条 {_SEQUENCE_TOKENS:,} token 的序列。",
        sources=(model.source, f"{node.source} ({node.as_of})", _RESERVES),
    )


def _instances(model: ModelStatement, rate: RateStatement, prices: HardwarePrices) -> Iterator[Flag]:
    need = weights_gib(model)
    for name in rate.readings:
        instance = prices.instance(name)
        fits = sequences(model, instance.memory_gib, instance.gpus) > 0
        smaller = sequences(model, instance.memory_gib, instance.gpus, 8)
        yield Flag(
            code="instance_memory",
            finding=Finding.RIGHT if fits else Finding.WRONG,
            subject=name,
            unit="GiB",
            expected=need,
            stated=instance.memory_gib,
            quote=rate.quote,
            en=f"{rate.name} as {name} is {instance.gpus} × {instance.gpu}: {instance.memory_gib:.0f} GiB for "
            f"{need:.0f} GiB of weights, so the model {'loads' if fits else 'cannot load'}. In 8 bits there "
            f"is room for {smaller} sequences.",
            zh=f"{rate.name}（按 {name}）为 {instance.gpus} × {instance.gpu}：共 {instance.memory_gib:.0f} GiB，"
            f"权重需要 {need:.0f} GiB，因此模型{'可以加载' if fits else '无法加载'}；"
            f"8 位精度下可容纳 {smaller} 条序列。",
            sources=(f"{instance.source} ({instance.as_of})", _RESERVES),
        )
    if not rate.readings and rate.gpu_mem_gib:
        least = math.ceil(need / rate.gpu_mem_gib)
        yield Flag(
            code="instance_unnamed",
            finding=Finding.MISSING,
            subject=rate.name,
            unit="GPUs",
            expected=float(least),
            stated=None,
            quote=rate.quote,
            en=f"{rate.name} is no instance type and names no number of GPUs; {need:.0f} GiB of weights need at least "
            f"{least} of {rate.gpu_mem_gib:g} GiB (8 have {8 * rate.gpu_mem_gib:g}).",
            zh=f"{rate.name} 不是实例规格名，也没有说明 GPU 数量；{need:.0f} GiB 的权重至少需要 {least} 张 "
            f"{rate.gpu_mem_gib:g} GiB 的卡（8 张只有 {8 * rate.gpu_mem_gib:g} GiB）。",
            sources=(model.source,),
        )


def _quantisation(article: Article, prices: HardwarePrices, gpus: GpuCatalog) -> Iterator[Flag]:
    said = article.quantisation
    assert said is not None
    bits = 16.0 if article.model is None else article.model.bits
    share = said.bits / bits
    yield Flag(
        code="quantised_size",
        finding=Finding.RIGHT if math.isclose(share, said.stated_share, rel_tol=0.05) else Finding.WRONG,
        subject=said.name,
        unit="share of the original size",
        expected=share,
        stated=said.stated_share,
        quote=said.quote,
        en=f"{said.name} has {said.bits:g} bits: {share:g} of {bits:g}-bit weights, not {said.stated_share:g}, which "
        f"would be {said.stated_share * bits:g} bits, or {said.name} beside {said.bits / said.stated_share:g} bits.",
        zh=f"{said.name} 为 {said.bits:g} 位：是 {bits:g} 位权重的 {share:g}，而不是 {said.stated_share:g}；"
        f"后者对应 {said.stated_share * bits:g} 位，或以 {said.bits / said.stated_share:g} 位权重为基准。",
    )
    yield from _without_units(article, prices, gpus)
    if said.code_backend in _CPU_BACKENDS:
        kind = _CPU_BACKENDS[said.code_backend]
        yield Flag(
            code="code_is_not_that_format",
            finding=Finding.WRONG,
            subject=said.code_backend,
            unit="bits",
            expected=8.0,
            stated=None,
            quote=said.code_quote,
            en=f"The code shown is static quantisation to INT8 for {kind} CPUs and is never calibrated; it makes no "
            f"{said.name} and runs on no GPU.",
            zh=f"所示代码是面向 {kind} CPU 的 INT8 静态量化，而且没有校准步骤；"
            f"它既不是 {said.name}，也不在 GPU 上运行。",
            sources=("PyTorch: torch.ao.quantization, backends fbgemm and qnnpack",),
        )


def _without_units(article: Article, prices: HardwarePrices, gpus: GpuCatalog) -> Iterator[Flag]:
    """Flag the GPUs of the article that do not compute in the format that it names."""
    said = article.quantisation
    assert said is not None
    names = [prices.node(article.machine.node).gpu] if article.machine is not None else []
    names += [prices.instance(name).gpu for rate in article.rates for name in rate.readings]
    names += [rate.gpu for rate in article.rates if rate.gpu]
    rows = {name: gpus.find(name) for name in names}
    without = sorted(name for name, row in rows.items() if row.fp8_tflops is None)
    if said.name.upper().startswith("FP8") and without:
        yield Flag(
            code="no_fp8_units",
            finding=Finding.WRONG,
            subject=", ".join(without),
            unit="GPUs named",
            expected=float(len(without)),
            stated=None,
            quote=said.quote,
            en=f"{', '.join(without)} have no FP8 units: FP8 weights save memory there, and no time.",
            zh=f"{'、'.join(without)} 没有 FP8 计算单元：FP8 权重在其上只省显存，不会加速。",
            sources=tuple(f"{name}: {rows[name].source} ({rows[name].as_of})" for name in without),
        )
