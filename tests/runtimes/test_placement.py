"""What the log of Rockchip's toolkit says of where ops run is read."""

from pathlib import Path

from tests.runtimes.constructs import builders
from tests.runtimes.placement import NAMES, markdown, on_the_cpu, read

PAGE = Path(__file__).parents[2] / "docs" / "placement.md"

LOG = """
D RKNN: [07:48:01.801] ID   OpType             DataType Target InputShape
D RKNN: [07:48:01.801] 0    InputOperator      FLOAT16  CPU    \\
D RKNN: [07:48:01.801] 1    Conv               FLOAT16  NPU    (1,8,13,13),(1,8,1,1)
D RKNN: [07:48:01.801] 3    Pow                FLOAT16  CPU    (1,8,13,13),(1)
D RKNN: [07:48:01.801] 7    OutputOperator     FLOAT16  CPU    (1,8,1,1)
"""


def test_what_stays_on_the_cpu_but_the_ends_of_the_graph() -> None:
    assert list(on_the_cpu(LOG)) == ["Pow"]


def test_the_committed_page_is_read_as_it_is_written() -> None:
    page = PAGE.read_text()
    found = read(page)
    assert markdown(found) == page
    assert set(found) == {(builder, name) for builder in builders() for name in NAMES}
