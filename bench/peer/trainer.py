"""The other side of `npm run bench -- peer`: the same job under transformers' Trainer, on the CPU or a GPU.

    PYTHON trainer.py MODEL_DIR BATCHES.json --pad max|longest --steps N [--max-length 128] [--warmup 2] [--threads 2]
                      [--cuda] [--bf16] [--method full|lora|qlora] [--compile]

MODEL_DIR is a Hugging Face directory (no tokenizer needed). BATCHES.json is {"batches": [[{"input_ids": [...], "labels": [...]}, ...], ...]}:
unpadded samples in the order of use, labels not shifted, -100 where nothing is learnt; every batch has as many samples as the
first. Steps beyond the last batch begin again at the first. Everything else is Trainer's default (AdamW, clipping at 1).

Prints one line of JSON: tokens_per_second (real tokens of the measured steps, no padding / their time), step_seconds (median),
seconds and step_tokens (of each measured step), losses (of every step), peak_rss_gb (of the whole process), import_rss_gb (its peak once the
libraries were loaded, before the model was), optimizer, threads, versions.
The first `--warmup` steps are not measured. Exit status 2: bad input, with one line on standard error.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1", TOKENIZERS_PARALLELISM="false")

IGNORED = -100
Sample = dict[str, list[int]]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="One job under transformers' Trainer, measured.")
    parser.add_argument("model", type=Path)
    parser.add_argument("batches", type=Path)
    parser.add_argument("--pad", choices=("max", "longest"), required=True, help="pad to --max-length, or to a batch's longest")
    parser.add_argument("--steps", type=int, required=True, help="optimizer steps, warm-up included")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--warmup", type=int, default=2, help="steps that are not measured")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--cuda", action="store_true", help="on the first GPU")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--method", choices=("full", "lora", "qlora", "prompt_tuning"), default="full", help="peft's adapters of rank 8 beside every matrix, or 20 virtual tokens")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    return parser.parse_args()


def read_batches(path: Path, max_length: int) -> list[list[Sample]]:
    try:
        batches = json.loads(path.read_text())["batches"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(fail(f"{path}: no batches could be read ({error!r})"))
    if not batches or any(len(batch) != len(batches[0]) for batch in batches):
        sys.exit(fail(f"{path}: there must be batches, all of the same size"))
    for batch in batches:
        for sample in batch:
            if not 2 <= len(sample["input_ids"]) == len(sample["labels"]) <= max_length:
                sys.exit(fail(f"{path}: a sample needs as many labels as ids, and 2 to {max_length} of them"))
    return batches


def fail(sentence: str) -> int:
    print(f"trainer.py: {sentence}", file=sys.stderr)
    return 2


def peak_rss_gb() -> float:
    # Linux counts in KiB, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def main() -> None:
    arguments = parse()
    if arguments.steps <= arguments.warmup:
        sys.exit(fail(f"--steps must be more than the {arguments.warmup} warm-up steps"))
    batches = read_batches(arguments.batches, arguments.max_length)
    try:
        import torch
        import transformers
        from transformers import AutoModelForCausalLM, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
    except ImportError as error:
        sys.exit(fail(f"this Python lacks {error.name}; install test/reference/requirements.txt into it"))
    torch.set_num_threads(arguments.threads)
    import_rss_gb = peak_rss_gb()

    options = {}
    if arguments.method == "qlora":
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16 if arguments.bf16 else torch.float32,
        )
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32, **options)
    if arguments.method == "prompt_tuning":
        from peft import PromptTuningConfig, get_peft_model

        first = model.get_input_embeddings().weight.detach()[:20].clone()
        model = get_peft_model(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=20))
        model.prompt_encoder["default"].embedding.weight.data.copy_(first)
    elif arguments.method != "full":
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear"))
    filler = model.config.eos_token_id or 0

    def collate(samples: list[Sample]) -> dict[str, torch.Tensor]:
        width = arguments.max_length if arguments.pad == "max" else max(len(s["input_ids"]) for s in samples)

        def rows(key: str, padding: int) -> torch.Tensor:
            return torch.tensor([s[key] + [padding] * (width - len(s[key])) for s in samples])

        mask = [[1] * len(s["input_ids"]) + [0] * (width - len(s["input_ids"])) for s in samples]
        return {"input_ids": rows("input_ids", filler), "labels": rows("labels", IGNORED), "attention_mask": torch.tensor(mask)}

    class Clock(TrainerCallback):
        """When each step ended: a step's time then has all that belongs to it, collation included."""

        ends: list[float] = []

        def on_step_end(self, args, state, control, **_) -> None:
            if arguments.cuda:
                torch.cuda.synchronize()
            self.ends.append(time.perf_counter())

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder, use_cpu=not arguments.cuda, bf16=arguments.bf16, torch_compile=arguments.compile, max_steps=arguments.steps, learning_rate=arguments.learning_rate,
                per_device_train_batch_size=len(batches[0]), train_sampling_strategy="sequential", logging_steps=1,
                save_strategy="no", report_to=[], disable_tqdm=True, remove_unused_columns=False,
            ),
            data_collator=collate,
            train_dataset=[sample for batch in batches for sample in batch],
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()

    measured = range(arguments.warmup, arguments.steps)
    seconds = [clock.ends[step] - clock.ends[step - 1] for step in measured]
    step_tokens = [sum(len(sample["input_ids"]) for sample in batches[step % len(batches)]) for step in measured]
    result = {
        "tokens_per_second": sum(step_tokens) / sum(seconds),
        "step_seconds": statistics.median(seconds),
        "seconds": seconds,
        "step_tokens": step_tokens,
        "losses": [entry["loss"] for entry in trainer.state.log_history if "grad_norm" in entry],
        "peak_rss_gb": peak_rss_gb(),
        "import_rss_gb": import_rss_gb,
        "optimizer": str(trainer.args.optim.value),
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
