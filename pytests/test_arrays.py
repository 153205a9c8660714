"""NumPy: arrays and the memory that they share, iterators over them, how errors are handled."""

import pytest

pytest.importorskip("numpy", reason="NumPy is not installed")


def test_arrays_of_other_classes_share_their_memory(same):
    same("""
        import numpy as np
        table = np.array([("x", 1), ("y", 2), ("z", 3)], dtype=[("name", "U3"), ("value", "i4")])
        records, values = table.view(np.recarray), table["value"]
        masked = np.ma.masked_array(values, [0, 1, 0], fill_value=-1)
        matrix = np.arange(4).view(np.matrix)

        class Meters(np.ndarray):
            def __array_finalize__(self, source):
                self.label = getattr(source, "label", "none")

        plain = np.arange(5.0)
        lengths = plain.view(Meters)
        lengths.label = "lengths"
        part = lengths[1:3]
        for turn in range(2):
            hop()
            records.value[0] += 10
            values[2] += 100
            masked[1] = 5
            plain[1] += 1
            print(table, records.name, masked, masked.mask, masked.fill_value, matrix, type(matrix).__name__)
            print(lengths.label, part.label, part, type(part) is type(lengths) is Meters, lengths.base is plain)
    """)


def test_views_of_objects_share_them(same):
    same("""
        import numpy as np
        things = np.array([{}, [1], None, 3], dtype=object)
        odd = things[1::2]
        things[1].append(things)
        pairs = np.zeros(2, dtype=[("number", "i4"), ("thing", "O")])
        column = pairs["thing"]
        hop()
        odd[1] = "new"
        column[0] = things
        print(things[3], odd[0][1] is things, pairs["thing"][0] is things, column[1])
    """)


def test_memory_in_an_odd_order_stays_in_that(same):
    same("""
        import numpy as np
        whole = np.arange(24).reshape(2, 3, 4)
        odd = np.copy(whole.transpose(1, 0, 2), order="K")
        times = np.copy(whole.transpose(1, 0, 2).astype("M8[s]"), order="K")
        things = np.copy(whole.transpose(1, 0, 2).astype(object), order="K")
        things[0, 0, 0] = things
        narrow = np.copy(np.arange(12).reshape(2, 1, 3, 2).transpose(2, 1, 0, 3), order="K")
        part, of_things, of_times, of_narrow = odd[1:, :, ::-2], things[:, 1], times[0], narrow.T
        narrow.flags.writeable = False
        def facts(array):
            return array.strides, array.flags.owndata, array.flags.writeable, array.base is None
        for turn in range(2):
            hop()
            part[0, 0] += 100
            of_things[0, 1] = "new"
            of_times[0, 0] = 5
            print([facts(each) for each in (odd, times, things, narrow, part, of_narrow)])
            print(odd.tolist(), part.base is odd, things[0, 1, 1], things[0, 0, 0] is things, times[0, 0, 0])
            print(odd.sum(), of_narrow.tolist())
    """)


def test_a_view_of_objects_in_an_odd_order_is_refused(refused):
    (said,) = refused(
        """
        import numpy as np
        kind = [("number", "i4"), ("thing", "O")]
        odd = np.copy(np.zeros((2, 3, 4), dtype=kind).transpose(1, 0, 2), order="K")
        part = odd[1:]
        attempt()
        part["number"] = 1
        print(odd["number"].sum())
    """,
        error="UnmovableError",
    )
    assert "__main__ → part (numpy.ndarray) cannot move: it is a view" in said


def test_memory_of_others(same):
    same("""
        import array, ctypes
        import numpy as np
        raw, numbers, fixed = bytearray(8), array.array("i", [1, 2, 3]), b"12345678"
        over_raw, over_numbers = np.frombuffer(raw, "u2"), np.frombuffer(numbers, "i4")[1:]
        over_fixed = np.frombuffer(fixed, "u1")
        fortran = np.asfortranarray(np.arange(6.0).reshape(2, 3))
        column = fortran[:, 1]
        wide = np.broadcast_to(np.arange(3), (2, 3))
        hop()
        over_raw[0] = 258
        over_numbers[0] = 9
        fortran[0, 1] = 50
        print(raw, numbers, over_fixed.flags.writeable, column, fortran.flags.f_contiguous, wide.strides)
    """)


def test_a_mapped_file_under_an_array(same, tmp_path):
    same(
        """
        import numpy as np
        whole = np.memmap("data.bin", dtype="i4", mode="w+", shape=(2, 4))
        whole[:] = np.arange(8).reshape(2, 4)
        part, plain = whole[1, ::2], np.asarray(whole)
        only_read = np.memmap("data.bin", dtype="i4", mode="r", offset=8)
        own = np.memmap("data.bin", dtype="i4", mode="c")
        own[0] = -1
        for turn in range(2):
            hop()
            part[0] += 10
            plain[0, 0] += 1
            whole.flush()
            print(whole.tolist(), np.fromfile("data.bin", "i4"), only_read, own[:2], own.mode, whole.mode)
            print(type(part).__name__, whole.filename[-8:], only_read.flags.writeable)
    """,
        cwd=tmp_path,
    )


def test_iterators_over_arrays(same):
    same("""
        import numpy as np
        data = np.arange(6).reshape(2, 3)
        flat, rows, fitted, counted = data.flat, iter(data), np.broadcast([1, 2, 3], [[1], [2]]), np.ndenumerate(data)
        next(flat), next(flat), next(rows), next(fitted), next(counted)
        hop()
        data[0, 2] = 99
        print(flat.index, flat.base is data, next(flat), flat.coords, next(rows), fitted.index, list(fitted), next(counted))
        hop()
        print(list(flat), list(rows))
    """)


def test_how_errors_are_handled(same):
    same("""
        import numpy as np
        old = np.seterr(over="raise", divide="ignore")
        np.setbufsize(16000)
        np.seterrcall(lambda *seen: print("called", seen))
        print(old)
        hop()
        print(np.geterr(), np.getbufsize(), np.array([1.0]) / 0)
        np.seterr(divide="call")
        hop()
        np.array([1.0]) / 0
        with np.errstate(divide="raise", over="warn"):
            try:
                hop()
                np.array([1.0]) / 0
            except FloatingPointError as error:
                print(error)
        print(np.geterr())
    """)
