"""How soon an answer of a pod is to be looked at."""

import pytest

from crm_operator.domain.scraped import Sample, Scrape
from crm_operator.domain.world import Unknown
from crm_operator.sources.pods.news import LastAnswers, News

BACKGROUND = frozenset({"jobs"})
HANGS = Unknown("no answer", "Timeout")


def said(**values: float) -> Scrape:
    return {name: Sample(value, value) for name, value in values.items()}


def taken(*answers: Scrape | Unknown, revisions: str | None = None) -> list[News]:
    """Of one pod, in a row; `revisions` has a letter for each."""
    last = LastAnswers()
    return [
        last.take("uid", (revisions or "a" * len(answers))[n], answer, background=BACKGROUND)
        for n, answer in enumerate(answers)
    ]


@pytest.mark.parametrize(
    ("answers", "news"),
    [
        pytest.param([said(errors=0), said(errors=0), said(errors=0)], [News.NOW, News.NOW, News.NONE], id="the same"),
        pytest.param([said(jobs=1), said(jobs=1), said(jobs=2)], [News.NOW, News.NOW, News.LATER], id="only jobs"),
        pytest.param(
            [said(errors=0, jobs=1)] * 2 + [said(errors=1, jobs=2), said(errors=1, jobs=3), said(errors=1, jobs=4)],
            [News.NOW, News.NOW, News.NOW, News.NOW, News.LATER],
            id="an error, and the answer after it",
        ),
        pytest.param([said(jobs=1)] * 2 + [{}], [News.NOW, News.NOW, News.LATER], id="a count that is gone"),
        pytest.param([said(jobs=1)] * 2 + [HANGS, HANGS], [News.NOW, News.NOW, News.NOW, News.NOW], id="no answer"),
        pytest.param([HANGS, HANGS, HANGS], [News.NOW, News.NOW, News.NONE], id="still none"),
    ],
)
def test_news(answers: list[Scrape | Unknown], news: list[News]) -> None:
    assert taken(*answers) == news


def test_another_version_in_the_same_pod_is_news() -> None:
    assert taken(*[said(jobs=1)] * 4, revisions="aaab")[-2:] == [News.NONE, News.NOW]


def test_who_is_gone_is_forgotten() -> None:
    last = LastAnswers()
    for _ in range(3):
        last.take("uid", "a", said(errors=0), background=BACKGROUND)
    last.keep({"another"})
    assert "uid" not in last
    assert last.take("uid", "a", said(errors=0), background=BACKGROUND) is News.NOW
