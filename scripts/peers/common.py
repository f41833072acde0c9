"""What both peers share: the same model, threads and memory readings, so that only the library differs."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedModel

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def prepare_process(threads: int) -> None:
    """Fixes the threads, keeps standard output for the result, and goes first where memory runs out."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        pass


def load_model(folder: str, dtype: str) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[dtype])


def peak_bytes() -> int | None:
    """Largest resident memory so far (VmHWM), or since the last reset."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def reset_peak() -> bool:
    """Starts VmHWM again from what is resident now; not every kernel lets it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return True
    except OSError:
        return False


def gemm_rates(size: int = 2048, repeats: int = 5) -> dict[str, float]:
    """Multiply-adds × 2 a second of a big float32 product: by the clock (best of a few), and by the threads' own time."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    torch.mm(a, b)
    walls, cpus = [], []
    for _ in range(repeats):
        started, started_cpu = time.perf_counter(), time.process_time()
        torch.mm(a, b)
        walls.append(time.perf_counter() - started)
        cpus.append(time.process_time() - started_cpu)
    work = 2 * size**3
    return {"gemmRate": work / min(walls), "gemmCpuRate": work / min(cpus) * torch.get_num_threads()}


def read_work(path: str) -> dict:
    return json.loads(Path(path).read_text())


def answer(result: dict, **more_versions: str) -> None:
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__} | more_versions
    json.dump(result | {"versions": versions, "threads": torch.get_num_threads()}, sys.stdout)
    sys.stdout.write("\n")
    sys.stdout.flush()
    os._exit(0)  # tearing down gigabytes of tensors is no part of anything measured
