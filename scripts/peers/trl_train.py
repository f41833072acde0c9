"""trl's SFTTrainer with packing on given token ids: LoRA on all linear layers, one JSON line at the end.

    python trl_train.py --work work.json --batch 4 --threads 2 [--first 0 --count 24]

A packed row is as long as `--batch` records of the mean length, so that an optimiser step sees about as many tokens as with padding. Without
flash attention, which processors have not, trl lays such a row out as one sequence: its records see each other (trl warns of it), and
its losses are not those of anybody else here. Only its speed is compared.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import peft
import torch
import trl
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer, TrainerCallback

import common


class Clock(TrainerCallback):
    """The first step warms up; the clock runs from its end to the end of the last."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float]] = []

    def on_step_end(self, *_args, **_more) -> None:
        self.ends.append((time.perf_counter(), time.process_time()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=float, default=32)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=None)
    args = parser.parse_args()
    common.prepare_process(args.threads)

    work = common.read_work(args.work)
    end = None if args.count is None else args.first + args.count
    records = work["records"][args.first : end]
    lengths = [len(record["ids"]) for record in records]
    row = max(max(lengths), args.batch * sum(lengths) // len(lengths))
    started = time.perf_counter()
    base = common.load_model(work["peerModel"], "float32")
    rows = {"input_ids": [record["ids"] for record in records], "completion_mask": [record["supervised"] for record in records]}
    # The records twice over: steps of the first pass are what is measured by, those of the second what is measured.
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl.SFTTrainer(
            model=base,
            processing_class=AutoTokenizer.from_pretrained(work["peerModel"]),
            train_dataset=Dataset.from_dict(rows),
            args=trl.SFTConfig(
                output_dir=folder,
                packing=True,
                max_length=row,
                per_device_train_batch_size=1,
                num_train_epochs=2,
                completion_only_loss=True,
                learning_rate=2e-4,
                weight_decay=0.0,
                bf16=False,
                gradient_checkpointing=False,
                use_cpu=True,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                dataloader_num_workers=0,
            ),
            peft_config=LoraConfig(r=args.rank, lora_alpha=args.alpha, target_modules="all-linear", task_type="CAUSAL_LM"),
            callbacks=[clock := Clock()],
        )
        load_seconds = time.perf_counter() - started
        trainer.train()
    steps = len(clock.ends) // 2
    (begin, begin_cpu), (last, last_cpu) = clock.ends[steps - 1], clock.ends[-1]
    common.answer(
        {
            "tokens": sum(lengths),
            "seconds": last - begin,
            "cpuSeconds": last_cpu - begin_cpu,
            "tokensPerSecond": sum(lengths) / (last - begin),
            "steps": steps,
            "rowTokens": row,
            "loadSeconds": load_seconds,
            "peakBytes": common.peak_bytes(),
        }
        | common.gemm_rates(),
        peft=peft.__version__,
        trl=trl.__version__,
    )


if __name__ == "__main__":
    main()
