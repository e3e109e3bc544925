"""Fetch a file from a repository on the Hub, or push a folder to one.

Whatever goes wrong there, the client's errors being of many kinds, becomes one error that says
what is missing. Nothing here knows what the files hold.
"""

from pathlib import Path
from typing import Any

from gelora.errors import ArtifactError


def is_hub_id(source: str) -> bool:
    """Return whether a name can be a repository's: "owner/name".

    >>> is_hub_id("someone/adapter"), is_hub_id("./adapter"), is_hub_id("runs/cola/adapter")
    (True, False, False)
    """
    parts = source.split("/")
    return (
        len(parts) == 2 and all(parts) and not source.startswith((".", "~")) and "\\" not in source
    )


def download(repo_id: str, filename: str, **arguments: Any) -> Path:
    """Return the path of a repository's file, fetched or from the client's cache.

    Args:
        repo_id: "owner/name".
        filename: In the repository.
        **arguments: `revision`, `token` and `cache_dir` of `hf_hub_download`.

    Raises:
        ArtifactError: The Hub gave none.
    """
    import huggingface_hub  # noqa: PLC0415 - half a second that only this needs

    try:
        return Path(huggingface_hub.hf_hub_download(repo_id, filename, **arguments))  # pyright: ignore[reportUnknownMemberType]
    except Exception as error:  # the client's errors span OSError, ValueError and its own
        raise ArtifactError(
            f"{repo_id} is no local folder, and the Hub gave no {filename}: {error}"
        ) from error


def check_token(repo_id: str, token: str | None = None) -> None:
    """Check that there is a token to push with.

    Raises:
        ArtifactError: There is none.
    """
    import huggingface_hub  # noqa: PLC0415 - half a second that only this needs

    if not (token or huggingface_hub.get_token()):
        raise ArtifactError(
            f"Pushing to {repo_id} needs a token that may write: set HF_TOKEN, or run "
            "`hf auth login`."
        )


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    commit_message: str | None = None,
) -> str:
    """Push every file of a folder to a repository, which is made if it is not there.

    Args:
        folder: Its files go to the repository's root; others that are there stay.
        repo_id: "owner/name", or a name alone for the token's owner.
        private: Whether a new repository is private; None for what the owner has set.
        token: That may write; None for HF_TOKEN, or the one of `hf auth login`.
        commit_message: None for the client's own.

    Returns:
        The address of the commit.

    Raises:
        ArtifactError: There is no token, or the Hub cannot be reached or refuses.
    """
    import huggingface_hub  # noqa: PLC0415 - half a second that only this needs

    check_token(repo_id, token)
    api = huggingface_hub.HfApi(token=token)
    try:
        full_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        commit = api.upload_folder(  # pyright: ignore[reportUnknownMemberType]
            repo_id=full_id, folder_path=str(folder), commit_message=commit_message
        )
    except Exception as error:  # the client's errors span OSError, ValueError and its own
        raise ArtifactError(
            f"The Hub did not take the files for {repo_id} ({type(error).__name__}: {error}): "
            "check the network, the name and what the token may do, and push again."
        ) from error
    return commit.commit_url
