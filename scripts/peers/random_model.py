"""A model of SmolLM2-135M's shape with random weights, as a folder that transformers and this library read.

    python random_model.py --tokenizer DIR --out DIR

The tokenizer is a small one and is never asked: the records come as token ids.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    torch.manual_seed(0)
    # https://huggingface.co/HuggingFaceTB/SmolLM2-135M/blob/main/config.json
    config = LlamaConfig(
        hidden_size=576,
        intermediate_size=1536,
        num_attention_heads=9,
        num_key_value_heads=3,
        num_hidden_layers=30,
        vocab_size=49152,
        max_position_embeddings=8192,
        rope_theta=100000,
        rms_norm_eps=1e-5,
        initializer_range=0.041666666666666664,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = LlamaForCausalLM(config).float()
    model.save_pretrained(args.out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(args.tokenizer) / name, args.out)
    print(json.dumps({"parameters": model.num_parameters()}))


if __name__ == "__main__":
    main()
