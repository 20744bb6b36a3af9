"""A worker for the tests: it echoes, computes, hangs and dies as asked."""

from __future__ import annotations

import os
import signal
import sys
import time

from mseg_studio.errors import ImageReadError
from mseg_studio.progress import Progress
from mseg_studio.workers.child import Answer, Request, WorkerLink


def echo(request: Request) -> Answer:
    return Answer({"echo": dict(request.fields)}, {name: array.copy() for name, array in request.arrays.items()})


def double(request: Request) -> Answer:
    return Answer(arrays={"doubled": request.arrays["values"] * 2})


def slow(request: Request) -> Answer:
    tiles = int(request.fields["tiles"])
    for tile in range(tiles):
        request.cancel.raise_if_cancelled()
        time.sleep(float(request.fields["tile_seconds"]))
        request.progress(Progress(tile + 1, tiles, "tiles"))
    return Answer({"tiles": tiles})


def deaf(request: Request) -> Answer:
    time.sleep(float(request.fields["seconds"]))
    return Answer()


def die(request: Request) -> None:
    how = request.fields["how"]
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif how == "memory":
        sys.stderr.write("MemoryError: 12 GB\n")
        os._exit(1)
    elif how == "exit":
        sys.stderr.write("the disk caught fire\n")
        os._exit(7)
    elif how == "zero":
        os._exit(0)
    elif how == "garbage":
        request._link._connection.send_bytes(b"\xff not json")
        time.sleep(10)


def fail(request: Request) -> None:
    raise {
        "image": ImageReadError("no picture", path="a.png"),
        "memory": MemoryError(),
        "bug": KeyError("x"),
    }[str(request.fields["how"])]


def chatter(request: Request) -> Answer:
    sys.stdout.write("x" * int(request.fields["bytes"]) + "\n")
    return Answer()


def facts(request: Request) -> Answer:
    return Answer(
        {
            "modules": sorted({name.partition(".")[0] for name in sys.modules}),
            "main": getattr(sys.modules["__main__"], "__file__", None),
            "variable": os.environ.get("ECHO_VARIABLE"),
            "session": os.getsid(0) if hasattr(os, "getsid") else None,
        }
    )


def main(link: WorkerLink) -> None:
    if link.arguments.get("fail_to_start"):
        raise RuntimeError("cannot start")
    if link.arguments.get("start_seconds"):
        time.sleep(float(link.arguments["start_seconds"]))
    handlers = {
        "echo": echo,
        "double": double,
        "slow": slow,
        "deaf": deaf,
        "die": die,
        "fail": fail,
        "chatter": chatter,
        "facts": facts,
    }
    link.serve(handlers, ready={"greeting": link.arguments.get("greeting", "")})
