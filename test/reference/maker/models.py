"""The tiny random models. Each is there for a way in which an implementation can go wrong."""

import shutil

import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.modeling_utils import PreTrainedModel

from .common import FIXTURES

NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}


def _gpt2(vocab: int, **options) -> GPT2Config:
    # The last id is both end of text and padding, as people use GPT-2.
    return GPT2Config(vocab_size=vocab, bos_token_id=vocab - 1, eos_token_id=vocab - 1, **{**NO_DROPOUT, **options})


def _neo(vocab: int, **options) -> GPTNeoConfig:
    return GPTNeoConfig(vocab_size=vocab, bos_token_id=vocab - 1, eos_token_id=vocab - 1, **options)


def _rotary(config_class: type[PreTrainedConfig], vocab: int, **options) -> PreTrainedConfig:
    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"bos_token_id": vocab - 1, "eos_token_id": vocab - 1, "pad_token_id": None}
    return config_class(vocab_size=vocab, max_position_embeddings=64, **{**sizes, **ends, **options})


def _opt(vocab: int, **options) -> OPTConfig:
    sizes = {"hidden_size": 24, "word_embed_proj_dim": 24, "ffn_dim": 52, "num_hidden_layers": 2, "num_attention_heads": 3}
    ends = {"bos_token_id": vocab - 1, "eos_token_id": vocab - 1, "pad_token_id": None}
    return OPTConfig(vocab_size=vocab, max_position_embeddings=33, dropout=0.0, **{**sizes, **ends, **options})


def _bloom(vocab: int, **options) -> BloomConfig:
    ends = {"bos_token_id": vocab - 1, "eos_token_id": vocab - 1, "pad_token_id": None}
    return BloomConfig(vocab_size=vocab, hidden_size=24, n_layer=2, **ends, **options)


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
    # as many heads for keys as for queries, untied head
    "llama-a": _rotary(LlamaConfig, 83, num_key_value_heads=4),
    # Llama 3's shape: heads that share keys, its way to stretch positions, tied head
    "llama-b": _rotary(
        LlamaConfig, 71, num_key_value_heads=2, tie_word_embeddings=True,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    ),
    # biases everywhere, one head for all keys, heads larger than hidden / heads, positions stretched evenly
    "llama-c": _rotary(
        LlamaConfig, 67, num_key_value_heads=1, head_dim=10, attention_bias=True, mlp_bias=True,
        rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5},
    ),
    # the window far shorter than the sequences
    "mistral-a": _rotary(MistralConfig, 79, num_key_value_heads=2, sliding_window=5),
    # biases on queries, keys and values alone; the upper layer sees a window
    "qwen2-a": _rotary(
        Qwen2Config, 73, num_key_value_heads=2, use_sliding_window=True, sliding_window=4, max_window_layers=1
    ),
    # norms on queries and keys, tied head
    "qwen3-a": _rotary(Qwen3Config, 61, num_key_value_heads=2, head_dim=8, tie_word_embeddings=True),
    # bounded scores and logits, four norms a layer, windows in every other layer
    "gemma2-a": _rotary(
        Gemma2Config, 89, num_hidden_layers=3, num_key_value_heads=2, head_dim=8, query_pre_attn_scalar=12,
        sliding_window=4, attn_logit_softcapping=3.0, final_logit_softcapping=4.0,
    ),
    # another rotation in layers with a window
    "gemma3-a": _rotary(
        Gemma3TextConfig, 97, num_hidden_layers=3, num_key_value_heads=1, head_dim=8, query_pre_attn_scalar=8,
        sliding_window=5, layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={
            "full_attention": {"rope_type": "linear", "rope_theta": 1000000.0, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    ),
    # one tensor for queries, keys and values; half of a head is rotated
    "phi3-a": _rotary(
        Phi3Config, 71, num_key_value_heads=2, head_dim=8, sliding_window=7, pad_token_id=69,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    ),
    # a factor for each rotation, and scores scaled for texts longer than those trained on first
    "phi3-b": _rotary(
        Phi3Config, 67, num_key_value_heads=4, pad_token_id=65, original_max_position_embeddings=32,
        rope_parameters={
            "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 32, "factor": 2.0,
            "short_factor": [1.0, 1.5, 2.0], "long_factor": [2.0, 3.0, 4.0],
        },
    ),
    # both halves of a layer side by side, a quarter of a head rotated, untied head
    "gpt-neox-a": _rotary(
        GPTNeoXConfig, 91, hidden_size=32, rope_parameters={
            "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25,
        },
    ),
    # one half behind the other, nearly all of a head rotated, no biases in attention, tied head, tanh for GELU
    "gpt-neox-b": _rotary(
        GPTNeoXConfig, 59, use_parallel_residual=False, attention_bias=False, tie_word_embeddings=True,
        hidden_act="gelu_new",
        rope_parameters={"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.7},
    ),
    "opt-a": _opt(77),
    # OPT-350M's shape: narrower embeddings, norms behind
    "opt-b": _opt(63, word_embed_proj_dim=14, do_layer_norm_before=False),
    # no biases, untied head
    "opt-c": _opt(57, enable_bias=False, tie_word_embeddings=False),
    "bloom-a": _bloom(87, n_head=4),
    # heads that are no power of two; what is added to is normed
    "bloom-b": _bloom(69, n_head=6, apply_residual_connection_post_layernorm=True),
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
            if ("norm" in name or ".ln_" in name) and name.endswith("weight"):
                # Gemma's norms multiply by 1 + weight.
                parameter.copy_(0.3 * noise if model.config.model_type.startswith("gemma") else 1 + 0.3 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.2 * noise)
            elif "wte" in name or "lm_head" in name or "embed_tokens" in name:
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
        model = AutoModelForCausalLM.from_config(config).to(torch.float32)
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
