"""``python -m overspill`` is ``overspill``."""

from overspill.cli.main import main

if __name__ == "__main__":
    main()
