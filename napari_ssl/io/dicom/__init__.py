"""DICOM in: folders in any order become grids of slices and phases, written once as NIfTI.

``headers`` reads what a file says about itself, ``folder`` goes through files and sorts them into series, ``stacks``
takes series apart or puts them together, ``grid`` finds slices, phases and what is missing, ``pixels`` decodes, and
``conversion`` is what an import does with a grid.
"""
