"""The tiny random models. Each is there for a way in which an implementation can go wrong."""

import shutil

import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, GPTNeoConfig, GPTNeoForCausalLM
from transformers.modeling_utils import PreTrainedModel

from .common import FIXTURES

NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}


def _gpt2(vocab: int, **options) -> GPT2Config:
    # The last id is both end of text and padding, as people use GPT-2.
    return GPT2Config(vocab_size=vocab, bos_token_id=vocab - 1, eos_token_id=vocab - 1, **{**NO_DROPOUT, **options})


def _neo(vocab: int, **options) -> GPTNeoConfig:
    return GPTNeoConfig(vocab_size=vocab, bos_token_id=vocab - 1, eos_token_id=vocab - 1, **options)


CONFIGS = {
    # tied head, the usual GPT-2
    "gpt2-a": _gpt2(97, n_positions=32, n_embd=32, n_layer=3, n_head=4),
    # untied head, nothing a power of two, another epsilon, n_inner not 4x
    "gpt2-b": _gpt2(
        113, n_positions=37, n_embd=30, n_layer=2, n_head=5, n_inner=70, layer_norm_epsilon=1e-6,
        tie_word_embeddings=False,
    ),
    # exact GELU, attention scaled down layer by layer
    "gpt2-c": _gpt2(
        61, n_positions=24, n_embd=24, n_layer=3, n_head=3, activation_function="gelu",
        scale_attn_by_inverse_layer_idx=True,
    ),
    # ReLU, attention not scaled by head size
    "gpt2-d": _gpt2(
        67, n_positions=24, n_embd=16, n_layer=2, n_head=2, activation_function="relu", scale_attn_weights=False
    ),
    # dropout in the config: evaluation must not apply it
    "gpt2-drop": _gpt2(61, n_positions=24, n_embd=16, n_layer=2, n_head=2, resid_pdrop=0.1, embd_pdrop=0.1, attn_pdrop=0.1),
    # global and local layers, the window far shorter than the sequences
    "gpt-neo-a": _neo(
        89, max_position_embeddings=32, hidden_size=32, num_layers=4, num_heads=4, window_size=4,
        attention_types=[[["global", "local"], 2]],
    ),
    # only local layers, odd sizes, intermediate_size not 4x, untied head
    "gpt-neo-b": _neo(
        131, max_position_embeddings=27, hidden_size=20, num_layers=3, num_heads=5, window_size=3,
        attention_types=[[["local"], 3]], intermediate_size=52, tie_word_embeddings=False,
    ),
}

# The same weights in other files: name -> (source, dtype of the file, max_shard_size)
VARIANTS = {
    "gpt2-a-f16": ("gpt2-a", torch.float16, None),
    "gpt2-a-bf16": ("gpt2-a", torch.bfloat16, None),
    "gpt2-a-sharded": ("gpt2-a", torch.float32, "40KB"),
}


def _randomise(model: PreTrainedModel, generator: torch.Generator) -> None:
    """Weights far from the usual start, so that no part of the model can be left out unnoticed."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if ".ln_" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.3 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.2 * noise)
            elif "wte" in name or "lm_head" in name:
                parameter.copy_(0.4 * noise)
            elif "wpe" in name:
                parameter.copy_(0.3 * noise)
            else:
                # GPT-2's Conv1D holds [in, out], GPT-Neo's Linear [out, in].
                fan_in = parameter.shape[0 if isinstance(model, GPT2LMHeadModel) else 1]
                parameter.copy_(noise * 1.2 / fan_in**0.5)


def make_models() -> None:
    shutil.rmtree(FIXTURES / "models", ignore_errors=True)
    for index, (name, config) in enumerate(CONFIGS.items()):
        model_class = GPT2LMHeadModel if isinstance(config, GPT2Config) else GPTNeoForCausalLM
        model = model_class(config).to(torch.float32)
        _randomise(model, torch.Generator().manual_seed(1000 + index))
        model.save_pretrained(FIXTURES / "models" / name)
    for name, (source, dtype, shard) in VARIANTS.items():
        model = load(source).to(dtype)
        model.save_pretrained(FIXTURES / "models" / name, **({"max_shard_size": shard} if shard else {}))


def load(name: str) -> PreTrainedModel:
    """A fixture model in float32 and evaluation mode, with the attention that is written out op by op."""
    return AutoModelForCausalLM.from_pretrained(
        FIXTURES / "models" / name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
