"""Rows of logits before and after transformers' logits processors, one at a time and in generate()'s order."""

import math

import torch
from transformers import (
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from .common import write_json

VOCAB = 23
# generate()'s own order: first what all decoding uses, then what only sampling uses
FACTORIES = {
    "repetition_penalty": RepetitionPenaltyLogitsProcessor,
    "no_repeat_ngram_size": NoRepeatNGramLogitsProcessor,
    "temperature": TemperatureLogitsWarper,
    "top_k": TopKLogitsWarper,
    "top_p": TopPLogitsWarper,
}
OPTIONS = [
    {"temperature": 0.7},
    {"temperature": 1.8},
    {"top_k": 1},
    {"top_k": 5},
    {"top_k": 40},  # more than the vocabulary
    {"top_p": 0.9},
    {"top_p": 0.3},
    {"top_p": 0.001},  # keeps exactly one
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.8},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3},
    {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2},
    {"temperature": 0.8, "top_k": 8},
    {"temperature": 1.3, "top_k": 12, "top_p": 0.8},
    {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3, "temperature": 0.9, "top_k": 10, "top_p": 0.95},
]
# What came before each row of logits, prompt included. The last is shorter than any n-gram of 2.
HISTORIES = [
    [3, 7, 3, 9, 7, 3, 1, 22, 3],
    [5, 5, 5, 5],
    [1, 2, 3, 4, 1, 2, 3, 4, 1, 2],
    [11],
]


def _finite(row: list[float]) -> list[float | None]:
    return [None if math.isinf(value) else value for value in row]


def make() -> None:
    generator = torch.Generator().manual_seed(4000)
    rows = torch.randn(len(HISTORIES), VOCAB, generator=generator) * 2.5
    fifth, sixth = rows[0].argsort(descending=True)[4:6].tolist()
    rows[0, sixth] = rows[0, fifth]  # a tie across top_k = 5, which keeps all that equal the k-th: six
    cases = []
    for options in OPTIONS:
        processors = LogitsProcessorList([make_one(options[key]) for key, make_one in FACTORIES.items() if key in options])
        after = [
            processors(torch.tensor([history]), rows[i : i + 1].clone())[0].tolist()
            for i, history in enumerate(HISTORIES)
        ]
        # Which of two equals top_p drops depends on torch's sort; no case may hang on it.
        assert (after[0][fifth] == -math.inf) == (after[0][sixth] == -math.inf), options
        cases.append({"options": options, "after": [_finite(row) for row in after]})
    write_json("processors.json", {"histories": HISTORIES, "before": rows.tolist(), "cases": cases})
