"""A folder of float32 weights as ONNX Runtime GenAI reads models, by its own builder: python ort_model.py FOLDER OUT fp32|int8"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile

from onnxruntime_genai.models import builder
from transformers import AutoConfig, PretrainedConfig


class FlatConfig:
    """AutoConfig as the builder knows it: the pinned transformers keeps rotary settings by kind of layer, the pinned builder reads one of them."""

    @staticmethod
    def from_pretrained(*args: object, **kwargs: object) -> PretrainedConfig:
        config = AutoConfig.from_pretrained(*args, **kwargs)
        kinds = config.rope_parameters
        if "full_attention" in kinds:
            config.rope_local_base_freq = kinds["sliding_attention"]["rope_theta"]
            config.rope_parameters = dict(kinds["full_attention"])
        return config


def main(folder: str, out: str, precision: str) -> None:
    builder.AutoConfig = FlatConfig
    # The builder tells much, and standard output is for the result.
    with tempfile.TemporaryDirectory() as cache, contextlib.redirect_stdout(sys.stderr):
        target = ("", folder, out, precision, "cpu", cache)
        builder.create_model(*target, **builder.parse_extra_options(*target, None))
    print(json.dumps({"precision": precision}))


if __name__ == "__main__":
    main(*sys.argv[1:])
