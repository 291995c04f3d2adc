"""Greedy and beam generations, one prompt at a time, checked to be the same in float64.

The end-of-text id of most cases is not the model's own: for each model one is chosen that makes some beams finish early
and others not, which random weights would hardly ever do with a given id. Some cases have none, and run to the full length.
"""

import torch
from transformers import GenerationConfig
from transformers.modeling_utils import PreTrainedModel

from .common import write_json
from .models import load

MAX_NEW_TOKENS = 20
PROMPT_LENGTHS = (3, 7, 5)
GREEDY = [{}, {"no_repeat_ngram_size": 2}, {"repetition_penalty": 1.3}]
BEAMS = [
    {"num_beams": beams, "length_penalty": penalty, "early_stopping": early}
    for beams in (3, 4)
    for penalty in (1.0, 0.7)
    for early in (True, False)
] + [{"num_beams": 3, "no_repeat_ngram_size": 2, "repetition_penalty": 1.3}]


def generate(model: PreTrainedModel, prompt: list[int], eos: int | None, options: dict) -> list[dict]:
    """The new tokens of every returned sequence, best first: up to and with the end-of-text id. Beams have scores."""
    beams = options.get("num_beams", 1)
    config = GenerationConfig(
        max_new_tokens=MAX_NEW_TOKENS, do_sample=False, eos_token_id=eos, pad_token_id=0 if eos is None else eos,
        num_return_sequences=beams, return_dict_in_generate=True, output_scores=True, **options,
    )
    ids = torch.tensor([prompt])
    output = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    sequences = []
    for index, sequence in enumerate(output.sequences.tolist()):
        tokens = sequence[len(prompt) :]
        tokens = tokens[: tokens.index(eos) + 1] if eos in tokens else tokens
        sequences.append({"tokens": tokens, **({"score": output.sequences_scores[index].item()} if beams > 1 else {})})
    return sequences


def _lengths(cases: list[dict]) -> list[int]:
    return [len(result[0]["tokens"]) for case in cases for result in case["results"]]


def _all(model: PreTrainedModel, prompts: list[list[int]], eos: int | None, choices: list[dict]) -> list[dict]:
    return [
        {"eos_token_id": eos, "options": options, "results": [generate(model, p, eos, options) for p in prompts]}
        for options in choices
    ]


def _every_case(model: PreTrainedModel, prompts: list[list[int]], eos: int) -> list[dict]:
    return _all(model, prompts, None, [*GREEDY, BEAMS[0]]) + _all(model, prompts, eos, [*GREEDY, *BEAMS])


def _choose_eos(model: PreTrainedModel, prompts: list[list[int]]) -> int:
    """The id that gives the most different lengths, among those that come up at all."""
    free = _all(model, prompts, None, [GREEDY[0], BEAMS[0], BEAMS[6]])
    candidates = {token for case in free for result in case["results"] for beam in result for token in beam["tokens"]}

    def variety(eos: int) -> tuple[int, int]:
        lengths = _lengths(_all(model, prompts, eos, [GREEDY[0], BEAMS[0], BEAMS[3], BEAMS[6]]))
        return len(set(lengths)), sum(1 < length < MAX_NEW_TOKENS for length in lengths)

    return max(sorted(candidates), key=variety)


def _same(ours: list[dict], exact: list[dict]) -> bool:
    return all(
        [sequence["tokens"] for sequence in a] == [sequence["tokens"] for sequence in b]
        for x, y in zip(ours, exact, strict=True)
        for a, b in zip(x["results"], y["results"], strict=True)
    )


def make() -> None:
    for index, name in enumerate(("gpt2-a", "gpt2-b", "gpt-neo-a")):
        model, double = load(name), load(name).double()
        # generate() fills what a config leaves open from the model's own, which would bring its end-of-text id back.
        model.generation_config = double.generation_config = GenerationConfig()
        generator = torch.Generator().manual_seed(5000 + index)
        # Positions end at 32 in the smallest model: 7 + 20 tokens fit.
        vocab = model.config.vocab_size
        prompts = [torch.randint(0, vocab - 1, (n,), generator=generator).tolist() for n in PROMPT_LENGTHS]
        eos = _choose_eos(model, prompts)
        cases = _every_case(model, prompts, eos)
        if not _same(cases, _every_case(double, prompts, eos)):
            raise SystemExit(f"{name}: a generation hangs on float32 rounding; choose another seed")
        write_json(
            f"generations/{name}.json",
            {"model": name, "max_new_tokens": MAX_NEW_TOKENS, "prompts": prompts, "cases": cases},
        )
        print(f"{name}: eos {eos}, lengths {_lengths(cases)}", flush=True)
