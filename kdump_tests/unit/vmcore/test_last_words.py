"""A kernel's log as several tools write it down is the same log."""

from kdump_tests.vmcore.last_words import as_dmesg_has_it


def test_who_printed_a_line_is_left_out() -> None:
    assert as_dmesg_has_it(
        [
            "[   41.579344] [    T474]  </TASK>",
            "[   41.579344][  T474]  </TASK>",  # on the console of a kernel with CONFIG_PRINTK_CALLER
            "[    1.000000] [C0] x",
            "[    1.000000] [x] \x1b[2J",
        ]
    ) == [*["[   41.579344]  </TASK>"] * 2, "[    1.000000] x", "[    1.000000] [x] \\x1b[2J"]
