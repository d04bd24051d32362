"""A worker that speaks the protocol, and dies, hangs or babbles at the pictures that say so."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def say(**message: object) -> None:
    print(json.dumps(message), flush=True)


def answer(key: str, path: Path) -> None:
    order = path.read_text()
    if order == "die" or (order == "die once" and not path.with_suffix(".seen").exists()):
        path.with_suffix(".seen").touch()
        print("a picture too many", file=sys.stderr)
        os._exit(3)
    if order == "hang":
        time.sleep(60)
    if order == "babble":
        print("Loading weights: 100%", flush=True)
    if order == "forget":
        return
    if order == "broken":
        say(key=key, reason="unreadable picture", detail="broken")
    else:
        say(key=key, caption=f"{order} by {options['model']}, asked {options['prompt'][:8]!r}")


options = json.loads(sys.argv[1])
if options["model"] == "unknown:model":
    say(fatal="KeyError: unknown")
    sys.exit(1)
if options["model"] == "dead:model":
    sys.exit("libcudart.so.12 is missing")
say(ready="cpu")
for line in sys.stdin:
    pictures = json.loads(line)["pictures"]
    for key, path in pictures.items():
        answer(key, Path(path))
    say(done=len(pictures))
