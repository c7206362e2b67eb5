"""The user's own coefficients of the energy estimate: one file that window and command line share."""

from __future__ import annotations

from pathlib import Path

from workbench.data.yaml_text import read_yaml, validated, write_yaml
from workbench.domain.energy import EnergyCoefficients
from workbench.domain.errors import BadInputError
from workbench.project.places import config_folder

_NAME = "energy.yaml"


def energy_coefficients(given: Path | None = None) -> EnergyCoefficients:
    """Return the coefficients of a file, of the user's own setting where none is named, or Horowitz's.

    Args:
        given: YAML or JSON file.

    Raises:
        BadInputError: the file can't be read, or has other keys or values.
    """
    own = config_folder() / _NAME
    path = given if given is not None else own if own.exists() else None
    if path is None:
        return EnergyCoefficients()
    content = read_yaml(path, BadInputError, "file of coefficients")
    return validated(EnergyCoefficients, content, BadInputError, str(path))


def keep_coefficients(coefficients: EnergyCoefficients) -> None:
    """Make these the user's own setting; StorageError where it can't be written."""
    own = config_folder() / _NAME
    own.parent.mkdir(parents=True, exist_ok=True)
    write_yaml(coefficients.model_dump(mode="json"), own)
