"""What the values in label files stand for, in the words of a study's label scheme. Proposed by layouts, never guessed.

A layout knows what its publisher documents (`LabelProposal`). Where that agrees with the study's scheme, name by name
and value by value, files are read as they are. Where it does not, nothing is read before the user has said which value
in the files is which structure of the study (`LabelOrder`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.label_scheme import LabelScheme, StructureRole
from napari_ssl.errors import LabelError, SchemeError

__all__ = ["LEFT_OUT", "STUDY_ORDER", "LabelOrder", "LabelProposal"]

STUDY_ORDER = "study"
"""Word for: the files use the study's own values."""

LEFT_OUT = "-"
"""Name for: this value becomes background."""

_ROLE_NAMES = {
    StructureRole.LV_CAVITY: ("lv", "lvc", "lvcavity", "leftventricle", "leftventricularcavity", "lvbp", "lvbloodpool"),
    StructureRole.RV_CAVITY: ("rv", "rvc", "rvcavity", "rightventricle", "rvbp", "rvbloodpool"),
    StructureRole.MYOCARDIUM: ("myo", "lvm", "lvmyo", "myocardium", "lvmyocardium", "leftventricularmyocardium", "mlv"),
    StructureRole.AORTA: ("ao", "aorta"),
}  # fmt: skip


def _plain(name: str) -> str:
    return re.sub(r"[^0-9a-z]", "", name.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelProposal:
    """What the source of label files says about their values.

    Parameters
    ----------
    meanings : tuple of (value, name)
        Background left out.
    source : str
        Who says so: a file, or a publication.
    """

    meanings: tuple[tuple[int, str], ...]
    source: str

    @classmethod
    def of_scheme(cls, scheme: LabelScheme, source: str) -> LabelProposal:
        """Return the values and names of a label scheme as a proposal."""
        return cls(meanings=tuple((s.value, s.name) for s in scheme.structures), source=source)

    def text(self) -> str:
        """Return ``1=RV, 2=Myo, 3=LV``."""
        return ", ".join(f"{value}={name}" for value, name in self.meanings)

    def suggested(self, scheme: LabelScheme) -> dict[int, int | None]:
        """Return for each value the study's value of the structure of that name; None where the study has none."""
        by_name = {_plain(s.name): s.value for s in scheme.structures}
        for role, names in _ROLE_NAMES.items():
            structure = scheme.by_role(role)
            for name in names if structure else ():
                by_name.setdefault(name, structure.value)
        return {value: by_name.get(_plain(name)) for value, name in self.meanings}

    def agrees_with(self, scheme: LabelScheme) -> bool:
        """Whether every value means the same in the study."""
        return all(value == other for value, other in self.suggested(scheme).items())


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOrder:
    """What a user confirmed: which value in label files is which value of the study.

    Parameters
    ----------
    pairs : tuple of (value in files, value of the study)
        0 as the second leaves the structure out.
    """

    pairs: tuple[tuple[int, int], ...]

    @classmethod
    def of_study(cls, scheme: LabelScheme) -> LabelOrder:
        """Return the order of files that use the study's own values."""
        return cls(pairs=tuple((v, v) for v in scheme.values))

    @classmethod
    def of(cls, table: Mapping[int, int], scheme: LabelScheme) -> LabelOrder:
        """Check a table from values in files to values of the study; several may become one structure.

        Raises
        ------
        SchemeError
            A value outside 1 to 255, or a structure that the study has not.
        """
        for value, target in table.items():
            if not 1 <= value <= 255:
                raise SchemeError(f"label order: value {value} in the files must be in [1, 255]; 0 is background")
            if target and target not in scheme.values:
                raise SchemeError(f"label order: the study has no label value {target}; it has {scheme.values}")
        return cls(pairs=tuple(sorted(table.items())))

    @classmethod
    def parse(cls, text: str, scheme: LabelScheme) -> LabelOrder:
        """Read ``study``, or ``1=RV,2=Myo,3=LV,4=-``: a value in the files and a structure's name, ``-`` leaves it out.

        Raises
        ------
        SchemeError
            It cannot be read, or names no structure of the study.
        """
        if text.strip().lower() == STUDY_ORDER:
            return cls.of_study(scheme)
        by_name = {s.name.lower(): s.value for s in scheme.structures}
        table: dict[int, int] = {}
        for part in text.split(","):
            match = re.fullmatch(r"\s*(\d{1,4})\s*=\s*(.+?)\s*", part)
            name = match.group(2).lower() if match else ""
            if match is None or (name != LEFT_OUT and name not in by_name):
                raise SchemeError(
                    f"labels {text!r}: cannot read {part.strip()!r}; write {STUDY_ORDER} or VALUE=NAME,… with "
                    f"the names {', '.join(scheme.names)}, or {LEFT_OUT} to leave a value out"
                )
            value = int(match.group(1))
            if value in table:
                raise SchemeError(f"labels {text!r}: value {value} is there twice")
            table[value] = 0 if name == LEFT_OUT else by_name[name]
        return cls.of(table, scheme)

    @classmethod
    def confirmed(
        cls, order: LabelOrder | None, proposal: LabelProposal | None, scheme: LabelScheme, where: str
    ) -> LabelOrder:
        """Return the order that holds for a file: the user's, else the study's where nothing speaks against it.

        Raises
        ------
        LabelError
            The layout documents another order than the study's, and the user has not said which is right.
        """
        if order is not None:
            return order
        if proposal is None or proposal.agrees_with(scheme):
            return cls.of_study(scheme)
        own = ", ".join(f"{s.value}={s.name}" for s in scheme.structures)
        example = ",".join(
            f"{value}={dict(zip(scheme.values, scheme.names, strict=True)).get(target, LEFT_OUT)}"
            for value, target in proposal.suggested(scheme).items()
        )
        raise LabelError(
            f"{where}: {proposal.source} says {proposal.text()}, the study has {own}; which these files follow must "
            f"be said, it is never guessed: --labels {example} or --labels {STUDY_ORDER} (in the window: Labels)"
        )

    def apply(self, labels: NDArray[Any], where: str) -> NDArray[np.uint8]:
        """Return labels in the study's values.

        Parameters
        ----------
        labels : array of uint8, any shape
        where : str
            File or case, for the error.

        Raises
        ------
        LabelError
            A value that the order does not name.
        """
        table = np.full(256, -1, np.int16)
        table[0] = 0
        for value, target in self.pairs:
            table[value] = target
        counts = np.bincount(labels.reshape(-1), minlength=256)
        alien = np.flatnonzero((counts > 0) & (table < 0))
        if alien.size:
            known = ", ".join(str(v) for v, _ in self.pairs)
            raise LabelError(
                f"{where}: label value {alien[0]} ({counts[alien[0]]} voxels) is not in the order that holds for it "
                f"(0, {known}); correct the file, or say what the value stands for with --labels"
            )
        if all(value == target for value, target in self.pairs):
            return labels.astype(np.uint8, copy=False)
        return table[labels].astype(np.uint8)
