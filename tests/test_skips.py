"""Which tests a whole run may leave out: a list, not a way of wording the reason."""

import pytest

REAL_NOVA = "tests/actuators/test_openstack.py::test_a_real_nova_migrates_a_server"
NO_SHARED = "Skipped: no ../shared beside the checkout"


@pytest.mark.parametrize(
    ("nodeid", "reason", "shared_there", "may"),
    [
        (REAL_NOVA, "Skipped: no real OpenStack", True, True),
        (REAL_NOVA, "Skipped: no real OpenStack", False, True),
        ("tests/lab/test_vnfm.py::test_shapes", NO_SHARED, False, True),
        ("tests/lab/test_vnfm.py::test_shapes", NO_SHARED, True, False),
        ("tests/lab/test_vnfm.py::test_shapes", "Skipped: no file in ../shared", False, False),
        ("tests/api/test_console.py::test_a_page", "Skipped: no chromium", False, False),
    ],
)
def test_only_what_is_listed_may_be_skipped(
    request: pytest.FixtureRequest,
    repo_root: object,
    nodeid: str,
    reason: str,
    shared_there: bool,
    may: bool,
) -> None:
    conftest = request.config.pluginmanager.get_plugin(f"{repo_root}/tests/conftest.py")
    assert conftest is not None
    assert conftest.may_be_skipped(nodeid, reason, shared_there=shared_there) is may
    assert REAL_NOVA in conftest.MAY_SKIP


def test_what_may_be_skipped_exists(request: pytest.FixtureRequest, repo_root: object) -> None:
    conftest = request.config.pluginmanager.get_plugin(f"{repo_root}/tests/conftest.py")
    for nodeid in conftest.MAY_SKIP:
        path, _, name = nodeid.partition("::")
        with open(f"{repo_root}/{path}", encoding="utf-8") as file:
            assert f"def {name}(" in file.read()
