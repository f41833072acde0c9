"""transformers' generate on given prompts, all at once: greedy, float32, padded on the left; one JSON line at the end.

    python sample.py --work work.json --new-tokens 32 --threads 2 [--dtype float32] [--count 32]

work.json holds the folder of the peers' model, prompts {ids} and the ids that end a response.
"""

from __future__ import annotations

import argparse
import time

import torch

import common


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--dtype", choices=sorted(common.DTYPES), default="float32")
    parser.add_argument("--new-tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--count", type=int, default=None)
    args = parser.parse_args()
    common.prepare_process(args.threads)

    work = common.read_work(args.work)
    prompts = [prompt["ids"] for prompt in work["prompts"][: args.count]]
    started = time.perf_counter()
    model = common.load_model(work["peerModel"], args.dtype).eval()
    load_seconds = time.perf_counter() - started
    width = max(map(len, prompts))
    ids = torch.tensor([[work["padId"]] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])

    def generate(rows: int, tokens: int) -> torch.Tensor:
        with torch.inference_mode():
            return model.generate(
                input_ids=ids[:rows], attention_mask=mask[:rows], max_new_tokens=tokens, do_sample=False,
                eos_token_id=work["stopIds"], pad_token_id=work["padId"], top_k=None, top_p=None, temperature=None,
            )

    generate(2, 2)
    peak_load = common.peak_bytes()
    was_reset = common.reset_peak()
    started, started_cpu = time.perf_counter(), time.process_time()
    output = generate(len(prompts), args.new_tokens)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
    peak_steps = common.peak_bytes() if was_reset else None
    started = time.perf_counter()
    generate(len(prompts), 1)
    prefill_seconds = time.perf_counter() - started

    responses = []
    for row in output[:, width:].tolist():
        end = next((at + 1 for at, token in enumerate(row) if token in work["stopIds"]), len(row))
        responses.append(row[:end])
    tokens = sum(map(len, responses))
    common.answer(
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
            "peakBytes": max(filter(None, [peak_load, common.peak_bytes()]), default=None),
            "peakStepBytes": peak_steps,
        }
        | common.gemm_rates()
    )


if __name__ == "__main__":
    main()
