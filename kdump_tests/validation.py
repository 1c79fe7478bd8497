"""What a person wrote, checked against a model; what is wrong is told by file, key and reason."""

import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

import pydantic

from kdump_tests.errors import BadInput, LabError
from kdump_tests.sizes import parse_size


class Strict(pydantic.BaseModel):
    """A value that does not change and has no key of which the model knows nothing."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


def _bytes(text: object) -> int:
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a memory size in quotes")
    try:
        return parse_size(text)
    except BadInput as error:
        raise ValueError(error.message) from None  # what pydantic takes for a fault of this key


def _size(text: str) -> str:
    _bytes(text)
    return text


# A size as it was written, and its bytes.
Size = Annotated[str, pydantic.AfterValidator(_size)]
Bytes = Annotated[int, pydantic.BeforeValidator(_bytes)]

Described = TypeVar("Described", bound=Strict)


def faults(error: pydantic.ValidationError, whole: str) -> str:
    """One line per fault: the key, or ``whole`` where it is none of a single one, and the reason."""
    return "\n".join(
        f"{'.'.join(map(str, fault['loc'])) or whole}: {fault['msg']}" for fault in error.errors()
    )


def load_toml(
    model: type[Described], path: Path, name: str, *, what: str, refusal: type[LabError]
) -> Described:
    """The model that a TOML file describes; ``name`` is not in the file, ``what`` says what it should be.

    Raises:
        refusal: the file is unreadable, or says what it must not.
    """
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise refusal(f"{path} cannot be read", reason=error) from None
    try:
        return model.model_validate({"name": name, **content})
    except pydantic.ValidationError as error:
        whole = model.__name__.lower()
        raise refusal(f"{path} is not a valid {what}", wrong=faults(error, whole)) from None
