"""Pages and parts of pages that scripts write."""

import pytest
from pages import folded, read_page, write_pages


def test_a_part_is_replaced_and_the_rest_of_the_page_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# Title\n\n<!-- written by a -->\n\n<!-- end -->\n\n<!-- written by b -->\n\nold\n\n<!-- end -->\n\nend\n"
    )
    write_pages({"page.md#b": "new\n"}, tmp_path)
    write_pages({"page.md#a": "first\n"}, tmp_path)
    write_pages({"page.md#a": "second\n"}, tmp_path)
    a, b = ("<!-- written by a -->\n\nsecond\n\n<!-- end -->", "<!-- written by b -->\n\nnew\n\n<!-- end -->")
    assert page.read_text() == f"# Title\n\n{a}\n\n{b}\n\nend\n"
    assert [read_page(f"page.md#{part}", tmp_path) for part in "ab"] == ["second\n", "new\n"]


def test_a_part_has_a_page_with_its_place(tmp_path):
    write_pages({"new.md#a": "text\n"}, tmp_path)
    assert read_page("new.md#a", tmp_path) == "text\n"
    with pytest.raises(ValueError, match=r"new\.md: must contain '<!-- written by b -->'"):
        write_pages({"new.md#b": "text\n"}, tmp_path)


def test_folded_markdown_is_apart_from_its_html():
    assert folded("more", "| a |\n") == "<details>\n<summary>more</summary>\n\n| a |\n\n</details>"
