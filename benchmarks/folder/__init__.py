"""Data of one's own as a benchmark: a folder with a description, images, a table of stimuli and responses."""

from benchmarks.folder.card import Examined, examine_folder, open_folder
from benchmarks.folder.description import Description
from benchmarks.folder.starting import Started, start_folder
from benchmarks.folder.writing import FORMATS, Format, check_target, write_folder

__all__ = [
    "FORMATS",
    "Description",
    "Examined",
    "Format",
    "Started",
    "check_target",
    "examine_folder",
    "open_folder",
    "start_folder",
    "write_folder",
]
