"""transformers + peft on given token ids: LoRA on all linear layers (or every weight), padded batches, AdamW, one JSON line at the end.

    python train.py --work work.json --dtype float32 --batch 4 --threads 2 [--first 0 --count 24] [--compile] [--full]

work.json holds the folder of the peers' model and records {ids, supervised}, both [tokens]; a supervised token is one whose loss counts.
An optimiser step follows every batch, as with the defaults of transformers' own trainer.
"""

from __future__ import annotations

import argparse
import time

import peft
import torch
from peft import LoraConfig, get_peft_model

import common
from batches import batches_of


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--dtype", choices=sorted(common.DTYPES), required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=float, default=32)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=None)
    parser.add_argument("--compile", action="store_true", help="torch.compile with dynamic shapes, made while warming up")
    parser.add_argument("--full", action="store_true", help="every weight, and no adapter")
    args = parser.parse_args()
    common.prepare_process(args.threads)

    work = common.read_work(args.work)
    end = None if args.count is None else args.first + args.count
    records = work["records"][args.first : end]
    started = time.perf_counter()
    base = common.load_model(work["peerModel"], args.dtype)
    base.config.use_cache = False
    config = LoraConfig(r=args.rank, lora_alpha=args.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    model = (base if args.full else get_peft_model(base, config)).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-4, weight_decay=0.0)
    if args.compile:
        model = torch.compile(model, dynamic=True)
    load_seconds = time.perf_counter() - started

    # Not timed: the shortest records once, whose loss with a fresh adapter is the base's and must be every contestant's.
    shortest = sorted(records, key=lambda record: len(record["ids"]))[:4]
    total = weight = 0.0
    started = time.perf_counter()
    for batch in batches_of(shortest, min(args.batch, 4), work["padId"]):
        loss = model(**batch).loss
        loss.backward()
        count = int((batch["labels"][:, 1:] != -100).sum())
        total, weight = total + float(loss.detach()) * count, weight + count
        del loss
    optimizer.zero_grad(set_to_none=True)
    warm_up_seconds = time.perf_counter() - started

    peak_load = common.peak_bytes()
    was_reset = common.reset_peak()
    rows = []
    started, started_cpu = time.perf_counter(), time.process_time()
    for batch in batches_of(records, args.batch, work["padId"]):
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        rows.append(float(loss.detach()))
        del loss
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
    peak_steps = common.peak_bytes() if was_reset else None
    tokens = sum(len(record["ids"]) for record in records)
    padded = sum(batch["input_ids"].numel() for batch in batches_of(records, args.batch, work["padId"]))
    common.answer(
        {
            "tokens": tokens,
            "paddedTokens": padded,
            "seconds": seconds,
            "cpuSeconds": cpu_seconds,
            "tokensPerSecond": tokens / seconds,
            "steps": len(rows),
            "losses": rows,
            "baseLoss": total / weight,
            "loadSeconds": load_seconds,
            "peakBytes": max(filter(None, [peak_load, common.peak_bytes()]), default=None),
            "peakStepBytes": peak_steps,
            "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        }
        | ({"compileSeconds": warm_up_seconds} if args.compile else {})
        | common.gemm_rates(),
        peft=peft.__version__,
    )


if __name__ == "__main__":
    main()
