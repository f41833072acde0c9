"""From a new interpreter to the end of the first optimiser step by transformers + peft; says so in one JSON line, at once.

    python first_step.py --work work.json --batch 4 --threads 2 [--rank 16 --alpha 32]
"""

from __future__ import annotations

import argparse

import peft
import torch
from peft import LoraConfig, get_peft_model

import common
from batches import batches_of


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=float, default=32)
    args = parser.parse_args()
    common.prepare_process(args.threads)
    work = common.read_work(args.work)
    base = common.load_model(work["peerModel"], "float32")
    base.config.use_cache = False
    config = LoraConfig(r=args.rank, lora_alpha=args.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(base, config).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-4, weight_decay=0.0)
    batch = batches_of(work["records"][: args.batch], args.batch, work["padId"])[0]
    loss = model(**batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    common.answer({"loss": float(loss.detach()), "peakBytes": common.peak_bytes()}, peft=peft.__version__)


if __name__ == "__main__":
    main()
