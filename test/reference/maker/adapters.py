"""LoRA adapters of PEFT over the tiny models: as PEFT saves them, with logits, loss and every gradient."""

import json
import shutil

import torch
from peft import LoraConfig, get_peft_model

from .cases import BATCHES, deviation, make_batch, run
from .common import FIXTURES, write_json, write_tensors
from .models import load

# name -> (model, configuration)
ADAPTERS = {
    # PEFT's own choice of matrices (a Conv1D), and their biases
    "lora-gpt2": ("gpt2-a", {"r": 4, "lora_alpha": 8, "bias": "lora_only"}),
    # every matrix but the head, scaled by the root of the rank; the head trained whole
    "lora-llama": (
        "llama-a",
        {"r": 3, "lora_alpha": 5, "target_modules": "all-linear", "use_rslora": True, "modules_to_save": ["lm_head"]},
    ),
    # a regular expression that leaves the lower layer as it is; tied head
    "lora-qwen": ("qwen3-a", {"r": 2, "lora_alpha": 7, "target_modules": r"model\.layers\.1\.(self_attn\.(q|o)|mlp\.up)_proj"}),
}


def make() -> None:
    shutil.rmtree(FIXTURES / "adapters", ignore_errors=True)
    for index, (name, (source, options)) in enumerate(ADAPTERS.items()):
        config = LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **options)
        model = get_peft_model(load(source), config).eval()
        generator = torch.Generator().manual_seed(7000 + index)
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "lora_" in key:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5 / parameter.shape[1] ** 0.5)
                elif parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        folder = FIXTURES / "adapters" / name
        model.save_pretrained(folder)
        (folder / "README.md").unlink()
        written = json.loads((folder / "adapter_config.json").read_text())
        written["base_model_name_or_path"] = source
        if isinstance(written["target_modules"], list):
            written["target_modules"].sort()
        (folder / "adapter_config.json").write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")

        tensors, batches = {}, []
        trained = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
        for number, rows in enumerate(BATCHES[:2]):
            batch = make_batch(rows, model.config.vocab_size, generator)
            logits, loss, _ = run(model, batch, False)
            model.zero_grad()
            output = model(**{key: torch.tensor(batch[key]) for key in ("input_ids", "attention_mask", "labels")}, use_cache=False)
            output.loss.backward()
            tensors[f"{number}.logits"] = logits
            for key, parameter in model.named_parameters():
                if key in trained:
                    tensors[f"{number}.grad.{key.replace('.default', '')}"] = parameter.grad.clone()
            batches.append({**batch, "loss": loss.item()})
        merged = model.merge_and_unload()
        again, _, _ = run(merged, batches[0] | {}, False)
        write_tensors(f"adapters/{name}/reference.safetensors", tensors)
        write_json(
            f"adapters/{name}/reference.json",
            {"model": source, "options": options, "batches": batches, "merged": deviation(again, tensors["0.logits"])},
        )
        print(f"{name}: loss {batches[0]['loss']:.3f}, merged {deviation(again, tensors['0.logits']):.1e}")
