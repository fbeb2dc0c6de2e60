"""What the guide says of agents works as it stands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.agents.agents import AIDER, BIN
from tests.clients import how_to
from tests.clients.stage import ANSWER, staged
from tests.docs.markdown import Block

BLOCKS = tuple(how_to.blocks("test-agents"))
QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "AIDER_ANALYTICS": "false", "AIDER_CHECK_UPDATE": "false"}


@pytest.mark.parametrize("block", [b for b in BLOCKS if not how_to.is_written(b)], ids=how_to.name_of)
def test_the_block_prints_the_answer(block: Block, tmp_path: Path) -> None:
    command = block.text.splitlines()[-1].split()[0]
    if not shutil.which(command, path=f"{BIN}:{AIDER.parent}"):
        pytest.skip(f"{command} is not installed")
    with staged() as stage:
        for one in BLOCKS:
            if how_to.is_written(one):
                how_to.write(one, stage.origin, tmp_path)
        ended = how_to.run(block, stage.origin, tmp_path, BIN, AIDER.parent, environ=QUIET)
        assert ended.code == 0, ended
        assert ANSWER in ended.out, ended
        assert stage.outcomes()["completed"] >= 1
