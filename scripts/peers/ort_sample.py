"""ONNX Runtime GenAI on given prompts, one after the other, greedy; one JSON line at the end.

    python ort_sample.py --model DIR --work work.json --new-tokens 32 --threads 2 [--count 32]

DIR was written by ort_model.py; work.json holds prompts {ids} and the ids that end a response. A batch of prompts of unequal length is not had
from release 0.18.0 on processors: padded on the left its answers are others, padded on the right its attention refuses it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime_genai as og

from memory import peak_bytes


def load_model(folder: str, threads: int) -> og.Model:
    """The threads stand in genai_config.json: a folder of links around a copy with ours."""
    copy = Path(tempfile.mkdtemp())
    for file in Path(folder).iterdir():
        (copy / file.name).symlink_to(file.resolve())
    config = json.loads((copy / "genai_config.json").read_text())
    config["model"]["decoder"].setdefault("session_options", {})["intra_op_num_threads"] = threads
    (copy / "genai_config.json").unlink()
    (copy / "genai_config.json").write_text(json.dumps(config))
    try:
        return og.Model(str(copy))
    finally:
        shutil.rmtree(copy)


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
    started = time.perf_counter()
    model = load_model(args.model, args.threads)
    load_seconds = time.perf_counter() - started

    def generate(some: list[list[int]], tokens: int) -> list[list[int]]:
        answers = []
        for prompt in some:
            params = og.GeneratorParams(model)
            # Its cache wants as many places as the attention's window has.
            params.set_search_options(max_length=max(len(prompt) + tokens, 512), do_sample=False)
            generator = og.Generator(model, params)
            generator.append_tokens(np.array([prompt], dtype=np.int32))
            answer: list[int] = []
            while len(answer) < tokens and not (answer and answer[-1] in work["stopIds"]):
                generator.generate_next_token()
                answer.append(int(generator.get_next_tokens()[0]))
            answers.append(answer)
        return answers

    generate(prompts[:2], 2)
    started, started_cpu = time.perf_counter(), time.process_time()
    responses = generate(prompts, args.new_tokens)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
    started = time.perf_counter()
    generate(prompts, 1)
    prefill_seconds = time.perf_counter() - started
    tokens = sum(map(len, responses))
    print(
        json.dumps(
            {
                "prompts": len(prompts),
                "promptTokens": sum(map(len, prompts)),
                "newTokens": tokens,
                "seconds": seconds,
                "prefillSeconds": prefill_seconds,
                "cpuSeconds": cpu_seconds,
                "tokensPerSecond": tokens / seconds,
                "responses": responses,
                "loadSeconds": load_seconds,
                "peakBytes": peak_bytes(),
                "versions": {"onnxruntime-genai": importlib.metadata.version("onnxruntime-genai")},
                "threads": args.threads,
            }
        )
    )


if __name__ == "__main__":
    main()
