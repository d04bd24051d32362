"""The trainer command as `python -m trainer`, which torchrun can start."""

from __future__ import annotations

from trainer.cli.app import main

if __name__ == "__main__":
    main()
