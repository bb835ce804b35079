"""``python -m voxgan`` is the command ``voxgan``."""

from voxgan.cli import main

if __name__ == "__main__":
    main()
