"""LoRA training and sampling on a card with what Python's libraries offer, for `npm run bench:gpu`: one JSON line at the end.

    python gpu.py --list
    python gpu.py --peer transformers --work work.json

work.json holds a model's config.json, the adapter's rank, the lengths [tokens, supervised] of each step's documents, and what is sampled.
Weights are random: nothing is fetched. Only this file knows what a machine without torch or without a card lacks.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from pathlib import Path

WARM_UP = 3
STEPS = 10


def missing() -> str | None:
    """Why no peer can run here, or nothing."""
    for name in ("torch", "transformers", "peft"):
        if importlib.util.find_spec(name) is None:
            return f"this Python has no {name}"
    import torch

    return None if torch.cuda.is_available() else "torch sees no CUDA device"


def available() -> list[str]:
    peers = ["transformers"]
    if importlib.util.find_spec("flash_attn") is not None:
        peers.append("transformers-packed")
    if importlib.util.find_spec("unsloth") is not None:
        peers.append("unsloth")
    return peers


def make_model(peer: str, config: dict, rank: int):
    """The shape in bfloat16 with an adapter on every linear layer, ready to train."""
    import torch

    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    if peer == "unsloth":
        from unsloth import FastLanguageModel
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    attention = "flash_attention_2" if peer == "transformers-packed" else "sdpa"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(config))
        base = AutoModelForCausalLM.from_config(
            AutoConfig.from_pretrained(folder), dtype=torch.bfloat16, attn_implementation=attention
        )
        if peer == "unsloth":
            base.save_pretrained(folder)
            del base
            base, _ = FastLanguageModel.from_pretrained(
                folder, max_seq_length=2048, dtype=torch.bfloat16, load_in_4bit=False
            )
            return FastLanguageModel.get_peft_model(
                base, r=rank, lora_alpha=2 * rank, target_modules=targets, use_gradient_checkpointing=False
            )
    base.config.use_cache = False
    lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, task_type="CAUSAL_LM")
    return get_peft_model(base.to("cuda"), lora).train()


def padded(documents: list[list[int]], vocabulary: int) -> dict:
    """Documents below each other, as wide as the longest: what these libraries do unless told otherwise."""
    import torch

    width = max(length for length, _ in documents)
    ids = torch.randint(2, vocabulary, (len(documents), width))
    labels = torch.full_like(ids, -100)
    mask = torch.zeros_like(ids)
    for row, (length, supervised) in enumerate(documents):
        labels[row, length - supervised : length] = ids[row, length - supervised : length]
        mask[row, :length] = 1
    return {"input_ids": ids.cuda(), "labels": labels.cuda(), "attention_mask": mask.cuda()}


def packed(documents: list[list[int]], vocabulary: int) -> dict:
    """Documents end to end; positions that start anew are what flash attention parts them by."""
    import torch

    positions = torch.cat([torch.arange(length) for length, _ in documents])[None]
    ids = torch.randint(2, vocabulary, positions.shape)
    labels = torch.full_like(ids, -100)
    begin = 0
    for length, supervised in documents:
        labels[0, begin + length - supervised : begin + length] = ids[0, begin + length - supervised : begin + length]
        begin += length
    return {"input_ids": ids.cuda(), "labels": labels.cuda(), "position_ids": positions.cuda()}


def train(model, steps: list, vocabulary: int, collate) -> dict:
    """An optimiser step for each batch; the clock runs over STEPS of them, behind WARM_UP others."""
    import torch

    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.0, fused=True)
    batches = [collate(documents, vocabulary) for documents in steps]
    losses: list[float] = []
    tokens = 0
    first_step = started = time.perf_counter()
    for number in range(WARM_UP + STEPS):
        if number == WARM_UP:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            started = time.perf_counter()
        loss = model(**batches[number % len(batches)]).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
        if number == 0:
            first_step = time.perf_counter() - first_step
        if number >= WARM_UP:
            tokens += sum(length for length, _ in steps[number % len(steps)])
    torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    return {
        "tokens": tokens,
        "seconds": seconds,
        "tokensPerSecond": tokens / seconds,
        "firstStepSeconds": first_step,
        "peakBytes": torch.cuda.max_memory_allocated(),
        "reservedBytes": torch.cuda.max_memory_reserved(),
        "losses": losses,
    }


def sample(model, work: dict, vocabulary: int) -> dict:
    import torch

    rows, new = work["rows"], work["newTokens"] // work["rows"]
    prompts = torch.randint(2, vocabulary, (rows, work["promptTokens"] // rows)).cuda()
    model.eval()
    model.config.use_cache = True
    seconds = 0.0
    with torch.inference_mode():
        for _ in range(2):  # the first of everything is not counted
            torch.cuda.synchronize()
            started = time.perf_counter()
            model.generate(
                input_ids=prompts,
                attention_mask=torch.ones_like(prompts),
                do_sample=True,
                min_new_tokens=new,
                max_new_tokens=new,
                pad_token_id=0,
            )
            torch.cuda.synchronize()
            seconds = time.perf_counter() - started
    return {"sampledTokensPerSecond": rows * new / seconds}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--peer", choices=["transformers", "transformers-packed", "unsloth"])
    parser.add_argument("--work")
    args = parser.parse_args()
    reason = missing()
    if args.list:
        json.dump({"reason": reason} if reason else {"peers": available()}, sys.stdout)
        return
    if reason:
        sys.exit(reason)
    work = json.loads(Path(args.work).read_text())
    vocabulary = work["config"]["vocab_size"]
    model = make_model(args.peer, work["config"], work["rank"])
    import peft
    import torch
    import transformers

    collate = packed if args.peer == "transformers-packed" else padded
    result = train(model, work["steps"], vocabulary, collate)
    if args.peer != "transformers-packed":
        result |= sample(model, work["sample"], vocabulary)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}
    json.dump(result | {"versions": versions}, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
