"""The compiler's one home: kernels, handlers, states and how Python reaches them.

Compiled code may not name what it calls, and it takes many times longer to compile when it passes
tuples of arrays. So:

* A *kernel* is a function over numbers, arrays and states.
* A *handler* is a table entry: `(binding, message) -> status`, called by address with `invoke`.
* A *state* is a `columnar` NamedTuple of arrays. Its *binding* is an int64 array of the addresses
  and lengths of its arrays; compiled code holds the address of the binding, one word, and reads a
  column from there. `view_of` turns the binding of several states back into them.
* A *message* is the address of one record; `record_of` gives the record back.

With `UNDERTOW_JIT=0` the same source runs as plain Python over the same tables: the readable twin.

Compiled code is cached in a folder a module, named by the hash of its source and of all it imports
from `sim` and `agents`, so that a changed callee never meets a stale caller. `UNDERTOW_CACHE`
overrides the place.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, cast, get_type_hints

import numpy as np
from llvmlite import ir
from numba import cfunc, config, from_dtype, njit, types
from numba.core import caching
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, models, register_model, typeof_impl, unbox
from numba.np.arrayobj import populate_array

import sim.numba_import  # noqa: F401 - before compiled code is loaded
from sim.compiler import EntryCompiler, KernelCompiler, KernelFunction, LargeKernelCompiler

JIT = os.environ.get("UNDERTOW_JIT", "1") != "0"
ROOT = Path(__file__).resolve().parents[1]
SIGNATURE = types.intp(types.intp, types.intp)

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Shape(NamedTuple):
    """Element type and number of dimensions of a state column."""

    dtype: np.dtype[Any]
    ndim: int


F8 = Annotated[np.ndarray, Shape(np.dtype("f8"), 1)]
I8 = Annotated[np.ndarray, Shape(np.dtype("i8"), 1)]
I4 = Annotated[np.ndarray, Shape(np.dtype("i4"), 1)]
F8x2 = Annotated[np.ndarray, Shape(np.dtype("f8"), 2)]  # (rows, columns)
I8x2 = Annotated[np.ndarray, Shape(np.dtype("i8"), 2)]


def records(dtype: np.dtype[Any]) -> Any:
    """Return the annotation of a column of records."""
    return Annotated[np.ndarray, Shape(dtype, 1)]


def blank(n: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Return `n` zeroed records whose fields are attributes, in Python as in compiled code."""
    return np.zeros(n, np.dtype((np.record, dtype)))


# --- cache ---------------------------------------------------------------------------------------


@functools.cache
def source_hash() -> str:
    """Return the code version: a hash of every source file of `sim` and `agents`."""
    digest = hashlib.sha256()
    for file in sorted(p for layer in ("sim", "agents") for p in (ROOT / layer).rglob("*.py")):
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


@functools.cache
def _imports_of(module: str) -> tuple[bytes, frozenset[str]]:
    """Return the source of one of our modules and the modules of ours that it imports."""
    file = _file_of(module)
    if file is None:
        return b"", frozenset()
    source = file.read_bytes()
    text = _TYPE_CHECKING.sub("", source.decode())
    found = set()
    for package, names in _IMPORT.findall(text):
        found.add(package)
        found |= {f"{package}.{name}" for name in re.findall(r"[A-Za-z_]\w*", names)}
    return source, frozenset(name for name in found if _file_of(name) is not None)


_TYPE_CHECKING = re.compile(r"^if TYPE_CHECKING:\n(?:[ \t].*\n|\n)*", re.MULTILINE)
_IMPORT = re.compile(r"^\s*from ((?:sim|agents)[\w.]*) import (\([^)]*\)|.*)$", re.MULTILINE)


@functools.cache
def _file_of(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


@functools.cache
def module_hash(module: str) -> str:
    """Return the hash of a module and of all it imports: what its compiled code depends on."""
    closure, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in closure:
            closure.add(name)
            waiting += _imports_of(name)[1]
    digest = hashlib.sha256()
    for name in sorted(closure):
        digest.update(name.encode() + b"\0" + _imports_of(name)[0])
    return digest.hexdigest()


@functools.cache
def cache_folder() -> Path | None:
    """Return the writable folder for compiled code, or None when there is none."""
    places = (
        os.environ.get("UNDERTOW_CACHE"),
        os.environ.get("XDG_CACHE_HOME"),
        "~/.cache",
        tempfile.gettempdir(),
    )
    for place in filter(None, places):
        folder = Path(place).expanduser() / "undertow"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return None


def is_compiled() -> bool:
    """Return whether this version's engine is in the cache already."""
    folder = cache_folder()
    name = f"sim.engine-{module_hash('sim.engine')[:16]}"
    return not JIT or (folder is not None and any((folder / name).rglob("*.nbi")))


class Locator(caching._CacheLocator):
    """Keep our kernels in a folder a module and version of all it depends on."""

    face = ""  # "inner": without a Python wrapper; Numba's own key does not tell

    def __init__(self, function: Any, file: str) -> None:
        path = Path(file).resolve()
        self._lineno = function.__code__.co_firstlineno
        self._stamp = hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_relative_to(ROOT):
            name = f"{function.__module__}-{module_hash(function.__module__)[:16]}"
        else:  # a user's own module: depends on itself and, for all we know, on all of ours
            name = f"user-{self._stamp[:16]}-{source_hash()[:16]}"
        folder = cache_folder() or Path(tempfile.gettempdir())
        self._path = str(folder / name / self.face)

    def get_cache_path(self) -> str:
        return self._path

    def get_source_stamp(self) -> str:
        return self._stamp

    def get_disambiguator(self) -> str:
        return str(self._lineno)

    @classmethod
    def from_function(cls, function: Any, file: str) -> Locator | None:
        return cls(function, file) if Path(file).exists() else None


def _with_cache(decorate: Callable[[], Any], face: str = "") -> Any:
    """Decorate with our cache folder, and leave Numba's settings as they were."""
    before, config.CACHE_LOCATOR_CLASSES = config.CACHE_LOCATOR_CLASSES, f"{__name__}.Locator"
    Locator.face = face
    try:
        return decorate()
    finally:
        config.CACHE_LOCATOR_CLASSES = before
        Locator.face = ""


# --- decorators ----------------------------------------------------------------------------------


def kernel(function: F | None = None, *, inline: bool = True) -> Any:
    """Compile a function over numbers and arrays; no allocation, no counting, no exceptions.

    `inline=False` keeps a large kernel that many callers share out of line.
    """
    if function is None:
        return functools.partial(kernel, inline=inline)
    if not JIT:
        function.py_func = function  # type: ignore[attr-defined]  # as Numba's dispatcher names it
        return function
    options = {
        "error_model": "numpy",
        "forceinline": False,  # said, as Numba otherwise takes it from whoever is compiled
        "nogil": True,
        "cache": cache_folder() is not None,
    }
    return Kernel(function, options, KernelCompiler if inline else LargeKernelCompiler)


class Kernel:
    """A compiled function with two faces: one for compiled code, one for Python.

    Compiled code needs no Python wrapper, and wrappers for wide states are half of the compile
    time. The Python face is compiled when Python first calls it. Small kernels are inlined where
    they are called, by LLVM's own judgment: inlining all makes its work many times longer.
    """

    def __init__(
        self, function: Callable[..., Any], options: dict[str, Any], compiler: type[EntryCompiler]
    ) -> None:
        functools.update_wrapper(self, function)
        self.py_func = function
        self._options = options
        self._compiler = compiler

    @functools.cached_property
    def inner(self) -> Any:
        """Return the dispatcher that compiled code calls; a start from the cache needs none."""
        options = {**self._options, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        options["pipeline_class"] = self._compiler
        return _with_cache(lambda: njit(**options)(self.py_func), face="inner")

    @functools.cached_property
    def _numba_type_(self) -> Any:
        """Return the type by which compiled code knows this kernel."""
        return KernelFunction(self.inner)

    @functools.cached_property
    def dispatcher(self) -> Any:
        """Return the dispatcher that Python calls."""
        options = {**self._options, "pipeline_class": EntryCompiler}
        return _with_cache(lambda: njit(**options)(self.py_func))

    def __call__(self, *args: Any) -> Any:
        return self.dispatcher(*args)

    def __getattr__(self, name: str) -> Any:
        """Return what else Numba's dispatcher offers, such as `stats` and `inspect_llvm`."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dispatcher, name)


class Handler:
    """An entry of the engine's tables; compiled at the first use of `address`."""

    def __init__(self, function: Callable[[int, int], int]) -> None:
        self.function = function
        if Path(function.__code__.co_filename).resolve().is_relative_to(ROOT):
            module_hash(function.__module__)  # of the sources as they are now, compiled when it may
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__

    def __call__(self, binding: int, message: int) -> int:
        return self.function(binding, message)

    @property
    def is_cached(self) -> bool:
        """Return whether its compiled code is in the cache."""
        folder, module = cache_folder(), self.function.__module__
        if not JIT or folder is None or _file_of(module) is None:
            return not JIT
        home = folder / f"{module}-{module_hash(module)[:16]}"
        version = f"py{sys.version_info.major}{sys.version_info.minor}"
        return any(home.glob(f"*.{self.function.__qualname__}-*.{version}.nbi"))

    @functools.cached_property
    def address(self) -> int:
        """Return the word that `invoke` calls: a code address, or a row of the twin's table."""
        if not JIT:
            _twins.append(self.function)
            return len(_twins) - 1
        options = {
            "error_model": "numpy",
            "forceinline": True,
            "nogil": True,
            "cache": cache_folder() is not None,
            "pipeline_class": EntryCompiler,
        }
        self.compiled = _with_cache(lambda: cfunc(SIGNATURE, **options)(self.function))
        return int(self.compiled.address)


def handler(function: Callable[[int, int], int]) -> Handler:
    """Make a table entry of `(binding address, message address) -> status`."""
    return Handler(function)


_twins: list[Callable[[int, int], int]] = []  # what `invoke` calls in the interpreted twin


# --- states --------------------------------------------------------------------------------------


def columnar(columns: type[T]) -> type[T]:
    """Make a NamedTuple of array columns a state: compiled code holds it by one address.

    The contents of the arrays change, the arrays do not: a grown state is a new one.

    Raises
    ------
    TypeError
        A field is not annotated as a column (`F8`, `I8x2`, `records(...)`).
    """
    address = functools.cached_property(lambda self: self.binding.ctypes.data)
    binding = functools.cached_property(bind)
    own = {name: getattr(columns, name) for name in ("__doc__", "__module__", "__qualname__")}
    made: Any = type(columns.__name__, (columns,), {**own, "binding": binding, "address": address})
    shapes_of(made)
    if JIT:
        kind = StateType(made)
        typeof_impl.register(made)(lambda value, context: kind)
    return cast("type[T]", made)


@functools.cache
def shapes_of(state: type) -> dict[str, Shape]:
    """Return the element type and dimensions of each column of a state, by name, in order."""
    hints = get_type_hints(state, include_extras=True)
    shapes = {}
    for name in state._fields:  # type: ignore[attr-defined]
        if not hasattr(hints[name], "__metadata__"):
            raise TypeError(f"{state.__name__}.{name} is no column; annotate it as F8, I8, …")
        shapes[name] = hints[name].__metadata__[0]
    return shapes


def bind(*states: Any) -> np.ndarray:
    """Return the binding of states: address and lengths of each array.

    The caller keeps the returned array and the states alive as long as anything is bound.

    Raises
    ------
    TypeError
        An array has another dtype, dimension or layout than its state declares.
    """
    words: list[int] = []
    for bound in states:
        for name, (dtype, ndim) in shapes_of(cast("Any", type(bound))).items():
            array = getattr(bound, name)
            if not (array.flags.c_contiguous and array.ndim == ndim and array.dtype == dtype):
                raise TypeError(
                    f"{type(bound).__name__}.{name} is {array.dtype}{array.shape}; "
                    f"it must be a contiguous {ndim}-dimensional {dtype} array"
                )
            words += [array.ctypes.data, *array.shape]
    return np.array(words, np.int64)


class StateType(types.Type):
    """A state in compiled code: the address of its binding, one word however many columns.

    Its name tells the layout of its columns: a kernel is cached by what its own module imports,
    and need not import the state that it is given.
    """

    def __init__(self, state: type) -> None:
        self.state = state
        layout = [(name, s.dtype.descr, s.ndim) for name, s in shapes_of(state).items()]
        digest = hashlib.sha256(repr(layout).encode()).hexdigest()[:12]
        super().__init__(name=f"{state.__module__}.{state.__qualname__}:{digest}")

    @functools.cached_property
    def columns(self) -> dict[str, tuple[Any, int]]:
        """Return the array type of each column, and its first word in the binding."""
        found, at = {}, 0
        for name, (dtype, ndim) in shapes_of(self.state).items():
            found[name] = types.Array(from_dtype(dtype), ndim, "C"), at
            at += 1 + ndim
        return found

    @property
    def n_words(self) -> int:
        """Return the length of the binding."""
        return sum(1 + kind.ndim for kind, _ in self.columns.values())


@register_model(StateType)
class _StateModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: StateType) -> None:
        super().__init__(manager, kind, ir.IntType(64))


@infer_getattr
class _StateColumns(AttributeTemplate):
    key = StateType

    def generic_resolve(self, kind: StateType, name: str) -> Any:
        return kind.columns[name][0] if name in kind.columns else None


@lower_getattr_generic(StateType)  # type: ignore[untyped-decorator]
def _column(context: Any, builder: Any, kind: StateType, address: Any, name: str) -> Any:
    """Emit an array over foreign memory: no owner, so nothing is counted."""
    array_type, at = kind.columns[name]
    word = context.get_value_type(types.intp)
    table = builder.inttoptr(address, word.as_pointer())
    loaded = [
        builder.load(builder.gep(table, [ir.Constant(word, at + k)]))
        for k in range(1 + array_type.ndim)
    ]
    for load in loaded:  # bindings never change while compiled code runs
        load.set_metadata("invariant.load", builder.module.add_metadata([]))
    array = context.make_array(array_type)(context, builder)
    item = context.get_data_type(array_type.dtype)
    size = context.get_constant(types.intp, context.get_abi_sizeof(item))
    strides = [size]
    for length in reversed(loaded[2:]):
        strides.insert(0, builder.mul(strides[0], length))
    populate_array(
        array,
        data=builder.inttoptr(loaded[0], item.as_pointer()),
        shape=loaded[1:],
        strides=strides,
        itemsize=size,
        meminfo=None,
    )
    return array._getvalue()


@unbox(StateType)  # type: ignore[untyped-decorator]
def _address_of(kind: StateType, value: Any, c: Any) -> Any:
    held = c.pyapi.object_getattr_string(value, "address")
    address = c.pyapi.to_native_value(types.intp, held)
    c.pyapi.decref(held)
    return address


class _View:
    """What `view_of` returns when interpreted; the compiled one carries the same `states`."""

    def __init__(self, states: tuple[type, ...]) -> None:
        self.states = states

    def __call__(self, address: int) -> tuple[Any, ...]:
        shapes = [shapes_of(state).values() for state in self.states]
        count = sum(1 + shape.ndim for state in shapes for shape in state)
        words: Iterator[int] = iter(_array_at(address, (count,), np.dtype("i8")).tolist())
        made = []
        for state, kinds in zip(self.states, shapes, strict=True):
            columns = []
            for dtype, ndim in kinds:
                data = next(words)
                columns.append(_array_at(data, tuple(next(words) for _ in range(ndim)), dtype))
            made.append(state(*columns))
        return tuple(made)


def _array_at(address: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    size = int(np.prod(shape)) * dtype.itemsize
    raw = (ctypes.c_char * size).from_address(int(address))
    kind = np.dtype((np.record, dtype)) if dtype.names else dtype
    return cast("np.ndarray", np.frombuffer(cast("Any", raw), kind).reshape(shape))


def view_of(*states: type) -> Any:
    """Return a function: binding address -> tuple of the states bound there.

    Its `states` attribute names what has to be bound, in order. Do not call the result `view`:
    Numba refuses `x.view(...)`.
    """
    if not JIT:
        return _View(states)
    kinds = [StateType(state) for state in states]
    result = types.Tuple(kinds)

    @intrinsic  # type: ignore[untyped-decorator]
    def unpack(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            addresses, at = [], 0
            for kind in kinds:
                offset = context.get_constant(types.intp, 8 * at)
                addresses.append(builder.add(args[0], offset))
                at += kind.n_words
            return context.make_tuple(builder, result, addresses)

        return result(types.intp), codegen

    unpack.states = states
    return unpack


def record_of(dtype: np.dtype[Any]) -> Any:
    """Return a function: address -> the record there."""
    if not JIT:
        return lambda address: _array_at(address, (1,), dtype)[0]
    record = from_dtype(dtype)

    @intrinsic  # type: ignore[untyped-decorator]
    def at(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(record))

        return record(types.intp), codegen

    return at


if JIT:

    @intrinsic  # type: ignore[untyped-decorator]
    def invoke(typingctx: Any, address: Any, binding: Any, message: Any) -> Any:
        """Call the handler at `address` with a binding and a message."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            word = ir.IntType(64)
            target = builder.inttoptr(args[0], ir.FunctionType(word, [word, word]).as_pointer())
            return builder.call(target, args[1:])

        return types.intp(types.intp, types.intp, types.intp), codegen

else:

    def invoke(address: int, binding: int, message: int) -> int:
        """Call the handler at `address` with a binding and a message."""
        return _twins[int(address)](int(binding), int(message))


@kernel
def row_address(array: np.ndarray, row: int) -> int:
    """Return the address of one row of an array of records."""
    return array.ctypes.data + int(row) * array.itemsize
