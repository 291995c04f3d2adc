"""Adapters of PEFT over the tiny models: as PEFT saves them, with logits, loss and every gradient."""

import json
import shutil

import torch
import bitsandbytes.functional as bnb
from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, get_peft_model
from transformers.pytorch_utils import Conv1D

from .cases import BATCHES, deviation, make_batch, run
from .common import FIXTURES, write_json, write_tensors
from .models import load

# name -> (model, configuration); "quantized" says what bitsandbytes makes of the matrices beside which an adapter is trained
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
    # lengths of rows apart from their directions, beside biases; of columns in a Conv1D
    "dora-llama": ("llama-c", {"r": 2, "lora_alpha": 6, "target_modules": "all-linear", "use_dora": True}),
    "dora-gpt2": ("gpt2-a", {"r": 3, "lora_alpha": 6, "use_dora": True}),
    # NF4 with double quantization; matrices that hold no whole number of blocks
    "qlora-llama": ("llama-a", {"quantized": "nf4", "r": 3, "lora_alpha": 6, "target_modules": "all-linear"}),
    # a Conv1D is quantized as the Linear that it stands for
    "qlora-gpt2": ("gpt2-a", {"quantized": "nf4", "r": 2, "lora_alpha": 4}),
    "qlora-qwen2": ("qwen2-a", {"quantized": "int8", "r": 2, "lora_alpha": 4}),
    # PEFT's own choice: outputs of a Conv1D with its bias, inputs of another
    "ia3-gpt2": ("gpt2-a", {"kind": "IA3"}),
    # biases, and inputs of what leaves attention
    "ia3-llama": ("llama-c", {"kind": "IA3", "target_modules": ["q_proj", "v_proj", "o_proj", "up_proj"], "feedforward_modules": ["o_proj"]}),
    # virtual tokens: beside learnt positions, where embeddings are multiplied by a number, where they go through a norm, with ALiBi
    "prompt-gpt2": ("gpt2-a", {"kind": "PROMPT_TUNING", "num_virtual_tokens": 3}),
    "prompt-gemma3": ("gemma3-a", {"kind": "PROMPT_TUNING", "num_virtual_tokens": 2}),
    "prompt-bloom": ("bloom-a", {"kind": "PROMPT_TUNING", "num_virtual_tokens": 4}),
    # what p-tuning saves is a prompt
    "p-tuning-llama": ("llama-a", {"kind": "P_TUNING", "num_virtual_tokens": 3, "encoder_hidden_size": 8}),
    # keys and values: fewer heads of them than of queries, learnt positions, ALiBi
    "prefix-llama": ("llama-a", {"kind": "PREFIX_TUNING", "num_virtual_tokens": 3}),
    "prefix-gpt2": ("gpt2-a", {"kind": "PREFIX_TUNING", "num_virtual_tokens": 2}),
    "prefix-bloom": ("bloom-a", {"kind": "PREFIX_TUNING", "num_virtual_tokens": 3}),
}
SOFT = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING")

CONFIGS = {
    "LORA": lambda settings: LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **settings),
    "IA3": lambda settings: IA3Config(task_type="CAUSAL_LM", **settings),
    "PROMPT_TUNING": lambda settings: PromptTuningConfig(task_type="CAUSAL_LM", **settings),
    "P_TUNING": lambda settings: PromptEncoderConfig(task_type="CAUSAL_LM", **settings),
    "PREFIX_TUNING": lambda settings: PrefixTuningConfig(task_type="CAUSAL_LM", **settings),
}


def _nf4(weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """
    NF4 with double quantization. bitsandbytes' GPU kernels give each scale the nearest code, which is done here; its CPU
    build looks scales up in a table of 65,536 steps, which gives the neighbour's code now and then.
    """
    packed, state = bnb.quantize_4bit(weight, blocksize=64, compress_statistics=False, quant_type="nf4")
    offset = state.absmax.mean()
    centred = state.absmax - offset
    groups = torch.nn.functional.pad(centred, (0, -len(centred) % 256)).reshape(-1, 256)
    nested = groups.abs().max(dim=1)[0]
    code = bnb.create_dynamic_map()
    bounds = (code[1:] + code[:-1]) / 2
    absmax = torch.bucketize(groups * (1 / nested.clamp(min=1e-38))[:, None], bounds).flatten()[: len(centred)]
    scales = code[absmax] * nested.repeat_interleave(256)[: len(centred)] + offset
    # Written out: the CPU build's own kernel mixes blocks up where rows are shorter than one.
    codes = torch.stack([packed.flatten() >> 4, packed.flatten() & 15], dim=1).flatten()[: weight.numel()].long()
    dequantized = (state.code[codes] * scales.repeat_interleave(64)[: weight.numel()]).reshape(weight.shape)
    return {
        "packed": packed.flatten(),
        "absmax": absmax,
        "nested_absmax": nested,
        "nested_offset": offset.reshape(1),
        "dequantized": dequantized,
    }


def _quantize(model: torch.nn.Module, how: str) -> None:
    """Puts the numbers that bitsandbytes would compute with in place of every matrix but the head."""
    for key, module in model.named_modules():
        if key == "lm_head" or not isinstance(module, (torch.nn.Linear, Conv1D)):
            continue
        weight = module.weight.data
        rows = (weight.T if isinstance(module, Conv1D) else weight).contiguous()
        if how == "nf4":
            made = _nf4(rows)["dequantized"]
        else:
            codes, scales, _ = bnb.int8_vectorwise_quant(rows)
            made = codes.float() * scales[:, None] / 127
        module.weight.data = made.T.contiguous() if isinstance(module, Conv1D) else made


def make_quantization() -> None:
    """What bitsandbytes makes of matrices: one with several groups of scales, one with an odd count, and one of zeros."""
    generator = torch.Generator().manual_seed(7100)
    tensors = {}
    for name, shape in {"large": (160, 128), "odd": (13, 7), "zeros": (4, 32)}.items():
        weight = torch.randn(shape, generator=generator) * (0 if name == "zeros" else 0.1)
        tensors |= {f"{name}.weight": weight, **{f"{name}.{key}": value for key, value in _nf4(weight).items()}}
        codes, scales, _ = bnb.int8_vectorwise_quant(weight)
        tensors |= {f"{name}.int8": codes.float(), f"{name}.int8_scales": scales / 127}
    tensors["dynamic_map"] = bnb.create_dynamic_map()
    write_tensors("quantization.safetensors", {key: value.float().contiguous() for key, value in tensors.items()})


def make() -> None:
    shutil.rmtree(FIXTURES / "adapters", ignore_errors=True)
    for index, (name, (source, options)) in enumerate(ADAPTERS.items()):
        base, settings = load(source), {key: value for key, value in options.items() if key not in ("quantized", "kind")}
        if "quantized" in options:
            _quantize(base, options["quantized"])
        kind = options.get("kind", "LORA")
        model = get_peft_model(base, CONFIGS[kind](settings)).eval()
        generator = torch.Generator().manual_seed(7000 + index)
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "magnitude" in key:
                    parameter.mul_(1 + 0.2 * torch.randn(parameter.shape, generator=generator))
                elif "prompt_encoder" in key:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
                elif "ia3_" in key:
                    parameter.copy_(1 + 0.3 * torch.randn(parameter.shape, generator=generator))
                elif "lora_" in key:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5 / parameter.shape[1] ** 0.5)
                elif parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        folder = FIXTURES / "adapters" / name
        model.save_pretrained(folder)
        (folder / "README.md").unlink()
        written = json.loads((folder / "adapter_config.json").read_text())
        written["base_model_name_or_path"] = source
        for key in ("target_modules", "feedforward_modules"):
            if isinstance(written.get(key), list):
                written[key].sort()
        (folder / "adapter_config.json").write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")

        tensors, batches = {}, []
        if kind == "P_TUNING":
            # PEFT saves what this makes, not this
            encoder = model.prompt_encoder["default"].state_dict()
            tensors |= {f"encoder.prompt_encoder.{key}": value.clone() for key, value in encoder.items()}
        virtual = options["num_virtual_tokens"] if kind in ("PROMPT_TUNING", "P_TUNING") else 0
        trained = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
        for number, rows in enumerate(BATCHES[:2]):
            batch = make_batch(rows, model.config.vocab_size, generator)
            model.zero_grad()
            seen = {key: torch.tensor(batch[key]) for key in ("input_ids", "attention_mask", "labels")}
            if getattr(model.config, "sliding_window", None):
                seen["attention_mask"] = torch.ones_like(seen["attention_mask"])
            output = model(**seen, use_cache=False)
            output.loss.backward()
            tensors[f"{number}.logits"] = output.logits[:, virtual:].detach() * torch.tensor(batch["attention_mask"])[:, :, None]
            for key, parameter in model.named_parameters():
                if key in trained:
                    tensors[f"{number}.grad.{key.replace('.default', '')}"] = parameter.grad.clone()
            batches.append({**batch, "loss": output.loss.item()})
        merged = None
        if kind not in SOFT:
            again, _, _ = run(model.merge_and_unload(), batches[0], False)
            merged = deviation(again, tensors["0.logits"])
        write_tensors(f"adapters/{name}/reference.safetensors", tensors)
        write_json(
            f"adapters/{name}/reference.json",
            {"model": source, "kind": kind, "options": settings, "quantized": options.get("quantized"), "batches": batches, "merged": merged},
        )
        print(f"{name}: loss {batches[0]['loss']:.3f}, merged {merged}")
    make_quantization()
