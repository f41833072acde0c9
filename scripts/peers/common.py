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

from memory import peak_bytes, reset_peak  # noqa: F401, what the peers read through this module

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
