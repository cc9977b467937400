from embedreel.errors import ApiError, describe


def test_describe__with_little() -> None:
    assert describe({}) == "Error"
    assert describe({"title": "A", "detail": None, "field": "b"}) == "A (field b)"


def test_api_error__slug() -> None:
    assert ApiError(status=404, title="", type="/problems/not-found").slug == "not-found"
    assert ApiError(status=502, title="").slug == ""
