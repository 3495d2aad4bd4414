"""Medical Segmentation Decathlon (and nnU-Net v1): ``dataset.json`` that lists images and labels by name.

``"modality": {"0": "T2", "1": "ADC"}``, ``"labels": {"0": "background", "1": "PZ"}``, ``"training": [{"image": …,
"label": …}]``, ``"test": […]``. Channels lie along the fourth axis of one file; the one that is chosen is written into
the study as an image of its own. Test images are of the test split.

Source: M. Antonelli et al., Nat. Commun. 13:4128, 2022; http://medicaldecathlon.com.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_ssl.core.case import Split
from napari_ssl.core.label_order import LabelProposal
from napari_ssl.errors import ImageError
from napari_ssl.io.channels import ChannelConversion, choose_channel
from napari_ssl.io.layouts.dataset_json import DATASET_FILE, file_inside, label_proposal, read_dataset
from napari_ssl.io.layouts.item import ImportItem, sanitise_id
from napari_ssl.io.layouts.options import ScanOptions
from napari_ssl.io.layouts.plain import stem, subject_of

__all__ = ["is_msd", "scan_msd"]


def is_msd(folder: Path) -> bool:
    """Whether a folder is a data set of this layout: its ``dataset.json`` names modalities and training cases."""
    try:
        document = read_dataset(folder)
    except ImageError:
        return False
    return isinstance(document.get("modality"), dict) and isinstance(document.get("training"), list)


def scan_msd(folder: str | Path, options: ScanOptions) -> list[ImportItem]:
    """List the cases.

    Raises
    ------
    ImageError
        No such data set, a file that is absent or outside of it, or several channels and none chosen.
    LabelError
        A label value that is no whole number.
    """
    folder = Path(folder).resolve()
    path = folder / DATASET_FILE
    document = read_dataset(folder)
    modality, labels = document.get("modality"), document.get("labels")
    training, test = document.get("training"), document.get("test", [])
    if not isinstance(modality, dict) or not modality or not isinstance(training, list) or not isinstance(test, list):
        raise ImageError(f"{path}: lacks modality or training; it is no data set of the Decathlon")
    channels = {str(number): str(name) for number, name in modality.items()}
    channel = choose_channel(channels, options.channel, path)
    proposal = label_proposal(list(labels.items()) if isinstance(labels, dict) else [], path)
    items = []
    for entry in training:
        if not isinstance(entry, dict):
            raise ImageError(f"{path}: training holds {entry!r}; each entry names an image and its label")
        image = file_inside(folder, entry.get("image"), path)
        label = file_inside(folder, entry["label"], path) if entry.get("label") else None
        items.append(_item(image, label, None, proposal, channels, channel))
    for entry in test:
        image = file_inside(folder, entry.get("image") if isinstance(entry, dict) else entry, path)
        items.append(_item(image, None, Split.TEST, proposal, channels, channel))
    if not items:
        raise ImageError(f"{path}: lists no case; complete it")
    names = [i.case_id for i in items]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise ImageError(f"{path}: lists case {twice} twice; remove one of the entries")
    return items


def _item(
    image: Path,
    label: Path | None,
    split: Split | None,
    proposal: LabelProposal | None,
    channels: dict[str, str],
    channel: int,
) -> ImportItem:
    name = stem(image)
    several: dict[str, Any] = {}
    if len(channels) > 1:
        taken = ChannelConversion(path=image, channel=channel, name=channels[str(channel)])
        several = {"conversion": taken}
    return ImportItem(
        subject_id=sanitise_id(subject_of(name)),
        case_id=sanitise_id(name),
        image_path=image,
        label_paths=((None, label),) if label else (),
        split=split,
        label_proposal=proposal,
        **several,
    )
