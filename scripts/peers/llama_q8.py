"""A GGUF file's weights in Q8_0, by llama.cpp's own quantiser: `python llama_q8.py F32.gguf Q8_0.gguf`; one JSON line at the end."""

import json
import sys

import llama_cpp
from llama_cpp import llama_cpp as api


def main() -> None:
    source, target = sys.argv[1:]
    api.llama_backend_init()
    params = api.llama_model_quantize_default_params()
    params.ftype = api.LLAMA_FTYPE_MOSTLY_Q8_0
    if api.llama_model_quantize(source.encode(), target.encode(), params) != 0:
        sys.exit("llama.cpp could not quantise the file")
    print(json.dumps({"llama_cpp_python": llama_cpp.__version__}))


main()
