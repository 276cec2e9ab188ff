import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixio.jsonl import append_object, read_objects

objects = st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.floats(allow_nan=False)))


@settings(max_examples=30)
@given(st.lists(objects, max_size=5), st.data())
def test_whole_lines_come_back_and_a_torn_one_is_gone(tmp_path_factory, values, data):
    path = tmp_path_factory.mktemp("lines") / "new" / "lines.jsonl"
    append_object(path, {})
    for value in values:
        append_object(path, value)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = read_objects(path)
    assert kept == [{}, *values][: whole[:cut].count(b"\n")]
    append_object(path, {"after": 1})
    assert read_objects(path) == [*kept, {"after": 1}]


def test_what_is_not_json_is_an_error(tmp_path):
    (tmp_path / "lines.jsonl").write_bytes(b"{}\nnot json\n{}\n")
    with pytest.raises(ValueError, match="Expecting value"):
        read_objects(tmp_path / "lines.jsonl")
