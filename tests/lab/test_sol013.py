"""SOL013's attribute filters."""

import pytest

from lab.sol013 import ProblemError, select

DOCUMENTS = [
    {"id": "a", "state": "COMPLETED", "n": 1, "ok": True, "params": {"who": "x,y"}, "list": [{"k": "1"}, {"k": "2"}]},
    {"id": "b", "state": "FAILED", "n": 2, "ok": False, "params": {"who": "it's"}, "list": []},
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (None, "ab"),
        ("(eq,state,FAILED)", "b"),
        ("(neq,state,FAILED)", "a"),
        ("(in,state,FAILED,COMPLETED)", "ab"),
        ("(nin,state,FAILED,STARTING)", "a"),
        ("(gt,n,1)", "b"),
        ("(gte,n,1);(lte,n,1)", "a"),
        ("(lt,n,2)", "a"),
        ("(cont,state,OMP)", "a"),
        ("(ncont,state,OMP)", "b"),
        ("(eq,ok,true)", "a"),
        ("(eq,params/who,'x,y')", "a"),
        ("(eq,params/who,'it''s')", "b"),
        ("(eq,list/k,2)", "a"),
        ("(eq,missing,1)", ""),
    ],
)
def test_a_filter_leaves_what_it_says(text, ids):
    assert "".join(d["id"] for d in select(DOCUMENTS, text)) == ids


@pytest.mark.parametrize(
    "text", ["x", "(eq,state)", "(like,state,x)", "(eq,state,x)(eq,n,1)", "(eq,state,x);("]
)
def test_a_filter_that_is_none_is_refused(text):
    with pytest.raises(ProblemError) as refused:
        select(DOCUMENTS, text)
    assert refused.value.status == 400
