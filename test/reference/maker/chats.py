"""Chats as chat templates write them, and which characters the assistant wrote, by transformers' own renderer.

The templates are written for this repository: they behave as those of the models do that they are named after. Each has a twin
in which `{% generation %}` blocks say what the assistant writes, as TRL's training templates do; the spans are the twin's. Where TRL
brings a model's real template and its training template, both must give the same texts and (but for white space at their ends) spans as ours, or nothing is written.
"""

import importlib.util
from pathlib import Path

from .common import write_json

# Behind {open} and before {close} stands what the assistant writes; in the plain template they are nothing.
CHATML = """{% for turn in messages %}
{{- '<|im_start|>' ~ turn.role ~ '\\n' }}
{%- if turn.role == 'assistant' %}{open}{{- turn.content ~ '<|im_end|>' }}{close}{% else %}{{- turn.content ~ '<|im_end|>' }}{% endif %}
{{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}"""

QWEN = """{%- if messages[0].role != 'system' %}
    {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for turn in messages %}
    {{- '<|im_start|>' + turn.role + '\\n' }}
    {%- if turn.role == 'assistant' %}
        {open}{{- turn.content + '<|im_end|>' }}{close}
    {%- else %}
        {{- turn.content + '<|im_end|>' }}
    {%- endif %}
    {{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

LLAMA_3 = """{{- bos_token }}
{%- for turn in messages %}
    {{- '<|start_header_id|>' + turn['role'] + '<|end_header_id|>\\n\\n' }}
    {%- set words = turn['content'] | trim %}
    {%- if turn['role'] == 'assistant' %}
        {open}{{- words + '<|eot_id|>' }}{close}
    {%- else %}
        {{- words + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"""

GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for turn in messages %}
{%- set wanted = 'user' if loop.index0 is even else 'assistant' %}
{%- if turn['role'] != wanted %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}
{%- if turn['role'] == 'assistant' %}{{ '<start_of_turn>model\\n' }}{open}{{ turn['content'] | trim + '<end_of_turn>' }}{close}{{ '\\n' }}
{%- else %}{{ '<start_of_turn>user\\n' + turn['content'] | trim + '<end_of_turn>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""

# The system's words lie in the first of the user's; every exchange is a sequence of its own.
LLAMA_2 = """{% set note = namespace(text='') %}
{% set rest = messages %}
{% if messages[0]['role'] == 'system' %}
{% set note.text = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}
{% set rest = messages[1:] %}
{% endif %}
{% for turn in rest %}
{% if (turn['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
{% endif %}
{% if turn['role'] == 'user' %}
{{- bos_token + '[INST] ' + ((note.text if loop.first else '') + turn['content']).strip() + ' [/INST]' }}
{%- elif turn['role'] == 'assistant' %}
{open}{{- ' ' + turn['content'].strip() + ' ' + eos_token }}{close}
{%- endif %}
{% endfor %}"""

MISTRAL = """{{- bos_token }}
{%- for turn in messages %}
{%- if (turn['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('After the optional system message, conversation roles must alternate user/assistant/user/assistant/...') }}
{%- endif %}
{%- if turn['role'] == 'user' %}
{{- '[INST] ' + turn['content'] + ' [/INST]' }}
{%- elif turn['role'] == 'assistant' %}
{open}{{- ' ' + turn['content'] + eos_token }}{close}
{%- else %}
{{- raise_exception('Only user and assistant roles are supported!') }}
{%- endif %}
{%- endfor %}"""

ZEPHYR = """{% for turn in messages %}
{% if turn['role'] == 'assistant' %}
{{- '<|assistant|>\\n' }}{open}{{- turn['content'] + eos_token }}{close}{{- '\\n' }}
{%- else %}
{{ '<|' + turn['role'] + '|>\\n' + turn['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

LLAMA_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
# Name → template, special tokens, the names of TRL's templates for the same model.
TEMPLATES = {
    "chatml": (CHATML, {"eos_token": "<|im_end|>"}, None),
    "qwen-2.5": (QWEN, {"eos_token": "<|im_end|>"}, "qwen2_5"),
    "llama-3": (LLAMA_3, {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}, "llama3"),
    "gemma": (GEMMA, {"bos_token": "<bos>", "eos_token": "<eos>"}, "gemma"),
    "llama-2": (LLAMA_2, LLAMA_TOKENS, None),
    "mistral": (MISTRAL, LLAMA_TOKENS, None),
    "zephyr": (ZEPHYR, LLAMA_TOKENS, None),
}


def _chat(*turns: str) -> list[dict[str, str]]:
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [{"role": roles[turn[0]], "content": turn[2:]} for turn in turns]


CHATS = [
    _chat("u:Why is the sky blue?", "a:Because of Rayleigh scattering."),
    _chat("s:Be brief.", "u:Hello", "a:Hi.", "u:Who are you?", "a:A program."),
    _chat("u:one", "a:two", "u:three", "a:four", "u:five", "a:six"),
    # What the assistant says was said before, and again.
    _chat("u:yes", "a:yes", "u:yes yes", "a:yes"),
    _chat("u:  spaces around \n", "a: both of us\n\n"),
    _chat("u:漢字, ü and 👩‍👩‍👧 {{ braces }}", "a:{% if x %}<b>ok</b>{% endif %} '\"\\ \u202eabc"),
    _chat("u:What ends a turn?", "a:<|im_end|>, </s> or <end_of_turn>", "u:Thanks", "a:You are welcome."),
    _chat("u:A list\n\n- a\n- b", "a:```py\nprint(1)\n```\n\nDone."),
    _chat("u:nothing", "a:"),
    # A question without an answer; an answer without a question; two questions; two answers.
    _chat("u:Hello", "a:Hi.", "u:Still there?"),
    _chat("a:I begin.", "u:Fine.", "a:Good."),
    _chat("u:one", "u:two", "a:three"),
    _chat("u:one", "a:two", "a:three"),
    _chat("s:Only a system."),
]


def make() -> None:
    from jinja2.exceptions import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    def render(template: str, tokens: dict, chat: list, **options) -> dict:
        try:
            texts, spans = render_jinja_template([chat], chat_template=template, **options, **tokens)
        except TemplateError as error:
            return {"refusal": str(error)}
        return {"text": texts[0], "spans": [list(span) for span in spans[0]] if spans else []}

    result = {}
    for name, (source, tokens, trl) in TEMPLATES.items():
        plain = source.replace("{open}", "").replace("{close}", "")
        marked = source.replace("{open}", "{% generation %}").replace("{close}", "{% endgeneration %}")
        cases = []
        for chat in CHATS:
            seen = render(marked, tokens, chat, return_assistant_tokens_mask=True)
            assert render(plain, tokens, chat).get("text") == seen.get("text"), (name, chat, render(plain, tokens, chat), seen)
            if trl:
                _compare(render, trl, tokens, chat, seen)
            cases.append({"messages": chat, **seen})
        result[name] = {"plain": plain, "marked": marked, "tokens": tokens, "cases": cases}
    write_json("chats.json", result)


def _compare(render, trl: str, tokens: dict, chat: list, ours: dict) -> None:
    folder = Path(importlib.util.find_spec("trl").submodule_search_locations[0]) / "chat_templates"
    real = render((folder / f"{trl}.jinja").read_text(), tokens, chat)
    assert real == {**ours, **({"spans": []} if "spans" in ours else {})}, (trl, chat, real, ours)
    trained = render((folder / f"{trl}_training.jinja").read_text(), tokens, chat, return_assistant_tokens_mask=True)
    # For Qwen TRL learns the line feeds around a turn too, of which the first is in the generation prompt already.
    assert _trimmed(trained) == _trimmed(ours), (trl, chat, trained, ours)


def _trimmed(seen: dict) -> list[str] | str:
    return [seen["text"][start:end].strip() for start, end in seen["spans"]] if "text" in seen else seen["refusal"]
