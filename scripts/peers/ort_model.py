"""A folder of float32 weights as ONNX Runtime GenAI reads models, by its own builder: python ort_model.py FOLDER OUT fp32|int8"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile

from onnxruntime_genai.models.builder import create_model


def main(folder: str, out: str, precision: str) -> None:
    # The builder tells much, and standard output is for the result.
    with tempfile.TemporaryDirectory() as cache, contextlib.redirect_stdout(sys.stderr):
        create_model("", folder, out, precision, "cpu", cache)
    print(json.dumps({"precision": precision}))


if __name__ == "__main__":
    main(*sys.argv[1:])
