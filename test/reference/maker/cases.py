"""Logits, loss and every gradient of each model on batches of odd lengths with padding and masked labels."""

import torch
from transformers.modeling_utils import PreTrainedModel

from .common import write_json, write_tensors
from .models import CONFIGS, VARIANTS, load, make_models

# (length, prompt length) of each row. Prompt 0: also the first token carries a label (which nothing predicts).
BATCHES = [
    [(7, 3), (11, 0), (5, 4), (2, 1)],
    [(13, 6)],
    [(19, 5), (16, 15), (9, 2)],
]
IGNORED = -100


def make_batch(rows: list[tuple[int, int]], vocab: int, generator: torch.Generator) -> dict:
    """Right-padded with the end-of-text id, which also ends every row as a supervised token: masks must not go by id."""
    eos, width = vocab - 1, max(length for length, _ in rows)
    batch: dict = {"input_ids": [], "attention_mask": [], "labels": []}
    for length, prompt in rows:
        # Few distinct ids, so that rows of the embedding's gradient add up.
        ids = torch.randint(0, min(23, vocab - 1), (length - 1,), generator=generator).tolist() + [eos]
        padding = width - length
        batch["input_ids"].append(ids + [eos] * padding)
        batch["attention_mask"].append([1] * length + [0] * padding)
        batch["labels"].append([IGNORED] * prompt + ids[prompt:] + [IGNORED] * padding)
    batch["lengths"] = [length for length, _ in rows]
    batch["prompt_lengths"] = [prompt for _, prompt in rows]
    batch["supervised"] = sum(label != IGNORED for row in batch["labels"] for label in row[1:])
    return batch


def stored_names(model: PreTrainedModel) -> dict[str, torch.nn.Parameter]:
    """Parameters by their names in files, which transformers renames when it reads some architectures."""
    is_neox = model.config.model_type == "gpt_neox"
    return {
        name.replace("lm_head.", "embed_out.") if is_neox else name: parameter for name, parameter in model.named_parameters()
    }


def run(model: PreTrainedModel, batch: dict, with_gradients: bool) -> tuple[torch.Tensor, torch.Tensor, dict]:
    """Logits [B, T, V] with padded positions set to 0, mean loss over supervised tokens, gradients by parameter."""
    tensors = {key: torch.tensor(batch[key]) for key in ("input_ids", "attention_mask", "labels")}
    model.zero_grad()
    seen = dict(tensors)
    if getattr(model.config, "sliding_window", None):
        # With a window, padding behind a short row sees nothing at all, which is NaN in float64. No real token sees it.
        seen["attention_mask"] = torch.ones_like(tensors["attention_mask"])
    output = model(**seen, use_cache=False)
    if with_gradients:
        output.loss.backward()
    logits = output.logits.detach() * tensors["attention_mask"][..., None]
    gradients = {name: p.grad.clone() for name, p in stored_names(model).items()} if with_gradients else {}
    return logits, output.loss.detach(), gradients


def deviation(ours: torch.Tensor, reference: torch.Tensor) -> float:
    """max|a - b| / max|b|, the measure that the tests use too."""
    return ((ours.double() - reference).abs().max() / reference.abs().max().clamp_min(1e-30)).item()


def make() -> None:
    make_models()
    for index, name in enumerate([*CONFIGS, *VARIANTS]):
        source = VARIANTS[name][0] if name in VARIANTS else name
        # Variants see their source's batches; their files lose precision, so they have numbers of their own.
        seed = 2000 + list(CONFIGS).index(source)
        with_gradients = name in CONFIGS
        single, double = load(name), load(name).double()
        generator = torch.Generator().manual_seed(seed)
        tensors, batches, worst = {}, [], {"logits": 0.0, "gradient": 0.0}
        for number, rows in enumerate(BATCHES):
            batch = make_batch(rows, single.config.vocab_size, generator)
            logits, loss, gradients = run(single, batch, with_gradients)
            exact_logits, exact_loss, exact_gradients = run(double, batch, with_gradients)
            worst["logits"] = max(worst["logits"], deviation(logits, exact_logits))
            for key, gradient in gradients.items():
                worst["gradient"] = max(worst["gradient"], deviation(gradient, exact_gradients[key]))
            tensors[f"{number}.logits"] = logits
            # The third batch would only add bytes: its gradients go through the same code with more padding.
            if number < 2:
                tensors.update({f"{number}.grad.{key}": gradient for key, gradient in gradients.items()})
            batches.append({**batch, "loss": loss.item(), "loss_float64": exact_loss.item()})
        write_tensors(f"cases/{name}.safetensors", tensors)
        write_json(
            f"cases/{name}.json",
            {
                "model": name,
                "parameters": list(stored_names(single)),
                "batches": batches,
                "float32_vs_float64": worst,
            },
        )
        print(f"{name}: std of logits {tensors['0.logits'].std():.2f}, loss {batches[0]['loss']:.3f}, {worst}")
