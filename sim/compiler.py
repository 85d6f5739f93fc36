"""How Numba compiles our kernels and handlers; only `sim.kernel` imports this.

Numba compiles every function as if Python called it: typed anew for each kind of literal argument,
optimized with all it calls, and turned into machine code. Of a few hundred kernels that call each
other, nearly all of that is for nothing: only handlers are called. So:

* A kernel is typed and lowered once for all integers, and its code only kept for its callers.
* An *entry*, a handler or what Python calls, is optimized and emitted together with all that it
  calls, once.
* What Numba does for features that kernels do not have is left out.
"""

from __future__ import annotations

import operator
from typing import Any, ClassVar

from llvmlite import binding as llvm
from llvmlite import ir
from numba import types
from numba.core import typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.runtime.nrt import rtsys
from numba.core.typing import Context
from numba.extending import models, register_model

_INLINE_BELOW = 1000  # cost in LLVM's units (its own default 250) of a callee; measured as fastest


# --- code ----------------------------------------------------------------------------------------


class EntryCode(JITCodeLibrary):
    """Code of an entry: all it calls, optimized together, once.

    Numba does it twice, for reference counts; kernels count only what is nothing after inlining.
    """

    def _optimize_final_module(self) -> None:
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
        options.inlining_threshold = _INLINE_BELOW
        builder = llvm.create_pass_builder(self._codegen._tm, options)
        passes = builder.getModulePassManager()
        passes.add_refprune_pass()
        passes.run(self._final_module, builder)

    def serialize_using_object_code(self) -> tuple[str, str, tuple[bytes, bytes]]:
        """Return what the cache keeps: machine code, and the names that it defines.

        Numba keeps the whole module beside it, for callers to link. An entry has none, and reading
        the modules takes a third of a start.
        """
        self._ensure_finalized()
        names = ir.Module()
        for function in self._final_module.functions:
            if not function.is_declaration:
                kind = ir.FunctionType(ir.VoidType(), ())
                body = ir.Function(names, kind, function.name).append_basic_block()
                ir.IRBuilder(body).ret_void()
        code = llvm.parse_assembly(str(names)).as_bitcode()
        return self.name, "object", (self._get_compiled_object(), code)


class KernelCode(JITCodeLibrary):
    """Code of a kernel for its callers to link: neither optimized, which they do, nor emitted.

    What is shared is the kernel and all it calls. What is emitted is a module with the variable
    that Numba fills for the function, and no function.
    """

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self._own: list[str] = []

    def add_ir_module(self, ir_module: Any) -> None:
        """Add the code of the kernel."""
        names = (variable.name for variable in ir_module.global_values)
        self._own += [name for name in names if name.startswith("_ZN08NumbaEnv")]
        super().add_ir_module(ir_module)

    def add_linking_library(self, library: Any) -> None:
        """Link a callee; Numba's runtime is left to the entry."""
        if library is not rtsys.library:
            super().add_linking_library(library)

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True
        self._finalize_dynamic_globals()
        shared = self._get_module_for_linking()
        rest = self._codegen._create_empty_module(self.name)
        for name in self._own:
            place = ir.GlobalVariable(rest, ir.IntType(8).as_pointer(), name)
            place.linkage, place.initializer = "common", place.value_type(None)
        self._final_module = llvm.parse_assembly(str(rest))
        super()._finalize_final_module()
        self._shared_module = shared


class LargeKernelCode(KernelCode):
    """Code of a kernel that stays out of line."""

    def add_ir_module(self, ir_module: Any) -> None:
        """Add the code of the kernel."""
        for function in ir_module.functions:
            if function.blocks and function.linkage == "":  # no helper of Numba's
                function.attributes.add("noinline")
        super().add_ir_module(ir_module)


# --- types ---------------------------------------------------------------------------------------


class KernelFunction(types.Dispatcher):
    """The type of a kernel in compiled code: one version for all signed integers, for all floats.

    Arithmetic of narrower integers is 64-bit anyhow.
    """

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        """Return the signature for some types of arguments."""
        return super().get_call_type(context, tuple(_widened(kind) for kind in args), kws)


register_model(KernelFunction)(models.OpaqueModel)


def _widened(kind: Any) -> Any:
    kind = types.unliteral(kind)
    return types.int64 if isinstance(kind, types.Integer) and kind.signed else kind


class Typing(Context):
    """Numba's typing context, which remembers the types of operators.

    Numba tries dozens of templates at each operator: of strings, lists, sets, dates.
    """

    known: ClassVar[dict[Any, Any]] = {}

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        """Return the signature of a call, or None."""
        if kws or not (isinstance(func, types.Function) and func.typing_key in _OPERATORS):
            return super().resolve_function_type(func, args, kws)
        key = func, tuple(args)
        if key not in self.known:
            self.known[key] = super().resolve_function_type(func, args, kws)
        return self.known[key]


_OPERATORS = frozenset(value for value in vars(operator).values() if callable(value))
_typings: dict[int, Typing] = {}


def _typing_like(context: Any) -> Typing:
    """Return the same typing context, remembering; they share all they hold."""
    made = _typings.get(id(context))
    if made is None:
        made = _typings[id(context)] = object.__new__(Typing)
        made.__dict__ = context.__dict__
    return made


# --- compilers -----------------------------------------------------------------------------------

_NOT_FOR_KERNELS = (
    untyped_passes.WithLifting,
    untyped_passes.InlineInlinables,
    untyped_passes.FindLiterallyCalls,
    untyped_passes.LiteralUnroll,
    untyped_passes.LiteralPropagationSubPipelinePass,
    typed_passes.InlineOverloads,
    typed_passes.NopythonRewrites,
    typed_passes.DumpParforDiagnostics,
)


class EntryCompiler(Compiler):
    """Numba's compiler, for entries."""

    code: type[JITCodeLibrary] = EntryCode

    def define_pipelines(self) -> Any:
        """Return the passes that kernels need, writing to a library of our kind."""
        if self.state.library is None:
            codegen = self.state.targetctx.codegen()
            self.state.library = self.code(codegen, self.state.func_id.func_qualname)
            self.state.library.enable_object_caching()
        self.state.typingctx = _typing_like(self.state.typingctx)
        pipelines = super().define_pipelines()
        for pipeline in pipelines:
            pipeline.passes = [p for p in pipeline.passes if p[0] not in _NOT_FOR_KERNELS]
            pipeline.finalize()
        return pipelines


class KernelCompiler(EntryCompiler):
    """Numba's compiler, for kernels as compiled code calls them."""

    code = KernelCode


class LargeKernelCompiler(EntryCompiler):
    """Numba's compiler, for kernels that stay out of line."""

    code = LargeKernelCode
