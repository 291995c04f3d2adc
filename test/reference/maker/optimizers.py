"""Ten steps of each optimizer on three small tensors, with a learning rate that changes at every step."""

import torch
from transformers.optimization import Adafactor

from .common import write_json

SHAPES = {"matrix": (5, 7), "vector": (6,), "embedding": (4, 3)}
STEPS = 10
LEARNING_RATES = [1e-2 * min((step + 1) / 3, (STEPS - step) / (STEPS - 2)) for step in range(STEPS)]
# Gradients that jump in size make Adafactor clip its update and Adam's bias correction matter.
GRADIENT_SCALES = [1.0, 4.0, 0.1, 0.5, 6.0, 1e-4, 1.0, 2.0, 0.3, 8.0]

# What Trainer gives for --optim adafactor
ADAFACTOR = {"scale_parameter": False, "relative_step": False, "eps": (1e-30, 1e-3), "clip_threshold": 1.0, "decay_rate": -0.8}

CASES = {
    "adamw": (torch.optim.AdamW, {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}),
    "adamw-decay": (torch.optim.AdamW, {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    "adam": (torch.optim.Adam, {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}),
    "adam-decay": (torch.optim.Adam, {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}),
    "sgd": (torch.optim.SGD, {"momentum": 0.0, "weight_decay": 0.0}),
    "sgd-momentum": (torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.0}),
    "sgd-momentum-decay": (torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    "adagrad": (torch.optim.Adagrad, {"lr_decay": 0.0, "eps": 1e-10, "weight_decay": 0.0}),
    "adagrad-decay": (torch.optim.Adagrad, {"lr_decay": 0.0, "eps": 1e-10, "weight_decay": 0.1}),
    "adafactor": (Adafactor, {**ADAFACTOR, "weight_decay": 0.0}),
    "adafactor-decay": (Adafactor, {**ADAFACTOR, "weight_decay": 0.1}),
}


def _gradients(generator: torch.Generator) -> list[dict[str, torch.Tensor]]:
    steps = []
    for scale in GRADIENT_SCALES:
        step = {name: scale * torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
        step["embedding"][torch.randint(0, 4, (1,), generator=generator)] = 0  # a token that the batch lacks
        step["embedding"][3] = 0  # a token that never comes
        steps.append(step)
    return steps


def _run(optimizer_class: type, options: dict, start: dict, gradients: list) -> list[dict[str, list]]:
    parameters = {name: torch.nn.Parameter(value.clone()) for name, value in start.items()}
    optimizer = optimizer_class(list(parameters.values()), lr=LEARNING_RATES[0], **options)
    after = []
    for learning_rate, gradient in zip(LEARNING_RATES, gradients, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        for name, parameter in parameters.items():
            parameter.grad = gradient[name].clone()
        optimizer.step()
        after.append({name: parameter.detach().flatten().tolist() for name, parameter in parameters.items()})
    return after


def make() -> None:
    generator = torch.Generator().manual_seed(3000)
    start = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    gradients = _gradients(generator)
    cases = {
        name: {"options": {key: list(v) if isinstance(v, tuple) else v for key, v in options.items()},
               "parameters": _run(kind, options, start, gradients)}
        for name, (kind, options) in CASES.items()
    }
    unclipped = _run(Adafactor, {**ADAFACTOR, "clip_threshold": 1e9}, start, gradients)
    for tensor in SHAPES:
        assert unclipped[-1][tensor] != cases["adafactor"]["parameters"][-1][tensor], f"{tensor}: never clipped"
    write_json(
        "optimizers.json",
        {
            "shapes": {name: list(shape) for name, shape in SHAPES.items()},
            "start": {name: value.flatten().tolist() for name, value in start.items()},
            "learning_rates": LEARNING_RATES,
            "gradients": [{name: value.flatten().tolist() for name, value in step.items()} for step in gradients],
            "cases": cases,
        },
    )
