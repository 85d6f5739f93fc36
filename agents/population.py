"""Populations: Mesa agent sets whose data are columns, one row an agent.

A `Population` shows columns of the engine's state, without copying them, as a Mesa `AgentSet`. Its
members are `ColumnarAgent` views on a row, made when someone asks for one: two views on one row are
equal, not identical. `select`, `sort`, `shuffle` and `groupby` give `Rows`: some rows of it.

What differs from Mesa's sets: `get` returns an array, live where it shows a whole column; an agent
keeps no attributes beside its columns; rows are accounts, so none is ever added or removed; and
`do("step")` is refused, because populations act in blocks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from sim.errors import InputError
from sim.mesa_import import mesa
from sim.model import AgentSet, Groups, Model, aggregate, refuse_step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_OWN = ("population", "row")  # all that a view holds


class UnknownColumnError(InputError, AttributeError):
    """A population has no such column."""


class ColumnarAgent(mesa.Agent):
    """One agent of a population: a view on its row, with the columns as attributes.

    Parameters
    ----------
    population : whose row it is
    row : number of the row
    """

    population: Population
    row: int
    pos = None  # a view stands in no cell

    def __init__(self, population: Population, row: int) -> None:
        self.__dict__.update(population=population, row=int(row))

    @property
    def model(self) -> Model:
        """The model."""
        return self.population.model

    @property
    def unique_id(self) -> int:
        """Number of the agent, unique in its model."""
        return self.population.first_id + self.row

    def __getattr__(self, name: str) -> Any:
        if name in _OWN or name.startswith("__"):
            raise AttributeError(name)
        column = self.population.columns.get(name)
        if type(column) is np.ndarray:  # the common case, fast
            return column[self.row]
        return self.population.column(name)[self.row]

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
        else:
            self.population.array(name)[self.row] = value

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ColumnarAgent)
            and other.population is self.population
            and other.row == self.row
        )

    def __hash__(self) -> int:
        return hash((id(self.population), self.row))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.population.name}[{self.row}])"

    def remove(self) -> NoReturn:
        """Refuse: a row is an account."""
        raise InputError(f"{self!r} cannot be removed: rows of a population are accounts and stay")


class Rows(AgentSet):
    """Some rows of a population, in an order, as a Mesa agent set.

    Parameters
    ----------
    population : whose rows
    chosen : int64, (n,), row numbers; None: all
    """

    def __init__(self, population: Population, chosen: np.ndarray | None = None) -> None:
        self.population = population
        self.chosen = chosen
        self.random = population.model.random

    @property
    def rows(self) -> np.ndarray:
        """Row numbers: int64, (n,)."""
        return np.arange(self.population.n) if self.chosen is None else self.chosen

    # --- as a collection -------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.population.n if self.chosen is None else len(self.chosen)

    def __iter__(self) -> Iterator[Any]:
        view, population = self.population.view_class, self.population
        return (view(population, row) for row in self.rows.tolist())

    def __contains__(self, agent: object) -> bool:
        if not isinstance(agent, ColumnarAgent) or agent.population is not self.population:
            return False
        return self.chosen is None or bool(np.any(self.chosen == agent.row))

    def __getitem__(self, item: Any) -> Any:
        view, rows = self.population.view_class, self.rows[item]
        if isinstance(item, slice):
            return [view(self.population, row) for row in rows.tolist()]
        return view(self.population, rows)

    def __copy__(self) -> Rows:
        return Rows(self.population, self.chosen)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise InputError(
            f"rows of '{self.population.name}' cannot be copied or pickled apart from their world; "
            "take values with get(...).copy()"
        )

    @classmethod
    def _from_iterable(cls, agents: Any) -> Any:
        return list(dict.fromkeys(agents))  # of `|`, `&`, `-`: agents of any population

    def to_list(self) -> list[Any]:
        """Return a view on each row."""
        return list(self)

    def add(self, agent: Any) -> NoReturn:  # noqa: ARG002 - Mesa's signature
        """Refuse: a row is an account."""
        raise InputError(f"'{self.population.name}' has a fixed number of rows; none can be added")

    def discard(self, agent: Any) -> NoReturn:  # noqa: ARG002 - Mesa's signature
        """Refuse: a row is an account."""
        raise InputError(
            f"rows of '{self.population.name}' are accounts and cannot be removed; "
            "select(mask) gives the rows you want"
        )

    remove = discard

    # --- choosing --------------------------------------------------------------------------------

    def select(
        self,
        filter_func: Any = None,
        at_most: float = math.inf,
        inplace: bool = False,
        agent_type: type | None = None,
    ) -> Rows:
        """Return the rows that pass.

        Parameters
        ----------
        filter_func : bool, (n,), or a function of one agent (slow: makes every view); None: all
        at_most : most rows, or, below or at 1.0, the largest fraction of them
        inplace : narrow these rows themselves; not a whole population
        agent_type : all rows where the population's view is of this type, none otherwise
        """
        chosen = self.rows
        if agent_type is not None and not issubclass(self.population.view_class, agent_type):
            chosen = chosen[:0]
        elif filter_func is not None:
            chosen = chosen[self._mask(filter_func)]
        if at_most < math.inf:
            is_share = isinstance(at_most, float) and at_most <= 1.0
            chosen = chosen[: int(len(self) * at_most) if is_share else int(at_most)]
        return self._give(chosen, inplace)

    def sort(self, key: Any, ascending: bool = False, inplace: bool = False) -> Rows:
        """Return the rows sorted by a column or a function of one agent; stable."""
        values = np.asarray(self.map(key)) if callable(key) else self.get(key)
        if ascending:
            order = np.argsort(values, kind="stable")
        else:  # stable too: the reversed column sorted, and reversed back
            order = len(values) - 1 - np.argsort(values[::-1], kind="stable")[::-1]
        return self._give(self.rows[order], inplace)

    def shuffle(self, inplace: bool = False) -> Rows:
        """Return the rows in random order, drawn from `model.random`."""
        generator = np.random.default_rng(self.random.getrandbits(64))
        return self._give(generator.permutation(self.rows), inplace)

    def groupby(self, by: Any, result_type: str = "agentset") -> Groups:
        """Return the rows by the values of a column or function, in order of appearance."""
        values = np.asarray(self.map(by)) if callable(by) else self.get(by)
        keys, first, group = np.unique(values, return_index=True, return_inverse=True)
        order, ends = np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))
        pieces = np.split(self.rows[order], ends[:-1]) if len(keys) else []
        groups = {keys[k].item(): Rows(self.population, pieces[k]) for k in np.argsort(first)}
        if result_type == "list":
            return Groups({key: rows.to_list() for key, rows in groups.items()})
        return Groups(groups)

    def _mask(self, test: Any) -> np.ndarray:
        mask = np.asarray(self.map(test), bool) if callable(test) else np.asarray(test)
        if mask.dtype != bool or mask.shape != (len(self),):
            raise InputError(
                f"a mask of {mask.dtype}{mask.shape} cannot select from {len(self)} rows; give one "
                "boolean for each row, or a function of one agent"
            )
        return mask

    def _give(self, chosen: np.ndarray, inplace: bool) -> Rows:
        if not inplace:
            return Rows(self.population, chosen)
        if self is self.population:
            raise InputError(
                f"'{self.population.name}' keeps all its rows, in order; use the result instead of "
                "inplace=True"
            )
        self.chosen = chosen
        return self

    # --- values ----------------------------------------------------------------------------------

    def get(self, attr_names: Any, handle_missing: Any = "error", default_value: Any = None) -> Any:
        """Return a column, or several side by side.

        Parameters
        ----------
        attr_names : a name, or a list of them: of columns, `row`, `unique_id`, or properties
        handle_missing : "error", or "default" to fill unknown columns with `default_value`

        Returns
        -------
        (n,), or (n, n_names); the column itself for a whole population, else a copy
        """
        if not isinstance(attr_names, str):
            columns = [self.get(name, handle_missing, default_value) for name in attr_names]
            return np.column_stack(columns)
        if handle_missing == "default" and not self.population.has(attr_names):
            return np.full(len(self), default_value)
        declared = getattr(self.population.view_class, attr_names, None)
        if isinstance(declared, property) and attr_names != "unique_id":
            return np.array([getattr(agent, attr_names) for agent in self])
        column = self.population.column(attr_names)
        return column if self.chosen is None else column[self.chosen]

    def set(self, attr_name: str, value: Any) -> Rows:
        """Set a column to one value, or to one value for each row.

        Raises
        ------
        InputError
            The column is computed or a balance, or the values do not fit its length or type.
        """
        column = self.population.array(attr_name)
        new = np.asarray(value)
        if new.shape not in {(), (len(self), *column.shape[1:])} or not np.can_cast(
            new.dtype, column.dtype, "same_kind"
        ):
            raise InputError(
                f"column '{attr_name}' cannot be set to {new.dtype}{new.shape}; give one "
                f"{column.dtype} value, or {len(self)} of them"
            )
        column[slice(None) if self.chosen is None else self.chosen] = new
        return self

    def agg(self, attribute: str, func: Any) -> Any:
        """Return one or several functions of a column."""
        return aggregate(self.get(attribute), func)

    def map(self, method: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """Return what a method (by name) or function gives for each agent; slow, row by row."""
        if callable(method):
            return [method(agent, *args, **kwargs) for agent in self]
        return [getattr(agent, method)(*args, **kwargs) for agent in self]

    def do(self, method: Any, *args: Any, **kwargs: Any) -> Rows:
        """Call a method (by name) or function for each agent; slow, row by row. Not `step`."""
        refuse_step(method)
        self.map(method, *args, **kwargs)
        return self

    def shuffle_do(self, method: Any, *args: Any, **kwargs: Any) -> Rows:
        """Call a method or function for each agent in random order. Not `step`."""
        refuse_step(method)
        self.shuffle().do(method, *args, **kwargs)
        return self


class Population(Rows):
    """A population of agents: all its rows, as a Mesa agent set registered with the model.

    Parameters
    ----------
    model : which shows it in `agents`, `agents_by_type[view_class]` and `populations[name]`
    view_class : class of its agents
    n : number of rows
    columns : arrays of n rows, shown and set in place; or functions that compute such an array
    name : unique in the model; None: the name of the view class

    Raises
    ------
    InputError
        A column has another length, or a name that the views use themselves.
    """

    def __init__(
        self,
        model: Model,
        view_class: type[ColumnarAgent],
        n: int,
        columns: Mapping[str, np.ndarray | Callable[[], np.ndarray]],
        name: str | None = None,
    ) -> None:
        self.model = model
        self.view_class = view_class
        self.n = n
        self.columns = dict(columns)
        self.name = view_class.__name__ if name is None else name
        for key, column in columns.items():
            self._check(key, column)
        super().__init__(self)
        self.first_id = model.register_population(self)

    def _check(self, key: str, column: Any) -> None:
        if hasattr(self.view_class, key) or key in _OWN:
            raise InputError(
                f"column '{key}' of '{self.name}' has a name that views use; rename the column"
            )
        if not callable(column) and len(column) != self.n:
            raise InputError(
                f"column '{key}' of '{self.name}' has {len(column)} rows; it must have {self.n}"
            )

    def __repr__(self) -> str:
        return f"Population({self.name!r}, {self.n} rows of {', '.join(self.columns)})"

    def has(self, name: str) -> bool:
        """Return whether agents have a value of that name."""
        return (
            name in self.columns or name in {"row", "unique_id"} or hasattr(self.view_class, name)
        )

    def column(self, name: str) -> np.ndarray:
        """Return a column, stored or computed: (n,)."""
        if name == "row":
            return self.rows
        if name == "unique_id":
            return self.first_id + self.rows
        column = self.columns.get(name)
        if column is None:
            raise UnknownColumnError(
                f"'{self.name}' has no column '{name}'; it has: {', '.join(self.columns) or 'none'}"
            )
        return column() if callable(column) else column

    def array(self, name: str) -> np.ndarray:
        """Return a stored column, to be written to: (n,)."""
        column = self.column(name)
        if name not in self.columns or callable(self.columns[name]):
            stored = [key for key, column in self.columns.items() if not callable(column)]
            raise InputError(
                f"column '{name}' of '{self.name}' is computed and cannot be set; "
                f"these can: {', '.join(stored) or 'none'}"
            )
        if not column.flags.writeable:
            raise InputError(
                f"column '{name}' of '{self.name}' is a balance of the ledger and cannot be set; "
                "tokens move by orders alone (world.submit), or are given at the start"
            )
        return column
