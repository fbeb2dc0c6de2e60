"""What the guide to clients says works as it stands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.clients import how_to
from tests.clients.drivers import node
from tests.clients.stage import ANSWER, staged
from tests.docs.markdown import Block

BLOCKS = tuple(how_to.blocks("test-clients"))


def test_the_guide_has_blocks_for_this_tier() -> None:
    assert len(BLOCKS) >= 6


@pytest.mark.parametrize("block", BLOCKS, ids=how_to.name_of)
def test_the_block_prints_the_answer(block: Block, tmp_path: Path) -> None:
    if block.language == "javascript" and node.NODE is None:
        pytest.skip(node.MISSING)
    with staged() as stage:
        ended = how_to.run(block, stage.origin, tmp_path, Path(sys.executable).parent)
        assert (ended.code, ended.out.strip()) == (0, ANSWER), ended
        assert stage.outcomes() == {"completed": 1}
