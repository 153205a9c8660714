"""PyTorch on the CPU: tensors with the memory that they share, and what of torch is a program's.

Pickle has each tensor bring memory of its own, and forgets gradients and the graph that a result came from.
That is in C++ and stays at home: a tensor that can still be differentiated is refused.
"""

from __future__ import annotations

import sys
from pickle import PickleBuffer

from . import classes, imports, instances

__builtins__ = imports.BUILTINS

# ------------------------------------------------------------------------- building, at the peer


def make_optimizer(cls):
    """An optimizer without anything in it, whose class calls hooks around its steps from now on."""
    optimizer = cls.__new__(cls)
    optimizer._patch_step_function()
    return optimizer


def make_storage(memory):
    """The memory of tensors, with these bytes."""
    import torch

    storage = torch.UntypedStorage(len(memory))
    if len(memory):
        _flat(storage).copy_(torch.frombuffer(memory, dtype=torch.uint8))
    return storage


def _flat(storage):
    import torch

    return torch.empty(0, dtype=torch.uint8).set_(storage)


def make_array_memory(storage):
    """The same memory as an array of bytes."""
    return _flat(storage).numpy()


def make_tensor(cls, dtype):
    """A tensor without memory."""
    import torch

    tensor = torch.empty(0, dtype=dtype)
    return tensor if cls is torch.Tensor else cls(tensor, requires_grad=False)


def fill_tensor(tensor, state):
    """Give it its memory, its gradient, and what else it has."""
    import torch

    where, flags, requires_grad, gradient, hooks, attributes, is_result = state
    with torch.no_grad():
        tensor.set_(*where)
    is_conjugate, is_negative = flags
    if is_conjugate:
        torch._C._set_conj(tensor, True)
    if is_negative:
        torch._C._set_neg(tensor, True)
    if is_result:
        _make_result(tensor)
    elif requires_grad:
        tensor.requires_grad_()
    if gradient is not None:
        tensor.grad = gradient
    if hooks:
        tensor._backward_hooks = hooks
    tensor.__dict__.update(attributes)


fill_tensor.consumes = True  # a gradient has to have the shape of its tensor


def _make_result(tensor):
    """Have it come from a graph that has been used up."""
    import torch

    class UsedUp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, tensor, _leaf):
            ctx.mark_dirty(tensor)
            ctx.is_used_up = True
            return tensor

        @staticmethod
        def backward(ctx, _gradient):
            text = "Trying to backward through the graph a second time: it was used up before a move"
            raise RuntimeError(text)

    with torch.enable_grad():
        UsedUp.apply(tensor, torch.zeros((), requires_grad=True))


def give_back_state(torch, taken):
    """Go on with the same numbers, modes and settings."""
    state = dict(taken)
    torch.set_rng_state(torch.frombuffer(bytearray(state["numbers"]), dtype=torch.uint8))
    torch.set_grad_enabled(state["grad"])
    torch.set_default_dtype(getattr(torch, state["type"]))
    torch.use_deterministic_algorithms(state["deterministic"], warn_only=state["warn"])
    torch.autograd.set_detect_anomaly(state["anomaly"])
    if state["threads"] is not None:
        torch.set_num_threads(state["threads"])
    if state["autocast"] is not None:
        torch.set_autocast_enabled("cpu", True)
        torch.set_autocast_dtype("cpu", getattr(torch, state["autocast"]))
        torch.autocast_increment_nesting()


# -------------------------------------------------------------------------- taking apart, at home


def take_state(torch):
    """What belongs to the program, not to one of its objects; of a thread's own, what the calling one has."""
    from os import cpu_count

    autocast = getattr(torch, "get_autocast_dtype", None)
    with_autocast = autocast is not None and torch.is_autocast_enabled("cpu")
    threads = torch.get_num_threads()
    return {
        "numbers": bytes(torch.get_rng_state().tolist()),
        "grad": torch.is_grad_enabled(),
        "type": str(torch.get_default_dtype()).rpartition(".")[2],
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn": torch.is_deterministic_algorithms_warn_only_enabled(),
        "anomaly": torch.is_anomaly_enabled(),
        # As many as there are processors is what it takes by itself, there as here.
        "threads": threads if threads < (cpu_count() or 1) else None,
        "autocast": str(autocast("cpu")).rpartition(".")[2] if with_autocast else None,
    }


def choose(cls):
    """The taker for a class of torch's; None for all others."""
    if cls is Memory:
        return take_memory
    if (cls.__module__, cls.__name__) == ("torch.utils.data.dataloader", "_SingleProcessDataLoaderIter"):
        return instances.take_open  # which refuses to be pickled, as its other kind has processes
    torch = sys.modules.get("torch")
    tensor, storage = getattr(torch, "Tensor", None), getattr(torch, "UntypedStorage", None)
    if tensor is None or storage is None:
        return None
    optimizer = getattr(sys.modules.get("torch.optim.optimizer"), "Optimizer", None)
    if optimizer in classes.read_order(cls):
        return take_optimizer
    if issubclass(cls, storage):
        return take_storage
    return take_tensor if tensor in classes.read_order(cls) else None


def take_optimizer(pickler, optimizer):
    """An optimizer, by its fields: pickle leaves out its hooks, and what a scheduler has put into it."""
    state = instances.own_state(pickler, optimizer)
    return make_optimizer, (type(optimizer),), state, None, None, instances.fill


class Memory:
    """The bytes of a storage."""

    def __init__(self, storage):
        self.storage = storage


def take_tensor(pickler, tensor):
    """A tensor, over its memory."""
    import torch

    is_result = tensor.grad_fn is not None
    if is_result and not _is_used_up(tensor.grad_fn):
        reason = (
            "it can still be differentiated, and the graph for that stays at home; move after backward(), or "
            "detach() it"
        )
        return pickler.refuse(tensor, reason)
    is_plain = type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.layout is torch.strided
    if not is_plain or tensor.device.type != "cpu" or tensor.is_quantized:
        return instances.ask(pickler, tensor)
    storage = tensor.untyped_storage()
    if not storage.resizable():
        pickler.foreign.append((storage.data_ptr(), storage.nbytes(), tensor))
    where = storage, tensor.storage_offset(), tuple(tensor.shape), tensor.stride()
    state = (
        where,
        (tensor.is_conj(), tensor.is_neg()),
        tensor.requires_grad,
        tensor.grad if not is_result else None,
        tensor._backward_hooks,
        tensor.__dict__,
        is_result,
    )
    return make_tensor, (type(tensor), tensor.dtype), state, None, None, fill_tensor


def _is_used_up(function):
    """Whether the graph behind a function has given up what it had saved: then nobody can go through it."""
    seen, ahead = {function}, [function]
    while ahead:
        function = ahead.pop()
        if getattr(function, "is_used_up", False):
            return True
        for name in dir(function):
            if name.startswith("_saved_"):
                try:
                    getattr(function, name)
                except RuntimeError:
                    return True
        for behind, _index in function.next_functions:
            if behind is not None and behind not in seen:
                seen.add(behind)
                ahead.append(behind)
    return False


def take_storage(pickler, storage):
    """The memory of tensors: with pickle each would bring its own."""
    from ctypes import c_char

    if storage.device.type != "cpu":
        return instances.ask(pickler, storage)
    size = storage.nbytes()
    if not size:
        return make_storage, (b"",)
    memory = (c_char * size).from_address(storage.data_ptr())
    memory.storage = storage  # which has to live as long
    return make_storage, (PickleBuffer(memory),)


def memory_of_array(pickler, base):
    """What stands for the memory of a tensor that an array shows, and where that begins."""
    storage = base.untyped_storage()
    start = storage.data_ptr()
    memory = pickler.tensor_memory.get(start)
    if memory is None:
        memory = pickler.tensor_memory[start] = Memory(storage)
    return memory, start


def take_memory(_pickler, memory):
    """The memory of a tensor as an array of bytes."""
    return make_array_memory, (memory.storage,)


def refuse_shared(pickler):
    """Refuse tensors whose memory an array has that travels as well, as neither can tell whose it is."""
    for start, size, tensor in pickler.foreign:
        for begin, length in pickler.memories:
            if begin < start + size and start < begin + length:
                pickler.refuse(tensor, "NumPy has its memory, and an array shows it too; clone() the tensor")
                break
