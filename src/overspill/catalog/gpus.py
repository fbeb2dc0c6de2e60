"""The catalogue of GPUs: what each can do, with where that was read."""

from __future__ import annotations

import datetime as dt
import re
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec
import yaml

from overspill.errors import ConfigError, UnknownName
from overspill.perf.hardware import Gpu
from overspill.units import GIB

_OWN_FILE = "gpus.yaml"


class CatalogGpu(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One row, in the units that data sheets use."""

    name: str
    aliases: tuple[str, ...] = ()
    vendor: str
    memory_gb: float
    memory_gib: float
    bandwidth_tb_per_s: float
    bf16_tflops: float
    fp8_tflops: float | None = None
    fp4_tflops: float | None = None
    int8_tops: float | None = None
    has_bf16: bool = True
    link_gb_per_s: float
    network_gb_per_s: float
    gpus_per_node: int = 8
    gpus_per_domain: int | None = None
    power_w: float
    source: str
    as_of: dt.date
    confidence: Literal["seen", "recall"]

    def gpu(self) -> Gpu:
        """Return it in base units."""
        return Gpu(
            name=self.name,
            memory_bytes=int(self.memory_gib * GIB),
            bandwidth_bytes_per_s=self.bandwidth_tb_per_s * 1e12,
            bf16_flops=self.bf16_tflops * 1e12,
            fp8_flops=_tera(self.fp8_tflops),
            fp4_flops=_tera(self.fp4_tflops),
            int8_ops=_tera(self.int8_tops),
            link_bytes_per_s=self.link_gb_per_s * 1e9,
            gpus_per_node=self.gpus_per_node,
            gpus_per_domain=self.gpus_per_domain,
            has_bf16=self.has_bf16,
        )


class GpuCatalog(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All GPUs known."""

    schema: Literal[1]
    as_of: dt.date
    gpus: tuple[CatalogGpu, ...]

    def find(self, name: str) -> CatalogGpu:
        """Return a GPU by name or alias, whatever the case and the signs between; raise ``UnknownName`` otherwise."""
        wanted = _plain(name)
        for row in self.gpus:
            if wanted in {_plain(known) for known in (row.name, *row.aliases)}:
                return row
        raise UnknownName("GPU", name, [row.name for row in self.gpus])


def load_gpus(file: str | None = None) -> GpuCatalog:
    """Read the catalogue that is shipped, or one's own; raise ``ConfigError`` if it is malformed."""
    try:
        text = (
            resources.files(__package__).joinpath(_OWN_FILE).read_text(encoding="utf-8")
            if file is None
            else Path(file).read_text(encoding="utf-8")
        )
        catalog = msgspec.convert(yaml.safe_load(text), GpuCatalog)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=file) from error
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigError(f"the catalogue of GPUs cannot be read: {error}", file=file or _OWN_FILE) from error
    _check_names(catalog, file or _OWN_FILE)
    return catalog


def _check_names(catalog: GpuCatalog, file: str) -> None:
    owners: dict[str, str] = {}
    for row in catalog.gpus:
        for name in {_plain(known) for known in (row.name, *row.aliases)}:
            if name in owners:
                raise ConfigError(f"{row.name} and {owners[name]} share the name {name!r}", file=file)
            owners[name] = row.name


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _tera(value: float | None) -> float | None:
    return None if value is None else value * 1e12
