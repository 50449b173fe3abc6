"""Chat templates rendered here: as the model's own llama-server renders them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from atlas.errors import InfrastructureError
from atlas.llama import LlamaClient
from atlas.model_facts import ModelFacts, Rendering
from benchmark.recorded.chat_template import ChatTemplate, TemplateFailed

CHATML = (
    "{% for m in messages %}\n  {{- '[' ~ m.role ~ ']' ~ m.content }}\n"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)
CONVERSATIONS = [
    [{"role": "user", "content": "Write a program: print('ü') {{ not a template }} <|im_end|>"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a\n\n  b\t\n"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "```python\nprint(1)\n```\n"},
        {"role": "user", "content": ""},
    ],
]


def facts(template: str = CHATML, **more: Any) -> ModelFacts:
    return ModelFacts(model="m", chat_template=template, context_tokens=1024, slots=1, time=0.0, **more)


@pytest.mark.integration
@pytest.mark.parametrize("thinking", [False, True])
async def test_prompts_are_those_of_the_real_server(llama_url: str, thinking: bool) -> None:
    client = LlamaClient(llama_url)
    try:
        template = ChatTemplate(await client.model_facts())
        for messages in CONVERSATIONS:
            prompt = await client._render(messages, thinking)
            assert template.render(messages, {"enable_thinking": thinking}) == prompt
    finally:
        await client.aclose()


def test_a_thinking_template_is_rendered_in_both_modes() -> None:
    text = (Path(__file__).parents[1] / "support" / "thinking_template.jinja").read_text()
    template = ChatTemplate(facts(text))
    plain = template.render(CONVERSATIONS[0], {"enable_thinking": False})
    assert plain != template.render(CONVERSATIONS[0], {"enable_thinking": True})


def test_a_template_that_comes_out_otherwise_is_refused() -> None:
    rendered = (Rendering(messages=({"role": "user", "content": "x"},), prompt="something else"),)
    with pytest.raises(InfrastructureError, match="renders otherwise here"):
        ChatTemplate(facts(rendered=rendered))
    with pytest.raises(InfrastructureError, match="cannot be read"):
        ChatTemplate(facts("{% for %}"))


def test_a_beginning_that_the_tokenizer_adds_is_left_out_as_the_server_does() -> None:
    rendered = (Rendering(messages=({"role": "user", "content": "x"},), prompt="<user>x"),)
    bos = ChatTemplate(
        facts("{{ bos_token }}<user>{{ messages[0].content }}", bos_token="<s>", rendered=rendered)
    )
    assert bos.render([{"role": "user", "content": "y"}], {}) == "<user>y"


def test_what_templates_use() -> None:
    made = ChatTemplate(facts("{{ strftime_now('%Y') }} {{ {'b': 'é', 'a': '<'} | tojson }}"))
    assert made.render([], {}) in ('1970 {"b": "é", "a": "<"}', '1969 {"b": "é", "a": "<"}')
    with pytest.raises(TemplateFailed, match="no system, please"):
        ChatTemplate(facts("{{ raise_exception('no system, please') }}")).render([], {})
    with pytest.raises(TemplateFailed):
        ChatTemplate(facts("{{ ''.__class__.__mro__ }}")).render([], {})
