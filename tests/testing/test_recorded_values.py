from api.http import cursors
from testing.recorded_values import KEY_SECRET, MEASURED, TIMES, VERSION, WEBHOOK_SECRET, FixedValues, shorten

RUN, OTHER = f"run_{'a' * 26}", f"run_{'b' * 26}"


def test_equal_ids_have_one_replacement_and_other_ids_another():
    fixed = FixedValues({}).fix({"id": RUN, "links": {"self": f"/v1/runs/{RUN}"}, "drawn_from": OTHER})
    assert fixed["links"]["self"] == f"/v1/runs/{fixed['id']}"
    assert len({RUN, OTHER, fixed["id"], fixed["drawn_from"]}) == 4
    assert len(fixed["id"]) == len(RUN)


def test_replacements_depend_only_on_the_order_of_the_ids():
    assert FixedValues({}).fix([RUN, OTHER]) == FixedValues({}).fix([OTHER, RUN])


def test_times_are_replaced_by_field_also_in_text():
    at = "2027-01-02T03:04:05.678901Z"
    fixed = FixedValues({}).fix({"created_at": at, "finished_at": None, "text": f'data: {{"at": "{at}"}}'})
    assert fixed == {
        "created_at": TIMES["created_at"],
        "finished_at": None,
        "text": f'data: {{"at": "{TIMES["at"]}"}}',
    }


def test_measured_numbers_are_replaced():
    assert FixedValues({}).fix({"seconds": 1.234, "eta_seconds": None}) == {
        "seconds": MEASURED["seconds"],
        "eta_seconds": None,
    }


def test_the_version_of_a_succeeded_run_is_replaced():
    fix = FixedValues({}).fix
    assert fix({"status": "succeeded", "version": 57})["version"] == VERSION
    assert fix({"status": "queued", "version": 1})["version"] == 1
    assert fix({"service": "Embedreel", "version": "0.1.0"})["version"] == "0.1.0"


def test_secrets_and_names_are_replaced():
    values = FixedValues({"http://127.0.0.1:8000": "https://example.com"})
    fixed = values.fix(
        {
            "id": f"key_{'c' * 26}",
            "key": f"er_{'c' * 26}_{'s' * 43}",
            "secret": "whsec_abc+/=",
            "url": "http://127.0.0.1:8000/x",
        }
    )
    assert fixed["key"] == f"er_{fixed['id'].removeprefix('key_')}_{KEY_SECRET}"
    assert fixed["secret"] == WEBHOOK_SECRET
    assert fixed["url"] == "https://example.com/x"


def test_a_cursor_names_the_replacement_of_its_id():
    fixed = FixedValues({}).fix({"runs": [{"id": RUN}], "next_cursor": cursors.make(RUN)})
    assert cursors.read(fixed["next_cursor"]) == fixed["runs"][0]["id"]


def test_long_lists_are_shortened_and_named():
    value = {"labels": list(range(1000)), "points": [[[0, 0]] * 20] * 3, "few": [1, 2, 3], "rows": [{"a": 1}] * 7}
    shorter, notes = shorten(value)
    assert shorter == {"labels": [0, 1], "points": [[[0, 0]] * 2] * 3, "few": [1, 2, 3], "rows": [{"a": 1}] * 2}
    assert notes == [
        "`labels` has 2 of 1,000 elements",
        "`points[]` has 2 of 20 elements",
        "`rows` has 2 of 7 elements",
    ]


def test_long_texts_are_shortened():
    assert shorten("line\n" * 30) == ("line\n" * 10, ["the first 10 lines"])
    assert shorten("line\n" * 3) == ("line\n" * 3, [])
    shorter, notes = shorten({"thumbnail": f"data:image/png;base64,{'A' * 100}"})
    assert shorter["thumbnail"].endswith("A…")
    assert notes == ["`thumbnail` has 40 of its characters"]
