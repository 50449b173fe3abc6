"""Between a chat and a task: what the messages ask for, and the task's end as a completion."""

from __future__ import annotations

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from atlas.api import SubmitRequest, TaskView
from atlas.contracts import Problem
from atlas.errors import NotFound
from atlas.openai_api import (
    PIPELINE,
    AnswerMessage,
    AtlasAnswer,
    AtlasOptions,
    CachedTokens,
    ChatChoice,
    ChatCompletion,
    ChatMessage,
    ChatRequest,
    ChatUsage,
)
from atlas.policy import POLICIES, Policy, named

SEEDS = 2**31
ROLES = {"system": "", "developer": "", "user": "User:\n", "assistant": "Assistant:\n"}
# What a client would miss in the answer if its request were taken; each with the values that ask for nothing.
REFUSED: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "tools": ([],),
    "functions": ([],),
    "logprobs": (False,),
    "audio": (),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
}


def pipeline_models() -> list[str]:
    """Return the names that ask for the pipeline."""
    return [PIPELINE, *(f"{PIPELINE}:{policy}" for policy in POLICIES)]


def submission(body: ChatRequest) -> SubmitRequest:
    """Return the task that a chat with one of `pipeline_models` asks for.

    Raises:
        RequestValidationError: naming the field and what to mend.
    """
    for field, harmless in REFUSED.items():
        value = (body.model_extra or {}).get(field)
        if value is not None and value not in harmless:
            raise _invalid(
                field, f"the pipeline gives one answer, a text, and cannot do what {field} asks; leave it out"
            )
    options = body.atlas or AtlasOptions()
    return SubmitRequest(
        problem=_problem(body, options),
        policy=_policy(body.model, options) or SubmitRequest.model_fields["policy"].default,
        seed=None if body.seed is None else body.seed % SEEDS,
        abstain_below=options.abstain_below,
        deadline_s=options.deadline_s,
    )


def _policy(model: str, options: AtlasOptions) -> str | Policy | None:
    _, _, name = model.partition(":")
    if name and options.policy is not None:
        raise _invalid("atlas.policy", f"the model '{model}' names a policy already; leave one of them out")
    if name:
        return name
    if isinstance(options.policy, str):
        try:
            return named(options.policy).name
        except NotFound as error:
            raise _invalid("atlas.policy", str(error)) from error
    return options.policy


def _problem(body: ChatRequest, options: AtlasOptions) -> Problem:
    if options.problem is not None:
        if options.examples or options.entry_point or options.starter_code:
            raise _invalid("atlas", "write examples, entry_point and starter_code into the problem")
        return options.problem
    try:
        return Problem(
            statement=_statement(body.messages),
            kind="function" if options.entry_point else "stdin",
            examples=options.examples,
            entry_point=options.entry_point,
            starter_code=options.starter_code,
        )
    except ValidationError as error:
        first = error.errors()[0]
        field = first["loc"][0] if first["loc"] else ""
        raise _invalid("messages" if field == "statement" else f"atlas.{field}", first["msg"]) from error


def _statement(messages: tuple[ChatMessage, ...]) -> str:
    """Join the turns; who speaks is said only where the assistant has spoken."""
    turns = [(message.role, _text(index, message)) for index, message in enumerate(messages)]
    if not any(text.strip() for role, text in turns if role == "user"):
        raise _invalid("messages", "no user message has text: state the problem in one")
    dialogue = any(role == "assistant" for role, _ in turns)
    return "\n\n".join((ROLES[role] if dialogue else "") + text for role, text in turns if text.strip())


def _text(index: int, message: ChatMessage) -> str:
    if message.role not in ROLES:
        raise _invalid(f"messages.{index}.role", f"must be one of {', '.join(ROLES)}")
    if not isinstance(message.content, list):
        return message.content or ""
    for part in message.content:
        if part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise _invalid(f"messages.{index}.content", "the pipeline reads parts of type 'text' only")
    return "\n".join(part["text"] for part in message.content)


def _invalid(field: str, message: str) -> RequestValidationError:
    return RequestValidationError(
        [{"loc": ("body", *field.split(".")), "msg": message, "type": "value_error"}]
    )


# ---------------------------------------------------------------- the answer


def completion(view: TaskView, model: str) -> ChatCompletion:
    """Return a decided task as a completion, one that abstained as a refusal."""
    return ChatCompletion(
        id=completion_id(view.id),
        created=int(view.submitted_at),
        model=model,
        choices=(ChatChoice(message=AnswerMessage(content=content(view), refusal=refusal(view))),),
        usage=usage_of(view),
        atlas=answer(view),
    )


def completion_id(task: str) -> str:
    """Return the id of a task's completion."""
    return f"chatcmpl-{task}"


def answered(view: TaskView) -> bool:
    """Whether a task that has ended has an answer: a program, a letter, or the refusal to guess."""
    return view.program is not None or view.status == "abstained"


def refusal(view: TaskView) -> str | None:
    """Return why a task abstained; None where it did not."""
    return view.error if view.status == "abstained" else None


def content(view: TaskView) -> str | None:
    """Return the program as one Markdown code block; the letter of a choice as a plain line.

    None where the task abstained.
    """
    if view.status == "abstained":
        return None
    if view.evidence is not None and view.evidence.basis == "majority_vote":
        return f"Answer: {view.program}"
    program = (view.program or "").rstrip("\n")
    fence = "```"
    while fence in program:
        fence += "`"
    return f"{fence}python\n{program}\n{fence}"


def usage_of(view: TaskView) -> ChatUsage:
    """Return the tokens of all the task's calls."""
    tokens = view.usage
    return ChatUsage(
        prompt_tokens=tokens.tokens_in,
        completion_tokens=tokens.tokens_out,
        total_tokens=tokens.tokens_in + tokens.tokens_out,
        prompt_tokens_details=CachedTokens(cached_tokens=tokens.tokens_cached),
    )


def answer(view: TaskView) -> AtlasAnswer:
    """Return what is added about the task."""
    return AtlasAnswer(
        task=view.id,
        status=view.status,
        evidence=view.evidence,
        missing=view.missing,
        late_tokens=view.late_tokens,
    )


def failure(view: TaskView) -> tuple[int, str, str]:
    """Return the status, code and message that tell of a task which ended without a program."""
    if view.status == "cancelled":
        return 409, "task_cancelled", f"task {view.id} was cancelled"
    message = f"task {view.id} failed: {view.error}"
    if view.deadline_reached:
        return 504, "deadline_reached", message
    return (503, "infrastructure_failure", message) if view.infrastructure else (502, "no_program", message)
