"""PyTorch on the CPU: what its pickling would lose."""

import pytest

pytest.importorskip("torch")


def test_training_goes_on_as_it_would_have(same):
    same(
        """
        import torch
        from torch import nn
        from torch.utils.data import DataLoader, TensorDataset
        torch.manual_seed(1)
        x = torch.randn(64, 4)
        data = TensorDataset(x, x.sum(1, keepdim=True))
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
        for epoch in range(3):
            for x, y in DataLoader(data, batch_size=20, shuffle=True):
                optimizer.zero_grad()
                loss = nn.functional.mse_loss(model(x), y)
                loss.backward()
                hop()
                optimizer.step()
            schedule.step()
            print(loss.item(), schedule.get_last_lr())
        with torch.no_grad():
            hop()
            print(model.eval()(x).sum().item(), torch.is_grad_enabled())
        print(torch.is_grad_enabled(), torch.rand(2))
        """,
        patience=120,
    )


def test_memory_and_gradients(same):
    same(
        """
        import torch
        whole = torch.arange(12.0).reshape(3, 4)
        row, turned, array = whole[1], whole.t(), whole.numpy()
        part = array[2]
        spread = torch.ones(1).expand(1000)
        conjugate = torch.tensor([1 + 2j]).conj()
        few = torch.ones(2, dtype=torch.bfloat16), torch.empty(0), torch.tensor([True, False])
        parameter = torch.nn.Parameter(torch.ones(3))
        (parameter * parameter).sum().backward()
        class Mine(torch.Tensor):
            pass
        mine = torch.ones(2).as_subclass(Mine)
        for n in range(2):
            hop()
            row[0] += 100
            part[1] -= 1
            print(whole, turned, array, spread.sum(), conjugate, few)
            print(parameter, parameter.grad, parameter.is_leaf, mine)
        """,
        patience=120,
    )


def test_a_result_whose_graph_was_used_up(move):
    run = move(
        """
        import torch
        weight = torch.ones(2, requires_grad=True)
        loss = (weight * weight).sum()
        loss.backward()
        teleport()
        teleport()
        print(weight.grad, loss.item(), loss.is_leaf, loss.requires_grad)
        try:
            loss.backward()
        except RuntimeError as error:
            print(str(error).partition(":")[0])
        """,
        patience=120,
    )
    lines = ["tensor([2., 2.]) 2.0 False True", "Trying to backward through the graph a second time"]
    assert run.stdout.splitlines() == lines, run.stderr


def test_a_result_that_can_be_differentiated(refused):
    (text,) = refused(
        """
        import torch
        weight = torch.ones(2, requires_grad=True)
        doubled = weight * 2
        attempt()
        doubled.sum().backward()
        print(weight.grad)
        """,
        error="UnmovableError",
        patience=120,
    )
    assert "__main__ → doubled (torch.Tensor)" in text
    assert "it can still be differentiated" in text


def test_memory_that_is_shared_with_an_array_of_numpy_s_own(refused):
    (text,) = refused(
        """
        import numpy, torch
        array = numpy.ones(3)
        tensor = torch.from_numpy(array)
        attempt()
        array[0] = 7
        print(tensor)
        """,
        error="UnmovableError",
        patience=120,
    )
    assert "__main__ → tensor (torch.Tensor)" in text
