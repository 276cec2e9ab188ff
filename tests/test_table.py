from tools.table import table


def test_text_is_to_the_left_numbers_to_the_right_and_none_is_a_dash():
    assert table(["domain", "share", "n"], [["brain-t1", 0.123456, 7], ["ct", None, 12]]) == (
        "domain     share   n\n"
        "brain-t1  0.1235   7\n"
        "ct             -  12"
    )  # fmt: skip


def test_no_rows_are_a_header_alone():
    assert table(["a", "b"], []) == "a  b"
