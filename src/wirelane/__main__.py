"""`python -m wirelane`: the command line."""

from __future__ import annotations

from wirelane.cli import main

if __name__ == "__main__":
    main(prog_name="wirelane")
