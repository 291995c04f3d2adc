"""The other side of `npm run bench -- tokenize`: the same file under `datasets.map` with the Rust tokenizer, as tutorials do it.

    PYTHON map_tokenize.py MODEL_DIR FILE.jsonl --processes N

Prints one line of JSON: tokens (of all rows, none cut), seconds (from the file to the mapped data set, without the imports), versions.
"""

import argparse
import json
import os
import tempfile
import time

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1", TOKENIZERS_PARALLELISM="false")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("file")
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    import datasets
    import tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(args.model, "tokenizer.json"))
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        data = datasets.load_dataset("json", data_files=args.file, split="train", cache_dir=cache)
        mapped = data.map(
            lambda rows: tokenizer(rows["text"], add_special_tokens=False, return_attention_mask=False),
            batched=True,
            num_proc=args.processes if args.processes > 1 else None,
            remove_columns=data.column_names,
        )
        seconds = time.perf_counter() - start
        tokens = sum(len(ids) for ids in mapped["input_ids"])
    versions = {"datasets": datasets.__version__, "tokenizers": tokenizers.__version__}
    print(json.dumps({"tokens": tokens, "seconds": seconds, "versions": versions}))


if __name__ == "__main__":
    main()
