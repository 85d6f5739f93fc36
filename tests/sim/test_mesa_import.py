"""Mesa's parts that a run does not use are loaded when they are asked for, and are then whole."""

from __future__ import annotations

import os
import subprocess
import sys


def told(code):
    """Return what Python prints, started anew."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_run_loads_no_spaces():
    code = (
        "import experiments.running, sys; print('networkx' in sys.modules, 'mesa' in sys.modules)"
    )
    assert told(code) == ["False", "True"]


def test_what_was_put_off_is_mesas_own_once_it_is_asked_for():
    code = (
        "from sim.mesa_import import mesa\n"
        "from mesa.experimental.devs import simulator\n"
        "import mesa.space as space\n"
        "from mesa.discrete_space import Network\n"
        "print(space.MultiGrid.__module__, Network.__module__, mesa.space.__spec__.name)\n"
        "print(mesa.discrete_space.Network is Network)"
    )
    assert told(code) == ["mesa.space", "mesa.discrete_space.network", "mesa.space", "True"]


def test_a_look_at_all_modules_loads_nothing():
    code = (
        "from sim.mesa_import import mesa, _Deferred\nimport sys\n"
        "before = [n for n, m in sys.modules.items() if type(m) is _Deferred]\n"
        "import inspect; [hasattr(m, '__file__') for m in list(sys.modules.values())]\n"
        "print(before == [n for n, m in sys.modules.items() if type(m) is _Deferred])"
    )
    assert told(code) == ["True"]


def test_mesa_imported_before_us_is_left_as_it_is():
    code = (
        "import mesa; before = mesa.space\nfrom sim.mesa_import import mesa\n"
        "print(mesa.space is before, hasattr(before, 'MultiGrid'))"
    )
    assert told(code) == ["True", "True"]
