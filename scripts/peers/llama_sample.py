"""llama.cpp on given prompts, all at once as sequences of one batch: greedy, as its own batched bench does it; one JSON line at the end.

    python llama_sample.py --model M.gguf --work work.json --new-tokens 32 --threads 2 [--count 32]

work.json holds prompts {ids} and the ids that end a response. The clock runs in llama.cpp's decode calls alone: picking the most likely token,
by NumPy between them, is left out, for the bench picks none.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import time
from pathlib import Path

import llama_cpp
import numpy as np
from llama_cpp import llama_cpp as api

from memory import peak_bytes


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def silent(_level, _text, _data):
    """llama.cpp tells much, and standard output is for the result."""


class Batch:
    """One decode call after the other over (token, place, sequence, wants logits), as many as fit into one."""

    def __init__(self, context, size: int, vocabulary: int) -> None:
        self.context, self.size, self.vocabulary = context, size, vocabulary
        self.batch = api.llama_batch_init(size, 0, 1)
        self.seconds = self.cpu_seconds = 0.0

    def decode(self, entries: list[tuple[int, int, int, bool]]) -> dict[int, int]:
        """Most likely next tokens of the sequences whose entries want logits."""
        chosen = {}
        for at in range(0, len(entries), self.size):
            part = entries[at : at + self.size]
            for row, (token, place, sequence, wants) in enumerate(part):
                self.batch.token[row] = token
                self.batch.pos[row] = place
                self.batch.n_seq_id[row] = 1
                self.batch.seq_id[row][0] = sequence
                self.batch.logits[row] = wants
            self.batch.n_tokens = len(part)
            started, started_cpu = time.perf_counter(), time.process_time()
            status = api.llama_decode(self.context, self.batch)
            api.llama_synchronize(self.context)
            self.seconds += time.perf_counter() - started
            self.cpu_seconds += time.process_time() - started_cpu
            if status != 0:
                raise SystemExit(f"llama_decode ended with {status}")
            for row, (_, _, sequence, wants) in enumerate(part):
                if wants:
                    logits = np.ctypeslib.as_array(api.llama_get_logits_ith(self.context, row), (self.vocabulary,))
                    chosen[sequence] = int(logits.argmax())
        return chosen


def generate(batch: Batch, prompts: list[list[int]], new_tokens: int, stops: set[int]) -> tuple[list[list[int]], float]:
    """Responses, and the seconds until each prompt had its first token."""
    entries = [
        (token, place, sequence, place == len(prompt) - 1)
        for sequence, prompt in enumerate(prompts)
        for place, token in enumerate(prompt)
    ]
    before = batch.seconds
    chosen = batch.decode(entries)
    prefill = batch.seconds - before
    responses: list[list[int]] = [[] for _ in prompts]
    while chosen:
        for sequence, token in chosen.items():
            responses[sequence].append(token)
        going = [s for s, token in chosen.items() if token not in stops and len(responses[s]) < new_tokens]
        chosen = batch.decode([(responses[s][-1], len(prompts[s]) + len(responses[s]) - 1, s, True) for s in going])
    return responses, prefill


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--new-tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--count", type=int, default=None)
    args = parser.parse_args()
    work = json.loads(Path(args.work).read_text())
    prompts = [prompt["ids"] for prompt in work["prompts"][: args.count]]

    api.llama_log_set(silent, None)
    api.llama_backend_init()
    started = time.perf_counter()
    model = api.llama_model_load_from_file(args.model.encode(), api.llama_model_default_params())
    if not model:
        raise SystemExit(f"llama.cpp could not load {Path(args.model).name}")
    params = api.llama_context_default_params()
    room = max(map(len, prompts)) + args.new_tokens
    params.n_ctx = len(prompts) * (room + 255) // 256 * 256
    params.n_batch = 2048
    params.n_seq_max = len(prompts)
    params.n_threads = params.n_threads_batch = args.threads
    context = api.llama_init_from_model(model, params)
    if not context:
        raise SystemExit("llama.cpp could not make a context of this size")
    vocabulary = api.llama_vocab_n_tokens(api.llama_model_get_vocab(model))
    batch = Batch(context, params.n_batch, vocabulary)
    load_seconds = time.perf_counter() - started

    generate(batch, prompts[:2], 2, set(work["stopIds"]))
    api.llama_memory_clear(api.llama_get_memory(context), True)
    batch.seconds = batch.cpu_seconds = 0.0
    responses, prefill = generate(batch, prompts, args.new_tokens, set(work["stopIds"]))
    tokens = sum(map(len, responses))
    result = {
        "prompts": len(prompts),
        "promptTokens": sum(map(len, prompts)),
        "newTokens": tokens,
        "seconds": batch.seconds,
        "prefillSeconds": prefill,
        "cpuSeconds": batch.cpu_seconds,
        "tokensPerSecond": tokens / batch.seconds,
        "responses": responses,
        "loadSeconds": load_seconds,
        "peakBytes": peak_bytes(),
        "versions": {"llama-cpp-python": llama_cpp.__version__},
    }
    print(json.dumps(result))


main()
