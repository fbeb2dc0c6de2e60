from __future__ import annotations

from overspill.pools.engines.host import (
    default_threads,
    missing_cpu_flags,
    physical_cores,
    quota_cores,
    usable_cores,
    why_unsuitable,
)

TWO_CORES_FOUR_THREADS = "\n\n".join(
    f"processor\t: {n}\nphysical id\t: 0\ncore id\t\t: {n % 2}\nflags\t\t: fpu sse avx avx2 bmi2 f16c fma"
    for n in range(4)
)


def test_hyper_threads_are_not_counted_as_cores() -> None:
    assert physical_cores(TWO_CORES_FOUR_THREADS) == 2


def test_a_machine_that_does_not_name_its_cores_sets_no_limit() -> None:
    assert physical_cores("processor\t: 0\nBogoMIPS\t: 50.00\n") is None


def test_a_cpu_without_avx2_is_named_as_such() -> None:
    assert missing_cpu_flags(TWO_CORES_FOUR_THREADS) == ()
    assert missing_cpu_flags("flags\t: fpu sse avx bmi2 f16c") == ("avx2", "fma")
    assert missing_cpu_flags("Features : neon") == ()


def test_a_container_quota_is_rounded_up_to_cores() -> None:
    assert quota_cores("150000 100000\n") == 2
    assert quota_cores("50000 100000\n") == 1
    assert quota_cores("max 100000\n") is None
    assert quota_cores("") is None


def test_one_core_is_left_to_everything_else() -> None:
    assert 1 <= default_threads() <= usable_cores()


def test_this_machine_can_run_the_engine() -> None:
    assert why_unsuitable() is None
