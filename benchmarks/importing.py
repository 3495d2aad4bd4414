"""How long imports take: 31 patients of ACDC, a DICOM folder of 10,000 files; and how much memory a case costs.

    python benchmarks/importing.py --data FOLDER [--files 10000]

Budgets (two cores): 31 patients of ``acdc_cine`` in 20 s, hashes included; 10,000 DICOM files indexed in 60 s; the
memory of an import is bounded by one case, however many there are.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.io.dicom.folder import files_below, index_files
from napari_ssl.io.dicom.stacks import stacks_of
from napari_ssl.io.identity import Pseudonyms
from napari_ssl.io.layouts import ScanOptions, scan
from napari_ssl.study.study import Study

_MR = "1.2.840.10008.5.1.4.1.1.4"


def write_cine(folder: Path, series: str, patient: str, shape_tzyx: tuple[int, int, int, int]) -> None:
    """Write a short-axis cine, one file a picture, in no order."""
    folder.mkdir(parents=True)
    n_phases, n_slices, rows, columns = shape_tzyx
    order = np.random.default_rng(0).permutation(n_phases * n_slices)
    pixels = np.random.default_rng(1).integers(0, 2000, (rows, columns), np.int16)
    for name, index in enumerate(order):
        t, z = divmod(int(index), n_slices)
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = _MR, f"{series}.{index + 1}"
        d = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        d.SOPClassUID, d.SOPInstanceUID, d.Modality = _MR, f"{series}.{index + 1}", "MR"
        d.PatientID, d.PatientName, d.StudyInstanceUID = patient, patient, f"1.2.{patient}"
        d.SeriesInstanceUID, d.SeriesNumber, d.InstanceNumber = series, 1, int(index)
        d.ImageType, d.TriggerTime, d.SliceThickness = ["ORIGINAL", "PRIMARY", "M"], 30.0 * t, 8
        d.ImagePositionPatient, d.ImageOrientationPatient = [0, 0, 8 * z], [1, 0, 0, 0, 1, 0]
        d.PixelSpacing, d.Rows, d.Columns = [1.5, 1.5], rows, columns
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.BitsAllocated = d.BitsStored = 16
        d.HighBit, d.PixelRepresentation = 15, 1
        d.PixelData = (pixels + t).astype(np.int16).tobytes()
        d.save_as(folder / f"IM{name:05d}", enforce_file_format=True)


def acdc(data: Path, folder: Path) -> None:
    """Import 31 patients: cines and their labels."""
    steps: list[int] = []
    with Study.create(folder / "acdc", label_scheme=PRESETS["acdc"]) as study:
        begin, cpu = time.perf_counter(), time.process_time()
        items = scan(data / "acdc_cine")
        report = study.add_cases(items, progress=lambda done, total, name: steps.append(done))
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        assert len(report.added) == len(items) == 31 and not report.failed, report
    print(f"acdc_cine: {len(items)} patients in {seconds:.1f} s ({cpu:.1f} s of CPU), {len(steps)} steps of progress")
    with Study.create(folder / "stopped", label_scheme=PRESETS["acdc"]) as study:
        begin = time.perf_counter()
        report = study.add_cases(items, should_stop=lambda: time.perf_counter() - begin > 0.5)
        print(f"acdc_cine: stopped {time.perf_counter() - begin:.2f} s after its start with {len(report.added)} cases")


def dicom(folder: Path, n_files: int) -> None:
    """Index a folder of many small files: 20 phases × 10 slices a patient."""
    for patient in range(n_files // 200):
        write_cine(folder / "many" / f"p{patient}", f"1.3.{patient}", f"{patient + 1}", (20, 10, 16, 16))
    begin, cpu = time.perf_counter(), time.process_time()
    files = files_below([folder / "many"])
    found = index_files(files)
    stacks = stacks_of(found.series)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    assert len(stacks) == n_files // 200 and all(s.grid for s in stacks)
    print(f"DICOM: {len(files)} files of {len(stacks)} series indexed in {seconds:.1f} s ({cpu:.1f} s of CPU)")


def _peak_mb(source: Path, target: Path, pipe: multiprocessing.connection.Connection) -> None:
    with Study.create(target, label_scheme=PRESETS["acdc"]) as study:
        options = ScanOptions(pseudonyms=Pseudonyms.of_folder(study.folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        report = study.add_cases(scan(source, "dicom", options))
        assert not report.failed, report
    pipe.send((before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def memory(folder: Path) -> None:
    """Compare the peak of memory of one large case with that of five."""
    shape = (30, 12, 256, 256)
    context = multiprocessing.get_context("spawn")
    for n in (1, 5):
        for patient in range(n):
            write_cine(folder / f"large{n}" / f"p{patient}", f"1.4.{n}.{patient}", f"{patient + 1}", shape)
        parent, child = context.Pipe()
        process = context.Process(target=_peak_mb, args=(folder / f"large{n}", folder / f"study{n}", child))
        process.start()
        before, peak = parent.recv()
        process.join()
        size = np.prod(shape) * 2 / 2**20
        print(f"memory: {n} case(s) of {size:.0f} MiB each: peak {peak:.0f} MiB, {before:.0f} before the import")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with acdc_cine; without it that part is left out")
    parser.add_argument("--files", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.data is not None:
            acdc(arguments.data, Path(folder))
        dicom(Path(folder), arguments.files)
        memory(Path(folder))


if __name__ == "__main__":
    main()
