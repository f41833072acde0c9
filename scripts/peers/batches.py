"""Records below each other, as wide as the longest of their batch: what transformers' trainer makes of them."""

from __future__ import annotations

import torch


def collate(records: list[dict], pad: int) -> dict[str, torch.Tensor]:
    width = max(len(record["ids"]) for record in records)
    ids = torch.full((len(records), width), pad)
    labels = torch.full((len(records), width), -100)
    mask = torch.zeros((len(records), width), dtype=torch.long)
    for row, record in enumerate(records):
        length = len(record["ids"])
        ids[row, :length] = torch.tensor(record["ids"])
        supervised = torch.tensor(record["supervised"], dtype=torch.bool)
        labels[row, :length][supervised] = ids[row, :length][supervised]
        mask[row, :length] = 1
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def batches_of(records: list[dict], size: int, pad: int) -> list[dict[str, torch.Tensor]]:
    return [collate(records[at : at + size], pad) for at in range(0, len(records), size)]
