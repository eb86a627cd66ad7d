"""Sums in a tree whose shape depends on the number of terms alone."""

import pytest

from moefast.streams.sum_tree import FAN_IN, SumTree


def level_by_level(terms):
    """The oracle: as a cluster does it."""
    while len(terms) > 1:
        terms = ["(" + "+".join(terms[i : i + FAN_IN]) + ")" for i in range(0, len(terms), FAN_IN)]
    return terms[0]


def added(one, other):
    return f"{one}+{other}"


class Bracketed(SumTree):
    def total(self, terms):
        return "(" + super().total(terms) + ")"


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 16, 63, 64, 65, 72, 73, 200, 600])
def test_the_tree_is_that_of_level_by_level(n):
    terms = [str(i) for i in range(n)]
    tree = Bracketed(added)
    for term in terms:
        tree.push(term)
    assert tree.result() == level_by_level(terms)


@pytest.mark.parametrize("stopped", [0, 1, 8, 64, 70])
def test_it_goes_on_where_it_stopped(stopped):
    terms = [str(i) for i in range(75)]
    tree = Bracketed(added)
    for term in terms[:stopped]:
        tree.push(term)
    tree = Bracketed(added, tree.levels)
    for term in terms[stopped:]:
        tree.push(term)
    assert tree.result() == level_by_level(terms)
    assert max(map(len, tree.levels)) < FAN_IN


def test_no_terms():
    with pytest.raises(ValueError, match="nothing to add"):
        SumTree(added).result()
