"""Entry of `python -m dev.cluster`."""

from dev.cluster.cli import main

if __name__ == "__main__":
    main()
