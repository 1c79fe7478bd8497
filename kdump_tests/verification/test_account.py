"""What a kdump that keeps account says itself: did it save the dump?"""

import pytest

from kdump_tests.crash.crash import Crash
from kdump_tests.stacks.stack import Stack


def test_stack_says_of_the_dump_that_it_was_saved(crash: Crash, stack: Stack) -> None:
    if stack.says_it_was_saved is None:
        pytest.skip(f"{stack.name} leaves no word beside a dump on how its saving went")
    assert stack.says_it_was_saved.search(crash.dump.account), crash.dump.account
