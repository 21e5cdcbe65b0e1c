"""Data sets: a loader, a data card and an embedded stand-in for each."""

from mmlearn.datasets.base import MultimodalDataset, Split, grouped_split
from mmlearn.datasets.chest_xray import chest_xray_notes
from mmlearn.datasets.cifar10 import cifar10_captions
from mmlearn.datasets.covid import covid_cxr
from mmlearn.datasets.fleet import Fleet
from mmlearn.datasets.hydraulic import hydraulic_rig
from mmlearn.datasets.interactions import Interactions, interactions
from mmlearn.datasets.leaks import Leak, Leaks, leaks
from mmlearn.datasets.life import Degradation, Lives, machine_life
from mmlearn.datasets.machine import machine
from mmlearn.datasets.notes import notes_limit, notes_posterior
from mmlearn.datasets.occupancy import occupancy
from mmlearn.datasets.own import from_csv, from_folder
from mmlearn.datasets.rotating import Bearing, envelope_spectrum
from mmlearn.datasets.watch import watch_imu
from mmlearn.datasets.windows import Aligned, align, standardized, windows

__all__ = [
    "Aligned",
    "Bearing",
    "Degradation",
    "Fleet",
    "Interactions",
    "Leak",
    "Leaks",
    "Lives",
    "MultimodalDataset",
    "Split",
    "align",
    "chest_xray_notes",
    "cifar10_captions",
    "covid_cxr",
    "envelope_spectrum",
    "from_csv",
    "from_folder",
    "grouped_split",
    "hydraulic_rig",
    "interactions",
    "leaks",
    "machine",
    "machine_life",
    "notes_limit",
    "notes_posterior",
    "occupancy",
    "standardized",
    "watch_imu",
    "windows",
]
