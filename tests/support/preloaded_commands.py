"""Imports all modules of the commands, in the process that `tests.support.commands` forks."""

import gc
from importlib import import_module
from pkgutil import walk_packages

import adapters
import cli
import models
import workflows

for package in (cli, adapters, models, workflows):
    for module in walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
gc.freeze()  # the collector never touches these objects, so forks share their memory
