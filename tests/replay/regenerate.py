"""Write the golden recordings anew: ``python -m tests.replay.regenerate``, and read the diff before you commit it.

The diff is the change of policy that your change of code makes.
"""

from __future__ import annotations

from pathlib import Path

from tests.replay.scenarios import SCENARIOS

GOLDEN = Path(__file__).parent / "golden"


def main() -> None:
    """Write one file for each scenario."""
    for name, scenario in SCENARIOS.items():
        path = GOLDEN / f"{name}.jsonl"
        path.write_bytes(scenario().run())
        print(path)


if __name__ == "__main__":
    main()
