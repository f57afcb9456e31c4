"""``python -m crystint`` is the command ``crystint``."""

from crystint.cli import main

if __name__ == "__main__":
    main()
