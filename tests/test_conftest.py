"""The order of files on several cores."""

from types import SimpleNamespace

from tests import conftest


def test_the_longest_files_come_first_and_the_others_keep_their_order():
    assert conftest.LONGEST and all(path.exists() for path in conftest.LONGEST)
    others = [conftest.TESTS / name for name in ("a.py", "z.py")]
    first, last = conftest.LONGEST[0], conftest.LONGEST[-1]
    items = [SimpleNamespace(path=path, number=number)
             for path in (others[1], last, others[0], first) for number in (1, 2)]
    before = list(items)
    conftest.pytest_collection_modifyitems(SimpleNamespace(), items)
    assert items == before                                             # on one core
    conftest.pytest_collection_modifyitems(SimpleNamespace(workerinput={}), items)
    assert [(item.path, item.number) for item in items] == [
        (path, number) for path in (first, last, others[1], others[0]) for number in (1, 2)]
