"""Twenty optimizer steps under transformers' Trainer, and what its logged loss means, checked by a loop of our own.

The loss that Trainer logs for a step is the cross-entropy summed over all supervised tokens of the step's micro-batches,
divided by their number in the whole step (`num_items_in_batch`): a mean over tokens, not a mean of means.
"""

import random
import tempfile

import torch
from peft.optimizers import create_loraplus_optimizer
from peft import PeftConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.modeling_utils import PreTrainedModel

from .cases import IGNORED, stored_names
from .common import FIXTURES, write_json, write_tensors
from .models import load

SEED = 6000
COMMON = {
    "optim": "adamw_torch",
    "learning_rate": 2e-3,
    "lr_scheduler_type": "linear",
    "warmup_steps": 5,
    "weight_decay": 0.1,
    "max_grad_norm": 0.5,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 4,
}
# name -> (model, samples, options). "-epochs": 19 samples are 10 batches an epoch, the last of them a single sample, hence 3
# steps an epoch, the last of them of 2 batches; max_steps ends it within the sixth epoch.
RUNS = {
    "gpt2-a": ("gpt2-a", 160, {"max_steps": 20}),
    "gpt-neo-a": ("gpt-neo-a", 160, {"max_steps": 20}),
    "gpt2-b-epochs": ("gpt2-b", 19, {"max_steps": 17, "lr_scheduler_type": "cosine"}),
}
# Trained as the first two, for their losses, norms and final weights alone
MORE_RUNS = {
    name: (name, 160, {"max_steps": 20})
    for name in ("llama-a", "mistral-a", "qwen2-a", "qwen3-a", "gemma2-a", "gemma3-a", "phi3-a", "gpt-neox-a", "opt-a", "bloom-a")
}
# name -> (model, the adapter's fixture, from which it goes on, how many times as fast B learns)
ADAPTER_RUNS = {
    "lora-llama": ("llama-a", "lora-llama", None),
    "dora-gpt2": ("gpt2-a", "dora-gpt2", None),
    "ia3-llama": ("llama-c", "ia3-llama", None),
    "prompt-gpt2": ("gpt2-a", "prompt-gpt2", None),
    "prefix-llama": ("llama-a", "prefix-llama", None),
    "lora-plus-llama": ("llama-a", "lora-llama", 8),
}


def make_samples(count: int, vocab: int) -> list[dict]:
    """Uneven lengths (3–26 tokens) and prompts; a rule to learn (ids go up by a step of their own) so that the loss falls."""
    rng = random.Random(SEED + vocab)
    samples = []
    for _ in range(count):
        length, start, step = rng.randint(3, 26), rng.randrange(vocab - 1), rng.randint(1, 3)
        ids = [(start + step * i) % (vocab - 1) for i in range(length - 1)] + [vocab - 1]
        # At least one prompt token: for GPT-2 this Trainer counts a label at position 0 in its divisor, though nothing
        # predicts it (it knows the shift only of models whose class name ends in ForCausalLM).
        prompt = rng.choice([1, 1, length // 2, length - 1])
        samples.append({"input_ids": ids, "labels": [IGNORED] * prompt + ids[prompt:]})
    return samples


def pad(samples: list[dict], filler: int) -> dict[str, torch.Tensor]:
    """Right-padded to the longest row, with the end-of-text id."""
    width = max(len(sample["input_ids"]) for sample in samples)

    def rows(value) -> torch.Tensor:
        return torch.tensor([value(sample) for sample in samples])

    def missing(sample: dict) -> int:
        return width - len(sample["input_ids"])

    return {
        "input_ids": rows(lambda s: s["input_ids"] + [filler] * missing(s)),
        "attention_mask": rows(lambda s: [1] * len(s["input_ids"]) + [0] * missing(s)),
        "labels": rows(lambda s: s["labels"] + [IGNORED] * missing(s)),
    }


class _Order:
    """The collator, which also writes down which samples made up each micro-batch."""

    def __init__(self, filler: int) -> None:
        self.filler = filler
        self.batches: list[list[int]] = []

    def __call__(self, samples: list[dict]) -> dict[str, torch.Tensor]:
        self.batches.append([sample["index"] for sample in samples])
        return pad(samples, self.filler)


class _Counter(TrainerCallback):
    """How many micro-batches each step had."""

    def __init__(self) -> None:
        self.counts: list[int] = [0]

    def on_substep_end(self, args, state, control, **_) -> None:
        self.counts[-1] += 1

    def on_step_end(self, args, state, control, **_) -> None:
        self.counts[-1] += 1
        self.counts.append(0)


def _check_loss(model: PreTrainedModel, samples: list[dict], steps: list[dict], decay: list[str]) -> None:
    """Train once more without Trainer: token-weighted mean, clip, AdamW. Every loss and norm must come out the same."""
    named = dict(model.named_parameters())
    groups = [
        {"params": [p for n, p in named.items() if n in decay], "weight_decay": COMMON["weight_decay"]},
        {"params": [p for n, p in named.items() if n not in decay], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1.0)
    for step in steps:
        total = 0.0
        for batch in step["batches"]:
            inputs = pad([samples[i] for i in batch], model.config.eos_token_id)
            logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
            loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1), inputs["labels"][:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
            )
            loss = loss / step["supervised"]
            loss.backward()
            total += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), COMMON["max_grad_norm"]).item()
        for group in optimizer.param_groups:
            group["lr"] = step["learning_rate"]
        optimizer.step()
        optimizer.zero_grad()
        assert abs(total - step["loss"]) < 2e-5 * total, (total, step)
        assert abs(norm - step["grad_norm"]) < 2e-4 * norm, (norm, step)
        assert norm > COMMON["max_grad_norm"], "a step that does not clip"


def _run(model: PreTrainedModel, samples: list[dict], order: _Order, counter: _Counter, options: dict, optimizer: torch.optim.Optimizer | None = None) -> Trainer:
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, use_cpu=True, seed=SEED, train_sampling_strategy="sequential", logging_steps=1,
            save_strategy="no", report_to=[], disable_tqdm=True, remove_unused_columns=False, **options,
        )
        trainer = Trainer(
            model=model, args=arguments, data_collator=order, callbacks=[counter],
            train_dataset=[{**sample, "index": i} for i, sample in enumerate(samples)],
            optimizers=(optimizer, None),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return trainer


def _train(name: str, source: str, count: int, options: dict, adapter: str | None = None, ratio: float | None = None) -> None:
    model = load(source)
    if adapter:
        config = PeftConfig.from_pretrained(FIXTURES / "adapters" / adapter)
        config.inference_mode = False
        model = get_peft_model(model, config)
        set_peft_model_state_dict(model, load_file(FIXTURES / "adapters" / adapter / "adapter_model.safetensors"))
    samples = make_samples(count, model.config.vocab_size)
    order, counter = _Order(model.config.eos_token_id), _Counter()
    options = {**COMMON, **options}
    optimizer = None
    if ratio is not None:
        optimizer = create_loraplus_optimizer(
            model, torch.optim.AdamW, lr=options["learning_rate"], loraplus_lr_ratio=ratio, loraplus_weight_decay=options["weight_decay"]
        )
    trainer = _run(model, samples, order, counter, options, optimizer)
    logs = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
    assert len(logs) == options["max_steps"] and counter.counts.pop() == 0
    batches = iter(order.batches)
    steps = []
    for entry, micro in zip(logs, counter.counts, strict=True):
        used = [next(batches) for _ in range(micro)]
        supervised = sum(label != IGNORED for batch in used for i in batch for label in samples[i]["labels"][1:])
        steps.append(
            {
                "batches": used,
                "supervised": supervised,
                "epoch": entry["epoch"],
                "loss": entry["loss"],
                "grad_norm": float(entry["grad_norm"]),
                "learning_rate": entry["learning_rate"],
            }
        )
    decay = [key for key in trainer.get_decay_parameter_names(model) if key in dict(model.named_parameters())]
    if adapter:
        saved = get_peft_model_state_dict(model)
    else:
        _check_loss(load(source), samples, steps, decay)
        saved = stored_names(model)
    write_tensors(f"training/{name}.safetensors", {key: value.detach().contiguous() for key, value in saved.items()})
    write_json(
        f"training/{name}.json",
        {
            "model": source,
            **({"adapter": adapter, "loraplus_lr_ratio": ratio} if adapter else {}),
            "options": {**options, "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-8},
            "loss_means": "cross-entropy summed over the step's supervised tokens / their number in the whole step",
            "grad_norm_means": "global L2 norm before clipping",
            "decayed_parameters": decay,
            "samples": samples,
            "steps": steps,
        },
    )
    print(f"{name}: loss {steps[0]['loss']:.4f} -> {steps[-1]['loss']:.4f}, batches a step {counter.counts}")


def make() -> None:
    for name, (source, count, options) in RUNS.items():
        _train(name, source, count, options)
    for name, (source, count, options) in MORE_RUNS.items():
        _train(name, source, count, options)
    for name, (source, adapter, ratio) in ADAPTER_RUNS.items():
        _train(name, source, 160, {"max_steps": 20}, adapter, ratio)


def make_precisions() -> None:
    """The same runs under Trainer's bf16 (torch.autocast): how far 16 bits lead a run away from float32."""
    runs = {}
    for name, (source, count, options) in RUNS.items():
        model = load(source)
        samples = make_samples(count, model.config.vocab_size)
        order = _Order(model.config.eos_token_id)
        trainer = _run(model, samples, order, _Counter(), {**COMMON, **options, "bf16": True})
        logs = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
        runs[name] = [{"loss": entry["loss"], "grad_norm": float(entry["grad_norm"])} for entry in logs]
    write_json("precisions.json", {"bf16": runs})
