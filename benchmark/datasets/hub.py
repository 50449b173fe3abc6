"""Downloads a data set's files from Hugging Face, at a commit, with huggingface_hub (which resumes)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from atlas.errors import BadInput, InfrastructureError
from atlas.model_sources import SourceUnavailable, must_answer

COMMIT = re.compile(r"[0-9a-f]{40}")
ETAG_TIMEOUT_S = 10


def fetch(repo: str, files: Sequence[str], revision: str, directory: Path) -> tuple[list[Path], str]:
    """The files' paths below `directory`, and the commit they are of.

    A commit's files that are there already are not asked for again, so that works without a network. A branch
    or tag is looked up every time: it may have moved.

    Raises:
        BadInput: there is no such revision or file, or the data set is not open to this user.
        InfrastructureError: the download failed; what has come is kept, and the next attempt goes on.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import httpx  # here, since the import takes half a second that no other data set needs
    import huggingface_hub
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        if not all((_place(directory, repo, revision) / file).is_file() for file in files):
            url = huggingface_hub.hf_hub_url(repo, files[0], repo_type="dataset", revision=revision)
            must_answer(url, url.split("/")[2])
        commit = revision
        if not COMMIT.fullmatch(revision):
            commit = huggingface_hub.HfApi().dataset_info(repo, revision=revision).sha or revision
        place = _place(directory, repo, commit)
        place.mkdir(parents=True, exist_ok=True)
        paths = [
            Path(
                huggingface_hub.hf_hub_download(
                    repo,
                    file,
                    repo_type="dataset",
                    revision=commit,
                    local_dir=place,
                    etag_timeout=ETAG_TIMEOUT_S,
                )
            )
            for file in files
        ]
    except (SourceUnavailable, LocalEntryNotFoundError) as e:  # the latter is an EntryNotFoundError too
        raise _failed(repo, e) from e
    except (RevisionNotFoundError, EntryNotFoundError, GatedRepoError, RepositoryNotFoundError) as e:
        raise BadInput(f"data set {repo} at {revision}: {_line(e)}") from e
    except (HfHubHTTPError, OfflineModeIsEnabled, httpx.HTTPError, OSError) as e:
        raise _failed(repo, e) from e
    return paths, commit


def _place(directory: Path, repo: str, commit: str) -> Path:
    return directory / "datasets" / repo.replace("/", "--") / commit


def _failed(repo: str, error: Exception) -> InfrastructureError:
    return InfrastructureError(
        f"data set {repo} could not be downloaded: {_line(error)}; give your own copy as NAME=PATH"
    )


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
